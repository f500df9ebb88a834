"""What was written before the tables were connected, into the inboxes, as read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson

from notify_server.db import Database
from notify_server.errors import ConfigError, DatabaseConflict
from notify_server.sql import queries

_sql = queries("attachment")

_CHUNK_ROWS = 500
_PAUSE_S = 0.01  # in which others get the inboxes
_BEGIN_TIMEOUT_S = 600
_STEP_TIMEOUT_S = 30


async def backfill(db: Database, days: int, progress: Callable[[int, int], object]) -> int:
    """History of so many days; gives how many notifications it wrote. `progress` gets how many comments are done, and
    of how many. One that was interrupted goes on where it was. Raises ConfigError where one was written before."""
    if (when := await db.value(_sql.backfilled)) is not None:
        raise ConfigError(f"the history was written already, on {when}")
    total = await db.value(_sql.begin_history, _BEGIN_TIMEOUT_S, days=days)
    done = written = 0
    while True:
        try:
            step = orjson.loads(await db.value(_sql.write_history, _STEP_TIMEOUT_S, max_rows=_CHUNK_ROWS))
        except DatabaseConflict:
            await asyncio.sleep(1)
            continue
        if not step["done"]:
            return written
        done, written = done + step["done"], written + step["written"]
        progress(done, total)
        await asyncio.sleep(_PAUSE_S)
