"""Our schema broken under the app, rows that nobody can settle, and rows by the thousand."""

from __future__ import annotations

import asyncio

from tests.faults.kinds.kind import DATA, kind
from tests.faults.world import World
from tests.postgres import Sql, sql

_HELD_S = 2.5  # longer than any INSERT of the app may take
_APPEND = "notify.append_v1(text, text[], jsonb)"


@kind(DATA)
async def append_function_missing(world: World) -> None:
    """The triggers fail inside, and what they should have noted down is found by the scan."""
    with sql(world.url) as admin:
        await asyncio.to_thread(admin.run, f"ALTER FUNCTION {_APPEND} RENAME TO append_away")
        try:
            await world.sleep(0.5, 1.5)
        finally:
            await asyncio.to_thread(
                admin.run, "ALTER FUNCTION notify.append_away(text, text[], jsonb) RENAME TO append_v1"
            )


@kind(DATA)
async def outbox_locked(world: World) -> None:
    holder = Sql(world.url)
    try:
        holder.run("BEGIN")
        await asyncio.to_thread(
            holder.run, "LOCK TABLE notify.outbox_0, notify.outbox_1, notify.outbox_2 IN ACCESS EXCLUSIVE MODE"
        )
        await asyncio.sleep(_HELD_S)
    finally:
        holder.close()


@kind(DATA)
async def poison_row(world: World) -> None:
    with sql(world.url) as admin:
        await asyncio.to_thread(
            admin.run, f"INSERT INTO notify.outbox_{world.random.randrange(3)} (kind, key) VALUES ('comment', 'poison')"
        )


@kind(DATA)
async def backlog_of_foreign_rows(world: World) -> None:
    """Many comments by one statement of another program, on everybody's posts."""
    with sql(world.url) as other:
        await asyncio.to_thread(
            other.run,
            "INSERT INTO comments (post_id, author_id, body)"
            " SELECT n %% %s + 1, (n / %s) %% %s + 1, 'backlog ' || n FROM generate_series(1, %s) n",
            *[world.size.users] * 3, world.backlog,
        )  # fmt: skip
