"""A WebSocket that is its connection's protocol: no task, no queue, and nothing of aiohttp's HTTP side is kept.

Frames are parsed by aiohttp's compiled reader. What it lets pass and RFC 6455 does not is refused here: frames that are
not masked, and a message that begins inside another. The reader hands a masked payload over as a bytearray and an
unmasked one as bytes, and takes the queue it writes to as an object; here that object is the WebSocket itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, cast

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from aiohttp._websocket.models import WebSocketError
from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader

from notify_server.transport.packets import Encoded, close_frame, pong

if TYPE_CHECKING:
    from notify_server.transport.engine import Engine
    from notify_server.transport.session import Session

log = logging.getLogger(__name__)

_LINGER_S = 5.0
_NOT_SENT = {1004, 1005, 1006}


class _Reader(WebSocketReader):
    __slots__ = ("_in_message",)

    def __init__(self, websocket: WebSocket, max_bytes: int, deflate: bool) -> None:
        # the reader refuses what reaches its limit; ours is the most that may pass
        super().__init__(websocket, max_bytes + 1, compress=deflate, decode_text=True)
        self._in_message = False

    def _handle_frame(self, fin: bool, opcode: int, payload: bytes | bytearray, compressed: int) -> None:
        if type(payload) is bytes:
            raise WebSocketError(WSCloseCode.PROTOCOL_ERROR, "unmasked")
        if opcode <= WSMsgType.BINARY:
            if self._in_message != (opcode == WSMsgType.CONTINUATION):
                raise WebSocketError(WSCloseCode.PROTOCOL_ERROR, "a message begins inside another, or none was begun")
            self._in_message = not fin
        elif opcode == WSMsgType.CLOSE and len(payload) > 1 and not _may_close_with(payload):
            raise WebSocketError(WSCloseCode.PROTOCOL_ERROR, "no close code")
        super()._handle_frame(fin, opcode, payload, compressed)


def _may_close_with(payload: bytes | bytearray) -> bool:
    """RFC 6455, section 7.4."""
    code = int.from_bytes(payload[:2], "big")
    return (1000 <= code <= 1014 and code not in _NOT_SENT) or 3000 <= code <= 4999


class WebSocket(WebSocketDataQueue, asyncio.Protocol):
    """`session` is None where a WebSocket is accepted only to be closed."""

    name: ClassVar[str] = "websocket"
    __slots__ = ("_closing", "_deflate", "_engine", "_reader", "_session", "_timer", "_transport", "_written_bytes")

    # of aiohttp's queue, whose __init__ is left out with the queue: nothing ever waits in it
    _size = 0
    _limit = 0

    def __init__(self, engine: Engine, session: Session | None, *, deflate: bool = False) -> None:
        self._engine = engine
        self._session = session
        self._transport: asyncio.Transport | None = None
        self._reader: _Reader | None = _Reader(self, engine.max_http_buffer_size, deflate)
        self._deflate = deflate
        self._written_bytes = 0
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None

    # --- what the session does ----------------------------------------------------------------------------------

    @property
    def waiting_bytes(self) -> int:
        """What the peer has not taken yet, as far as this process holds it."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def taken_bytes(self) -> int:
        return self._written_bytes - self.waiting_bytes

    def send(self, packet: Encoded) -> None:
        transport = self._transport
        if self._closing or transport is None:
            return
        frame = packet.deflated_frame if self._deflate else packet.frame
        self._written_bytes += len(frame)
        transport.write(frame)
        waiting_bytes = transport.get_write_buffer_size()  # on uvloop all of it, until the loop's next turn
        if waiting_bytes and (session := self._session) is not None:
            if waiting_bytes > self._engine.limits.waiting_bytes and waiting_bytes > len(frame):
                self._engine.cut_slow(session)  # but one message may be larger than all that may wait
            elif session not in self._engine.stalls.watched:
                self._engine.stalls.watch(session)

    def close(self, *, code: int | None = None) -> None:
        """Sends what waits and a close frame, and takes nothing more. The connection ends when the peer closes it, at
        the latest after five seconds. (Ended at once, what the peer is still sending would reset it, and the close
        frame with it.)"""
        transport = self._transport
        if self._closing or transport is None:
            return
        self._closing = True
        transport.write(close_frame(code))
        try:
            transport.resume_reading()  # to see the peer's end
            if transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()
        except (OSError, RuntimeError):  # the peer has gone, and asyncio does not know yet
            transport.abort()
        self._timer = asyncio.get_running_loop().call_later(_LINGER_S, transport.abort)
        self._engine.lingering.add(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._closing = True
            self._transport.abort()

    def pause_reading(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._closing:
            self._transport.resume_reading()

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        limits = self._engine.limits
        self._transport.set_write_buffer_limits(limits.high_water_bytes, limits.low_water_bytes)

    def data_received(self, data: bytes) -> None:
        if not self._closing and self._reader is not None:
            self._reader.feed_data(data)

    def pause_writing(self) -> None:
        session = self._session
        if session is not None and session.transport is self:
            self._engine.slow(session)

    def resume_writing(self) -> None:
        session = self._session
        if session is not None and session.transport is self:
            self._engine.writable(session)

    def connection_lost(self, _error: BaseException | None) -> None:
        session, self._session = self._session, None
        self._transport = self._reader = None
        self._closing = True
        self._engine.lingering.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if session is not None:
            session.lost(self)

    # --- aiohttp's reader ---------------------------------------------------------------------------------------

    def feed_data(self, message: WSMessage, _size: int) -> None:  # type: ignore[override]
        """Must not raise: the reader would swallow it."""
        session = self._session
        if self._closing or session is None:
            return
        try:
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                session.receive(self, message.data)
            elif message.type is WSMsgType.PING:
                self.send(pong(message.data))
            elif message.type is WSMsgType.CLOSE:
                self.close(code=message.data or None)
                session.lost(self)
        except Exception:
            log.exception("receive_failed")
            self.close(code=WSCloseCode.INTERNAL_ERROR)
            session.lost(self)

    def set_exception(self, error: BaseException, _cause: BaseException | None = None) -> None:
        """The peer broke the protocol."""
        session = self._session
        code = error.code if isinstance(error, WebSocketError) else WSCloseCode.PROTOCOL_ERROR
        log.info("bad_frame", extra={"close_code": int(code)})
        self._engine.cuts["bad_frame"] += 1
        self.close(code=code)
        if session is not None:
            session.lost(self)


_UPGRADE = web.WebSocketResponse(compress=False)  # checks handshakes, and keeps nothing of them


class TakenOver(web.StreamResponse):
    """What a handler returns whose connection is no longer aiohttp's: nothing is written."""

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


def take_over(
    request: web.Request,
    websocket: WebSocket,
    headers: Mapping[str, str],
    extension: str | None = None,
    first: bytes = b"",
) -> bytes:
    """Answers 101, and `first`, and makes the WebSocket the connection's protocol; aiohttp's request and handler end.
    Returns what the client has sent already. Raises HTTPBadRequest where the handshake is none, ConnectionResetError
    where the client has gone."""
    answer, *_ = _UPGRADE._handshake(request)
    protocol, transport = request.protocol, request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client has gone")
    answer.update(headers)
    if extension is not None:
        answer["Sec-WebSocket-Extensions"] = extension
    lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in answer.items()), "", ""]
    received, protocol._message_tail = protocol._message_tail, b""
    transport.set_protocol(websocket)
    websocket.connection_made(transport)
    transport.write("\r\n".join(lines).encode() + first)
    if not transport.is_reading():
        transport.resume_reading()
    _release(protocol)
    return received


def _release(protocol: web.RequestHandler) -> None:
    """What its `connection_lost` would do, but for the connection itself. The cycle with its parser is cut, so that it
    is freed at once."""
    protocol.keep_alive(False)
    if protocol._manager is not None:
        protocol._manager._connections.pop(protocol, None)
    protocol._force_close = True
    protocol._manager = protocol._request_factory = protocol._request_handler = protocol._parser = None
    protocol.transport = None
