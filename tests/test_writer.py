"""The POST route's batches: strangers in one batch do not hurt each other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from notify_server.comments import CommentWriter
from notify_server.db import Database
from notify_server.errors import DatabaseLost, Forbidden, Invalid, NotFound, NotifyError, OutcomeUnknown, Overloaded
from notify_server.inbox import Change, Notification
from notify_server.posts import Posts, load_id_columns
from notify_server.sql import Query
from tests.clients import NodeClients
from tests.conftest import Running
from tests.postgres import Sql, sql
from tests.waiting import eventually

ADA, GRACE = "1", "2"

# What many an app has: each comment updates its post's row.
COUNTER = """
    ALTER TABLE posts ADD comments int NOT NULL DEFAULT 0;
    CREATE FUNCTION count_up() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN UPDATE posts SET comments = comments + 1 WHERE id = NEW.post_id; RETURN NULL; END $$;
    CREATE TRIGGER count_up AFTER INSERT ON comments FOR EACH ROW EXECUTE FUNCTION count_up()"""


@pytest.fixture
def delivered() -> list[Notification]:
    return []


@pytest.fixture
async def writer(db: Database, delivered: list[Notification]) -> CommentWriter:
    def told(changes: list[Change]) -> None:
        delivered.extend(notification for change in changes for notification in change.added)

    return CommentWriter(db, await load_id_columns(db), told)


async def outcome(work: Any) -> Any:
    try:
        return await work
    except NotifyError as error:
        return error


@pytest.fixture
def held_post(direct_url: str) -> Iterator[Sql]:
    """Post 2, FOR UPDATE in somebody's open transaction."""
    with sql(direct_url) as holder:
        holder.run("BEGIN")
        holder.run("SELECT * FROM posts WHERE id = 2 FOR UPDATE")
        yield holder


async def test_three_hundred_at_once_each_get_their_own_answer(
    server: Running, nodes: NodeClients, other: Sql, held_post: Sql
) -> None:
    """10 unknown posts, 5 NULs, 5 lone surrogates, 5 that a constraint refuses, 5 on a post that somebody holds, and
    270 free ones."""
    other.run("ALTER TABLE comments ADD CONSTRAINT polite CHECK (body NOT LIKE 'rude%')")
    ada = await nodes.open(server.url, {"userId": 1}).connected()
    finished: dict[int, float] = {}
    started = time.monotonic()

    async def post(n: int) -> tuple[int, Any]:
        post_id, body = 1, f'"number {n}"'
        if n % 30 == 0:
            post_id = 1000 + n
        elif n % 60 == 1:
            body = '"nul \\u0000"'
        elif n % 60 == 2:
            body = '"half \\ud800"'
        elif n % 60 == 3:
            body = f'"rude {n}"'
        elif n % 60 == 4:
            post_id = 2
        async with server.http.post(
            f"{server.url}/posts/{post_id}/comments", data=f'{{"body": {body}}}',
            headers={"Authorization": f"User {3 if n % 60 == 4 else 2}", "Content-Type": "application/json"},
        ) as response:  # fmt: skip
            finished[n] = time.monotonic() - started
            return response.status, await response.json()

    posting = [asyncio.create_task(post(n)) for n in range(300)]
    free = [n for n in range(300) if n % 30 and n % 60 > 4]
    await asyncio.gather(*(posting[n] for n in free))
    assert len(free) == 270
    assert not any(posting[n].done() for n in range(300) if n % 60 == 4)
    held_post.run("COMMIT")
    answers = await asyncio.gather(*posting)
    for n, (status, body) in enumerate(answers):
        if n % 30 == 0:
            assert (status, body["code"]) == (404, "not_found")
        elif n % 60 in (1, 2):
            assert (status, body["code"], body["field"]) == (422, "invalid", "body")
        elif n % 60 == 3:
            assert (status, body["code"]) == (422, "refused")
        else:
            assert (status, body["body"]) == (200, f"number {n}")
    in_order = other.run(
        "SELECT (payload ->> 'commentId')::int FROM notify.notification WHERE user_id = '1' ORDER BY seq"
    )
    assert sorted(in_order) == sorted(body["id"] for n, (_, body) in enumerate(answers) if n in free)
    assert [event["commentId"] for event in await ada.notified(270)] == in_order
    assert other.value("SELECT count(*) FROM notify.notification WHERE user_id = '2'") == 5
    assert other.value("SELECT count(DISTINCT xmin::text) FROM comments") < 80  # commits that wrote one
    assert max(finished[n] for n in free) < 1.5


async def test_one_alone_waits_for_nobody(writer: CommentWriter) -> None:
    await writer.write(GRACE, "1", "warm up")
    started = time.monotonic()
    await writer.write(GRACE, "1", "alone")
    assert time.monotonic() - started < 0.1
    assert writer.commits == 2


async def test_those_that_wait_share_a_commit(writer: CommentWriter, delivered: list[Notification]) -> None:
    await asyncio.gather(*(writer.write(GRACE, "1", str(n)) for n in range(500)))
    assert writer.commits <= 4 + 4
    assert [one.seq for one in sorted(delivered, key=lambda one: one.seq)] == list(range(1, 501))


async def test_while_a_batch_is_in_flight_the_next_one_gathers(writer: CommentWriter, other: Sql) -> None:
    """A commit here takes 5 ms, and a comment comes each millisecond: one lane keeps up."""
    other.run("""
        CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(0.005); RETURN NULL; END $$;
        CREATE TRIGGER take_time BEFORE INSERT ON comments FOR EACH STATEMENT EXECUTE FUNCTION take_time()""")
    writing = []
    for n in range(100):
        writing.append(asyncio.create_task(writer.write(GRACE, "1", str(n))))
        await asyncio.sleep(0.001)
    await asyncio.gather(*writing)
    assert writer.commits < 50


async def test_behind_a_batch_that_takes_long_nobody_waits_long(writer: CommentWriter, other: Sql) -> None:
    other.run("""
        CREATE FUNCTION slow_down() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.body = 'slow' THEN PERFORM pg_sleep(1); END IF; RETURN NEW; END $$;
        CREATE TRIGGER slow_down BEFORE INSERT ON comments FOR EACH ROW EXECUTE FUNCTION slow_down()""")
    slow = asyncio.create_task(writer.write(GRACE, "1", "slow"))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    await asyncio.gather(*(writer.write(GRACE, "1", str(n)) for n in range(5)))
    assert time.monotonic() - started < 0.5
    assert not slow.done()
    await slow


async def test_each_answer_is_its_own_row_s_even_where_a_trigger_changes_the_text(
    writer: CommentWriter, other: Sql
) -> None:
    other.run("""
        CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.body := upper(NEW.body); RETURN CASE WHEN NEW.body LIKE 'SKIP%' THEN NULL ELSE NEW END; END $$;
        CREATE TRIGGER shout BEFORE INSERT ON comments FOR EACH ROW EXECUTE FUNCTION shout()""")
    answers = await asyncio.gather(
        *(outcome(writer.write(GRACE, str(1 + n % 2), f"skip {n}" if n % 7 == 0 else f"row {n}")) for n in range(100))
    )
    for n, answer in enumerate(answers):
        if n % 7 == 0:
            assert isinstance(answer, Invalid)
            assert answer.code == "refused"
        else:
            assert (answer["body"], answer["postId"]) == (f"ROW {n}", 1 + n % 2)


async def test_a_comment_that_the_app_s_trigger_inserts_notifies_as_well(
    server: Running, nodes: NodeClients, other: Sql
) -> None:
    other.run("""
        CREATE FUNCTION answer() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF pg_trigger_depth() = 1 THEN
                INSERT INTO comments (post_id, author_id, body) VALUES (NEW.post_id, 3, 'bot');
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER answer AFTER INSERT ON comments FOR EACH ROW EXECUTE FUNCTION answer()""")
    ada = await nodes.open(server.url, {"userId": 1}).connected()
    await server.comment(2, 1)
    assert sorted(event["fromUser"] for event in await ada.notified(2)) == ["Grace", "Linus"]


@pytest.mark.parametrize("deferred", ["", "DEFERRABLE INITIALLY DEFERRED"])
async def test_a_constraint_trigger_refuses_its_own_row_alone(writer: CommentWriter, other: Sql, deferred: str) -> None:
    other.run(f"""
        CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.body LIKE 'bad%' THEN RAISE EXCEPTION 'no %', NEW.body; END IF; RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER judge AFTER INSERT ON comments {deferred} FOR EACH ROW EXECUTE FUNCTION judge()""")
    answers = await asyncio.gather(
        *(outcome(writer.write(GRACE, "1", f"{'bad' if n in (17, 60) else 'good'} {n}")) for n in range(100))
    )
    refused = [n for n, answer in enumerate(answers) if isinstance(answer, Invalid)]
    assert refused == [17, 60]
    assert other.value("SELECT count(*) FROM comments") == 98
    assert writer.commits < 60


async def test_a_counter_on_posts_does_not_deadlock(writer: CommentWriter, other: Sql) -> None:
    other.run(COUNTER)
    other.run("INSERT INTO posts (author_id, title, body) SELECT 1, '', '' FROM generate_series(1, 30)")
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    answers = await asyncio.gather(*(outcome(writer.write(GRACE, str(1 + (n * 7) % 32), str(n))) for n in range(1500)))
    assert [answer for answer in answers if isinstance(answer, NotifyError)] == []
    assert other.value("SELECT sum(comments) FROM posts") == 1500
    assert other.value(deadlocks) == 0
    assert writer.commits < 80  # 8; unsorted, batches run into each other, and it takes 101


async def test_a_counter_row_that_somebody_holds_delays_its_own_comment_alone(
    writer: CommentWriter, other: Sql, direct_url: str
) -> None:
    """Held FOR NO KEY UPDATE, as by any UPDATE: only the app's own trigger runs into it."""
    other.run(COUNTER)
    with sql(direct_url) as holder:
        holder.run("BEGIN")
        holder.run("UPDATE posts SET title = 'held' WHERE id = 2")
        writing = [asyncio.create_task(writer.write(GRACE, "2" if n == 25 else "1", str(n))) for n in range(50)]
        await asyncio.gather(*(task for n, task in enumerate(writing) if n != 25))
        assert not writing[25].done()
        holder.run("COMMIT")
        assert (await writing[25])["body"] == "25"


@pytest.mark.parametrize("code", ["AB001", "42501", "P0001", "XY123"])
async def test_whatever_code_the_app_s_trigger_raises_it_is_its_own_row_s_alone(
    writer: CommentWriter, other: Sql, code: str
) -> None:
    other.run(f"""
        CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.body = 'bad' THEN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER judge BEFORE INSERT ON comments FOR EACH ROW EXECUTE FUNCTION judge()""")
    answers = await asyncio.gather(
        *(outcome(writer.write(GRACE, "1", "bad" if n == 40 else str(n))) for n in range(100))
    )
    assert [n for n, answer in enumerate(answers) if isinstance(answer, NotifyError)] == [40]
    assert (answers[40].status, answers[40].code) == (422, "refused")


async def test_many_that_wait_for_a_held_post_do_not_hold_up_the_others(
    writer: CommentWriter, other: Sql, direct_url: str
) -> None:
    """250 behind one counter row that somebody holds, among them 3 that are free; then one post's lock is released."""
    other.run(COUNTER)
    other.run("INSERT INTO posts (author_id, title, body) VALUES (1, '', '')")
    with sql(direct_url) as holder, sql(direct_url) as shorter:
        for held, post in ((holder, 2), (shorter, 3)):
            held.run("BEGIN")
            held.run(f"UPDATE posts SET title = 'held' WHERE id = {post}")
        writing = [
            asyncio.create_task(outcome(writer.write(GRACE, "1" if n % 80 == 7 else "2", str(n)))) for n in range(250)
        ]
        third = asyncio.create_task(outcome(writer.write(GRACE, "3", "third")))
        started = time.monotonic()
        await asyncio.gather(*(task for n, task in enumerate(writing) if n % 80 == 7))
        assert time.monotonic() - started < 1.5
        shorter.run("COMMIT")
        assert (await third)["body"] == "third"
        assert time.monotonic() - started < 4.5
        holder.run("COMMIT")
        answers = await asyncio.gather(*writing)
    assert [answer for answer in answers if isinstance(answer, NotifyError)] == []
    assert other.value("SELECT count(*) FROM comments") == 251


async def test_a_post_held_for_too_long_is_503(writer: CommentWriter, held_post: Sql) -> None:
    assert held_post
    started = time.monotonic()
    answer = await outcome(writer.write(GRACE, "2", "patient"))
    assert (answer.status, answer.retry_after_s) == (503, 1)
    assert time.monotonic() - started < 10


async def test_a_post_that_is_deleted_while_its_comment_waits_is_no_post(
    writer: CommentWriter, direct_url: str, other: Sql
) -> None:
    with sql(direct_url) as deleter:
        deleter.run("BEGIN")
        deleter.run("DELETE FROM posts WHERE id = 2")
        writing = asyncio.create_task(outcome(writer.write(GRACE, "2", "too late")))
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        await eventually(lambda: bool(other.value(waits)))
        deleter.run("COMMIT")
        assert isinstance(await writing, NotFound)


async def test_too_many_waiting_is_503(db: Database, held_post: Sql) -> None:
    assert held_post
    ids = await load_id_columns(db)
    small = CommentWriter(db, ids, lambda _rows: None, max_waiting=3, slow_waiting=1)
    answers = await asyncio.gather(*(outcome(small.write(GRACE, "1", str(n))) for n in range(20)))
    assert sum(isinstance(answer, Overloaded) for answer in answers) == 17
    blocked = await asyncio.gather(*(outcome(small.write(GRACE, "2", str(n))) for n in range(3)))
    assert sum(isinstance(answer, Overloaded) for answer in blocked) >= 1
    await small.close()


async def test_who_nobody_knows_and_what_is_not_there(writer: CommentWriter) -> None:
    for user, post, error in (
        ("99", "1", Forbidden), ("nobody", "1", Forbidden), ("1", "99", NotFound), ("1", "x", NotFound),
        ("1", "01", NotFound), ("1", "1.0", NotFound), ("1", "2147483648", NotFound), ("1", "٣", NotFound),
    ):  # fmt: skip
        with pytest.raises(error):
            await writer.write(user, post, "Hello")


# --- a COMMIT whose answer is lost --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["create_post", "delete_comment"])
async def test_the_small_writes_say_so_too_when_their_answer_is_lost(
    db: Database, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    posts = Posts(db, await load_id_columns(db))

    async def lose(*_args: Any, **_values: Any) -> Any:
        raise DatabaseLost("gone")

    monkeypatch.setattr(db, "value", lose)
    with pytest.raises(OutcomeUnknown):
        await (posts.create_post(ADA, "t", "b") if method == "create_post" else posts.delete_comment(ADA, "1"))


class LosingDatabase:
    """Loses the answer to the first batch, after it committed or before it was sent; then the look-ups, if told so."""

    def __init__(self, db: Database, *, committed: bool, lose_look_ups: bool = False) -> None:
        self._db, self._committed, self._lose_look_ups = db, committed, lose_look_ups
        self.lost = 0

    async def value(self, query: Query, *args: Any, **values: Any) -> Any:
        if query.name == "comments.post_comments" and not self.lost:
            self.lost += 1
            if self._committed:
                await self._db.value(query, *args, **values)
            raise DatabaseLost("gone")
        if query.name == "comments.learn_batch" and self._lose_look_ups:
            raise DatabaseLost("gone")
        return await self._db.value(query, *args, **values)


async def losing_writer(db: Database, **how: Any) -> CommentWriter:
    return CommentWriter(LosingDatabase(db, **how), await load_id_columns(db), lambda _rows: None)  # type: ignore[arg-type]


async def test_a_lost_answer_to_a_commit_is_looked_up(db: Database, other: Sql) -> None:
    writer = await losing_writer(db, committed=True)
    comment = await writer.write(GRACE, "1", "written")
    assert other.run("SELECT id, body FROM comments") == [(comment["id"], "written")]
    assert comment.keys() == {"id", "postId", "authorId", "body", "createdAt"}


async def test_a_batch_that_did_not_commit_is_told_so_and_never_will(db: Database, other: Sql) -> None:
    writer = await losing_writer(db, committed=False)
    answer = await outcome(writer.write(GRACE, "1", "not written"))
    assert (answer.status, answer.code) == (503, "unavailable")
    assert other.value("SELECT count(*) FROM comments") == 0
    (batch_id,) = other.run("SELECT id::text FROM notify.batch")
    with pytest.raises(Exception, match="batch_pkey"):
        other.run(
            "SELECT notify.post_comments_v3(%s, %s, false)",
            '[{"n": 0, "post_id": "1", "author_id": "2", "body": "late"}]', batch_id,
        )  # fmt: skip
    assert other.value("SELECT count(*) FROM comments") == 0


async def test_where_it_cannot_be_learnt_the_answer_says_so(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify_server.comments._LOOK_UP_S", 0.3)
    writer = await losing_writer(db, committed=True, lose_look_ups=True)
    answer = await outcome(writer.write(GRACE, "1", "who knows"))
    assert isinstance(answer, OutcomeUnknown)
    assert (answer.status, answer.code) == (503, "outcome_unknown")


async def test_a_payload_with_a_number_beyond_a_double_s_range_fails_nobody(server: Running, other: Sql) -> None:
    other.run("""
        CREATE OR REPLACE VIEW notify.drafts AS
        SELECT c.id AS comment_id, p.author_id::text AS user_id, 'comment' AS type,
               jsonb_build_object('n', 1e400::numeric) AS payload,
               'post:' || p.id AS topic, c.author_id::text AS actor_id, p.id::text AS post_id
        FROM notify.comments c JOIN notify.posts p ON p.id = c.post_id""")
    comment = await server.comment(2, 1)
    assert other.run("SELECT id FROM comments") == [comment["id"]]
    assert other.value("SELECT count(*) FROM notify.notification") == 1
