"""PostgreSQL away, slow, full, read-only, or silent at the worst moment."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable

import psycopg2

from tests.faults.kinds.kind import POSTGRES, NotHere, NotNow, kind
from tests.faults.proxy import Proxy
from tests.faults.servers import Server
from tests.faults.world import Restart, World
from tests.postgres import sql

_HAPPENS_S = 10
_SERVERS = "application_name = 'notify-server' AND pid <> pg_backend_pid()"


async def _restart(world: World, mode: str) -> None:
    files = min([await world.crowd.gather(server) for server in world.servers])
    with world.failing_the_app():
        await asyncio.to_thread(world.cluster.stop, mode)
        await world.sleep(0, 1)
        for attempt in range(5):
            try:
                await asyncio.to_thread(world.cluster.start)
                break
            except subprocess.CalledProcessError:  # children of the one that was killed hold its memory for a moment
                if attempt == 4:
                    raise
                await asyncio.sleep(0.5)
    back = time.monotonic()
    await asyncio.gather(*map(world.served, world.servers))
    world.restarts.append(Restart(files, time.monotonic() - back))


@kind(POSTGRES, weight=3, alone=True)
async def postgres_restarted_fast(world: World) -> None:
    await _restart(world, "fast")


@kind(POSTGRES, weight=3, alone=True)
async def postgres_restarted_immediate(world: World) -> None:
    await _restart(world, "immediate")


@kind(POSTGRES)
async def postgres_frozen(world: World) -> None:
    with world.failing_the_app():
        world.cluster.signal(signal.SIGSTOP)
        try:
            await world.sleep(0.5, 3)
        finally:
            world.cluster.signal(signal.SIGCONT)


def _some(world: World) -> Server:
    return world.random.choice(world.servers)


async def _until(happened: Callable[[], Awaitable[bool]], else_: str) -> None:
    """Tries until it is so; raises NotNow where it never is, because another fault has everything in its hands."""
    try:
        async with asyncio.timeout(_HAPPENS_S):
            while not await happened():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise NotNow(else_) from None


@kind(POSTGRES)
async def postgres_slow(world: World) -> None:
    way = _some(world).database
    way.delay_s = world.random.uniform(0.02, 0.3)
    await world.sleep(1, 2)
    way.delay_s = 0


@kind(POSTGRES)
async def connecting_to_postgres_hangs(world: World) -> None:
    """Connections that were open are lost, new ones are taken and told nothing."""
    way = _some(world).database
    way.stall()
    way.reset()
    await world.sleep(1, 4)
    way.heal()


@kind(POSTGRES)
async def postgres_connections_half_open(world: World) -> None:
    way = _some(world).database
    way.stall()
    await world.sleep(0.5, 3)
    way.reset()
    way.heal()


@kind(POSTGRES)
async def postgres_connections_reset(world: World) -> None:
    _some(world).database.reset()


@kind(POSTGRES)
async def postgres_answers_cut_in_the_middle(world: World) -> None:
    for _ in range(3):
        way = _some(world).database
        cuts = way.cuts

        async def cut(way: Proxy = way, cuts: int = cuts) -> bool:
            way.truncate()
            return way.cuts > cuts

        await _until(cut, "no connection was used")


@kind(POSTGRES)
async def postgres_answers_in_single_bytes(world: World) -> None:
    way = _some(world).database
    way.splits = True
    await world.sleep(0.5, 1.5)
    way.splits = False


@kind(POSTGRES, weight=2)
async def commit_s_reply_dropped(world: World) -> None:
    dropped = 0
    for _ in range(3):
        way = _some(world).database
        cuts = way.cuts
        way.drop_reply(b"post_comments")
        with contextlib.suppress(TimeoutError):  # no comment came this way
            async with asyncio.timeout(5):
                while way.cuts == cuts:
                    await asyncio.sleep(0.01)
        dropped += way.cuts > cuts
        way.heal()
    if not dropped:
        raise NotNow("no comment came")


@kind(POSTGRES)
async def pool_terminated(world: World) -> None:
    """All connections of all servers, as an administrator does it."""
    with sql(world.url) as admin:
        admin.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_SERVERS}")


@kind(POSTGRES)
async def listen_terminated(world: World) -> None:
    async def terminated() -> bool:
        return bool(
            await world.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                r" WHERE query ~* '\mlisten\M' AND pid <> pg_backend_pid()"
            )
        )

    await _until(terminated, "no server listens")


@kind(POSTGRES)
async def listen_half_open(world: World) -> None:
    way = _some(world).listen

    async def listening() -> bool:
        return bool(way.links)

    await _until(listening, "no server listens")
    way.stall()
    await world.sleep(1, 4)
    if world.random.random() < 0.5:
        way.reset()
    way.heal()


@kind(POSTGRES)
async def disk_full(world: World) -> None:
    if world.disk.folder is None:
        raise NotHere(world.disk.reason)
    with world.failing_the_app(), world.disk.full():
        with contextlib.suppress(psycopg2.Error), sql(world.url) as other:
            await asyncio.to_thread(other.run, "CREATE TABLE ballast AS SELECT n FROM generate_series(1, 300000) n")
            await asyncio.to_thread(other.run, "DROP TABLE ballast")
            raise AssertionError("the disk is not full")
        await world.sleep(1, 2)


@kind(POSTGRES)
async def postgres_read_only(world: World) -> None:
    """As a standby after a failover; sessions that are open feel it as well."""
    with world.failing_the_app(), sql(world.url) as admin:
        admin.run("ALTER SYSTEM SET default_transaction_read_only = on")
        try:
            admin.run("SELECT pg_reload_conf()")
            await world.sleep(0.5, 2)
        finally:
            with contextlib.suppress(psycopg2.Error):
                admin.run("ALTER SYSTEM RESET default_transaction_read_only")
                admin.run("SELECT pg_reload_conf()")
