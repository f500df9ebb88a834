"""Outbox → inbox, and the scan for what never reached the outbox. Any server may do it; one at a time does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from notify_server.db import Database
from notify_server.errors import NotifyError
from notify_server.failpoints import hit
from notify_server.inbox import Cause, Told, changes_from_json, decode
from notify_server.meters import Meters
from notify_server.sql import Query, queries

log = logging.getLogger(__name__)

_sql = queries("drain")
_comments_sql = queries("comments")

_CHUNK_ROWS = 500
_POLL_S = 0.1
_STANDBY_S = 1.0  # where another server drains
_AWAY_S = 0.5
_ROTATE_S = 1.0
_ROTATE_BYTES = 1_000_000
_SCAN_CHUNK_ROWS = 5000
_SCAN_NEWEST_ROWS = 10_000
_FULL_SCAN_S = 3600
_STEP_TIMEOUT_S = 30
_COUNTED_ROWS = 10_000


async def _ask(db: Database, query: Query, **values: Any) -> dict[str, Any]:
    answer: dict[str, Any] = decode(await db.value(query, _STEP_TIMEOUT_S, **values))
    return answer


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the outbox, counted up to 10,000 rows; how long the oldest of those has waited; and how many rows
    were set aside for good."""

    rows: int
    oldest_s: float
    poison: int


async def backlog(db: Database) -> Backlog:
    """Raises NotifyError."""
    (row,) = await db.fetch(_sql.backlog, timeout_s=1, max_rows=_COUNTED_ROWS)
    return Backlog(row[0], float(row[1]), row[2])


class Drain:
    """Polls the outbox. `told` is called with what each step changed in inboxes."""

    def __init__(self, db: Database, told: Told, meters: Meters | None = None, *, shadow: bool = False) -> None:
        self._db = db
        self._told = told
        self._meters = meters or Meters()
        self._shadow = shadow
        self._after: int | None = None  # this time round, rows were passed over
        self._rotated_at = 0.0
        self._away = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                pause_s = await self._step()
                await self._rotate()
                self._away = False
            except NotifyError as error:
                if not self._away:
                    log.warning("drain_interrupted", extra={"code": error.code, "reason": str(error)})
                self._away, pause_s = True, _AWAY_S
            await asyncio.sleep(pause_s)

    async def _step(self) -> float:
        """One chunk; gives the seconds to wait before the next."""
        began = time.monotonic()
        answer = await _ask(self._db, _sql.drain, max_rows=_CHUNK_ROWS, after=self._after, shadow=self._shadow)
        if answer["busy"]:
            return _STANDBY_S
        hit("after_commit")
        self._told(changes_from_json(answer["changes"], Cause("outbox", began - answer["waited_s"])))
        if answer["poisoned"]:
            self._meters.poisoned += answer["poisoned"]
            log.error("outbox_rows_set_aside", extra={"rows": answer["poisoned"], "table": "notify.poison"})
        self._after = answer["after"] if answer["more"] else None
        return 0 if answer["more"] else _POLL_S

    async def _rotate(self) -> None:
        now = time.monotonic()
        if now - self._rotated_at >= _ROTATE_S:
            self._rotated_at = now
            await self._db.value(_sql.rotate, max_bytes=_ROTATE_BYTES)


class Reconciler:
    """Finds what nothing told us of, and puts it into the outbox. Every `every_s` it looks at the newest comments; at
    the start, hourly, and when a trigger's guard swallowed something or our triggers came or went, at all of them.
    `missing` is called each time with those of our triggers that are gone or disabled: [schema, table, name] each."""

    def __init__(
        self, db: Database, every_s: float = 30, missing: Callable[[list[list[str]]], object] = lambda _triggers: None
    ) -> None:
        self._db = db
        self._every_s = every_s
        self._missing = missing
        self._seen: dict[str, Any] | None = None
        self._full_at = 0.0
        self._told_missing: list[list[str]] = []

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._round()
            except NotifyError as error:
                log.info("reconcile_interrupted", extra={"code": error.code, "reason": str(error)})
            await asyncio.sleep(self._every_s)

    async def _round(self) -> None:
        state = await _ask(self._db, _sql.watch)
        missing = state.pop("missing")
        if missing and missing != self._told_missing:
            log.error("triggers_missing", extra={"triggers": missing, "mend": "notify-server attach"})
        self._told_missing = missing
        self._missing(missing)
        if state != self._seen or time.monotonic() - self._full_at > _FULL_SCAN_S:
            if self._seen is not None and state != self._seen:
                log.warning("triggers_missed_something", extra=state)
            started = time.monotonic()
            if await self._scan_all():
                self._seen, self._full_at = state, started
        else:
            await self._scan(_sql.reconcile, after=None, newest=True, max_rows=_SCAN_NEWEST_ROWS)
        await self._db.fetch(_comments_sql.forget_batches)

    async def _scan_all(self) -> bool:
        """False where another server scans."""
        for query, values in ((_sql.reconcile, {"newest": False}), (_sql.reconcile_gone, {})):
            after: str | None = None
            while True:
                answer = await self._scan(query, after=after, max_rows=_SCAN_CHUNK_ROWS, **values)
                if answer["busy"]:
                    return False
                after = answer["last"]
                if after is None:
                    break
                await asyncio.sleep(0.01)  # the drain's turn
        return True

    async def _scan(self, query: Query, **values: Any) -> dict[str, Any]:
        answer = await _ask(self._db, query, **values)
        if not answer["busy"] and answer["found"]:
            log.info("reconciled", extra={"comments": answer["found"]})
        return answer
