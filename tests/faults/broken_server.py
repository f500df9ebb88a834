"""Tells of comments before they are committed, and every third batch never is: a server for the checker to find."""

from __future__ import annotations

import itertools
from typing import Any

from notify_server.__main__ import main
from notify_server.db import Database

_EVERY = 3
_batches = itertools.count(1)
_execute = Database._execute


async def _execute_without_commit(self: Database, sql: str, values: Any, timeout_s: float) -> Any:
    """BEGIN makes a transaction that outlives the message; the pool closes such a connection, and with it the rows."""
    if "SELECT notify.post_comments" in sql and next(_batches) % _EVERY == 0:
        sql = f"BEGIN; {sql}"
    return await _execute(self, sql, values, timeout_s)


if __name__ == "__main__":
    Database._execute = _execute_without_commit  # type: ignore[method-assign]
    main(["serve"])
