"""python-socketio's server, with the holes closed that the wire contract names."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import socketio
from aiohttp import web
from engineio import packet as engine_packet
from socketio import packet

from notify_server.transport.engine import Engine

log = logging.getLogger(__name__)

_HOLD_S = (1.0, 5.0)
_RESERVED = {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
_MAX_NAMED_EVENTS = 100

# The libraries below log tokens and sids, in what they call info and error.
_quiet = logging.getLogger("notify_server.socketio")
_quiet.setLevel(logging.CRITICAL + 1)


class StrictJson:
    """orjson behind the standard library's names: refuses NaN, which no browser can parse."""

    JSONDecodeError = orjson.JSONDecodeError

    @staticmethod
    def dumps(value: Any, **_options: Any) -> str:
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_options: Any) -> Any:
        return orjson.loads(text)


class Server(socketio.AsyncServer):  # type: ignore[misc]
    """`connected(sid)` is called once a socket's CONNECT has been answered.

    Nothing is emitted without a room. A connect handler that fails in any way but ConnectionRefusedError lets nobody
    in: the transport is held a moment, so that no herd forms, and closed, upon which the client tries again. An event
    that nobody handles is ignored, counted in `unknown_events`, and logged once by name.
    """

    def __init__(self, *, connected: Callable[[str], None], **options: Any) -> None:
        super().__init__(
            async_mode="aiohttp", json=StrictJson, logger=_quiet, engineio_logger=_quiet,
            cors_allowed_origins=[],  # no check of its own: the gate in front knows the rules
            **options,
        )  # fmt: skip
        self._connected = connected
        self._tasks: set[asyncio.Task[None]] = set()
        self.unknown_events: collections.Counter[str] = collections.Counter()

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    def attach_to(self, app: web.Application, path: str) -> None:
        self.eio.attach(app, path)

    async def emit(self, event: str, data: Any = None, to: Any = None, room: Any = None, **options: Any) -> None:
        """Raises ValueError without a room: to python-socketio that means everybody."""
        if not (to or room):
            raise ValueError(f"{event}: say to whom; an emit without a room would reach everybody")
        await super().emit(event, data, to=to, room=room, **options)

    def emit_now(self, event: str, data: Any, room: str) -> None:
        """To all sockets that are in the room at this moment, encoded once, without awaiting anything."""
        encoded = packet.Packet(packet.EVENT, namespace="/", data=[event, data]).encode()
        message = engine_packet.Packet(engine_packet.MESSAGE, encoded)
        for _sid, eio_sid in self.manager.get_participants("/", room):
            session = self.eio.sockets.get(eio_sid)
            if session is not None and not session.closed:
                session.queue.put_nowait(message)

    def enter_now(self, sid: str, room: str) -> None:
        """Enters the room unless the socket has just gone."""
        if self.manager.is_connected(sid, "/"):
            self.manager.basic_enter_room(sid, "/", room)

    async def cut(self, sid: str) -> None:
        """Closes a socket's transport; the client comes back."""
        eio_sid = self.manager.eio_sid_from_sid(sid, "/")
        if eio_sid is not None:
            await self.eio.cut(eio_sid)

    async def upgrade_request(self, sid: str, timeout_s: float) -> web.Request | None:
        """The request by which a socket that began with polling moves to a WebSocket; None where none comes in time."""
        eio_sid = self.manager.eio_sid_from_sid(sid, "/")
        return None if eio_sid is None else await self.eio.upgrade_request(eio_sid, timeout_s)

    async def stop(self, seconds: float) -> None:
        """Cuts all sockets, spread over so many seconds."""
        for task in self._tasks:
            task.cancel()
        await self.eio.cut_all(seconds)
        await self.eio.shutdown()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        """Beside the transport, so that the POST which carried CONNECT is answered at once."""
        self._spawn(self._connect(eio_sid, namespace, data))

    async def _connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        try:
            await super()._handle_connect(eio_sid, namespace, data)
        except Exception as error:
            log.warning("connect_failed", extra={"error": type(error).__name__, "code": getattr(error, "code", None)})
            await self._forget(eio_sid, namespace)
            self._spawn(self._cut_later(eio_sid))
            return
        session = self.eio.sockets.get(eio_sid)
        if session is None or session.closed:  # gone while the handler ran
            await self._handle_eio_disconnect(eio_sid, self.reason.TRANSPORT_CLOSE)
            await self._forget(eio_sid, namespace)
            return
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace or "/")
        if sid is not None and (namespace or "/") == "/" and self.manager.is_connected(sid, "/"):
            self._connected(sid)

    async def _forget(self, eio_sid: str, namespace: str | None) -> None:
        """Upstream leaves a socket that never got past its connect handler in the manager for ever."""
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace or "/")
        if sid is not None:
            await self._trigger_event("disconnect", namespace or "/", sid, self.reason.TRANSPORT_CLOSE)
            await self.manager.disconnect(sid, namespace or "/", ignore_queue=True)

    async def _cut_later(self, eio_sid: str) -> None:
        await asyncio.sleep(random.uniform(*_HOLD_S))  # noqa: S311
        with contextlib.suppress(KeyError):
            await self.eio.cut(eio_sid)

    async def _handle_event(self, eio_sid: str, namespace: str | None, id: int | None, data: list[Any]) -> None:  # noqa: A002
        if not data or not isinstance(data[0], str) or data[0] in _RESERVED:
            log.info("reserved_event")
            await self.eio.cut(eio_sid)
            return
        await super()._handle_event(eio_sid, namespace, id, data)

    async def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
        result = await super()._trigger_event(event, namespace, *args)
        if result is self.not_handled and event not in _RESERVED:
            self._count_unknown(event)
        return result

    def _count_unknown(self, event: str) -> None:
        name = event[:64]
        if name not in self.unknown_events:
            if len(self.unknown_events) >= _MAX_NAMED_EVENTS:
                name = "(others)"
            else:
                log.warning("unknown_event", extra={"name_of_event": name})
        self.unknown_events[name] += 1
