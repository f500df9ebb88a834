"""Socket.IO: the handshake, a user's room, and the events that an app does not have."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from socketio.exceptions import ConnectionRefusedError as Refused

from notify_server.auth import Identity
from notify_server.errors import ConfigError, Forbidden, Invalid, NoCredential, NotifyError, Unauthorized, Unavailable
from notify_server.failpoints import hit
from notify_server.feed import Feeds
from notify_server.gate import REQUEST_ID, Gate
from notify_server.inbox import Inbox, Notification
from notify_server.inbox_requests import InboxRequests
from notify_server.logins import Logins, iso
from notify_server.meters import Meters
from notify_server.rates import WriteRates
from notify_server.request_ids import request_id
from notify_server.transport import Limits, Server

log = logging.getLogger(__name__)

_MAX_TEXT_CHARS = 8192
_UPGRADE_S = 5


def room(user_id: str) -> str:
    """Every tab and device of a user."""
    return f"user:{user_id}"


class Realtime:
    """Also the feeds' way to the screens (`feed.Sockets`)."""

    def __init__(
        self, gate: Gate, inbox: Inbox, *, limits: Limits, max_sockets_per_user: int, max_payload_bytes: int,
        max_replay: int, recovery: bool, rates: WriteRates, meters: Meters, sid_prefix: str = "",
    ) -> None:  # fmt: skip
        self.feeds = Feeds(inbox, self, max_replay=max_replay, meters=meters)
        self.inbox: InboxRequests | None = None  # until the database is there
        self.server = Server(
            connected=self._joined, slow=self.feeds.slow, writable=self.feeds.writable, proved=self.feeds.arrived,
            offsets=recovery, binary=False, broadcasts=False, limits=limits, max_http_buffer_size=max_payload_bytes,
            sid_prefix=sid_prefix,
            cors_allowed_origins=[],  # no check of its own: the gate in front knows the rules
        )  # fmt: skip
        self.accepting = False
        self._gate = gate
        self._rates = rates
        self._meters = meters
        self._max_sockets_per_user = max_sockets_per_user
        self.logins = Logins(self.server.cut, self._tell_expiring if recovery else None, gate.ended)
        self._own: dict[str, Callable[..., Any]] = {
            "connect": self._connect, "disconnect": self._disconnect, "auth:refresh": self._refresh,
        }  # fmt: skip
        self._own |= {event: functools.partial(self._operate, event) for event in InboxRequests.OPERATIONS}
        for event, handler in self._own.items():
            self.server.on(event, handler)

    def check_handlers(self) -> None:
        """Raises ConfigError where an app has put a handler of its own in the place of one of ours: nobody's identity
        would be asked for, and nobody's leaving noticed."""
        for event, handler in self._own.items():
            if self.server.handlers["/"].get(event) is not handler:
                raise ConfigError(f"extend: the event {event} is notify-server's own in the namespace /; use another")

    def attach(self, app: web.Application, path: str) -> None:
        self.server.attach(app, path)

    async def drain(self, seconds: float) -> None:
        """Takes no new sockets, and cuts those there are, spread over so many seconds."""
        self.accepting = False
        await self.server.eio.cut_all(seconds)

    async def stop(self, goodbye_s: float) -> None:
        """At once; clients and handlers are waited for so long."""
        self.accepting = False
        await self.server.shutdown(goodbye_s)
        await self.feeds.stop()

    # --- feed.Sockets -------------------------------------------------------------------------------------------

    def enter_room(self, sid: str, user_id: str) -> None:
        self.server.enter_now(sid, room(user_id))

    def leave_room(self, sid: str, user_id: str) -> None:
        self.server.leave_now(sid, room(user_id))

    def emit_to_room(self, notification: Notification, offset: str | None) -> None:
        self._emit(notification, offset, room(notification.user_id))

    def emit_to_socket(self, sid: str, notification: Notification, offset: str | None) -> None:
        self._emit(notification, offset, sid)

    def _emit(self, notification: Notification, offset: str | None, to: str) -> None:
        self.server.emit_now(
            "notification", notification.event, room=to, offset=offset,
            mark=None if offset is None else notification.seq,
        )  # fmt: skip
        hit("after_emit")

    def tell_room(self, user_id: str, change: dict[str, Any]) -> None:
        self.server.emit_now("notifications:changed", change, room=room(user_id))

    def tell_socket(self, sid: str, change: dict[str, Any]) -> None:
        self.server.emit_now("notifications:changed", change, room=sid)

    def cut(self, sid: str) -> None:
        self.server.cut(sid, "begins_anew")

    # --- handlers -----------------------------------------------------------------------------------------------

    async def _connect(self, sid: str, environ: dict[str, Any], auth: dict[str, Any] | None) -> dict[str, str]:
        """`_let_in`, counted, and logged under the id of the request that the socket began with."""
        if (request := environ.get("aiohttp.request")) is not None:
            request_id.set(request[REQUEST_ID])
        try:
            answer = await self._let_in(sid, environ, auth)
        except (NotifyError, Refused) as error:
            self.count_handshake(getattr(error.__cause__ if isinstance(error, Refused) else error, "code", "failed"))
            raise
        except BaseException:
            self.count_handshake("failed")
            raise
        self.count_handshake("accepted")
        return answer

    def count_handshake(self, outcome: str) -> None:
        """`outcome` is accepted, or the code of an error."""
        self._meters.handshakes[outcome] += 1

    async def _let_in(self, sid: str, environ: dict[str, Any], auth: dict[str, Any] | None) -> dict[str, str]:
        """Gives what the client is answered beside its sid. Refuses what will not pass with CONNECT_ERROR, upon which a
        client gives up; raises what will pass, upon which the transport is closed and the client tries again."""
        if not self.accepting:
            raise Unavailable("the server is starting or stopping", code="not_ready")
        try:
            token, claimed_id = _read_auth(auth, environ.get("QUERY_STRING", ""))
            request = environ.get("aiohttp.request")
            if request is None:  # let go when this transport got in for the first time
                raise Unavailable("connect again on a transport of its own", code="connect_again")
            identity = await self._identify(sid, request, token, claimed_id)
        except NotifyError as error:
            if error.retryable:
                raise
            log.info("handshake_refused", extra={"code": error.code})
            raise Refused(error.message, {"code": error.code}) from error
        if self.feeds.count(identity.user_id) >= self._max_sockets_per_user:  # dead ones may still be counted
            raise Unavailable("this user has too many sockets", code="too_many_sockets")
        fields = auth or {}
        pid = await self.feeds.open(identity.user_id, sid, fields.get("pid"), fields.get("offset"))
        self.logins.opened(sid, identity)
        return {} if pid is None else {"pid": pid}

    async def _identify(self, sid: str, request: web.Request, token: str | None, claimed_id: str | None) -> Identity:
        try:
            return await self._gate.identify_socket(request, token, claimed_id)
        except NoCredential:
            if not self._gate.may_bring_a_cookie_later(request) or request.query.get("transport") != "polling":
                raise
        upgrade = await self.server.upgrade_request(sid, _UPGRADE_S)
        if upgrade is None:
            raise Unavailable("no credential came with polling, and no upgrade came at all", code="no_upgrade")
        return await self._gate.identify_socket(upgrade, token, claimed_id)

    def _joined(self, sid: str) -> None:
        self.feeds.joined(sid)
        self.logins.joined(sid)

    async def _disconnect(self, sid: str, _reason: str) -> None:
        self.logins.closed(sid)
        self.feeds.close(sid)

    def _tell_expiring(self, sid: str, times: dict[str, Any]) -> None:
        self.server.emit_now("auth:expiring", times, room=sid)

    async def _refresh(self, sid: str, values: object = None, *_more: object) -> dict[str, Any]:
        """`{token}` in the place of the one that ends; what is refused leaves the socket as it was."""
        try:
            token = _token(values.get("token")) if isinstance(values, dict) else None
            if token is None:
                raise Invalid("token is needed", field="token")
            identity = await self._gate.identify_again(token)
            user_id = self.feeds.user_of(sid)
            if user_id is None:
                raise Unavailable("the socket is closing", code="not_ready")
            if identity.user_id != user_id:
                raise Forbidden("this is somebody else's token", code="user_mismatch")
        except NotifyError as error:
            return _told(error)
        self.logins.renewed(sid, identity)
        return {"ok": True, "expiresAt": None if identity.valid_until is None else iso(identity.valid_until)}

    async def _operate(self, event: str, sid: str, values: object = None, *_more: object) -> dict[str, Any]:
        """What people do with their inbox; the answer is the event's acknowledgement."""
        try:
            user_id = self.feeds.user_of(sid)
            if user_id is None or self.inbox is None:
                raise Unavailable("the server is starting or stopping", code="not_ready")
            if event not in InboxRequests.READING:
                self._rates.count_address(self.server.address_of(sid))
                self._rates.count_inbox(user_id)
            return {"ok": True, **await self.inbox.operation(event)(user_id, values)}
        except NotifyError as error:
            return _told(error)


def _told(error: NotifyError) -> dict[str, Any]:
    more = {"field": error.field, "retryAfter": error.retry_after_s}
    return {
        "error": error.shown,
        "code": error.code,
        **{name: value for name, value in more.items() if value is not None},
    }


def _token(value: object) -> str | None:
    """Raises Unauthorized for another shape."""
    if value is not None and (not isinstance(value, str) or len(value) > _MAX_TEXT_CHARS):
        raise Unauthorized("auth.token must be text", code="bad_auth")
    return value.removeprefix("Bearer ") if value else None


def _read_auth(auth: dict[str, Any] | None, query_string: str) -> tuple[str | None, str | None]:
    """(`auth.token`, the id that `auth.userId` or `?userId=` claims). Raises Unauthorized for other shapes."""
    fields = auth or {}
    token = _token(fields.get("token"))
    claims = {_id_text(value) for value in (fields.get("userId"), *parse_qs(query_string).get("userId", ()))} - {None}
    if len(claims) > 1:
        raise Forbidden("auth.userId and the query's userId differ", code="user_mismatch")
    return token, claims.pop() if claims else None


def _id_text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > _MAX_TEXT_CHARS:
        raise Unauthorized("auth.userId must be text or a whole number", code="bad_auth")
    return str(value)
