"""People, posts and comments to try things with."""

from __future__ import annotations

from notify_server.db import Database
from notify_server.sql import queries


async def seed(db: Database) -> bool:
    """Fills an empty database; False where there are people already."""
    return bool(await db.value(queries("seed").seed, timeout_s=30))
