"""A socket's first seconds: from its handshake to the answer to its CONNECT.

Nobody is in before the connect handler has returned, and no socket stays that does not get in: `timeout_s` after the
handshake it is cut, and after `tries` refusals too. What a handler raises, but for a refusal, is taken for something
that passes: the transport is held a moment, so that no herd forms, and cut, upon which the client tries again.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import socketio
from aiohttp import web
from socketio import packet
from socketio.exceptions import ConnectionRefusedError as Refused

from notify_server.transport.session import Session

if TYPE_CHECKING:
    from notify_server.transport.server import Server

log = logging.getLogger(__name__)

_HOLD_S = (1.0, 5.0)
_KEPT = ("QUERY_STRING", "PATH_INFO", "REMOTE_ADDR", "HTTP_HOST", "HTTP_ORIGIN", "HTTP_USER_AGENT")


@functools.lru_cache(256)
def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True


@dataclass(slots=True, eq=False)
class _Newcomer:
    timer: asyncio.TimerHandle
    upgrade: asyncio.Future[web.Request] | None = None


class Connecting:
    def __init__(self, server: Server, timeout_s: float, tries: int) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._tries = tries
        self._newcomers: dict[str, _Newcomer] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def began(self, session: Session) -> None:
        self.ended(session.sid)
        timer = asyncio.get_running_loop().call_later(self._timeout_s, self._too_late, session)
        self._newcomers[session.sid] = _Newcomer(timer)

    def ended(self, eio_sid: str) -> None:
        newcomer = self._newcomers.pop(eio_sid, None)
        if newcomer is not None:
            newcomer.timer.cancel()
            if newcomer.upgrade is not None:
                newcomer.upgrade.cancel()

    def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    def requested(self, session: Session, namespace: str, auth: Any) -> None:
        """CONNECT has come. Its handler runs beside the transport, so that the POST which carried it is answered at
        once, and an upgrade can go on."""
        server = self._server
        environ = server.environ.get(session.sid)
        if session.closed or environ is None:
            return
        if session.refusals >= self._tries:
            server.eio.close_bad(session, "connect again")
            return
        if not server.has_namespace(namespace):
            self._refuse(session, namespace, {"message": "Invalid namespace"})
            return
        sid = server.manager.register(session.sid, namespace)
        if sid is None:
            server.eio.close_bad(session, "connect repeated")
            return
        task = self._tasks[sid] = server.eio.spawn(self._connect(session, namespace, sid, environ, auth))
        task.add_done_callback(lambda _task: self._tasks.pop(sid, None))

    async def finished(self, sid: str) -> None:
        """Until the connect handler of this socket has come to an end."""
        task = self._tasks.get(sid)
        if task is not None:
            await asyncio.wait({task})

    # --- the upgrade that may bring a credential ------------------------------------------------------------------

    def upgrade_began(self, session: Session, request: web.Request) -> None:
        newcomer = self._newcomers.get(session.sid)
        if newcomer is not None:
            upgrade = self._upgrade_of(newcomer)
            if not upgrade.done():
                upgrade.set_result(request)

    async def upgrade_request(self, eio_sid: str, timeout_s: float) -> web.Request | None:
        """The request by which a socket that is not in yet moves to a WebSocket; None where none comes in time."""
        newcomer = self._newcomers.get(eio_sid)
        if newcomer is None:
            return None
        upgrade = self._upgrade_of(newcomer)
        await asyncio.wait({upgrade}, timeout=timeout_s)
        return upgrade.result() if upgrade.done() and not upgrade.cancelled() else None

    @staticmethod
    def _upgrade_of(newcomer: _Newcomer) -> asyncio.Future[web.Request]:
        if newcomer.upgrade is None:
            newcomer.upgrade = asyncio.get_running_loop().create_future()
        return newcomer.upgrade

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _connect(
        self, session: Session, namespace: str, sid: str, environ: dict[str, Any], auth: Any
    ) -> None:  # fmt: skip
        server = self._server
        if server.always_connect:
            await self._let_in(session, namespace, sid)
        try:
            async with asyncio.timeout(self._timeout_s):
                refusal, answer = await self._ask(namespace, sid, environ, auth)
        except (Exception, asyncio.CancelledError) as error:
            server.manager.basic_disconnect(sid, namespace)
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # it is we who are cancelled, not something in the handler
            log.warning("connect_failed", extra={"error": type(error).__name__, "code": getattr(error, "code", None)})
            session.refusals = self._tries  # no further try on this transport
            hold_s = random.uniform(*_HOLD_S)  # noqa: S311
            asyncio.get_running_loop().call_later(hold_s, self._cut, session, "try_again")
            return
        if refusal is not None:
            kind = packet.DISCONNECT if server.always_connect else packet.CONNECT_ERROR
            server.manager.basic_disconnect(sid, namespace)
            self._refuse(session, namespace, refusal, kind)
        elif session.closed:  # gone while the handler ran, which may have counted it in
            if server.manager.is_pre_connected(sid, namespace):
                server.manager.pre_disconnect(sid, namespace)
                await server.leave(sid, namespace, server.reason.TRANSPORT_CLOSE)
        else:
            if not server.always_connect:
                await self._let_in(session, namespace, sid, answer)
            self._settle(session)
            server.joined(session, sid, namespace)

    async def _let_in(
        self, session: Session, namespace: str, sid: str, answer: dict[str, Any] | None = None
    ) -> None:  # fmt: skip
        await self._server.manager.connect(sid, namespace)
        self._server.send_packet(session, packet.CONNECT, namespace, {**(answer or {}), "sid": sid})

    async def _ask(
        self, namespace: str, sid: str, environ: dict[str, Any], auth: Any
    ) -> tuple[Any, dict[str, Any] | None]:
        """(what to refuse the socket with, None where the handler lets it in; what to answer beside its sid). Raises
        what the handler raises; a cancellation too, which python-socketio would take for consent."""
        function, args = self._handler(namespace, (sid, environ, auth))
        if function is None:
            return None, None
        if not _takes(function, len(args)):
            args = args[:-1]  # a handler that does not ask for `auth`
        try:
            consent = function(*args)
            if inspect.isawaitable(consent):
                consent = await consent
        except Refused as refused:
            return refused.error_args, None
        except ConnectionRefusedError:
            return {"message": "Connection refused by server"}, None
        if consent is False:
            return Refused().error_args, None
        return None, consent if isinstance(consent, dict) else None

    def _handler(self, namespace: str, args: tuple[Any, ...]) -> tuple[Callable[..., Any] | None, tuple[Any, ...]]:
        server = self._server
        function, found_args = server._get_event_handler("connect", namespace, args)
        if function is not None:
            return function, found_args
        owner, found_args = server._get_namespace_handler(namespace, args)
        if owner is None:
            return None, args
        if type(owner).trigger_event is socketio.AsyncNamespace.trigger_event:
            return getattr(owner, "on_connect", None), found_args
        return lambda *given: owner.trigger_event("connect", *given), found_args

    def _settle(self, session: Session) -> None:
        """In: what only the handshake needed is let go, above all the HTTP request."""
        if self._server.has_several_namespaces():  # whose connect handlers may still ask for the request
            newcomer = self._newcomers.get(session.sid)
            if newcomer is not None:
                newcomer.timer.cancel()
            return
        self.ended(session.sid)
        environ = self._server.environ.get(session.sid)
        if environ is not None and "aiohttp.request" in environ:
            self._server.environ[session.sid] = {name: environ[name] for name in _KEPT if name in environ}

    def _refuse(self, session: Session, namespace: str, why: Any, kind: int = packet.CONNECT_ERROR) -> None:
        self._server.send_packet(session, kind, namespace, why)
        session.refusals += 1
        if session.refusals >= self._tries:
            self._server.eio.close(session, self._server.reason.SERVER_DISCONNECT, cut="refused")

    def _too_late(self, session: Session) -> None:
        if not session.closed:
            log.info("connect_timed_out")
            self._cut(session, "not_in_time")

    def _cut(self, session: Session, why: str) -> None:
        self._server.eio.close(session, self._server.reason.SERVER_DISCONNECT, cut=why)
