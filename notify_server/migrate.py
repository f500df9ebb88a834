"""Brings a database to this version's schema: forward only, each migration in one transaction, one server at a time."""

from __future__ import annotations

import logging

from notify_server.db import Database
from notify_server.errors import ConfigError, DatabaseError, DatabaseRefused
from notify_server.sql import Migration, migrations, queries

log = logging.getLogger(__name__)

_TIMEOUT_S = 600
# The lock is waited for as long as another server migrates; after that the app's tables are waited for only
# shortly. Functions may speak of the app's tables before those are connected.
PROLOGUE = """
SELECT pg_advisory_xact_lock(7237401);
SET LOCAL lock_timeout = '1s';
SET LOCAL check_function_bodies = off;
"""
_BOOTSTRAP = """
CREATE SCHEMA IF NOT EXISTS notify;
CREATE TABLE IF NOT EXISTS notify.migration (
    version int PRIMARY KEY,
    name    text NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);
"""


async def pending(db: Database) -> list[Migration]:
    """What this database lacks. Raises ConfigError where it is newer than we are."""
    known = migrations()
    query = queries("migrate")
    installed: set[int] = set()
    if await db.value(query.is_installed):
        installed = {version for (version,) in await db.fetch(query.versions)}
    newer = installed - {migration.version for migration in known}
    if newer:
        raise ConfigError(
            f"the database has migration {max(newer)}, this version of notify-server ends at {known[-1].version}: "
            "run the version that made it, or a later one"
        )
    return [migration for migration in known if migration.version not in installed]


async def migrate(db: Database) -> list[Migration]:
    """Applies what is pending; safe to call from several servers at once. Returns what this call applied."""
    applied = []
    if todo := await pending(db):
        await db.script(PROLOGUE + _BOOTSTRAP, _TIMEOUT_S)
    for migration in todo:
        mark = f"INSERT INTO notify.migration (version, name) VALUES ({migration.version}, '{migration.name}');\n"  # noqa: S608
        try:
            await db.script(PROLOGUE + mark + migration.sql, _TIMEOUT_S)
        except DatabaseError as error:
            if (
                isinstance(error, DatabaseRefused)
                and error.sqlstate == "23505"
                and not _is_pending(migration, await pending(db))
            ):
                continue  # another server was quicker
            if error.retryable:
                raise
            raise ConfigError(f"migration {migration.version:04}_{migration.name} failed: {error.message}") from error
        applied.append(migration)
        log.info("migrated", extra={"version": migration.version, "migration": migration.name})
    return applied


def _is_pending(migration: Migration, todo: list[Migration]) -> bool:
    return any(other.version == migration.version for other in todo)
