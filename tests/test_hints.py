"""Several servers on one database: what one changes, the others hear of."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from notify_server import hints as module
from notify_server.background import in_background
from notify_server.db import Database
from notify_server.hints import Hints
from tests.clients import SETTLE_S, NodeClients
from tests.conftest import StartServer, open_database
from tests.inboxes import ADA, GRACE, INSERT
from tests.postgres import PgBouncer, Sql, sql
from tests.waiting import eventually

LISTENERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%%'"

NONE_OF_OURS = [
    "", "x", "[]", "7", "null", '{"node": 7, "users": ["a"]}', '{"users": ["b"]}', '{"node": "z", "users": "c"}',
    '{"node": "z", "users": [1, {}, "d"]}', '{"node": ["z"]}',
]  # fmt: skip


class Node:
    """One server's hints, and what it heard."""

    def __init__(self, db: Database, dsn: str | None = None) -> None:
        self.heard: list[list[str] | None] = []
        self.hints = Hints(db, self.heard.append, dsn=dsn)

    @property
    def users(self) -> set[str]:
        return {user for users in self.heard for user in users or ()}

    def knows_others(self) -> bool:
        return self.hints._peers_until > asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def nodes_on(url: str, count: int, dsn: str | None = None) -> AsyncIterator[list[Node]]:
    db = open_database(url)
    nodes = [Node(db, dsn) for _ in range(count)]
    try:
        async with in_background(*(node.hints.run() for node in nodes)):
            if count > 1:
                await eventually(lambda: all(node.knows_others() for node in nodes))
            else:
                await eventually(lambda: nodes[0].hints._state == "hints_on")
            yield nodes
    finally:
        await db.close()


async def test_what_one_tells_all_others_hear_and_it_does_not(direct_url: str) -> None:
    async with nodes_on(direct_url, 3) as (one, two, three):
        one.hints.tell(["1", "2"])
        one.hints.tell(["2", "3"])
        await eventually(lambda: two.users == three.users == {"1", "2", "3"}, timeout_s=1)
        await asyncio.sleep(SETTLE_S)
        assert one.users == set()


async def test_one_alone_notifies_nobody_of_inboxes(direct_url: str, other: Sql) -> None:
    other.run("LISTEN notify_server")
    async with nodes_on(direct_url, 1) as (node,):
        node.hints.tell(["1"])
        await asyncio.sleep(SETTLE_S)
        other.connection.poll()
        said = [json.loads(notify.payload) for notify in other.connection.notifies]
    assert said
    assert not any("users" in one for one in said)


async def test_long_ids_of_any_script_travel_in_pieces_that_notify_takes(direct_url: str, other: Sql) -> None:
    users = ["🎉" * 250 + str(n) for n in range(100)]
    async with nodes_on(direct_url, 2) as (one, two):
        other.run("LISTEN notify_server")
        one.hints.tell(users)
        await eventually(lambda: two.users == set(users))
        other.connection.poll()
        assert max(len(notify.payload.encode()) for notify in other.connection.notifies) < 8000
        one.hints.tell([str(n) * 200 for n in range(5000)])  # too many for pieces: anybody's
        await eventually(lambda: two.heard[-1] is None)


async def test_a_listener_that_is_ended_comes_back_and_looks_at_all(direct_url: str, other: Sql) -> None:
    async with nodes_on(direct_url, 2) as (one, two):
        before = len(two.heard)
        for pid in other.run(LISTENERS):
            other.run("SELECT pg_terminate_backend(%s)", pid)
        await eventually(lambda: None in two.heard[before:])
        await eventually(lambda: len(other.run(LISTENERS)) == 2)
        one.hints.tell(["7"])
        await eventually(lambda: "7" in two.users)


async def test_a_listener_that_died_without_a_word_is_noticed(
    direct_url: str, other: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half open: its backend is frozen, and so says nothing and closes nothing."""
    monkeypatch.setattr(module, "_BEAT_S", 0.3)
    monkeypatch.setattr(module, "_ECHO_S", 0.3)
    async with nodes_on(direct_url, 1) as (node,):
        (frozen,) = other.run(LISTENERS)
        os.kill(frozen, signal.SIGSTOP)
        try:
            before = len(node.heard)
            await eventually(lambda: node.heard[before:] == [None])
            await eventually(lambda: len(other.run(LISTENERS)) == 2)
        finally:
            os.kill(frozen, signal.SIGCONT)
        await eventually(lambda: frozen not in other.run(LISTENERS))


async def test_what_any_other_program_notifies_does_no_harm(direct_url: str, other: Sql) -> None:
    async with nodes_on(direct_url, 2) as (one, two):
        for payload in NONE_OF_OURS:
            other.run("SELECT pg_notify('notify_server', %s)", payload)
        one.hints.tell(["e"])
        await eventually(lambda: "e" in two.users)
        assert two.users == {"d", "e"}


async def test_a_database_that_is_away_costs_hints_and_nothing_else(
    direct_url: str, other: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    database = direct_url.rsplit("/", 1)[1]
    async with nodes_on(direct_url, 2) as (one, two):
        with sql(direct_url.rsplit("/", 1)[0] + "/postgres") as admin:
            admin.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
            admin.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", database)
            for n in range(100):
                one.hints.tell([str(n)])
            await asyncio.sleep(1.5)
            admin.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        await eventually(lambda: two.hints._state == one.hints._state == "hints_on")
        one.hints.tell(["back"])
        await eventually(lambda: "back" in two.users)
        assert not one.hints._users
    said = [record.message for record in caplog.records if record.message.startswith("hints_")]
    assert sorted(said) == ["hints_lost"] * 2 + ["hints_on"] * 4  # once for each change, not for each try


async def test_behind_pgbouncer_it_says_what_to_set_and_leaves_nothing_behind(
    pgbouncer: PgBouncer | None, url: str, other: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    if pgbouncer is None:
        pytest.skip("--postgres=pgbouncer tries this")
    caplog.set_level(logging.INFO)
    db = open_database(url)
    node = Node(db)
    async with in_background(node.hints.run()):
        await eventually(lambda: node.hints._state == "hints_off")
    await db.close()
    assert other.run(LISTENERS) == []
    (record,) = [record for record in caplog.records if record.message == "hints_off"]
    assert record.__dict__["mend"] == "LISTEN_URL"


async def test_behind_pgbouncer_with_a_way_around_it_works(
    pgbouncer: PgBouncer | None, url: str, direct_url: str
) -> None:
    if pgbouncer is None:
        pytest.skip("--postgres=pgbouncer tries this")
    async with nodes_on(url, 2, dsn=direct_url) as (one, two):
        one.hints.tell(["1"])
        await eventually(lambda: two.users == {"1"}, timeout_s=1)


async def test_a_way_around_that_is_none_is_told_once(
    pgbouncer: PgBouncer | None, url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LISTEN_URL leads to the pooler again."""
    if pgbouncer is None:
        pytest.skip("--postgres=pgbouncer tries this")
    monkeypatch.setattr(module, "_BEAT_S", 0.2)
    monkeypatch.setattr(module, "_ECHO_S", 0.2)
    caplog.set_level(logging.INFO)
    db = open_database(url)
    node = Node(db, dsn=url)
    async with in_background(node.hints.run()):
        await eventually(lambda: node.hints._state == "hints_silent")
    await db.close()


async def test_a_change_on_one_server_reaches_sockets_on_another_at_once(
    start_server: StartServer, nodes: NodeClients, other: Sql, direct_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify_server.feed._POLL_S", 60)
    one, two = [await start_server(listen_url=direct_url) for _ in range(2)]
    ada, again = [await nodes.open(server.url, {"userId": ADA}).connected() for server in (one, two)]
    await eventually(lambda: len(other.run(LISTENERS)) == 2)
    await asyncio.sleep(SETTLE_S)  # until they know each other
    took: list[float] = []
    for number in range(1, 12):
        started = time.monotonic()
        await one.comment(GRACE, 1)
        await again.until(lambda n=number: len(again.seqs) == n)  # type: ignore[misc]
        took.append(time.monotonic() - started)
    assert sorted(took)[5] < 0.5
    other.run(INSERT)
    await again.until(lambda: len(again.seqs) == 12)
    await ada.until(lambda: len(ada.seqs) == 12)
    async with two.http.post(
        f"{two.url}/notifications/read", json={"upTo": 12}, headers={"Authorization": f"User {ADA}"}
    ) as response:
        counts = await response.json()
    await ada.until(lambda: last_change(ada)["to"] == counts["version"])
    assert last_change(ada)["unread"] == 0
    assert ada.seqs == again.seqs == list(range(1, 13))


async def test_without_any_hint_it_takes_the_poll(
    start_server: StartServer, nodes: NodeClients, other: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deaf(_self: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Hints, "run", deaf)
    one, two = await start_server(), await start_server()
    ada = await nodes.open(two.url, {"userId": ADA}).connected()
    await one.comment(GRACE, 1)
    await ada.notified(1, timeout_s=2)


def last_change(client: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.named("notifications:changed")[-1][0]
    return found
