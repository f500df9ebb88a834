"""An outbox with much in it, and with what cannot be settled: live delivery goes on."""

from __future__ import annotations

import psycopg2.errors
import pytest

from notify_server.db import Database
from notify_server.inbox import Inbox
from tests.clients import NodeClients
from tests.conftest import Running, StartServer
from tests.inboxes import ADA, GRACE, counts_agree, settled
from tests.postgres import Sql, sql
from tests.sessions import session
from tests.waiting import eventually

ROWS = 20_000


async def test_a_backlog_drains_while_live_comments_reach_their_readers(
    server: Running, nodes: NodeClients, other: Sql
) -> None:
    ada = await nodes.open(server.url, {"userId": ADA}).connected()
    other.run("INSERT INTO comments (post_id, author_id, body) SELECT 2, 1, '' FROM generate_series(1, %s)", ROWS)
    live = 0
    while not settled(other):
        live += 1
        await server.comment(GRACE, 1)
        await ada.until(lambda: len(ada.notifications) == live)  # noqa: B023
    assert live >= 10  # each was shown while others waited
    assert other.value("SELECT last_seq FROM notify.inbox WHERE user_id = '2'") == ROWS
    assert counts_agree(other)


async def test_a_reader_in_the_middle_of_his_own_backlog_gets_it_in_order_and_once(server: Running, other: Sql) -> None:
    async with session(server.http, server.url, {"userId": GRACE}) as tab:
        other.run("INSERT INTO comments (post_id, author_id, body) SELECT 2, 1, '' FROM generate_series(1, 5000)")
        for _ in range(50):
            await server.comment(ADA, 2)
        await tab.read(5050, timeout_s=30)
        assert tab.seqs == list(range(1, 5051))


async def test_poison_holds_up_nobody(start_server: StartServer, nodes: NodeClients, other: Sql) -> None:
    server = await start_server()
    ada = await nodes.open(server.url, {"userId": ADA}).connected()
    other.run("ALTER TABLE notify.notification ADD CONSTRAINT poison CHECK (comment_id::int % 7 <> 0)")
    other.run("INSERT INTO comments (post_id, author_id, body) SELECT 1, 2, '' FROM generate_series(1, 70)")
    await ada.notified(60)
    assert other.value("SELECT count(*) FROM notify.poison WHERE reason LIKE '23514: %'") == 10
    await eventually(lambda: settled(other))
    await server.comment(GRACE, 1)
    await ada.notified(61)
    assert ada.seqs == list(range(1, 62))


async def test_an_inbox_that_somebody_holds_makes_no_other_wait(
    server: Running, nodes: NodeClients, other: Sql, direct_url: str
) -> None:
    ada, grace = [await nodes.open(server.url, {"userId": user}).connected() for user in (ADA, GRACE)]
    other.run("SELECT notify.send('1', 'test')")
    await ada.notified(1)
    with sql(direct_url) as holder:
        holder.run("BEGIN; SELECT FROM notify.inbox WHERE user_id = '1' FOR UPDATE")
        other.run("INSERT INTO comments (post_id, author_id, body) SELECT 1, 2, '' FROM generate_series(1, 700)")
        for n in range(5):
            other.run("SELECT notify.send('1', 'test', jsonb_build_object('n', %s::int))", n)
            other.run("INSERT INTO comments (post_id, author_id, body) VALUES (2, 1, '')")
            await grace.until(lambda n=n: len(grace.notifications) == n + 1)  # type: ignore[misc]
        assert len(ada.notifications) == 1
        holder.run("ROLLBACK")
    await ada.notified(706, timeout_s=20)
    assert ada.seqs == list(range(1, 707))
    assert [event["n"] for event in ada.notifications if "n" in event] == list(range(5))
    assert other.value("SELECT count(*) FROM notify.poison") == 0


@pytest.mark.parametrize("depth", [260, 3000])
async def test_a_payload_nested_too_deeply_is_refused_or_costs_itself_alone(
    server: Running, other: Sql, depth: int
) -> None:
    """`notify.send` refuses it; drafts of an app's own may hold it all the same."""
    nested = "[" * depth + "]" * depth
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="100 levels"):
        other.run("SELECT notify.send('1', 'test', jsonb_build_object('x', %s::jsonb))", nested)
    fits = "[" * 99 + "]" * 99
    other.run("SELECT notify.send('1', 'test', jsonb_build_object('x', %s::jsonb))", fits)
    await eventually(lambda: settled(other))
    deep = "SELECT notify.deliver_v2(ARRAY[ROW('1', 'test', jsonb_build_object('x', %s::jsonb), NULL, NULL, NULL, NULL)"
    other.run(deep + "::notify.draft])", nested)  # while nobody is there
    async with session(server.http, server.url, {"userId": ADA}) as tab:
        assert await tab.read(1) == [1]
        other.run(deep + "::notify.draft])", nested)  # while somebody is
        await server.comment(GRACE, 1)
        assert await tab.read(2) == [1, 4]
    async with server.http.get(server.url + "/notifications", headers={"Authorization": f"User {ADA}"}) as response:
        assert response.status == 200
        assert [entry["seq"] for entry in (await response.json())["notifications"]] == [4, 1]


async def test_large_payloads_are_read_in_small_pieces(server: Running, db: Database, other: Sql) -> None:
    other.run("SELECT count(notify.send('1', 'test', jsonb_build_object('x', repeat('x', 60000))))"
              " FROM generate_series(1, 30)")  # fmt: skip
    await eventually(lambda: settled(other))
    stretch = await Inbox(db).after("1", 0, 200)
    assert len(stretch.notifications) == 2
    assert not stretch.complete
    recovery = server.realtime.feeds.recovery
    async with session(server.http, server.url, {"userId": ADA, "pid": recovery.new_pid("1", 0)}) as tab:
        assert await tab.read(30) == list(range(1, 31))
