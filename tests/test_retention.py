"""What is older than RETENTION_DAYS leaves the inboxes, a little at a time."""

from __future__ import annotations

import asyncio
import itertools
import os
import pty
import re
from collections.abc import Iterator
from typing import Any

import pytest

from notify_server import retention
from notify_server.db import Database
from notify_server.inbox import Inbox, InboxKeeper
from notify_server.retention import Retention
from tests.clients import NodeClients
from tests.conftest import StartServer
from tests.inboxes import ADA, GRACE, LINUS, counts_agree, deliver, prune, seqs
from tests.postgres import Sql, sql
from tests.processes import PROGRAM, Start, environment
from tests.waiting import eventually

PRUNE_LOCK = 7237404  # prune_v1's


def age(other: Sql, days: float, condition: str = "true") -> None:
    other.run(
        f"UPDATE notify.notification SET created_at = now() - make_interval(secs => %s) WHERE {condition}",
        days * 86400,
    )  # fmt: skip


def pruned_upto(other: Sql, user: int = ADA) -> int:
    found: int = other.value("SELECT pruned_upto FROM notify.inbox WHERE user_id = %s", str(user))
    return found


@pytest.fixture
def old(other: Sql) -> Sql:
    """Ten notifications: 1 to 3 are read, 4 seen; 1 to 6 are too old, 7 is just young enough."""
    deliver(other, 10)
    other.run("SELECT notify.mark_read_v1('1', ARRAY[1, 2, 3], NULL, NULL, 1000), notify.mark_seen_v1('1', 4, 1000)")
    age(other, 91, "seq <= 6")
    age(other, 89.99, "seq = 7")
    return other


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_INBOXES", 3)
    monkeypatch.setattr(retention, "_ROWS", 4)
    monkeypatch.setattr(retention, "_PAUSE_S", 0)


async def test_what_is_older_goes_and_nothing_younger(db: Database, old: Sql) -> None:
    assert await Retention(db, 90).prune() == 6
    assert seqs(old) == [7, 8, 9, 10]
    counts = await InboxKeeper(db, lambda _changes: None).counts("1")
    assert (counts.unread, counts.unseen) == (4, 4)
    assert pruned_upto(old) == 6
    assert counts_agree(old)
    assert await Retention(db, 90).prune() == 0
    deliver(old)
    assert seqs(old)[-1] == 11  # seqs are not used again
    assert (await Inbox(db).state("1")).pruned_upto == 6


async def test_a_whole_inbox_may_go(db: Database, other: Sql) -> None:
    deliver(other, 5)
    age(other, 91)
    assert await Retention(db, 90).prune() == 5
    assert other.run("SELECT last_seq, unread, unseen, pruned_upto FROM notify.inbox") == [(5, 0, 0, 5)]
    deliver(other)
    assert seqs(other) == [6]
    assert counts_agree(other)


async def test_in_small_steps_all_of_it_goes(db: Database, other: Sql, small_steps: None) -> None:
    """11 inboxes of 0 to 10 old ones, and 2 young ones each."""
    for user in range(11):
        deliver(other, user, user=user)
    age(other, 91)
    for user in range(11):
        deliver(other, 2, user=user)
    told: list[int] = []
    assert await Retention(db, 90).prune(told.append) == 55
    assert told[-1] == 55
    assert told == sorted(told)
    assert max(later - earlier for earlier, later in zip([0, *told], told, strict=False)) <= 3 * 4
    assert len(told) >= 6
    assert other.value("SELECT count(*) FROM notify.notification") == 22
    assert other.run("SELECT count(*) FROM notify.notification GROUP BY user_id") == [2] * 11
    assert other.value("SELECT bool_and(pruned_upto = last_seq - 2) FROM notify.inbox")
    assert counts_agree(other)


async def test_a_step_takes_no_longer_than_a_delivery_may_wait(db: Database, other: Sql) -> None:
    """Whoever delivers to an inbox of a step waits for all of it: 500 inboxes with plenty to delete in each."""
    other.run("""
        INSERT INTO notify.inbox (user_id, last_seq, unread, unseen)
        SELECT n::text, 100, 100, 100 FROM generate_series(1, 500) n;
        INSERT INTO notify.notification (user_id, seq, type, payload, topic, actor_id, post_id, comment_id, created_at)
        SELECT u::text, s, 'comment', '{}', 'post:1', '2', '1', (u * 1000 + s)::text, now() - interval '100 days'
        FROM generate_series(1, 500) u, generate_series(1, 100) s""")
    steps: list[int] = []
    assert await Retention(db, 90).prune(steps.append) == 50_000
    assert max(later - earlier for earlier, later in itertools.pairwise([0, *steps])) <= 25_000
    assert counts_agree(other)


async def test_each_step_is_a_transaction_of_its_own(db: Database, other: Sql, small_steps: None) -> None:
    """What others do between two steps stands, and counts."""
    deliver(other, 12)
    age(other, 91)
    left: list[int] = []

    def between(_pruned: int) -> None:
        left.append(len(seqs(other, "created_at < now() - interval '90 days'")))
        deliver(other, 1)
        other.run("SELECT notify.mark_seen_v1('1', 99, 1000)")

    await Retention(db, 90).prune(between)
    assert left[:3] == [8, 4, 0]
    assert seqs(other)[0] == 13
    assert counts_agree(other)


async def test_what_is_old_behind_something_young_waits_its_turn(db: Database, other: Sql) -> None:
    """A clock that was put back: it is left, not mistaken for the end."""
    deliver(other, 6)
    age(other, 91, "seq IN (1, 2, 5)")
    assert await Retention(db, 90).prune() in (2, 3)
    assert {3, 4, 6} <= set(seqs(other))
    assert counts_agree(other)


async def test_one_server_at_a_time_prunes(db: Database, old: Sql, direct_url: str) -> None:
    with sql(direct_url) as elsewhere:
        elsewhere.run("BEGIN")
        assert elsewhere.value("SELECT pg_try_advisory_xact_lock(%s)", PRUNE_LOCK)
        assert await Retention(db, 90).prune() is None
        elsewhere.run("COMMIT")
    assert len(seqs(old)) == 10
    assert await Retention(db, 90).prune() == 6


async def test_another_server_that_begins_meanwhile_does_not_end_it(
    db: Database, other: Sql, direct_url: str, small_steps: None
) -> None:
    for user in range(5):
        deliver(other, 6, user=user)
    age(other, 91)
    with sql(direct_url) as elsewhere:

        def meanwhile(pruned: int) -> None:
            if pruned == 12:
                elsewhere.run("BEGIN")
                elsewhere.run("SELECT pg_advisory_xact_lock(%s)", PRUNE_LOCK)
                asyncio.get_running_loop().call_later(0.1, elsewhere.run, "COMMIT")

        async with asyncio.timeout(5):
            assert await Retention(db, 90).prune(meanwhile) == 30
    assert counts_agree(other)


async def test_a_held_inbox_is_left_for_the_next_time_and_nobody_waits(
    db: Database, other: Sql, direct_url: str
) -> None:
    for user in (ADA, GRACE, LINUS):
        deliver(other, 3, user=user)
    age(other, 91)
    with sql(direct_url) as holder:
        holder.run("BEGIN")
        holder.run("SELECT FROM notify.inbox WHERE user_id = '2' FOR UPDATE")
        async with asyncio.timeout(3):
            assert await Retention(db, 90).prune() == 6
        holder.run("COMMIT")
    assert [len(seqs(other, user=user)) for user in (ADA, GRACE, LINUS)] == [0, 3, 0]
    assert counts_agree(other)
    assert await Retention(db, 90).prune() == 3


async def test_a_pruned_comment_notifies_nobody_again(start_server: StartServer, other: Sql) -> None:
    other.run("INSERT INTO comments (post_id, author_id, body) VALUES (1, 2, '')")
    server = await start_server()
    await eventually(lambda: len(seqs(other)) == 1)
    age(other, 91)
    await eventually(lambda: prune(other) and seqs(other) == [])
    other.run("SELECT notify.append_v1('comment', ARRAY['1'])")  # as a scan would
    other.run("SELECT notify.append_v1('post', ARRAY['1'])")
    await server.comment(LINUS, 1)
    await eventually(lambda: other.value("SELECT count(*) FROM notify.outbox") == 0)
    assert seqs(other) == [2]


async def test_a_server_prunes_by_itself_and_open_tabs_are_told(
    start_server: StartServer, nodes: NodeClients, old: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_EVERY_S", 0.2)
    server = await start_server(retention_days=90)
    await eventually(lambda: seqs(old) == [7, 8, 9, 10])
    tab = await nodes.open(server.url, {"userId": ADA}).connected()

    def changes() -> list[dict[str, Any]]:
        return [body for (body,) in tab.named("notifications:changed")]

    await tab.until(lambda: len(changes()) == 1)
    age(old, 91, "seq = 7")
    await tab.until(lambda: len(changes()) == 2, timeout_s=3)
    first, second = changes()
    assert second["from"] == first["to"]
    assert (second["unread"], second["unseen"]) == (3, 3)
    assert second.get("reload") is True or second.get("removed") == [7]


async def test_retention_days_is_what_counts(start_server: StartServer, old: Sql) -> None:
    key = "INSERT INTO notify.request_key VALUES ('1', 'old', '', '{}', now() - interval '25 hours')"
    old.run(key)
    await start_server(retention_days=92)
    await eventually(lambda: old.value("SELECT count(*) FROM notify.request_key") == 0)  # forgotten after pruning
    assert len(seqs(old)) == 10
    await start_server(retention_days=1)
    await eventually(lambda: seqs(old) == [8, 9, 10])


# --- the command ----------------------------------------------------------------------------------------------------


async def test_the_command_says_how_many_it_deleted(start: Start, url: str, old: Sql) -> None:
    process = await start("prune", DATABASE_URL=url)
    assert await process.ended() == 0
    assert process.output == "deleted 6 notifications older than 90 days\n"
    assert seqs(old) == [7, 8, 9, 10]
    shorter = await start("prune", DATABASE_URL=url, RETENTION_DAYS=1)
    assert await shorter.ended() == 0
    assert shorter.output == "deleted 1 notifications older than 1 days\n"
    assert counts_agree(old)


async def test_the_command_says_when_another_server_is_at_it(start: Start, url: str, direct_url: str, old: Sql) -> None:
    with sql(direct_url) as elsewhere:
        elsewhere.run("BEGIN")
        elsewhere.run("SELECT pg_advisory_xact_lock(%s)", PRUNE_LOCK)
        process = await start("prune", DATABASE_URL=url)
        assert await process.ended() == 1
    assert process.output == "notify-server: another server is pruning at this moment\n"
    assert len(seqs(old)) == 10


@pytest.mark.parametrize("days", ["0", "99999999999"])
async def test_a_bad_retention_names_the_variable(start: Start, url: str, days: str) -> None:
    process = await start("prune", DATABASE_URL=url, RETENTION_DAYS=days)
    assert await process.ended() == 1
    assert re.match(r"notify-server: RETENTION_DAYS takes ", process.output)
    assert process.output.count("\n") == 1


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """(ours, the program's)"""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)


async def test_on_a_terminal_the_command_shows_how_far_it_is(
    url: str, other: Sql, terminal: tuple[int, int], tmp_path: Any
) -> None:
    deliver(other, 1200)
    age(other, 91)
    ours, theirs = terminal
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "prune", cwd=tmp_path, env=environment(DATABASE_URL=url), stdin=asyncio.subprocess.DEVNULL,
        stdout=theirs, stderr=theirs,
    )  # fmt: skip
    async with asyncio.timeout(20):
        assert await process.wait() == 0
    os.set_blocking(ours, False)
    output = os.read(ours, 65536).decode()
    os.close(theirs)
    shown = [int(number) for number in re.findall(r"\rdeleted (\d+)", output)]
    assert shown == sorted(shown)
    assert len(set(shown)) > 3
    assert shown[-2:] == [1200, 1200]
    assert output.endswith("deleted 1200 notifications older than 90 days\r\n")
    assert seqs(other) == []
