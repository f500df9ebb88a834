"""What is older than RETENTION_DAYS leaves the inboxes, in small steps; any server may do it, one at a time does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import orjson

from notify_server.db import Database
from notify_server.errors import NotifyError
from notify_server.sql import queries

log = logging.getLogger(__name__)

_sql = queries("inbox")
_comments_sql = queries("comments")

_EVERY_S = 3600
_INBOXES = 500  # in one step
_ROWS = 50  # of one inbox in one step: whoever delivers to one of these waits until all of them are done
_PAUSE_S = 0.02  # between steps, in which others get the database
_STEP_TIMEOUT_S = 30


class Retention:
    def __init__(self, db: Database, days: int) -> None:
        self._db = db
        self._days = days

    async def run(self) -> None:
        """Until cancelled: once an hour."""
        while True:
            try:
                pruned = await self.prune()
                if pruned:
                    log.info("pruned", extra={"notifications": pruned, "days": self._days})
                await self._forget_keys()
            except NotifyError as error:
                log.info("prune_interrupted", extra={"code": error.code})
            await asyncio.sleep(_EVERY_S)

    async def _forget_keys(self) -> None:
        while True:
            if not await self._db.value(_comments_sql.forget_request_keys):
                return
            await asyncio.sleep(_PAUSE_S)

    async def prune(self, progress: Callable[[int], object] = lambda _pruned: None) -> int | None:
        """Gives how many it deleted, None where another server is at it. `progress` is called with how many so far."""
        pruned: int = 0
        after: str | None = None
        while True:
            answer = orjson.loads(
                await self._db.value(
                    _sql.prune, _STEP_TIMEOUT_S, days=self._days, after=after, max_users=_INBOXES, max_rows=_ROWS
                )
            )
            if answer["busy"]:
                if after is None:
                    return None
                await asyncio.sleep(_PAUSE_S)  # another began meanwhile: in turn, then
                continue
            pruned += answer["pruned"]
            progress(pruned)
            after = answer["last"]
            if after is None:
                return pruned
            await asyncio.sleep(_PAUSE_S)
