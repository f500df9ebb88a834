"""Sessions of express-session, as connect-pg-simple keeps them in the same PostgreSQL."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import time
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from notify_server.auth.claims import find, id_text
from notify_server.auth.credential import Credential, Identity
from notify_server.db import Database
from notify_server.errors import DatabaseError, NotifyError, Unauthorized, Unavailable
from notify_server.gathering import Gathering
from notify_server.settings import Settings
from notify_server.sql import queries

log = logging.getLogger(__name__)

_MAX_COOKIE_CHARS = 4096
_AT_ONCE = 1000
_TOUCH_PAUSE_S = 60.0
_LONGEST_S = 315_360_000.0  # ten years: what is later is no moment that PostgreSQL and JavaScript agree on
_SAID_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class OpenSession:
    """What a socket was let in by."""

    sid: str
    user_id: str


@dataclass(frozen=True, slots=True)
class _Row:
    content: Any
    left_s: float


def unsign(value: str, secrets: Sequence[str]) -> str | None:
    """`s:<sid>.<signature>`, as the npm package cookie-signature makes it → the sid; None where no secret made it."""
    signed, dot, signature = value.removeprefix("s:").rpartition(".")
    if not value.startswith("s:") or not dot or not value.isprintable() or len(value) > _MAX_COOKIE_CHARS:
        return None
    for secret in secrets:
        mac = hmac.digest(secret.encode(), signed.encode(), "sha256")
        if hmac.compare_digest(base64.b64encode(mac).rstrip(b"="), signature.encode()):
            return signed
    return None


class SessionVerifier:
    """The store says at each request who is logged in; the requests of a moment ask it together."""

    def __init__(self, settings: Settings, db: Database) -> None:
        self._db = db
        self._secrets = settings.session_secrets
        self._user_path = settings.session_user
        self._ttl_s = settings.session_ttl
        found, names = queries("sessions"), (settings.session_table, settings.session_schema)
        self._load, self._changed, self._touch_one = (
            query.on("session", *names) for query in (found.load, found.changed, found.touch)
        )
        self._find = Gathering(self._rows, at_once=_AT_ONCE)
        self._versions: dict[OpenSession, str] = {}  # of the rows in which the user was seen last
        self._said_at = -_SAID_EVERY_S

    async def verify(self, credential: Credential, *, for_socket: bool) -> Identity:
        """A request over HTTP prolongs the session, as it does in Express; a socket, which may stay open for days
        while nobody is there, does not."""
        sid = unsign(credential.value, self._secrets)
        if sid is None:
            raise Unauthorized("the session's cookie is not valid", code="session_invalid")
        row = await self._find(sid)
        if row is None:
            raise Unauthorized("the session has ended", code="session_ended")
        user = find(row.content, self._user_path)
        user_id = id_text(user)
        if user_id is None:
            if isinstance(user, dict | list):
                self._say("session_user_is_no_id", "SESSION_USER takes the way to the id, such as passport.user.id")
            raise Unauthorized("nobody is logged in", code="not_logged_in")
        if not for_socket:
            await self._touch(sid, row)
        return Identity(user_id, proof=OpenSession(sid, user_id))

    async def ended(self, proofs: Collection[Hashable]) -> Collection[Hashable]:
        """Of these sessions, those that expired, were deleted, or have another user now. Raises what passes."""
        held = [proof for proof in proofs if isinstance(proof, OpenSession)]
        self._versions = {proof: self._versions.get(proof, "") for proof in held}
        found: list[Hashable] = []
        for start in range(0, len(held), _AT_ONCE):
            part = held[start : start + _AT_ONCE]
            rows = await self._db.fetch(
                self._changed, sids=[proof.sid for proof in part], versions=[self._versions[proof] for proof in part]
            )
            for place, version, text in rows:
                proof = part[place - 1]
                if version is None or id_text(find(_content(text), self._user_path)) != proof.user_id:
                    found.append(proof)
                else:
                    self._versions[proof] = version
        return found

    async def _rows(self, sids: list[str]) -> list[_Row | None]:
        try:
            rows = await self._db.fetch(self._load, sids=sids)
        except DatabaseError as error:
            if error.retryable:
                raise
            # no table yet, or no right to it: whoever asks now is not to give up for ever
            self._say(
                "sessions_unreadable", "see DATABASE_URL, SESSION_TABLE and SESSION_SCHEMA", sqlstate=error.sqlstate
            )
            raise Unavailable("the sessions cannot be read", code="sessions_unreadable") from error
        found = {sid: _Row(_content(text), left_s) for sid, text, left_s in rows}
        return [found.get(sid) for sid in sids]

    async def _touch(self, sid: str, row: _Row) -> None:
        lifetime_s = _lifetime_s(find(row.content, "cookie.originalMaxAge"), self._ttl_s)
        pause_s = min(_TOUCH_PAUSE_S, lifetime_s / 2)
        if row.left_s >= lifetime_s - pause_s:
            return
        try:
            await self._db.fetch(self._touch_one, sid=sid, lifetime_s=lifetime_s, pause_s=pause_s)
        except NotifyError as error:  # the request goes on: its user is known
            if not error.retryable:
                self._say("session_not_touched", "the right to update the sessions' table is needed, or SESSION_TTL=0",
                          sqlstate=getattr(error, "sqlstate", None))  # fmt: skip

    def _say(self, event: str, advice: str, **facts: object) -> None:
        """Once a minute: it concerns every request."""
        if time.monotonic() - self._said_at >= _SAID_EVERY_S:
            self._said_at = time.monotonic()
            log.error(event, extra={"advice": advice, **facts})


def _content(text: str) -> Any:
    """None for what is no JSON, which connect-pg-simple takes for no session either."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _lifetime_s(max_age_ms: object, ttl_s: float) -> float:
    """How long a session lasts from now on: its cookie's maxAge, or else the store's `ttl`; 0 is not to be touched."""
    if not ttl_s:
        return 0.0
    if isinstance(max_age_ms, bool) or not isinstance(max_age_ms, int | float):
        return ttl_s
    return min(max(max_age_ms, 0), _LONGEST_S * 1000) / 1000
