"""Engine.IO (revision 4) below python-socketio: answers as the reference server for Node does.

Invariants:
  * a session is in `sockets` until `close`, which happens once, cuts its transport, and then runs the disconnect
    handler, after what the client had sent before;
  * an idle session has no task, no queue and no timer of its own;
  * whatever a client sends ends in an answer below 500, or in `close`.
"""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import engineio
from aiohttp import web

from notify_server.transport.endpoint import Endpoint
from notify_server.transport.heartbeat import Heartbeat
from notify_server.transport.inbound import Inbound
from notify_server.transport.limits import Limits
from notify_server.transport.packets import CLOSE_PACKET, Encoded, message
from notify_server.transport.session import Session
from notify_server.transport.stalls import Stalls
from notify_server.transport.websocket import WebSocket

log = logging.getLogger(__name__)


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    """`engineio.AsyncServer` with its options, for aiohttp; and `upgrade_timeout` (s), `per_message_deflate`, `limits`,
    and `sid_prefix`, by which a proxy tells whose a session is. `old_clients` counts handshakes of earlier protocol
    revisions, `full` those that were one too many, `cuts` by reason the sockets that were cut from here."""

    sockets: dict[str, Session]

    def __init__(
        self, *, upgrade_timeout: float = 10, per_message_deflate: bool = False, limits: Limits | None = None,
        sid_prefix: str = "", **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**{"async_mode": "aiohttp", **options})
        self.upgrade_timeout_s = upgrade_timeout
        self.per_message_deflate = per_message_deflate
        self.sid_prefix = sid_prefix
        self.limits = limits or Limits()
        self.heartbeat = Heartbeat(self.ping_interval, self.ping_timeout, self._ping_timed_out)
        self.stalls = Stalls(self.limits.stall_s, self._stalled)
        self.inbound = Inbound(self._handle_message, self.limits.events_per_s)
        self.lingering: set[WebSocket] = set()
        self.old_clients = 0
        self.full = 0
        self.cuts: collections.Counter[str] = collections.Counter()
        self.received: Callable[[Session, str | bytes], None] = self.inbound.put
        self.slow: Callable[[Session], None] = _nothing
        self.writable: Callable[[Session], None] = _nothing
        self.proved: Callable[[Session, int], None] = _nothing
        self.upgrade_began: Callable[[Session, web.Request], None] = _nothing
        self.addresses: collections.Counter[str] = collections.Counter()
        self._endpoint = Endpoint(self)
        self._shut_down = False
        self._tasks: set[asyncio.Task[None]] = set()

    def attach(self, app: web.Application, engineio_path: str = "engine.io") -> None:
        app.router.add_route("*", f"/{engineio_path.strip('/')}/", self.handle_request)
        app.on_shutdown.append(self._app_shuts_down)

    async def _app_shuts_down(self, _app: web.Application) -> None:
        if not self._shut_down:
            await self.shutdown()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- python-engineio's interface ----------------------------------------------------------------------------

    async def send(self, sid: str, data: Any) -> None:
        session = self.sockets.get(sid)
        if session is not None:
            plain = data if isinstance(data, str | bytes) else engineio.packet.Packet.json.dumps(data)
            session.transport.send(message(plain))

    async def send_packet(self, sid: str, pkt: engineio.packet.Packet) -> None:
        session = self.sockets.get(sid)
        if session is not None:
            await session.send(pkt)

    async def disconnect(self, sid: str | None = None) -> None:
        for session in list(self.sockets.values()) if sid is None else filter(None, [self.sockets.get(sid)]):
            self.close(session, self.reason.SERVER_DISCONNECT)

    async def shutdown(self, goodbye_s: float = 1) -> None:
        """Cuts what is left, and waits so long for the disconnect handlers and the clients' side; then all is closed,
        whether they are done or not."""
        self._shut_down = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + goodbye_s
        await self.disconnect()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=goodbye_s)
        self.inbound.stop()
        while self.lingering and loop.time() < deadline:  # noqa: ASYNC110 - for a second at most
            await asyncio.sleep(0.02)
        for websocket in list(self.lingering):
            websocket.abort()

    # --- opening and closing --------------------------------------------------------------------------------------

    def close(
        self, session: Session, reason: str, *, last: Encoded = CLOSE_PACKET, code: int | None = None,
        abort: bool = False, cut: str | None = None,
    ) -> None:  # fmt: skip
        """Closes the transport and nothing else, upon which every client reconnects by itself (a Socket.IO DISCONNECT
        would stop it for good). `cut` is why, where it is us who end it, in `cuts`."""
        if session.closed:
            return
        if cut is not None:
            self.cuts[cut] += 1
        self.spawn(self._disconnected(session, reason))
        self.drop(session)
        session.end(last, code=code, abort=abort)

    def open(self, address: str | None) -> Session:
        session = Session(self, self.sid_prefix + self.generate_id())
        if address is not None:
            session.address = address
            self.addresses[address] += 1
        self.sockets[session.sid] = session
        self.heartbeat.add(session)
        return session

    def drop(self, session: Session) -> None:
        session.closed = True
        self.sockets.pop(session.sid, None)
        self.heartbeat.remove(session)
        self.stalls.forget(session)
        if session.address is not None:
            self.addresses[session.address] -= 1
            if not self.addresses[session.address]:
                del self.addresses[session.address]

    async def _disconnected(self, session: Session, reason: str) -> None:
        await self.inbound.finish(session)
        await self._trigger_event("disconnect", session.sid, reason, run_async=False)

    def close_bad(self, session: Session, what: str) -> None:
        """For a client that does not keep to the protocol. `what` is ours to say, never the client's."""
        if not session.closed:
            log.info("bad_input", extra={"what": what, "transport": session.transport.name})
            self.close(session, self.reason.TRANSPORT_ERROR, cut="bad_input")

    def cut_slow(self, session: Session) -> None:
        log.info("slow_socket_cut", extra={"waiting_bytes": session.transport.waiting_bytes})
        self.close(session, self.reason.TRANSPORT_ERROR, abort=True, cut="slow")

    def _stalled(self, session: Session) -> None:
        log.info("stalled_socket_cut", extra={"waiting_bytes": session.transport.waiting_bytes})
        self.close(session, self.reason.TRANSPORT_ERROR, abort=True, cut="stalled")

    def _ping_timed_out(self, session: Session) -> None:
        self.close(session, self.reason.PING_TIMEOUT, cut="silent")

    async def cut_all(self, seconds: float) -> None:
        """Every socket there is, spread evenly, so that the clients do not come back all at once."""
        sessions = list(self.sockets.values())
        pause_s = seconds / max(1, len(sessions))
        debt_s = 0.0
        for session in sessions:
            self.close(session, self.reason.SERVER_DISCONNECT, cut="drain")
            debt_s += pause_s
            if debt_s >= 0.01:
                await asyncio.sleep(debt_s)
                debt_s = 0.0

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        return await self._endpoint.handle(request)

    # --- Engine.IO alone ----------------------------------------------------------------------------------------

    async def _handle_message(self, session: Session, data: str | bytes) -> None:
        await self._trigger_event("message", session.sid, data, run_async=False)


def _nothing(*_of_no_interest: object) -> None:
    """Where no layer above asks."""
