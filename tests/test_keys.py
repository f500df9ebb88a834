"""Idempotency-Key: a comment whose answer was lost may be sent again, and is written once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from notify_server.comments import CommentWriter
from notify_server.db import Database
from notify_server.errors import DatabaseAway, DatabaseLost, Invalid, NotFound, NotifyError, OutcomeUnknown
from notify_server.posts import load_id_columns
from notify_server.retention import Retention
from notify_server.sql import Query
from tests.conftest import Running, StartServer, open_database
from tests.inboxes import ADA, GRACE, LINUS, counts_agree, everything, inbox, settled
from tests.postgres import Sql, sql
from tests.waiting import eventually

COMMENTS = "SELECT count(*) FROM comments"
KEYS = "SELECT count(*) FROM notify.request_key"


async def post(
    server: Running, key: str | None = "key", body: Any = "Hello", *, user: int = GRACE, on: int | str = 1
) -> tuple[int, Any]:
    """(status, body)."""
    headers = {"Authorization": f"User {user}"} | ({} if key is None else {"Idempotency-Key": key})
    async with server.http.post(f"{server.url}/posts/{on}/comments", json={"body": body}, headers=headers) as response:
        if response.status in (409, 503):
            assert response.headers["Retry-After"] == "1"
        return response.status, await response.json()


async def outcome(work: Any) -> Any:
    try:
        return await work
    except NotifyError as error:
        return error


@pytest.fixture
async def writer(db: Database) -> CommentWriter:
    return CommentWriter(db, await load_id_columns(db), lambda _changes: None)


@pytest.fixture
def held_post(direct_url: str) -> Iterator[Sql]:
    """Post 2, FOR UPDATE in somebody's open transaction."""
    with sql(direct_url) as holder:
        holder.run("BEGIN")
        holder.run("SELECT * FROM posts WHERE id = 2 FOR UPDATE")
        yield holder


def waits_for_a_lock(other: Sql) -> bool:
    return bool(
        other.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND wait_event_type = 'Lock'")
    )  # fmt: skip


async def test_the_same_request_again_gets_the_same_answer(server: Running, other: Sql) -> None:
    status, comment = await post(server)
    assert status == 200
    for _ in range(3):
        assert await post(server) == (200, comment)
    assert other.value(COMMENTS) == 1
    assert inbox(other) == [comment["id"]]
    assert (await post(server, "Key"))[1]["id"] != comment["id"]  # keys are compared as they are
    assert (await post(server, None))[1]["id"] != (await post(server, None))[1]["id"]
    assert other.value(COMMENTS) == 4


async def test_the_answer_stays_when_the_comment_goes(server: Running, other: Sql) -> None:
    first = await post(server)
    other.run("DELETE FROM comments")
    assert await post(server) == first
    other.run("DELETE FROM posts")
    assert await post(server) == first
    assert other.value(COMMENTS) == 0
    await eventually(lambda: settled(other))
    assert inbox(other) == []


async def test_a_key_that_came_with_another_comment_is_422(server: Running, other: Sql) -> None:
    await post(server)
    for body, on in (("Hello!", 1), ("hello", 1), ("Hello", 2), ("Hello", 99)):
        status, answer = await post(server, body=body, on=on)
        assert (status, answer["code"], answer["field"]) == (422, "key_reused", "Idempotency-Key")
    assert (await post(server))[0] == 200
    assert other.value(COMMENTS) == 1


async def test_a_key_is_its_user_s_own(server: Running, other: Sql) -> None:
    before = everything(other, LINUS)
    _, hers = await post(server)
    status, his = await post(server, user=LINUS)
    assert status == 200
    assert his["id"] != hers["id"]
    assert (his["authorId"], hers["authorId"]) == (LINUS, GRACE)
    other.run("DELETE FROM notify.request_key WHERE user_id = '3'")
    assert everything(other, LINUS) == before


async def test_a_bad_key_is_422_by_its_name(server: Running, other: Sql) -> None:
    for key in ("", " ", "é", "a\tb", "x" * 256, "ключ", "\U0001f388"):
        status, answer = await post(server, key)
        assert (status, answer["code"], answer["field"]) == (422, "invalid", "Idempotency-Key"), key
    assert other.value(COMMENTS) == 0


async def test_what_a_key_may_be(server: Running, other: Sql) -> None:
    keys = ["x" * 255, str(uuid.uuid4()), "'; DROP TABLE comments; --", '"quoted"', "a b", "%s", "\\", "0"]
    for key in keys:
        assert (await post(server, key))[0] == 200
    assert sorted(other.run("SELECT key FROM notify.request_key")) == sorted(keys)


async def test_in_flight_is_409_and_then_the_comment(server: Running, other: Sql, held_post: Sql) -> None:
    first = asyncio.create_task(post(server, on=2))
    await eventually(lambda: waits_for_a_lock(other))
    for body in ("Hello", "another"):
        status, answer = await post(server, body=body, on=2)
        assert (status, answer["code"], answer["field"]) == (409, "key_in_flight", "Idempotency-Key")
    assert (await post(server, "other key"))[0] == 200
    assert (await post(server, user=LINUS))[0] == 200
    held_post.run("COMMIT")
    status, comment = await first
    assert status == 200
    assert await post(server, on=2) == (200, comment)
    assert other.value("SELECT count(*) FROM comments WHERE post_id = 2") == 1


async def test_a_client_that_went_away_finds_its_comment(server: Running, other: Sql, held_post: Sql) -> None:
    first = asyncio.create_task(post(server, on=2))
    await eventually(lambda: waits_for_a_lock(other))
    first.cancel()
    assert (await post(server, on=2))[1]["code"] == "key_in_flight"
    held_post.run("COMMIT")
    await eventually(lambda: other.value(COMMENTS) == 1)
    answer = await post(server, on=2)
    while answer[0] == 409:
        answer = await post(server, on=2)
    assert answer[0] == 200
    assert other.run("SELECT id FROM comments") == [answer[1]["id"]]


async def test_a_thousand_requests_with_one_key_are_one_comment(server: Running, other: Sql) -> None:
    answers = await asyncio.gather(*(post(server) for _ in range(1000)))
    assert {status for status, _ in answers} <= {200, 409}
    assert len({body["id"] for status, body in answers if status == 200}) == 1
    assert all(body["code"] == "key_in_flight" for status, body in answers if status == 409)
    assert other.value(COMMENTS) == 1
    assert len(inbox(other)) == 1
    assert counts_agree(other)


async def test_two_servers_race_with_the_same_keys(start_server: StartServer, other: Sql) -> None:
    servers = [await start_server(), await start_server()]
    answers = await asyncio.gather(
        *(post(servers[n % 2], f"key {n // 8}", f"number {n // 8}") for n in range(400))
    )  # fmt: skip
    ids: dict[int, set[int]] = {}
    for n, (status, body) in enumerate(answers):
        assert status in (200, 409), body
        if status == 200:
            ids.setdefault(n // 8, set()).add(body["id"])
            assert body["body"] == f"number {n // 8}"
    assert len(ids) == 50
    assert all(len(found) == 1 for found in ids.values())
    assert other.value(COMMENTS) == other.value(KEYS) == len(inbox(other)) == 50
    for n in range(50):
        assert (await post(servers[n % 2], f"key {n}", f"number {n}"))[1]["id"] in ids[n]


async def test_on_another_server_it_is_in_flight_too(start_server: StartServer, other: Sql, direct_url: str) -> None:
    """The row is written and its transaction open: an app's trigger waits for a lock."""
    other.run("""
        CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM set_config('lock_timeout', '3s', true); PERFORM pg_advisory_xact_lock(77); RETURN NULL; END $$;
        CREATE TRIGGER dawdle AFTER INSERT ON comments FOR EACH ROW EXECUTE FUNCTION dawdle()""")
    one, two = await start_server(), await start_server()
    with sql(direct_url) as holder:
        holder.run("SELECT pg_advisory_lock(77)")
        first = asyncio.create_task(post(one))
        await eventually(lambda: waits_for_a_lock(other))
        status, answer = await post(two)
        assert (status, answer["code"]) == (409, "key_in_flight")
        holder.run("SELECT pg_advisory_unlock(77)")
    assert (await first)[0] == 200
    assert await post(two) == await first
    assert other.value(COMMENTS) == 1


# --- what is not written takes no key -----------------------------------------------------------------------------


async def test_a_comment_that_was_not_written_takes_no_key(server: Running, other: Sql) -> None:
    other.run("ALTER TABLE comments ADD CONSTRAINT polite CHECK (body NOT LIKE 'rude%')")
    for on, body, user, status in (
        (99, "Hello", GRACE, 404), ("x", "Hello", GRACE, 404), (1, "rude", GRACE, 422), (1, "", GRACE, 422),
        (1, "Hello", 99, 403),
    ):  # fmt: skip
        for _ in range(2):  # and the second time the same, not `key_in_flight` or `key_reused`
            got, answer = await post(server, on=on, body=body, user=user)
            assert got == status
            assert answer.get("field") != "Idempotency-Key"
    assert other.value(KEYS) == 0
    assert (await post(server))[0] == 200


async def test_a_comment_that_a_trigger_swallows_takes_no_key(server: Running, other: Sql) -> None:
    other.run("""
        CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE TRIGGER swallow BEFORE INSERT ON comments FOR EACH ROW EXECUTE FUNCTION swallow()""")
    assert (await post(server))[1]["code"] == "refused"
    assert other.value(KEYS) == 0
    other.run("DROP TRIGGER swallow ON comments")
    assert (await post(server))[0] == 200


async def test_a_post_held_for_too_long_gives_the_key_back(
    writer: CommentWriter, held_post: Sql, other: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify_server.comments._SLOW_S", 0.5)
    answer = await outcome(writer.write("2", "2", "patient", "key"))
    assert (answer.status, answer.code) == (503, "unavailable")
    held_post.run("COMMIT")
    assert (await writer.write("2", "2", "patient", "key"))["body"] == "patient"
    assert other.value(COMMENTS) == 1


async def test_halving_keeps_every_key_with_its_own_comment(writer: CommentWriter, other: Sql) -> None:
    other.run("ALTER TABLE comments ADD CONSTRAINT polite CHECK (body NOT LIKE 'rude%')")

    async def write(n: int) -> Any:
        return await outcome(writer.write("2", str(1 + n % 2), f"{'rude' if n % 10 == 3 else 'kind'} {n}", f"key {n}"))

    first = await asyncio.gather(*(write(n) for n in range(60)))
    again = await asyncio.gather(*(write(n) for n in range(60)))
    for n in range(60):
        if n % 10 == 3:
            assert isinstance(first[n], Invalid)
            assert first[n].code == again[n].code == "refused"
        else:
            assert first[n] == again[n]
            assert (first[n]["body"], first[n]["postId"]) == (f"kind {n}", 1 + n % 2)
    assert other.value(COMMENTS) == other.value(KEYS) == 54
    assert len(inbox(other, ADA)) == 30


async def test_replays_and_new_ones_in_one_batch_each_get_their_own(writer: CommentWriter, other: Sql) -> None:
    old = [await writer.write("2", "1", f"old {n}", f"old {n}") for n in range(10)]

    async def write(n: int) -> Any:
        match n % 5:
            case 0:
                return await outcome(writer.write("2", "1", f"old {n // 5}", f"old {n // 5}"))
            case 1:
                return await outcome(writer.write("2", "1", "other text", f"old {n // 5}"))
            case 2:
                return await outcome(writer.write("2", "1", f"new {n}", f"new {n}"))
            case 3:
                return await outcome(writer.write("2", "99", "nowhere", f"new {n}"))
        return await outcome(writer.write("3", "1", f"plain {n}"))

    for _ in range(2):
        answers = [await write(n) for n in range(0, 50, 5)] + list(
            await asyncio.gather(*(write(n) for n in range(50) if n % 5))
        )
        assert answers[:10] == old
        rest = [n for n in range(50) if n % 5]
        for n, answer in zip(rest, answers[10:], strict=True):
            if n % 5 == 1:
                assert answer.code == "key_reused"
            elif n % 5 == 2:
                assert answer["body"] == f"new {n}"
            elif n % 5 == 3:
                assert isinstance(answer, NotFound)
            else:
                assert answer["body"] == f"plain {n}"
    assert other.value(COMMENTS) == 10 + 10 + 20
    assert counts_agree(other)


# --- a COMMIT whose answer is lost --------------------------------------------------------------------------------


class CutDatabase:
    """Cuts the connection of the first batch from PostgreSQL's side: behind its commit, or in the middle of it. The
    look-ups fail as well while `away`."""

    def __init__(self, db: Database, *, committed: bool, away: bool = False) -> None:
        self._db, self._committed, self.away = db, committed, away
        self.cut = False

    async def value(self, query: Query, *args: Any, **values: Any) -> Any:
        if query.name == "comments.post_comments" and not self.cut:
            self.cut = True
            if self._committed:
                await self._db.value(query, *args, **values)
            raise DatabaseLost("gone")
        if self.away and query.name == "comments.learn_batch":
            raise DatabaseAway("gone")
        return await self._db.value(query, *args, **values)


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("away", [True, False])
async def test_whatever_was_lost_the_same_key_again_is_safe(
    db: Database, other: Sql, monkeypatch: pytest.MonkeyPatch, committed: bool, away: bool
) -> None:
    monkeypatch.setattr("notify_server.comments._LOOK_UP_S", 0.2)
    cut = CutDatabase(db, committed=committed, away=away)
    writer = CommentWriter(cut, await load_id_columns(db), lambda _changes: None)  # type: ignore[arg-type]
    first = await outcome(writer.write("2", "1", "once", "key"))
    if away:
        assert isinstance(first, OutcomeUnknown)
    elif not committed:
        assert (first.status, first.code) == (503, "unavailable")
    again = await writer.write("2", "1", "once", "key")
    if committed and not away:
        assert again == first
    assert other.run("SELECT id, body FROM comments") == [(again["id"], "once")]
    assert len(inbox(other)) == 1


async def test_a_connection_that_is_cut_in_the_middle_of_a_batch(server: Running, other: Sql) -> None:
    """By PostgreSQL, while the app's trigger waits: nothing of it is written, and the same key writes it once."""
    other.run("""
        CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM set_config('lock_timeout', '9s', true); PERFORM pg_advisory_xact_lock(77); RETURN NULL; END $$;
        CREATE TRIGGER dawdle AFTER INSERT ON comments FOR EACH ROW EXECUTE FUNCTION dawdle()""")
    other.run("SELECT pg_advisory_lock(77)")
    first = asyncio.create_task(post(server))
    await eventually(lambda: waits_for_a_lock(other))
    other.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'"
    )
    other.run("SELECT pg_advisory_unlock(77)")
    status, _ = await first
    assert status in (200, 503)
    answer = await post(server)
    while answer[0] == 503:
        await asyncio.sleep(0.05)
        answer = await post(server)
    assert answer[0] == 200
    assert await post(server) == answer
    assert other.run("SELECT id FROM comments") == inbox(other) == [answer[1]["id"]]


async def test_connections_that_are_cut_all_the_time_write_each_key_once(
    server: Running, other: Sql, direct_url: str
) -> None:
    async def insist(n: int) -> int:
        while True:
            status, body = await post(server, f"key {n}", f"number {n}")
            if status == 200:
                found: int = body["id"]
                return found
            assert status in (409, 503), body
            await asyncio.sleep(0.02)

    async def write(worker: int) -> list[int]:
        return [await insist(n) for n in range(worker, 200, 10)]

    async def cut() -> int:
        """How many connections."""
        count = 0
        with sql(direct_url) as cutter:
            while not writing.done():
                count += len(
                    cutter.run(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                        " AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%post_comments_v%'"
                    )
                )
                await asyncio.sleep(0.03 + count / 5000)  # more and more seldom: a slow machine gets through, too
        return count

    other.run("""
        CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END';
        CREATE TRIGGER slowly AFTER INSERT ON comments FOR EACH STATEMENT EXECUTE FUNCTION slowly()""")
    writing = asyncio.gather(*(write(worker) for worker in range(10)))
    cuts = await cut()
    ids = [one for found in await writing for one in found]
    assert cuts > 20
    assert sorted(other.run("SELECT id FROM comments")) == sorted(ids)
    assert other.value(COMMENTS) == other.value(KEYS) == 200
    await eventually(lambda: settled(other) and sorted(inbox(other)) == sorted(ids))
    assert counts_agree(other)


# --- forgetting -----------------------------------------------------------------------------------------------------


async def test_a_key_is_forgotten_after_a_day_however_many_there_are(start_server: StartServer, other: Sql) -> None:
    other.run("""
        INSERT INTO notify.request_key (user_id, key, fingerprint, answer, at)
        SELECT '2', 'old ' || n, '', '{}'::jsonb, now() - interval '25 hours' FROM generate_series(1, 25000) n
        UNION ALL SELECT '2', 'young', '', '{}', now() - interval '23 hours'""")
    server = await start_server()
    await eventually(lambda: other.run("SELECT key FROM notify.request_key") == ["young"])
    assert (await post(server, "old 1"))[0] == 200
    assert (await post(server, "young"))[1]["code"] == "key_reused"


async def test_keys_are_forgotten_also_while_another_server_prunes(url: str, other: Sql) -> None:
    other.run("INSERT INTO notify.request_key VALUES ('2', 'old', '', '{}', now() - interval '25 hours')")
    other.run("BEGIN; SELECT pg_advisory_xact_lock(7237404)")
    db = open_database(url)
    running = asyncio.create_task(Retention(db, 90).run())
    await eventually(lambda: other.value(KEYS) == 0)
    running.cancel()
    await asyncio.wait([running])
    await db.close()
    other.run("ROLLBACK")


async def test_a_post_is_written_once_for_a_key(start_server: StartServer, other: Sql) -> None:
    one, two = await start_server(), await start_server()

    async def write(server: Running, key: str, title: str = "A", user: int = ADA) -> tuple[int, dict[str, Any]]:
        async with server.http.post(
            f"{server.url}/posts", json={"title": title, "body": "b"},
            headers={"Authorization": f"User {user}", "Idempotency-Key": key},
        ) as response:  # fmt: skip
            return response.status, await response.json()

    answers = await asyncio.gather(*(write(server, "k") for server in (one, two) for _ in range(50)))
    assert {status for status, _ in answers} <= {200, 409}
    (post_id,) = {answer["id"] for status, answer in answers if status == 200}
    assert await write(two, "k") == (200, {"id": post_id, "authorId": ADA, "title": "A", "body": "b"})
    assert other.value("SELECT count(*) FROM posts WHERE title = 'A'") == 1
    status, answer = await write(one, "k", title="B")
    assert (status, answer["code"], answer["field"]) == (422, "key_reused", "Idempotency-Key")
    assert (await write(one, "k", user=GRACE))[0] == 200  # another user's key
    async with one.http.post(  # the same key for a comment is another request
        f"{one.url}/posts/2/comments", json={"body": "b"},
        headers={"Authorization": f"User {ADA}", "Idempotency-Key": "k"},
    ) as response:  # fmt: skip
        assert response.status == 422
    assert other.value("SELECT count(*) FROM posts WHERE title IN ('A', 'B')") == 2
