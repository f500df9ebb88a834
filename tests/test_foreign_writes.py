"""Every other writer: psql, the old server, cron. What it commits arrives, and what it does not never does."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.clients import Client, NodeClients
from tests.conftest import Running
from tests.inboxes import ADA, INSERT
from tests.postgres import Cluster, Sql, sql


@pytest.fixture
async def ada(server: Running, nodes: NodeClients) -> Client:
    return await nodes.open(server.url, {"userId": ADA}, transports=["websocket"]).connected()


async def arrival_s(client: Client, since: float, times: int = 1) -> float:
    """Seconds from a moment until so many notifications are there."""
    await client.until(lambda: len(client.notifications) >= times)
    return time.monotonic() - since


async def test_a_row_from_psql_arrives_within_300_ms(ada: Client, cluster: Cluster, direct_url: str) -> None:
    told = await asyncio.to_thread(
        cluster.psql, direct_url, "-qAt", "-c", INSERT, "-c", "SELECT extract(epoch FROM clock_timestamp())"
    )
    await arrival_s(ada, time.monotonic())
    assert time.time() - float(told) < 0.3  # psql's own clock, right behind its commit
    assert (await ada.notified())[0]["fromUser"] == "Grace"


async def test_a_thousand_rows_of_one_statement_arrive_once_each_in_order(ada: Client, other: Sql) -> None:
    other.run("INSERT INTO comments (post_id, author_id, body) SELECT 1, 2, n::text FROM generate_series(1, 1000) n")
    assert await arrival_s(ada, time.monotonic()) < 0.3
    got = [event["commentId"] for event in await ada.notified(1000)]
    assert got == sorted(got)
    assert len(set(got)) == 1000


async def test_a_transaction_counts_from_its_commit(ada: Client, other: Sql) -> None:
    other.run("BEGIN")
    other.run(INSERT)
    await asyncio.sleep(0.4)
    assert ada.notifications == []
    other.run("COMMIT")
    assert await arrival_s(ada, time.monotonic()) < 0.3


async def test_what_rolls_back_never_arrives(ada: Client, other: Sql) -> None:
    other.run("BEGIN")
    other.run(INSERT)
    other.run("ROLLBACK")
    other.run(INSERT)
    assert len(await ada.notified()) == 1


async def test_a_lower_id_that_commits_later_is_not_skipped(ada: Client, other: Sql, direct_url: str) -> None:
    other.run("BEGIN")
    other.run(INSERT)
    with sql(direct_url) as quicker:
        quicker.run(INSERT)
    await ada.notified(1)
    other.run("COMMIT")
    assert len(await ada.notified(2)) == 2


async def test_a_role_without_rights_on_notify_and_row_level_security(ada: Client, other: Sql, direct_url: str) -> None:
    other.run("DROP ROLE IF EXISTS plain_app")
    other.run("CREATE ROLE plain_app LOGIN")
    try:
        other.run("GRANT SELECT, INSERT ON users, posts, comments TO plain_app")
        other.run("ALTER TABLE comments ENABLE ROW LEVEL SECURITY")
        other.run("CREATE POLICY write_only ON comments FOR INSERT TO plain_app WITH CHECK (true)")
        with sql(direct_url.replace("postgres@", "plain_app@")) as app:
            app.run(INSERT)
            assert await arrival_s(ada, time.monotonic()) < 0.3
            assert app.run("SELECT * FROM comments") == []
            with pytest.raises(Exception, match="permission denied for schema notify"):
                app.run("SELECT notify.send('1', 'x')")
        assert len(await ada.notified()) == 1
        assert other.value("SELECT last_value FROM notify.missed") == 1  # untouched: a sequence begins at 1
        assert not other.value("SELECT is_called FROM notify.missed")
    finally:
        other.run("DROP OWNED BY plain_app; DROP ROLE plain_app")


async def test_serializable_and_prepared_transactions_work(ada: Client, other: Sql) -> None:
    other.run("BEGIN ISOLATION LEVEL SERIALIZABLE")
    other.run(INSERT)
    other.run("PREPARE TRANSACTION 'two phases'")
    assert ada.notifications == []
    other.run("COMMIT PREPARED 'two phases'")
    assert len(await ada.notified()) == 1


async def test_notify_send_tells_anybody_anything(ada: Client, other: Sql) -> None:
    other.run("""SELECT notify.send('1', 'invoice', '{"amount": 7, "message": "Pay"}', 'billing')""")
    other.run("SELECT notify.send('1', 'hello')")
    assert await ada.notified(2) == [{"type": "invoice", "amount": 7, "message": "Pay"}, {"type": "hello"}]
    assert other.run("SELECT topic FROM notify.notification ORDER BY seq") == ["billing", None]


@pytest.mark.parametrize(
    "call",
    ["'', 'x'", "NULL, 'x'", "'1', ''", "'1', NULL", "'1', 'x', '[]'", "'1', 'x', '3'", "'1', 'x', NULL",
     """'1', 'x', '{"type": "y"}'""", "repeat('a', 256), 'x'", "'1', 'x', '{}', repeat('a', 256)"],
)  # fmt: skip
def test_notify_send_refuses_what_makes_no_sense_and_says_what(other: Sql, call: str) -> None:
    with pytest.raises(Exception, match=r"notify\.send: (user_id|type|payload|topic) must"):
        other.run(f"SELECT notify.send({call})")
