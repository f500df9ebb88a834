"""The port to PostgreSQL. Each hole of aiopg that db.py closes is shown open first, on aiopg itself."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from collections.abc import Iterator
from typing import Any

import aiopg
import psycopg2
import pytest

from notify_server.db import Database
from notify_server.db.connect import connect
from notify_server.db.connection import DescriptorProbe
from notify_server.errors import (
    DatabaseAway,
    DatabaseConflict,
    DatabaseError,
    DatabaseLost,
    DatabaseRefused,
    DatabaseTimeout,
    Invalid,
    Overloaded,
)
from notify_server.sql import Query
from tests.conftest import open_database
from tests.postgres import Cluster, Sql, embedded_bin, free_port

ONE = Query("test.one", "SELECT 1")
SLEEP = Query("test.sleep", "SELECT pg_sleep(%(s)s)")
ECHO = Query("test.echo", "SELECT %(value)s::text")
PID = Query("test.pid", "SELECT pg_backend_pid()")


# --- a query that the server cancels ----------------------------------------------------------------------------


async def test_aiopg_takes_a_server_side_cancel_for_a_cancelled_task(direct_url: str) -> None:
    async def query() -> None:
        async with aiopg.connect(direct_url, enable_hstore=False) as connection, connection.cursor() as cursor:
            await cursor.execute("SET statement_timeout = 50; SELECT pg_sleep(5)")

    task = asyncio.create_task(query())
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)  # aiopg reports it there
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_server_side_cancel_is_a_timeout(db: Database) -> None:
    task = asyncio.create_task(db.fetch(SLEEP, 0.2, s=5))
    await asyncio.wait([task])
    assert not task.cancelled()
    error = task.exception()
    assert isinstance(error, DatabaseTimeout)
    assert (error.status, error.retryable, error.sqlstate) == (503, True, "57014")
    assert await db.value(ONE) == 1


async def test_a_cancelled_task_is_cancelled_every_time_and_its_connection_is_gone(db: Database, other: Sql) -> None:
    """On Python 3.11 aiopg swallows 23 of 60 such cancellations."""
    for n in range(60):
        looping = asyncio.create_task(_loop(db))
        await asyncio.sleep(0.001 * (n % 7))
        looping.cancel()
        await asyncio.wait([looping], timeout=1)
        assert looping.cancelled()
    assert await db.value(ONE) == 1


async def _loop(db: Database) -> None:
    while True:
        await db.value(ONE)


# --- more than a thousand file descriptors ------------------------------------------------------------------------


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """So many that every new one is above 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    opened = [os.open(os.devnull, os.O_RDONLY)]
    while opened[-1] < 1100:
        opened.append(os.dup(opened[0]))
    yield
    for descriptor in opened:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
async def test_aiopg_does_not_notice_a_dead_connection_above_1024(
    direct_url: str, other: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    import select

    monkeypatch.setattr("aiopg.connection.select", select)
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: complaints.append(str(context.get("exception"))))
    connection = await aiopg.connect(direct_url, enable_hstore=False)
    cursor = await connection.cursor(timeout=1)
    running = asyncio.create_task(cursor.execute("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.1)
    other.run("SELECT pg_terminate_backend(%s)", await connection.get_backend_pid())
    with pytest.raises(TimeoutError):  # not before its own timeout
        await running
    assert "filedescriptor out of range in select()" in complaints
    await connection.close()


@pytest.mark.usefixtures("many_descriptors")
async def test_a_dead_connection_above_1024_is_noticed_at_once(db: Database, other: Sql) -> None:
    running = asyncio.create_task(db.fetch(SLEEP, s=30))
    pid = await db.value(PID)
    await asyncio.sleep(0.1)
    other.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
              " AND pid <> pg_backend_pid()")  # fmt: skip
    started = time.monotonic()
    with pytest.raises(DatabaseLost):
        await running
    assert time.monotonic() - started < 1
    assert not db.available
    assert await db.value(PID) != pid
    assert db.available


# --- the pool -------------------------------------------------------------------------------------------------------


async def test_waiting_is_bounded(url: str) -> None:
    db = open_database(url, size=2, wait_s=0.2)
    holding = [asyncio.create_task(db.fetch(SLEEP, s=1)) for _ in range(2)]
    await asyncio.sleep(0.1)
    started = time.monotonic()
    with pytest.raises(Overloaded) as raised:
        await db.value(ONE)
    assert time.monotonic() - started < 0.5
    assert raised.value.status == 503
    await asyncio.gather(*holding)
    assert await db.value(ONE) == 1
    await db.close()


async def test_a_closed_connection_that_is_released_wakes_whoever_waits(url: str) -> None:
    """aiopg's pool let them sleep 5 to 8 seconds."""
    db = open_database(url, size=1, wait_s=5)
    holding = asyncio.create_task(db.fetch(SLEEP, s=30))
    await asyncio.sleep(0.2)
    waiting = asyncio.create_task(db.value(ONE))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    holding.cancel()
    assert await waiting == 1
    assert time.monotonic() - started < 0.5
    await db.close()


async def test_connecting_holds_nobody_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    db = open_database(url, size=2)
    await db.value(ONE)
    original = connect

    async def slowly(*args: Any) -> Any:
        await asyncio.sleep(1)
        return await original(*args)

    monkeypatch.setattr("notify_server.db.pool.connect", slowly)
    holding = asyncio.create_task(db.fetch(SLEEP, s=0.2))
    await asyncio.sleep(0.05)
    connecting = asyncio.create_task(db.value(ONE))
    await holding
    started = time.monotonic()
    await db.value(ONE)
    assert time.monotonic() - started < 0.3
    await connecting
    await db.close()


async def test_closing_an_unused_pool_returns(url: str) -> None:
    async with asyncio.timeout(1):
        await open_database(url).close()


async def test_connections_are_reused_and_never_more_than_the_size(db: Database) -> None:
    pids = await asyncio.gather(*(db.value(PID) for _ in range(50)))
    assert len(set(pids)) <= 20  # behind PgBouncer, its own pool; without, 5


async def test_a_query_that_we_gave_up_on_does_not_go_on_in_the_server(db: Database, other: Sql) -> None:
    with pytest.raises(DatabaseTimeout):
        await db.fetch(SLEEP, 0.5, s=20)
    assert (
        other.value("""
        SELECT count(*) FROM pg_stat_activity
        WHERE query LIKE '%pg_sleep(20%' AND state = 'active' AND pid <> pg_backend_pid()""")
        == 0
    )


async def test_it_heals_after_a_restart() -> None:
    cluster = Cluster(embedded_bin())
    db = open_database(cluster.url())
    try:
        await asyncio.gather(*(db.value(ONE) for _ in range(5)))
        await asyncio.to_thread(cluster.stop, "immediate")
        for _ in range(3):
            with pytest.raises((DatabaseLost, DatabaseAway)):
                await db.value(ONE)
        await asyncio.to_thread(cluster.start)
        assert await asyncio.gather(*(db.value(ONE) for _ in range(5))) == [1] * 5
    finally:
        await db.close()
        cluster.remove()


async def test_nobody_listening_is_away_at_once() -> None:
    db = open_database(f"postgresql://postgres@127.0.0.1:{free_port()}/x")
    with pytest.raises(DatabaseAway, match="refused") as raised:
        await db.value(ONE)
    assert raised.value.status == 503
    await db.close()


async def test_connecting_that_hangs_is_bounded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        db = open_database(f"postgresql://postgres@127.0.0.1:{silent.getsockname()[1]}/x", connect_timeout_s=0.3)
        started = time.monotonic()
        with pytest.raises(DatabaseAway):
            await db.value(ONE)
        assert time.monotonic() - started < 1
        await db.close()


async def test_a_host_name_is_looked_up_without_stopping_the_loop_and_all_addresses_are_tried(direct_url: str) -> None:
    loop = asyncio.get_running_loop()
    asked = []
    original = loop.getaddrinfo

    async def slowly(host: str, service: Any, **options: Any) -> Any:
        asked.append(host)
        await asyncio.sleep(0.2)
        dead = await original("127.0.0.2", service, **options)
        return [*dead, *await original("127.0.0.1", service, **options)]

    loop.getaddrinfo = slowly  # type: ignore[assignment]
    db = open_database(direct_url.replace("127.0.0.1", "database.internal"))
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.02)
            ticks += 1

    ticking = asyncio.create_task(tick())
    assert await db.value(ONE) == 1
    ticking.cancel()
    assert asked == ["database.internal"]
    assert ticks >= 5
    await db.close()


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "error", "state", "retryable"),
    [
        ("DO $$ BEGIN RAISE SQLSTATE 'AB001'; END $$", DatabaseRefused, "AB001", False),
        ("DO $$ BEGIN RAISE SQLSTATE '42501'; END $$", DatabaseRefused, "42501", False),
        ("DO $$ BEGIN RAISE SQLSTATE 'XX000'; END $$", DatabaseError, "XX000", False),
        ("SELECT 1 / 0", DatabaseRefused, "22012", False),
        ("SELECT 99999999999999999999::bigint", DatabaseRefused, "22003", False),
        ("""SELECT '"\\u0000"'::jsonb ->> 0""", DatabaseRefused, "22P05", False),
        ("DO $$ BEGIN RAISE EXCEPTION 'no'; END $$", DatabaseRefused, "P0001", False),
        ("INSERT INTO comments (post_id, author_id, body) VALUES (99, 1, '')", DatabaseRefused, "23503", False),
        ("SELECT nothing", DatabaseError, "42703", False),
        ("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", DatabaseConflict, "40001", True),
        ("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$", DatabaseConflict, "40P01", True),
        ("DO $$ BEGIN RAISE SQLSTATE '55P03'; END $$", DatabaseConflict, "55P03", True),
        ("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$", DatabaseAway, "53100", True),
        ("SET LOCAL transaction_read_only = on; CREATE TABLE t ()", DatabaseAway, "25006", True),
    ],
)
async def test_errors_are_translated_and_leave_the_connection_usable(
    db: Database, sql: str, error: type[DatabaseError], state: str, retryable: bool
) -> None:
    with pytest.raises(error) as raised:
        await db.fetch(Query("test", sql))
    assert type(raised.value) is error
    assert (raised.value.sqlstate, raised.value.retryable) == (state, retryable)
    assert isinstance(raised.value.__context__, psycopg2.Error)
    assert await db.value(ONE) == 1


@pytest.mark.parametrize("value", ["nul \0", "half \ud800"])
async def test_what_postgresql_cannot_hold_is_invalid(db: Database, value: str) -> None:
    with pytest.raises(Invalid):
        await db.value(ECHO, value=value)
    assert await db.value(ECHO, value="fine %s %(x)s '\\") == "fine %s %(x)s '\\"


async def test_a_query_leaves_no_session_state_behind(db: Database) -> None:
    await db.fetch(ONE, 1)
    show = Query("test", "SELECT setting FROM pg_settings WHERE name = 'lock_timeout'")
    await db.fetch(Query("test", "SELECT set_config('lock_timeout', '77ms', true)"))
    assert await db.value(show) == "0"


async def test_every_query_is_read_committed_whatever_the_database_s_default(
    db: Database, other: Sql, url: str
) -> None:
    other.run(f"ALTER DATABASE {url.rsplit('/', 1)[1]} SET default_transaction_isolation = 'serializable'")
    level = Query("test", "SELECT current_setting('transaction_isolation')")
    fresh = open_database(url)
    assert await fresh.value(level) == "read committed"
    await fresh.close()


async def test_a_script_is_one_transaction(db: Database, other: Sql) -> None:
    with pytest.raises(DatabaseRefused):
        await db.script("CREATE TABLE half_done (); SELECT 1 / 0", 5)
    assert other.value("SELECT to_regclass('half_done')") is None


@pytest.fixture
async def closed(url: str) -> Database:
    db = open_database(url)
    await db.value(ONE)
    await db.close()
    return db


async def test_after_the_close_nothing_is_opened(closed: Database) -> None:
    with pytest.raises(DatabaseAway):
        await closed.value(ONE)


async def test_no_descriptor_left_is_away(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("selectors.DefaultSelector", none_left)
    db = open_database(url)
    with pytest.raises(DatabaseAway):
        await db.value(ONE)
    await db.close()


def test_one_probe_stands_in_for_select() -> None:
    assert aiopg.connection.select is DescriptorProbe
    with pytest.raises(OSError, match="Bad file descriptor"):
        DescriptorProbe.select([9999], [], [], 0)


async def test_what_a_listen_left_on_a_lent_connection_hears_is_not_kept(db: Database, other: Sql) -> None:
    """Behind a pooler somebody's LISTEN stays on a server connection that is lent to others next."""
    await db.fetch(Query("test.listen", "LISTEN left_behind"))
    for n in range(50):
        other.run("SELECT pg_notify('left_behind', %s)", str(n))
    await db.value(ONE)
    await db.value(ONE)
    assert all(connection._notifies.empty() for connection in db._idle)
