"""Every other writer: psql, the old server, cron. The app's writes come first, and none is overlooked."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from notify_server import drain
from notify_server.app import _background
from notify_server.db import Database
from notify_server.drain import Drain, Reconciler
from notify_server.errors import ConfigError
from notify_server.inbox import Notification
from notify_server.posts import load_id_columns
from tests.clients import Client, NodeClients
from tests.conftest import Running, lacking, open_database
from tests.postgres import Cluster, Sql, make_folder, sql
from tests.waiting import eventually

ADA, GRACE, LINUS = 1, 2, 3
INSERT = "INSERT INTO comments (post_id, author_id, body) VALUES (1, 2, 'from elsewhere')"


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


# --- what the rest of its life means for the inbox ------------------------------------------------------------


@pytest.fixture
async def drained(db: Database) -> AsyncIterator[list[Notification]]:
    """What a drain delivers, without a server."""
    got: list[Notification] = []
    async with _background(Drain(db, got.extend).run()):
        yield got


def inbox(other: Sql, user: int = ADA) -> list[int]:
    found: list[int] = other.run(
        "SELECT (payload ->> 'commentId')::int FROM notify.notification WHERE user_id = %s ORDER BY seq", str(user)
    )
    return found


def settled(other: Sql) -> bool:
    return bool(other.value("SELECT count(*) = 0 FROM notify.outbox"))


def counts_agree(other: Sql) -> bool:
    return bool(
        other.value("""
        SELECT bool_and(i.unread = n.unread AND i.unseen = n.unseen AND i.last_seq >= n.last_seq)
        FROM notify.inbox i CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE read_at IS NULL) AS unread, count(*) FILTER (WHERE seen_at IS NULL) AS unseen,
                   coalesce(max(seq), 0) AS last_seq
            FROM notify.notification n WHERE n.user_id = i.user_id) n""")
    )


STORIES = {
    "a comment is deleted": ("DELETE FROM comments WHERE id = 2", [1, 3], []),
    "a comment moves to another post": ("UPDATE comments SET post_id = 2 WHERE id = 3", [1, 2], [3]),
    "a comment is given to the owner": ("UPDATE comments SET author_id = 1 WHERE id = 2", [1, 3], []),
    "a comment's text changes": ("UPDATE comments SET body = 'x'", [1, 2, 3], []),
    "the post is deleted": ("DELETE FROM posts WHERE id = 1", [], []),
    "the post changes hands": ("UPDATE posts SET author_id = 2 WHERE id = 1", [1, 2, 3], []),
    "a commenter is deleted": ("DELETE FROM users WHERE id = 3", [1, 2], []),
    "the owner is deleted": ("DELETE FROM users WHERE id = 1", [], []),
    "comments are truncated": ("TRUNCATE comments", [], []),
    "all is truncated": ("TRUNCATE users CASCADE", [], []),
}


@pytest.mark.parametrize("story", STORIES)
async def test_the_inbox_follows_the_app_s_tables(drained: list[Notification], other: Sql, story: str) -> None:
    other.run("INSERT INTO comments (post_id, author_id, body) VALUES (1, 2, 'a'), (1, 2, 'b'), (1, 3, 'c')")
    await eventually(lambda: inbox(other) == [1, 2, 3])
    change, adas, graces = STORIES[story]
    other.run(change)
    await eventually(lambda: settled(other))
    assert inbox(other, ADA) == adas
    assert inbox(other, GRACE) == graces
    assert counts_agree(other)


async def test_what_is_gone_before_it_was_looked_at_notifies_nobody(db: Database, other: Sql) -> None:
    other.run(INSERT)
    other.run("DELETE FROM comments")
    got: list[Notification] = []
    async with _background(Drain(db, got.extend).run()):
        await eventually(lambda: settled(other))
    assert got == []


async def test_ids_that_start_anew_after_a_truncation_are_new(drained: list[Notification], other: Sql) -> None:
    other.run(INSERT)
    await eventually(lambda: inbox(other) == [1])
    other.run("TRUNCATE comments RESTART IDENTITY")
    other.run(INSERT)
    await eventually(lambda: len(drained) == 2)
    await eventually(lambda: settled(other))
    assert inbox(other) == [1]
    assert other.run("SELECT seq FROM notify.notification") == [2]
    assert counts_agree(other)


async def test_a_large_retraction_goes_in_bounded_steps(drained: list[Notification], other: Sql) -> None:
    other.run("INSERT INTO comments (post_id, author_id, body) SELECT 1, 2, '' FROM generate_series(1, 3500)")
    await eventually(lambda: len(drained) == 3500)
    other.run("TRUNCATE comments")
    await eventually(lambda: settled(other))
    assert inbox(other) == []
    assert counts_agree(other)
    assert other.value("SELECT version FROM notify.inbox WHERE user_id = '1'") >= 7 + 4  # steps of 500 in, 1,000 out


async def test_a_post_that_returns_brings_its_notifications_back(drained: list[Notification], other: Sql) -> None:
    other.run("ALTER TABLE comments DROP CONSTRAINT comments_post_id_fkey")
    other.run(INSERT)
    await eventually(lambda: inbox(other) == [1])
    other.run("DELETE FROM posts WHERE id = 1")
    await eventually(lambda: settled(other) and inbox(other) == [])
    other.run("INSERT INTO posts (id, author_id, title, body) VALUES (1, 3, 'One', '…')")
    other.run("UPDATE posts SET author_id = 1 WHERE id = 1")
    await eventually(lambda: settled(other) and inbox(other) == [1])
    assert counts_agree(other)


async def test_a_row_that_cannot_be_settled_is_set_aside_alone(drained: list[Notification], other: Sql) -> None:
    other.run("ALTER TABLE notify.notification ADD CONSTRAINT no_seven CHECK (comment_id <> '7')")
    other.run("INSERT INTO comments (post_id, author_id, body) SELECT 1, 2, '' FROM generate_series(1, 10)")
    await eventually(lambda: len(drained) == 9)
    assert inbox(other) == [1, 2, 3, 4, 5, 6, 8, 9, 10]
    assert other.run("SELECT kind, key, left(reason, 5) FROM notify.poison") == [("comment", "7", "23514")]
    assert settled(other)


async def test_an_insert_that_is_moved_in_the_same_transaction_notifies_once(
    drained: list[Notification], other: Sql
) -> None:
    other.run(INSERT + "; UPDATE comments SET post_id = 2; UPDATE comments SET post_id = 1")
    await eventually(lambda: settled(other))
    assert len(drained) == 1
    assert inbox(other) == [1]


async def test_a_row_that_the_scan_finds_and_nobody_can_settle_blocks_no_other(
    db: Database, drained: list[Notification], other: Sql
) -> None:
    other.run("ALTER TABLE notify.notification ADD CONSTRAINT no_three CHECK (comment_id <> '3')")
    other.run("ALTER TABLE comments DISABLE TRIGGER notify_insert")
    other.run("INSERT INTO comments (post_id, author_id, body) SELECT 1, 2, '' FROM generate_series(1, 5)")
    async with _background(Reconciler(db).run()):
        await eventually(lambda: inbox(other) == [1, 2, 4, 5])
    assert other.run("SELECT key FROM notify.poison") == ["3"]


async def test_deletions_that_nothing_told_us_of_are_found(
    db: Database, drained: list[Notification], other: Sql
) -> None:
    other.run("INSERT INTO comments (post_id, author_id, body) SELECT 1, 2, '' FROM generate_series(1, 3)")
    await eventually(lambda: len(drained) == 3)
    other.run("ALTER TABLE comments DISABLE TRIGGER notify_delete")
    other.run("DELETE FROM comments WHERE id = 2")
    async with _background(Reconciler(db).run()):
        await eventually(lambda: inbox(other) == [1, 3])
    assert counts_agree(other)


async def test_a_send_waits_for_a_missing_function_of_ours(db: Database, other: Sql) -> None:
    other.run("ALTER FUNCTION notify.deliver_v1 RENAME TO deliver_away")
    other.run("SELECT notify.send('1', 'hello')")
    got: list[Notification] = []
    async with _background(Drain(db, got.extend).run()):
        await asyncio.sleep(0.5)
        assert got == []
        other.run("ALTER FUNCTION notify.deliver_away RENAME TO deliver_v1")
        await eventually(lambda: len(got) == 1)
    assert other.value("SELECT count(*) FROM notify.poison") == 0


async def test_rows_that_a_policy_hides_from_us_do_not_pass_for_deleted(
    db: Database, drained: list[Notification], other: Sql, cluster: Cluster, direct_url: str
) -> None:
    other.run(INSERT)
    await eventually(lambda: inbox(other) == [1])
    name = direct_url.rsplit("/", 1)[1]
    other.run("DROP ROLE IF EXISTS owner_without_rights; CREATE ROLE owner_without_rights LOGIN")
    try:
        for table in ("users", "posts", "comments"):
            other.run(f"ALTER TABLE {table} OWNER TO owner_without_rights")
        for kind, names in (
            ("VIEW", ["people", "posts", "comments", "drafts"]),
            (
                "TABLE",
                other.run("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'notify'::regnamespace"),
            ),
        ):
            for one in names:
                other.run(f"ALTER {kind} notify.{one} OWNER TO owner_without_rights")
        other.run("GRANT ALL ON SCHEMA notify, public TO owner_without_rights")
        other.run("GRANT ALL ON ALL TABLES IN SCHEMA notify TO owner_without_rights")
        other.run("GRANT ALL ON ALL SEQUENCES IN SCHEMA notify TO owner_without_rights")
        other.run("GRANT ALL ON ALL FUNCTIONS IN SCHEMA notify TO owner_without_rights")
        other.run("ALTER TABLE comments ENABLE ROW LEVEL SECURITY; ALTER TABLE comments FORCE ROW LEVEL SECURITY")
        with sql(cluster.url(name, "owner_without_rights")) as owner:
            assert owner.run("SELECT * FROM comments") == []
            with pytest.raises(Exception, match="row-level security"):
                owner.run("SELECT notify.reconcile_gone_v1(NULL, 100)")
        unprivileged = open_database(cluster.url(name, "owner_without_rights"))
        with pytest.raises(ConfigError, match="row-level security hides rows of comments"):
            await load_id_columns(unprivileged)
        await unprivileged.close()
        assert inbox(other) == [1]
    finally:
        other.run("REASSIGN OWNED BY owner_without_rights TO postgres; DROP OWNED BY owner_without_rights")
        other.run("DROP ROLE owner_without_rights")


# --- our schema broken: the app's INSERT neither waits nor fails, and what it wrote is found later -----------------


@pytest.fixture
def quick_reconciler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reconciler.__init__, "__defaults__", (0.3,))


def timed_insert(other: Sql) -> float:
    started = time.monotonic()
    other.run(INSERT)
    return time.monotonic() - started


class Break:
    """Ways to break our schema, each with its repair."""

    @staticmethod
    def function_dropped(other: Sql, _url: str) -> Any:
        definition = other.value("SELECT pg_get_functiondef('notify.append_v1(text, text[], jsonb)'::regprocedure)")
        other.run("DROP FUNCTION notify.append_v1")
        return lambda: other.run(definition)

    @staticmethod
    def outbox_locked(_other: Sql, url: str) -> Any:
        holder = Sql(url)
        holder.run("BEGIN")
        holder.run("LOCK TABLE notify.outbox_0, notify.outbox_1, notify.outbox_2 IN ACCESS EXCLUSIVE MODE")
        return holder.close

    @staticmethod
    def everything_locked(_other: Sql, url: str) -> Any:
        holder = Sql(url)
        holder.run("BEGIN")
        for table in holder.run("SELECT format('%s', oid::regclass) FROM pg_class WHERE relkind = 'r'"
                                " AND relnamespace = 'notify'::regnamespace"):  # fmt: skip
            holder.run(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        return holder.close

    @staticmethod
    def column_dropped(other: Sql, _url: str) -> Any:
        other.run("ALTER TABLE notify.outbox_0 RENAME COLUMN kind TO kinds")
        return lambda: other.run("ALTER TABLE notify.outbox_0 RENAME COLUMN kinds TO kind")

    @staticmethod
    def triggers_disabled(other: Sql, _url: str) -> Any:
        other.run("ALTER TABLE comments DISABLE TRIGGER notify_insert")
        return lambda: other.run("ALTER TABLE comments ENABLE TRIGGER notify_insert")

    @staticmethod
    def drafts_broken(other: Sql, _url: str) -> Any:
        other.run("ALTER VIEW notify.drafts RENAME TO drafts_away")
        return lambda: other.run("ALTER VIEW notify.drafts_away RENAME TO drafts")


WAYS = [
    "function_dropped",
    "outbox_locked",
    "everything_locked",
    "column_dropped",
    "triggers_disabled",
    "drafts_broken",
]


@pytest.mark.usefixtures("quick_reconciler")
@pytest.mark.parametrize("way", WAYS)
async def test_the_app_s_insert_neither_waits_nor_fails_and_is_found_after_the_repair(
    server: Running, nodes: NodeClients, other: Sql, direct_url: str, way: str
) -> None:
    ada = await nodes.open(server.url, {"userId": ADA}).connected()
    other.run(INSERT)
    await ada.notified(1)
    repair = getattr(Break, way)(other, direct_url)
    try:
        assert max(timed_insert(other) for _ in range(5)) < 0.1
        await asyncio.sleep(0.5)
    finally:
        repair()
    assert len(await ada.notified(6, timeout_s=30)) == 6
    assert inbox(other) == [1, 2, 3, 4, 5, 6]
    assert other.value("SELECT count(*) FROM notify.poison") == 0


@pytest.mark.usefixtures("quick_reconciler")
async def test_a_comment_of_ours_stands_while_the_drafts_are_broken_and_notifies_later(
    server: Running, nodes: NodeClients, other: Sql
) -> None:
    ada = await nodes.open(server.url, {"userId": ADA}).connected()
    other.run("ALTER VIEW notify.drafts RENAME TO drafts_away")
    comment = await server.comment(GRACE, 1)
    await asyncio.sleep(0.5)
    other.run("ALTER VIEW notify.drafts_away RENAME TO drafts")
    assert [event["commentId"] for event in await ada.notified(1, timeout_s=20)] == [comment["id"]]


@pytest.fixture
def small_tablespace(cluster: Cluster, direct_url: str) -> Iterator[str]:
    """A tablespace of 4 MB."""
    if os.geteuid() != 0:
        lacking("mounting a small file system takes root")
    folder: Path = make_folder()
    owner = folder.stat()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=4m,uid={owner.st_uid},gid={owner.st_gid},mode=700", "tmpfs", str(folder)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        folder.rmdir()
        lacking("mount is not permitted")
    with sql(direct_url) as admin:
        admin.run(f"CREATE TABLESPACE small LOCATION '{folder}'")
        yield "small"
        for n in range(3):
            admin.run(f"ALTER TABLE notify.outbox_{n} SET TABLESPACE pg_default")
        admin.run("DROP TABLE IF EXISTS ballast")
        admin.run("DROP TABLESPACE small")
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


@pytest.mark.usefixtures("quick_reconciler")
async def test_a_full_tablespace_costs_the_app_nothing(
    server: Running, nodes: NodeClients, other: Sql, small_tablespace: str
) -> None:
    ada = await nodes.open(server.url, {"userId": ADA}).connected()
    for n in range(3):
        other.run(f"ALTER TABLE notify.outbox_{n} SET TABLESPACE {small_tablespace}")
    other.run(f"CREATE TABLE ballast (filler text) TABLESPACE {small_tablespace}")
    with pytest.raises(Exception, match="No space left"):
        other.run("INSERT INTO ballast SELECT repeat('x', 500) FROM generate_series(1, 20000)")
    # half a page is left somewhere: rows until the outbox, too, has none
    other.run("INSERT INTO comments (post_id, author_id, body) SELECT 1, 2, '' FROM generate_series(1, 50000)")
    assert other.value("SELECT is_called FROM notify.missed")
    assert max(timed_insert(other) for _ in range(5)) < 0.1
    other.run("DROP TABLE ballast")
    await ada.until(lambda: len(ada.notifications) == 50_005, timeout_s=90)
    assert [event["commentId"] for event in ada.notifications] == sorted(
        event["commentId"] for event in ada.notifications
    )


# --- the outbox stays small ---------------------------------------------------------------------------------------


async def test_the_outbox_stays_small_beside_a_transaction_left_open(
    drained: list[Notification], other: Sql, direct_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short form of `make lag`."""
    monkeypatch.setattr(drain, "_ROTATE_BYTES", 100_000)
    monkeypatch.setattr(drain, "_ROTATE_S", 0.1)
    with sql(direct_url) as idle:
        idle.run("BEGIN")
        idle.run(INSERT)
        for n in range(40):
            other.run("INSERT INTO comments (post_id, author_id, body) SELECT 1, 2, '' FROM generate_series(1, 500)")
            await eventually(lambda n=n: len(drained) == (n + 1) * 500)  # type: ignore[misc]
            await asyncio.sleep(0.15)
        size = "SELECT sum(pg_relation_size('notify.outbox_' || n)) FROM generate_series(0, 2) n"
        assert other.value(size) < 500_000  # 20,000 rows are 1.5 MB
        idle.run("COMMIT")
    await eventually(lambda: len(drained) == 20_001)


async def test_one_server_at_a_time_drains(db: Database, other: Sql, direct_url: str) -> None:
    got: list[Notification] = []
    with sql(direct_url) as holder:
        holder.run("BEGIN")
        assert holder.value("SELECT notify.try_drain_lock_v1()")
        async with _background(Drain(db, got.extend).run()):
            other.run(INSERT)
            await asyncio.sleep(0.5)
            assert got == []
            holder.run("ROLLBACK")
            await eventually(lambda: len(got) == 1)
