"""The counts of an inbox are kept, not counted: whatever happens at once, they equal the rows."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg2
import pytest

from notify_server.comments import CommentWriter
from notify_server.db import Database
from notify_server.drain import Drain
from notify_server.errors import NotFound, Unavailable
from notify_server.inbox import Change, InboxKeeper
from notify_server.posts import Posts, load_id_columns
from tests.conftest import open_database
from tests.inboxes import counts_agree, deliver, settled
from tests.postgres import Sql, sql
from tests.waiting import eventually

PEOPLE = 6
POSTS = 12
SECONDS = 6.0
SEED = 20261123

Move = Callable[[Sql, random.Random], object]


def marks(program: Sql, chance: random.Random) -> None:
    user = str(chance.randint(1, PEOPLE))
    some = [chance.randint(1, 400) for _ in range(chance.randint(0, 30))]
    upto = chance.randint(0, 600)
    function, *values = chance.choice(
        [
            ("mark_seen_v1(%s, %s, %s)", upto, chance.randint(1, 50)),
            ("mark_read_v1(%s, %s::bigint[], NULL, NULL, 1000)", some),
            ("mark_read_v1(%s, NULL, NULL, %s, %s)", upto, chance.randint(1, 50)),
            ("mark_read_v1(%s, NULL, %s, NULL, %s)", f"post:{chance.randint(1, POSTS)}", chance.randint(1, 50)),
            ("mark_unread_v1(%s, %s::bigint[])", some),
            ("delete_notifications_v1(%s, %s::bigint[])", some),
        ]
    )
    program.run(f"SELECT notify.{function}", user, *values)


def sends(program: Sql, chance: random.Random) -> None:
    program.run(
        "SELECT notify.send(u::text, 'note', '{}', 'post:' || (u %% %s + 1)) FROM unnest(%s) u",
        POSTS, [chance.randint(1, PEOPLE) for _ in range(chance.randint(1, 20))],
    )  # fmt: skip
    time.sleep(0.02)


def comments(program: Sql, chance: random.Random) -> None:
    with contextlib.suppress(psycopg2.errors.ForeignKeyViolation):  # a post that is deleted at that moment
        program.run(
            "INSERT INTO comments (post_id, author_id, body)"
            " SELECT 1 + (random() * (%s - 1))::int, 1 + (random() * (%s - 1))::int, '' FROM generate_series(1, %s)",
            POSTS, PEOPLE, chance.randint(1, 15),
        )  # fmt: skip
    time.sleep(0.02)


def retracts(program: Sql, chance: random.Random) -> None:
    """One post at a time: the app's own transactions are not to deadlock with each other."""
    person, post = chance.randint(1, PEOPLE), chance.randint(1, POSTS)
    moves: list[tuple[Any, ...]] = [
            ("DELETE FROM comments WHERE id IN (SELECT id FROM comments ORDER BY random() LIMIT 10)",),
            ("DELETE FROM comments WHERE id > (SELECT max(id) - 3 FROM comments)",),
            ("UPDATE posts SET author_id = %s WHERE id = %s", person, post),
            ("UPDATE comments SET author_id = %s WHERE id IN (SELECT max(id) FROM comments)", person),
            ("UPDATE comments SET post_id = %s WHERE id IN (SELECT max(id) FROM comments)", post),
            (
                "BEGIN; DELETE FROM posts WHERE id = %s; INSERT INTO posts (id, author_id, title, body)"
                " VALUES (%s, %s, '', ''); COMMIT",
                post, post, person,
            ),
        ]  # fmt: skip
    statement, *values = chance.choice(moves)
    try:
        program.run(statement, *values)
    except psycopg2.errors.ForeignKeyViolation:  # someone commented on the post at that moment
        program.run("ROLLBACK")
    time.sleep(0.01)


def prunes(program: Sql, chance: random.Random) -> None:
    time.sleep(0.02)
    after: str | None = None
    while True:
        answer = program.value(
            "SELECT notify.prune_v1(now() - interval '400 ms', %s, %s, %s)", after, chance.randint(1, 4),
            chance.randint(1, 40),
        )  # fmt: skip
        after = None if answer["busy"] else answer["last"]
        if after is None:
            return


def mutes(program: Sql, chance: random.Random) -> None:
    user, topic = str(chance.randint(1, PEOPLE)), f"post:{chance.randint(1, POSTS)}"
    program.run("SELECT notify.mute_v1(%s, %s, 1000)", user, topic)
    time.sleep(0.005)
    program.run("DELETE FROM notify.mute WHERE user_id = %s AND topic = %s", user, topic)


MOVES: list[Move] = [marks, marks, sends, comments, retracts, prunes, mutes]


class Crowd:
    """Threads with a connection each that make their moves until they are told to stop."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self.errors: list[str] = []
        self.moves: dict[str, int] = dict.fromkeys((move.__name__ for move in MOVES), 0)
        self._threads = [
            threading.Thread(target=self._run, args=(move, random.Random(SEED + n))) for n, move in enumerate(MOVES)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, move: Move, chance: random.Random) -> None:
        with sql(self._url) as program:
            while not self._stop.is_set():
                try:
                    move(program, chance)
                    self.moves[move.__name__] += 1
                except psycopg2.Error as error:
                    self.errors.append(f"{move.__name__}: {error.pgcode} {error}")
                    return


@pytest.fixture
def crowd(direct_url: str) -> Iterator[Crowd]:
    crowd = Crowd(direct_url)
    yield crowd
    crowd.stop()


@pytest.fixture
def town(other: Sql) -> Sql:
    """Six people with two posts each."""
    other.run("INSERT INTO users (name) SELECT 'person ' || n FROM generate_series(4, %s) n", PEOPLE)
    other.run(
        "INSERT INTO posts (author_id, title, body) SELECT 1 + n %% %s, '', '' FROM generate_series(3, %s) n",
        PEOPLE, POSTS,
    )  # fmt: skip
    return other


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Database]:
    db = open_database(url, size=8)
    yield db
    await db.close()


async def hammer(db: Database, told: Callable[[list[Change]], None], until: float) -> dict[str, int]:
    """The server's own objects, until then. How often something went well."""
    ids = await load_id_columns(db)
    writer, posts, keeper = CommentWriter(db, ids, told), Posts(db, ids), InboxKeeper(db, told, step_rows=20)
    done = {"posted": 0, "deleted": 0, "marked": 0, "in the way": 0}

    async def work(name: str, attempt: Callable[[random.Random], Any], seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < until:
            try:
                await attempt(chance)
                done[name] += 1
            except (NotFound, Unavailable):  # the post was deleted, or held
                done["in the way"] += 1
            await asyncio.sleep(0)

    def someone(chance: random.Random) -> str:
        return str(chance.randint(1, PEOPLE))

    async def post(chance: random.Random) -> None:
        await writer.write(someone(chance), str(chance.randint(1, POSTS)), "")

    async def post_and_delete(chance: random.Random) -> None:
        comment = await writer.write(user := someone(chance), str(chance.randint(1, POSTS)), "")
        await posts.delete_comment(user, str(comment["id"]))

    async def mark(chance: random.Random) -> None:
        user, seq = someone(chance), chance.randint(1, 400)
        match chance.randint(0, 4):
            case 0:
                await keeper.mark_seen(user, seq)
            case 1:
                await keeper.mark_read(user, upto=seq)
            case 2:
                await keeper.mark_read(user, topic=f"post:{chance.randint(1, POSTS)}")
            case 3:
                await keeper.mark_unread(user, range(seq, seq + 50))
            case _:
                await keeper.delete(user, range(seq, seq + 20))

    await asyncio.gather(
        *(work("posted", post, n) for n in range(8)),
        *(work("deleted", post_and_delete, n) for n in range(8, 12)),
        *(work("marked", mark, n) for n in range(12, 16)),
    )
    await writer.close()
    return done


def deadlocks(other: Sql) -> int:
    """PostgreSQL's own count of this database, of sessions that have ended as well."""
    found: int = other.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return found


@pytest.mark.usefixtures("server")
async def test_counts_equal_the_rows_after_everything_at_once(pool: Database, town: Sql, crowd: Crowd) -> None:
    """With a server beside it, which drains, reconciles and prunes."""
    changes: list[Change] = []
    crowd.start()
    watching = asyncio.create_task(asyncio.to_thread(watch, crowd, town, until := time.monotonic() + SECONDS))
    done = await hammer(pool, changes.extend, until)
    disagreements = await watching
    await asyncio.to_thread(crowd.stop)
    await eventually(lambda: settled(town), timeout_s=20)
    assert crowd.errors == []
    assert disagreements == 0
    assert counts_agree(town)
    assert town.value("SELECT count(*) FROM notify.poison") == 0
    assert deadlocks(town) == 0
    assert all(made > 5 for made in crowd.moves.values()), crowd.moves
    assert done["posted"] > 50, done
    assert done["marked"] > 50, done
    assert done["deleted"] > 10, done
    assert done["in the way"] < sum(done.values()) / 10, done
    # A step of an inbox is told once: by whoever made it, and as one version.
    told = [(change.user_id, change.to) for change in changes]
    assert len(told) == len(set(told))
    assert all(change.to == change.since + 1 for change in changes)
    for change in changes:
        assert change.body["unread"] >= change.body["unseen"] >= 0, change
    assert everybody_is_told_of_what_is_there(town)


def watch(crowd: Crowd, other: Sql, until: float) -> int:
    """How often, at a commit in between, the counts did not equal the rows."""
    wrong = 0
    while time.monotonic() < until and not crowd.errors:
        wrong += not counts_agree(other)
        time.sleep(0.1)
    return wrong


def everybody_is_told_of_what_is_there(other: Sql) -> bool:
    """No comment that is gone has a notification."""
    return bool(
        other.value("""
            SELECT count(*) = 0 FROM notify.notification n
            WHERE n.comment_id IS NOT NULL AND NOT EXISTS (SELECT FROM comments c WHERE c.id = n.comment_id::int)""")
    )


async def test_all_changes_of_an_inbox_form_one_chain(db: Database, other: Sql, direct_url: str) -> None:
    """Everybody who changes it tells it: the drain, the writer, the keeper. Together they leave no version out."""
    told: list[Change] = []
    ids = await load_id_columns(db)
    writer, keeper = CommentWriter(db, ids, told.extend), InboxKeeper(db, told.extend, step_rows=2)
    draining = asyncio.create_task(Drain(db, told.extend).run())
    with sql(direct_url) as program:
        for n in range(15):
            program.run("SELECT notify.send('1', 'note')")
            comment, *_ = await asyncio.gather(
                writer.write("2", "1", str(n)), keeper.mark_seen("1", 2**40), keeper.mark_read("1", upto=2 * n),
                keeper.mark_unread("1", [n, n + 1]), keeper.delete("1", [n]),
            )  # fmt: skip
            program.run("DELETE FROM comments WHERE id = %s", comment["id"])
            program.run("INSERT INTO comments (post_id, author_id, body) VALUES (1, 3, ''), (1, 2, '')")
    await eventually(lambda: settled(other))
    version = "SELECT version FROM notify.inbox WHERE user_id = '1'"
    await eventually(lambda: max(change.to for change in told) == other.value(version))
    draining.cancel()
    chain = sorted((change for change in told if change.user_id == "1"), key=lambda change: change.to)
    assert [change.since for change in chain] == list(range(len(chain)))
    assert all(change.to == change.since + 1 for change in chain)
    assert counts_agree(other)

    # Whoever applies them in order has what is there.
    entries: dict[int, tuple[bool, bool]] = {}  # (seen, read)
    for change in chain:
        body = change.body
        entries.update({entry["seq"]: (False, False) for entry in body.get("added", ())})
        for seq in body.get("removed", ()):
            del entries[seq]
        if "markedSeen" in body:
            upto = body["markedSeen"]["upTo"]
            entries.update({seq: (True, read) for seq, (_, read) in entries.items() if seq <= upto})
        entries.update(dict.fromkeys(body.get("markedRead", {}).get("seqs", ()), (True, True)))
        entries.update(dict.fromkeys(body.get("markedUnread", {}).get("seqs", ()), (True, False)))
        assert body["unseen"] == sum(not seen for seen, _ in entries.values()), body
        assert body["unread"] == sum(not read for _, read in entries.values()), body
    rows = other.run(
        "SELECT seq, seen_at IS NOT NULL, read_at IS NOT NULL FROM notify.notification WHERE user_id = '1'"
    )
    assert entries == {seq: (seen, read) for seq, seen, read in rows}


async def test_counting_reads_no_notification(db: Database, other: Sql) -> None:
    deliver(other, 3000)
    (plan,) = other.run(
        "EXPLAIN (ANALYZE, FORMAT JSON) SELECT i.unread, i.unseen, i.version FROM notify.inbox i WHERE i.user_id = '1'"
    )
    assert "notification" not in json.dumps(plan)
    counts = await InboxKeeper(db, lambda _changes: None).counts("1")
    assert (counts.unread, counts.unseen, counts.version) == (3000, 3000, 1)


def test_inboxes_that_come_to_be_at_once_are_made_once(other: Sql, direct_url: str) -> None:
    """Deliveries to people who have no inbox yet, in every order, from four connections."""
    errors: list[Exception] = []

    def run(order: tuple[int, ...]) -> None:
        with sql(direct_url) as program:
            try:
                for base in range(100, 1100, 10):
                    program.run(
                        "SELECT notify.deliver_v2(ARRAY(SELECT ((%s + u)::text, 'note', '{}', NULL, NULL, NULL, NULL)"
                        "::notify.draft FROM unnest(%s) u))",
                        base, list(order),
                    )  # fmt: skip
            except psycopg2.Error as error:
                errors.append(error)

    threads = [threading.Thread(target=run, args=(order,)) for order in list(itertools.permutations(range(4)))[::6]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert other.value("SELECT count(*) FROM notify.inbox WHERE unread = 4 AND version = 4") == 400
    assert counts_agree(other)
    assert deadlocks(other) == 0
