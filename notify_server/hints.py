"""Between servers on one database: whose inboxes changed, by NOTIFY.

Hints make things quick, and nothing depends on them: the feeds compare versions every second. Each server notifies a
beat through the pool every few seconds, which all hear, itself included. So it knows whether others are there (one
alone sends no hints), and whether its own LISTEN still works: a connection may die without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from notify_server.db import Database, Listener, listening
from notify_server.errors import NotifyError
from notify_server.sql import queries

log = logging.getLogger(__name__)

_sql = queries("hints")

_CHANNEL = "notify_server"
_MAX_BYTES = 7900  # NOTIFY refuses 8,000
_MAX_PIECES = 20  # in one go; beyond, it is said of all inboxes
_GATHER_S = 0.005
_BEAT_S = 5.0
_ECHO_S = 3.0  # by when a beat of one's own is heard
_SILENT_BEATS = 2
_PEER_S = 15.0
_RETRY_S = 1.0
_RETRY_SILENT_S = 60.0


class Hints:
    """`changed` is called with the users whose inboxes another server changed, None for all. `trusted` says that
    somebody named the DSN for LISTEN, so that it is tried whatever stands in between."""

    def __init__(
        self, db: Database, changed: Callable[[list[str] | None], None], *, dsn: str | None = None,
        connect_timeout_s: float = 3,
    ) -> None:  # fmt: skip
        self._db = db
        self._changed = changed
        self._dsn = dsn
        self._connect_timeout_s = connect_timeout_s
        self._node = secrets.token_hex(6)
        self._peers: dict[str, float] = {}  # by node, until when it counts as there
        self._peers_until = 0.0
        self._users: dict[str, None] = {}
        self._telling: asyncio.Task[None] | None = None
        self._state = ""

    def tell(self, user_ids: Iterable[str]) -> None:
        """These inboxes were changed by a commit of ours. At once and without failing; they go out soon, together."""
        if self._peers_until <= asyncio.get_running_loop().time():
            return
        self._users.update(dict.fromkeys(user_ids))
        if self._users and self._telling is None:
            self._telling = asyncio.create_task(self._tell_soon(), context=contextvars.Context())

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                pause_s = _RETRY_S
                try:
                    pause_s = await self._listen()
                except NotifyError as error:
                    self._say("hints_lost", logging.WARNING, code=error.code)
                    if self._peers:  # who hears nothing may still be heard
                        self._peers_until = asyncio.get_running_loop().time() + _PEER_S
                await asyncio.sleep(pause_s)
        finally:
            if self._telling is not None:
                self._telling.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._telling

    # --- to others ------------------------------------------------------------------------------------------------

    async def _tell_soon(self) -> None:
        try:
            while self._users:
                await asyncio.sleep(_GATHER_S)
                users, self._users = self._users, {}
                pieces = list(_pieces(self._node, users))
                for piece in pieces if len(pieces) <= _MAX_PIECES else [_encode(self._node, users=None)]:
                    await self._db.fetch(_sql.notify, channel=_CHANNEL, payload=piece)
        except NotifyError as error:  # the others find out by themselves
            log.debug("hint_not_sent", extra={"code": error.code})
        finally:
            self._telling = None

    async def _beat(self, *, new: bool = False) -> bool:
        """False where it could not be sent."""
        try:
            await self._db.fetch(_sql.notify, channel=_CHANNEL, payload=_encode(self._node, new=new))
        except NotifyError:
            return False
        return True

    # --- from others ----------------------------------------------------------------------------------------------

    async def _listen(self) -> float:
        """As long as it works; gives the seconds to wait before the next try."""
        dsn = self._dsn or self._db.dsn
        async with listening(dsn, _CHANNEL, self._connect_timeout_s, even_if_pooled=self._dsn is not None) as listener:
            if listener.pooled and self._dsn is None:
                why = "a pooler stands in between: what other servers change is looked up each second"
                self._say("hints_off", logging.INFO, why=why, mend="LISTEN_URL")
                return _RETRY_SILENT_S
            self._changed(None)  # what was said before is not known
            heard = await self._hear(listener)
        if heard:
            return 0
        self._say("hints_silent", logging.WARNING, why="LISTEN hears nothing; is it a pooler?", mend="LISTEN_URL")
        return _RETRY_SILENT_S

    async def _hear(self, listener: Listener) -> bool:
        """Until the connection is silent; whether anything was ever heard on it."""
        loop = asyncio.get_running_loop()
        ever, silent = False, 0
        echo_by = loop.time() + _ECHO_S if await self._beat(new=True) else None
        beat_at = loop.time() + _BEAT_S
        while silent < _SILENT_BEATS:
            payload = await listener.next(max(0.0, min(beat_at, echo_by or beat_at) - loop.time()))
            now = loop.time()
            if payload is not None:
                said = _decode(payload)
                if said.get("node") == self._node:
                    if "new" in said:
                        echo_by, silent, ever = None, 0, True
                        self._say("hints_on", logging.INFO)
                elif self._heard_other(said, now) and await self._beat():
                    beat_at = now + _BEAT_S
            if echo_by is not None and now >= echo_by:
                echo_by, silent, beat_at = None, silent + 1, now
            if now >= beat_at:
                beat_at = now + _BEAT_S
                if await self._beat():
                    echo_by = now + _ECHO_S
        return ever

    def _heard_other(self, said: dict[str, Any], now: float) -> bool:
        """Whether it is new here, and wants to know who is."""
        node, users = said.get("node"), said.get("users")
        if not isinstance(node, str):
            return False
        self._peers = {peer: until for peer, until in self._peers.items() if until > now}
        self._peers[node] = self._peers_until = now + _PEER_S
        if "users" in said and (users is None or isinstance(users, list)):
            self._changed(users if users is None else [user for user in users if isinstance(user, str)])
        return said.get("new") is True

    def _say(self, what: str, level: int, **why: str) -> None:
        """Once, as long as it stays so."""
        if what != self._state:
            self._state = what
            log.log(level, what, extra=why)


def _encode(node: str, **said: Any) -> str:
    return orjson.dumps({"node": node, **said}).decode()


def _decode(payload: str) -> dict[str, Any]:
    """{} for what is none of ours: any program may notify."""
    try:
        said = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _pieces(node: str, user_ids: Iterable[str]) -> Iterator[str]:
    """Payloads that NOTIFY takes."""
    room = _MAX_BYTES - len(_encode(node, users=[]))
    piece: list[str] = []
    left = room
    for user_id in user_ids:
        size = len(orjson.dumps(user_id)) + 1
        if size > left and piece:
            yield _encode(node, users=piece)
            piece, left = [], room
        piece.append(user_id)
        left -= size
    yield _encode(node, users=piece)
