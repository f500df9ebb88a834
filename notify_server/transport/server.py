"""python-socketio's server on our Engine.IO: what a client sends, and how it leaves.

Invariants:
  * a socket that has got in leaves once: its disconnect handler runs once, and then nothing of it is in the manager,
    whatever that handler does;
  * the events of a socket are handled one after the other; its acknowledgements at once, so that a handler can wait
    for one.
"""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Callable
from typing import Any

import socketio
from aiohttp import web
from socketio import packet

from notify_server.transport.connecting import Connecting
from notify_server.transport.engine import Engine
from notify_server.transport.manager import Manager
from notify_server.transport.packets import message
from notify_server.transport.parser import Packet
from notify_server.transport.session import Session

log = logging.getLogger(__name__)

_LEAVE_S = 10
_MAX_NAMED_EVENTS = 100

# The libraries below log tokens and sids, in what they call info and error.
_quiet = logging.getLogger("notify_server.socketio")
_quiet.setLevel(logging.CRITICAL + 1)


class Server(socketio.AsyncServer):  # type: ignore[misc]
    """`socketio.AsyncServer` with its options, for aiohttp, and those of `Engine`; further:

    * `connect_timeout` (s): by when a socket must have got in;
    * `binary`: False refuses binary packets;
    * `broadcasts`: False refuses, with ValueError, an emit that names no room, which would reach everybody;
    * `offsets`: True keeps what clients that recover remember safe: they take the last argument of any event in `/` for
      their offset where it is text, an event's name alone too, so such an event gets one more argument, null;
    * `connected(sid)` is called once a socket's CONNECT in the namespace `/` has been answered; `slow(sid)` when more
      waits for it than the limits' high-water mark, `writable(sid)` when it has taken that; `proved(sid, mark)` when
      all that was sent up to the emit with that mark has arrived. All at once, in the middle of things: they must not
      await, and must not fail.

    A connect handler may return a dict: it goes to the client beside `sid`, in the answer to CONNECT.

    An event that nobody handles is ignored, counted in `unknown_events`, and logged once by name.
    """

    eio: Engine
    manager: Manager

    def __init__(
        self, *, connect_timeout: float = 10, binary: bool = True, broadcasts: bool = True, offsets: bool = False,
        connected: Callable[[str], None] | None = None, proved: Callable[[str, int], None] | None = None,
        slow: Callable[[str], None] | None = None, writable: Callable[[str], None] | None = None, json: Any = None,
        **options: Any,
    ) -> None:  # fmt: skip
        options = {"client_manager": Manager(), "logger": _quiet, "engineio_logger": _quiet, **options}
        if not isinstance(options["client_manager"], Manager):
            raise TypeError("client_manager takes a notify_server.transport.manager.Manager")
        serializer = Packet if json is None else type("Packet", (Packet,), {"json": json})
        super().__init__(serializer=serializer, **options)
        self.unknown_events: collections.Counter[str] = collections.Counter()
        self.manager.guards_offsets = offsets
        self._binary = binary
        self._broadcasts = broadcasts
        self._connected = connected
        self._connecting = Connecting(self, connect_timeout, self.eio.limits.connect_tries)
        self.eio.received = self._received
        self.eio.inbound.handle = self._handle_packet
        self.eio.upgrade_began = self._connecting.upgrade_began
        if slow is not None:
            self.eio.slow = self._telling(slow)
        if writable is not None:
            self.eio.writable = self._telling(writable)
        if proved is not None:
            self.eio.proved = self._telling(proved)

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    # --- to clients ---------------------------------------------------------------------------------------------

    async def emit(
        self, event: str, data: Any = None, to: Any = None, room: Any = None, skip_sid: Any = None,
        namespace: str | None = None, callback: Callable[..., Any] | None = None, ignore_queue: bool = False,
    ) -> None:  # fmt: skip
        """As python-socketio's. Raises ValueError for an empty room, and without one unless `broadcasts`."""
        target = to or room
        if not target and ("" in (to, room) or not self._broadcasts):
            raise ValueError(f"{event}: say to whom; an emit without a room would reach everybody")
        if callback is None and skip_sid is None:
            args = data if isinstance(data, tuple) else () if data is None else (data,)
            self.manager.emit_now(event, args, namespace or "/", target)
            return
        await self.manager.emit(
            event, data, namespace or "/", room=target, skip_sid=skip_sid, callback=callback, ignore_queue=ignore_queue
        )

    def emit_now(
        self, event: str, *args: Any, room: str, namespace: str = "/", offset: str | None = None,
        mark: int | None = None,
    ) -> None:  # fmt: skip
        """To all sockets that are in the room at this moment, encoded once, without awaiting anything. `offset` becomes
        the last argument; with a `mark` (they must rise), a proof of arrival is asked for."""
        self.manager.emit_now(event, args, namespace, room, offset, mark)

    def enter_now(self, sid: str, room: str) -> None:
        """Enters the room unless the socket has just gone."""
        if self.manager.is_connected(sid, "/"):
            self.manager.basic_enter_room(sid, "/", room)

    def leave_now(self, sid: str, room: str) -> None:
        self.manager.basic_leave_room(sid, "/", room)

    async def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:
        """Tells a client to go; it will not come back by itself."""
        namespace = namespace or "/"
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace)
        if eio_sid is None or not self.manager.is_connected(sid, namespace):
            return
        self.manager.pre_disconnect(sid, namespace)
        session = self.eio.sockets.get(eio_sid)
        if session is not None:
            self.send_packet(session, packet.DISCONNECT, namespace)
        await self.leave(sid, namespace, self.reason.SERVER_DISCONNECT)

    def cut(self, sid: str, why: str = "app") -> None:
        """Closes a socket's transport; the client comes back. `why` counts in `eio.cuts`."""
        session = self.eio.sockets.get(self.manager.eio_sid_from_sid(sid, "/") or "")
        if session is not None:
            self.eio.close(session, self.reason.SERVER_DISCONNECT, cut=why)

    def address_of(self, sid: str) -> str | None:
        """That the socket counts for; None where addresses are not told apart (`Limits.address_of`)."""
        session = self.eio.sockets.get(self.manager.eio_sid_from_sid(sid, "/") or "")
        return None if session is None else session.address

    async def upgrade_request(self, sid: str, timeout_s: float) -> web.Request | None:
        """While its connect handler runs: the request by which a socket that began with polling moves to a WebSocket;
        None where none comes in time."""
        eio_sid = self.manager.eio_sid_from_sid(sid, "/")
        return None if eio_sid is None else await self._connecting.upgrade_request(eio_sid, timeout_s)

    async def shutdown(self, goodbye_s: float = 1) -> None:
        """Ends connect handlers, and cuts all sockets at once; as `Engine.shutdown`."""
        self._connecting.stop()
        await self.eio.shutdown(goodbye_s)

    def send_packet(self, session: Session, kind: int, namespace: str, data: Any = None, id: int | None = None) -> None:  # noqa: A002
        encoded = self.packet_class(kind, data=data, namespace=namespace, id=id).encode()
        for part in encoded if isinstance(encoded, list) else [encoded]:
            session.transport.send(message(part))

    # --- from clients -------------------------------------------------------------------------------------------

    def has_namespace(self, namespace: str) -> bool:
        return (
            namespace in self.handlers or namespace in self.namespace_handlers
            or self.namespaces == "*" or namespace in self.namespaces
        )  # fmt: skip

    def has_several_namespaces(self) -> bool:
        return len({*self.handlers, *self.namespace_handlers}) > 1

    def joined(self, session: Session, sid: str, namespace: str) -> None:
        if namespace != "/":
            return
        if session.transport.waiting_bytes > self.eio.limits.high_water_bytes:
            self.eio.slow(session)
        if self._connected is not None:
            self._connected(sid)

    def _received(self, session: Session, data: str | bytes) -> None:
        try:
            pkt = self._decode(session.sid, data)
        except (ValueError, RecursionError):
            self.eio.close_bad(session, "packet")
            return
        if pkt is None:
            return
        namespace = pkt.namespace or "/"
        if pkt.packet_type in (packet.ACK, packet.BINARY_ACK):
            sid = self.manager.sid_from_eio_sid(session.sid, namespace)
            if sid is None:
                self.eio.close_bad(session, "not connected")
            elif pkt.id in self.manager.callbacks.get(sid, ()):
                self.eio.spawn(self._acknowledged(sid, pkt))
        elif pkt.packet_type == packet.CONNECT and not self.eio.inbound.busy(session):
            self._connecting.requested(session, namespace, pkt.data)
        else:
            self.eio.inbound.put(session, pkt)

    def _decode(self, eio_sid: str, data: str | bytes) -> Packet | None:
        """None while attachments are awaited. Raises ValueError."""
        pkt: Packet | None = self._binary_packet.pop(eio_sid, None)
        if isinstance(data, bytes):
            if pkt is None:
                raise ValueError("not announced")
            complete = pkt.add_attachment(data)
        else:
            if pkt is not None or not data:
                raise ValueError("attachments are awaited, or nothing was sent")
            pkt = self.packet_class(encoded_packet=data)
            complete = not pkt.attachment_count
            if not (complete or self._binary):
                raise ValueError("binary")
        if complete:
            return pkt
        self._binary_packet[eio_sid] = pkt
        return None

    async def _acknowledged(self, sid: str, pkt: Packet) -> None:
        try:
            await self.manager.trigger_callback(sid, pkt.id, pkt.data or [])
        except Exception:
            log.exception("acknowledgement_failed")

    async def _handle_packet(self, session: Session, pkt: Packet) -> None:
        namespace = pkt.namespace or "/"
        if pkt.packet_type == packet.CONNECT:
            self._connecting.requested(session, namespace, pkt.data)
            return
        sid = self.manager.sid_from_eio_sid(session.sid, namespace)
        if sid is None:
            self.eio.close_bad(session, "not connected")
            return
        await self._connecting.finished(sid)
        if not self.manager.is_connected(sid, namespace):
            return
        if pkt.packet_type == packet.DISCONNECT:
            await self._handle_disconnect(session.sid, namespace, self.reason.CLIENT_DISCONNECT)
            return
        if not pkt.data or not isinstance(pkt.data[0], str):  # handlers have names of text
            return
        result = await self._trigger_event(pkt.data[0], namespace, sid, *pkt.data[1:])
        if result is self.not_handled:
            self._count_unknown(pkt.data[0])
        elif pkt.id is not None and not session.closed:
            args = list(result) if isinstance(result, tuple) else [] if result is None else [result]
            self.send_packet(session, packet.ACK, namespace, args, pkt.id)

    def _get_event_handler(self, event: Any, namespace: str, args: tuple[Any, ...]) -> Any:
        """A client's event may be called `*`, which is no name to python-socketio, but the catch-all's."""
        if event != "*":
            return super()._get_event_handler(event, namespace, args)
        handler = self.handlers.get(namespace, {}).get("*")
        if handler is not None:
            return handler, (event, *args)
        handler = self.handlers.get("*", {}).get("*")
        return handler, (event, namespace, *args)

    def _count_unknown(self, event: str) -> None:
        name = event[:64]
        if name not in self.unknown_events:
            if len(self.unknown_events) >= _MAX_NAMED_EVENTS:
                name = "(others)"
            else:
                log.warning("unknown_event", extra={"name_of_event": name})
        self.unknown_events[name] += 1

    # --- coming and going ---------------------------------------------------------------------------------------

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, environ)
        self._connecting.began(self.eio.sockets[eio_sid])

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self._connecting.ended(eio_sid)
        self._binary_packet.pop(eio_sid, None)
        for namespace in list(self.manager.get_namespaces()):
            await self._handle_disconnect(eio_sid, namespace, reason)
        self.environ.pop(eio_sid, None)

    async def _handle_disconnect(self, eio_sid: str, namespace: str | None, reason: str | None = None) -> None:
        namespace = namespace or "/"
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if sid is not None and self.manager.is_connected(sid, namespace):
            self.manager.pre_disconnect(sid, namespace)
            await self.leave(sid, namespace, reason or self.reason.CLIENT_DISCONNECT)
            session = self.eio.sockets.get(eio_sid)
            names = self.manager.get_namespaces()
            if session is not None and not any(self.manager.sid_from_eio_sid(eio_sid, name) for name in names):
                self._connecting.began(session)  # out of all namespaces: as one who has just come

    async def leave(self, sid: str, namespace: str, reason: str) -> None:
        """The disconnect handler, and the manager's entries. A handler that takes longer than 10 s is cancelled."""
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self._trigger_event("disconnect", namespace, sid, reason)
        except Exception:
            log.exception("disconnect_handler_failed")
        finally:
            session = self.eio.sockets.get(self.manager.eio_sid_from_sid(sid, namespace) or "")
            if session is not None and namespace == "/":
                session.forget_proofs()
            self.manager.basic_disconnect(sid, namespace)

    def _telling(self, tell: Callable[..., None]) -> Callable[..., None]:
        def told(session: Session, *what: int) -> None:
            sid = self.manager.sid_from_eio_sid(session.sid, "/")
            if sid is not None:
                tell(sid, *what)

        return told
