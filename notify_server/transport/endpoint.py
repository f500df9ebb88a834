"""Engine.IO's requests, answered as the reference server answers them: handshakes, polls, posts, upgrades."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson
from aiohttp import web
from aiohttp._websocket.helpers import ws_ext_gen, ws_ext_parse
from engineio.async_drivers import aiohttp as driver

from notify_server.transport.packets import OPEN, SEPARATOR, Encoded, encoded
from notify_server.transport.polling import Polling, PollLost, PollOverlap
from notify_server.transport.session import Session
from notify_server.transport.upgrade import Upgrading
from notify_server.transport.websocket import TakenOver, WebSocket, take_over

if TYPE_CHECKING:
    from notify_server.transport.engine import Engine

log = logging.getLogger(__name__)

_UNKNOWN_TRANSPORT, _UNKNOWN_SID, _BAD_METHOD, _BAD_REQUEST, _FORBIDDEN, _OLD_PROTOCOL, _FULL = range(7)
_MESSAGES = (
    "Transport unknown", "Session ID unknown", "Bad handshake method", "Bad request", "Forbidden",
    "Unsupported protocol version", "Too many sockets",
)  # fmt: skip
_STATUS = {_FORBIDDEN: 403, _FULL: 503}
_PROTOCOL = "4"
_FULL_WINDOW_BITS = 15


class _Refused(Exception):
    def __init__(self, code: int, status: int | None = None) -> None:
        super().__init__(_MESSAGES[code])
        self.code = code
        self.status = status or _STATUS.get(code, 400)


class Endpoint:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = self._cors(request)
        try:
            if headers is None:
                raise _Refused(_BAD_REQUEST)
            if request.method == "OPTIONS":
                return web.Response(status=204, headers=headers)
            upgrade = _is_upgrade(request)
            session = self._verify(request, upgrade)
            if session is None:
                return await self._handshake(request, upgrade, headers)
            if upgrade:
                return self._upgrade(request, session, headers)
            polling = session.transport
            if not isinstance(polling, Polling):
                raise _Refused(_BAD_REQUEST)
            if request.method == "GET":
                return await self._get(request, session, polling, headers)
            return await self._post(request, session, polling, headers)
        except _Refused as refused:
            more = {"Retry-After": "1"} if refused.status == 503 else {}
            body = {"code": refused.code, "message": str(refused)}
            return web.json_response(body, status=refused.status, headers={**(headers or {}), **more})

    def _cors(self, request: web.Request) -> dict[str, str] | None:
        """python-engineio's rules (`cors_allowed_origins`). None where the origin is not allowed."""
        engine = self._engine
        if engine.cors_allowed_origins == []:
            return {}
        environ = driver.translate_request(request)
        allowed = engine._cors_allowed_origins(environ)
        if "HTTP_ORIGIN" in environ and allowed is not None and environ["HTTP_ORIGIN"] not in allowed:
            return None
        return dict(engine._cors_headers(environ))

    def _verify(self, request: web.Request, upgrade: bool) -> Session | None:
        """The session that a request is for; None for a handshake. Raises _Refused, in the reference server's order."""
        engine, query = self._engine, request.query
        transport = query.get("transport")
        if transport not in engine.transports:
            raise _Refused(_UNKNOWN_TRANSPORT)
        sid = query.get("sid")
        if sid:
            session = engine.sockets.get(sid)
            if session is None:
                raise _Refused(_UNKNOWN_SID)
            if upgrade != (transport == "websocket") or (not upgrade and session.transport.name != transport):
                raise _Refused(_BAD_REQUEST)
            if query.get("EIO") != _PROTOCOL or request.method not in (("GET",) if upgrade else ("GET", "POST")):
                raise _Refused(_BAD_REQUEST)
            return session
        if request.method != "GET":
            raise _Refused(_BAD_METHOD)
        if upgrade != (transport == "websocket"):
            raise _Refused(_BAD_REQUEST)
        if query.get("EIO") != _PROTOCOL:
            engine.old_clients += 1
            if engine.old_clients == 1:
                log.warning("old_client", extra={"protocol": "EIO below 4: Socket.IO 2 or older, or no client of it"})
            raise _Refused(_OLD_PROTOCOL)
        return None

    def _admit(self, request: web.Request) -> str | None:
        """The address that a new session counts for. Raises _Refused."""
        engine, limits = self._engine, self._engine.limits
        if limits.sockets is not None and len(engine.sockets) + len(engine.lingering) >= limits.sockets:
            engine.full += 1
            log.warning("too_many_sockets", extra={"limit": limits.sockets})
            raise _Refused(_FULL)
        if limits.sockets_per_address is None or limits.address_of is None:
            return None
        address = limits.address_of(request)
        if address is not None and engine.addresses[address] >= limits.sockets_per_address:
            engine.full += 1
            log.warning("too_many_sockets_of_address", extra={"limit": limits.sockets_per_address})
            raise _Refused(_FULL)
        return address

    async def _handshake(
        self, request: web.Request, upgrade: bool, headers: Mapping[str, str]
    ) -> web.StreamResponse:  # fmt: skip
        engine = self._engine
        session = engine.open(self._admit(request))
        try:
            return await self._opened(request, session, upgrade, headers)
        except BaseException:
            engine.close(session, engine.reason.TRANSPORT_ERROR, abort=True)
            raise

    async def _opened(
        self, request: web.Request, session: Session, upgrade: bool, headers: Mapping[str, str]
    ) -> web.StreamResponse:  # fmt: skip
        engine = self._engine
        environ = driver.translate_request(request)
        environ["REMOTE_ADDR"] = request.remote or ""
        accepted = await engine._trigger_event("connect", session.sid, environ, run_async=False)
        if accepted is not None and accepted is not True:
            engine.drop(session)
            raise _Refused(_FORBIDDEN)
        if engine.cookie:
            headers = {**headers, "Set-Cookie": self._session_cookie(session.sid)}
        polling = session.transport
        if not upgrade and isinstance(polling, Polling):
            polling.send(self._opening(session, ["websocket"] if self._offers_upgrades() else []))
            return await self._get(request, session, polling, headers)
        taken = self._take_over(request, session, headers, self._opening(session, []).frame)
        if taken is None:
            raise _Refused(_BAD_REQUEST)
        session.transport, received = taken
        session.transport.data_received(received)
        return TakenOver(status=101)

    def _offers_upgrades(self) -> bool:
        return bool(self._engine.allow_upgrades) and "websocket" in self._engine.transports

    def _opening(self, session: Session, upgrades: list[str]) -> Encoded:
        engine = self._engine
        return encoded(OPEN + orjson.dumps({
            "sid": session.sid,
            "upgrades": upgrades,
            "pingInterval": round((engine.ping_interval + engine.ping_interval_grace_period) * 1000),
            "pingTimeout": round(engine.ping_timeout * 1000),
            "maxPayload": engine.max_http_buffer_size,
        }).decode())  # fmt: skip

    def _session_cookie(self, sid: str) -> str:
        cookie = self._engine.cookie
        attributes = cookie if isinstance(cookie, dict) else {"name": cookie, "path": "/", "SameSite": "Lax"}
        return str(self._engine._generate_sid_cookie(sid, attributes))

    # --- polling ------------------------------------------------------------------------------------------------

    async def _get(
        self, request: web.Request, session: Session, polling: Polling, headers: Mapping[str, str]
    ) -> web.StreamResponse:  # fmt: skip
        engine = self._engine
        try:
            packets = await polling.poll(request)
        except PollOverlap:
            engine.close_bad(session, "two polls at once")
            raise _Refused(_BAD_REQUEST) from None
        except PollLost:
            engine.close(session, engine.reason.TRANSPORT_CLOSE)
            raise _Refused(_BAD_REQUEST) from None
        except BaseException:  # the handler is cancelled, as aiohttp does at its end
            engine.close(session, engine.reason.TRANSPORT_ERROR)
            raise
        body = SEPARATOR.join(packet.text for packet in packets).encode()
        response = web.Response(body=body, headers={
            "Content-Type": "text/plain; charset=UTF-8", "Cache-Control": "no-store", **headers,
        })  # fmt: skip
        if engine.http_compression and len(body) >= engine.compression_threshold:
            response.enable_compression(
                web.ContentCoding.gzip if "gzip" in request.headers.get("Accept-Encoding", "") else None
            )
        return response

    async def _post(
        self, request: web.Request, session: Session, polling: Polling, headers: Mapping[str, str]
    ) -> web.StreamResponse:  # fmt: skip
        if polling.posting:
            self._engine.close_bad(session, "two posts at once")
            raise _Refused(_BAD_REQUEST)
        polling.posting = True
        try:
            text = await self._read(request, session)
        finally:
            polling.posting = False
        if session.closed or session.transport is not polling:
            raise _Refused(_UNKNOWN_SID)
        for part in text.split(SEPARATOR):
            if not session.receive(polling, part):
                raise _Refused(_BAD_REQUEST)
            await self._engine.inbound.room(session)
        return web.Response(body=b"ok", headers={
            "Content-Type": "text/html", "Cache-Control": "no-store", **headers,
        })  # fmt: skip

    async def _read(self, request: web.Request, session: Session) -> str:
        """The whole body, in however many pieces it comes. Raises _Refused, with the session closed."""
        engine, body = self._engine, bytearray()
        try:
            if request.headers.get("Content-Type", "").startswith("application/octet-stream"):
                raise ValueError("content type")
            async with asyncio.timeout(engine.limits.body_timeout_s):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > engine.max_http_buffer_size:
                        engine.close_bad(session, "body too large")
                        raise _Refused(_BAD_REQUEST, status=413)
            return body.decode()
        except (ValueError, TimeoutError, OSError, web.RequestPayloadError):
            engine.close_bad(session, "body")
            raise _Refused(_BAD_REQUEST) from None

    # --- WebSocket ----------------------------------------------------------------------------------------------

    def _upgrade(self, request: web.Request, session: Session, headers: Mapping[str, str]) -> web.StreamResponse:
        if session.upgraded or session.upgrading is not None:
            refused = self._take_over(request, None, headers)
            if refused is None:
                raise _Refused(_BAD_REQUEST)
            refused[0].close()
            return TakenOver(status=101)
        taken = self._take_over(request, session, headers)
        if taken is None:
            raise _Refused(_BAD_REQUEST)
        websocket, received = taken
        session.upgrading = Upgrading(session, websocket, self._engine.upgrade_timeout_s)
        self._engine.upgrade_began(session, request)
        websocket.data_received(received)
        return TakenOver(status=101)

    def _take_over(
        self, request: web.Request, session: Session | None, headers: Mapping[str, str], first: bytes = b""
    ) -> tuple[WebSocket, bytes] | None:
        """(the WebSocket, what the client has sent already); None where the client's handshake is none, or it left."""
        extension = self._extension(request)
        websocket = WebSocket(self._engine, session, deflate=extension is not None)
        try:
            return websocket, take_over(request, websocket, headers, extension, first)
        except (web.HTTPBadRequest, ValueError, ConnectionResetError):
            return None

    def _extension(self, request: web.Request) -> str | None:
        """permessage-deflate, where it was asked for on both sides, in the one form that lets all share a frame."""
        if not self._engine.per_message_deflate:
            return None
        bits, _no_takeover = ws_ext_parse(request.headers.get("Sec-WebSocket-Extensions"), isserver=True)
        if bits != _FULL_WINDOW_BITS:
            return None
        return ws_ext_gen(compress=bits, isserver=True, server_notakeover=True)


def _is_upgrade(request: web.Request) -> bool:
    return "websocket" in request.headers.get("Upgrade", "").lower() and (
        "upgrade" in request.headers.get("Connection", "").lower() and not request.can_read_body
    )
