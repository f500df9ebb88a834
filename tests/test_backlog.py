"""An outbox with much in it, and with what cannot be settled: live delivery goes on."""

from __future__ import annotations

from tests.clients import NodeClients
from tests.conftest import Running, StartServer
from tests.inboxes import ADA, GRACE, counts_agree, settled
from tests.postgres import Sql
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
