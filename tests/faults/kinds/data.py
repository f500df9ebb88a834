"""Our schema broken under the app, rows that nobody can settle, and rows by the thousand."""

from __future__ import annotations

import asyncio

from tests.faults.kinds.kind import POSTGRES, kind
from tests.faults.world import World
from tests.postgres import Sql

_HELD_S = 2.5  # longer than any INSERT of the app may take


@kind(POSTGRES)
async def append_function_missing(world: World) -> None:
    """The triggers fail inside, and what they should have noted down is found by the scan."""
    await world.run("ALTER FUNCTION notify.append_v1(text, text[], jsonb) RENAME TO append_away")
    try:
        await world.sleep(0.5, 1.5)
    finally:
        await world.run("ALTER FUNCTION notify.append_away(text, text[], jsonb) RENAME TO append_v1")


@kind(POSTGRES)
async def outbox_locked(world: World) -> None:
    await _locked(world, "notify.outbox_0, notify.outbox_1, notify.outbox_2")


@kind(POSTGRES)
async def inbox_locked(world: World) -> None:
    """Which takes all connections of the pool: they wait."""
    await _locked(world, "notify.inbox, notify.notification")


async def _locked(world: World, tables: str) -> None:
    holder = await asyncio.to_thread(Sql, world.url)
    try:
        holder.run("BEGIN")
        await asyncio.to_thread(holder.run, f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(_HELD_S)
    finally:
        holder.close()


@kind(POSTGRES)
async def poison_row(world: World) -> None:
    slot = world.random.randrange(3)
    await world.run(f"INSERT INTO notify.outbox_{slot} (kind, key) VALUES ('comment', 'poison')")


@kind(POSTGRES)
async def backlog_of_foreign_rows(world: World) -> None:
    await world.insert(world.backlog)
