"""Engine.IO below python-socketio: sockets that can be cut, and frames as Node sends them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import engineio
from aiohttp import web
from engineio import packet
from engineio.async_drivers import aiohttp as driver


class WebSocket(driver.WebSocket):  # type: ignore[misc]
    """Without permessage-deflate, as Node's default is; known to its session, so that it can be cut."""

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        request: web.Request = environ["aiohttp.request"]
        self._request = request
        self._sock = web.WebSocketResponse(max_msg_size=self.server.max_http_buffer_size, compress=False)
        await self._sock.prepare(request)
        self.environ = environ
        session = self.handler.__self__
        session.websocket = self
        waiter = getattr(session, "upgrade_waiter", None)
        if waiter is not None and not waiter.done():
            waiter.set_result(request)
        try:
            await self.handler(self)
        finally:
            session.websocket = None
        return self._sock

    def abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._async: dict[str, Any] = {**self._async, "websocket": WebSocket}

    async def upgrade_request(self, eio_sid: str, timeout_s: float) -> web.Request | None:
        """The request by which a polling session moves to a WebSocket; None where none comes in time."""
        session = self.sockets.get(eio_sid)
        if session is None:
            return None
        if (websocket := getattr(session, "websocket", None)) is not None:
            return cast(web.Request, websocket._request)
        session.upgrade_waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                return cast(web.Request, await session.upgrade_waiter)
        except TimeoutError:
            return None

    async def cut(self, eio_sid: str) -> None:
        """Closes the transport and nothing else, upon which every client reconnects by itself (a DISCONNECT would stop
        it for good). Runs the disconnect handlers."""
        session = self.sockets.get(eio_sid)
        if session is None:
            return
        websocket = getattr(session, "websocket", None)
        await session.close(wait=False, abort=True, reason=self.reason.SERVER_DISCONNECT)
        if websocket is not None:
            websocket.abort()
        if not session.upgraded:
            session.queue.put_nowait(packet.Packet(packet.NOOP))  # ends the poll; the next one finds no session
        self.sockets.pop(eio_sid, None)

    async def cut_all(self, seconds: float) -> None:
        """Every socket there is, spread evenly, so that the clients do not come back all at once."""
        eio_sids = list(self.sockets)
        pause_s = seconds / max(1, len(eio_sids))
        debt_s = 0.0
        for eio_sid in eio_sids:
            await self.cut(eio_sid)
            debt_s += pause_s
            if debt_s >= 0.01:
                await asyncio.sleep(debt_s)
                debt_s = 0.0
