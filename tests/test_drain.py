"""Outbox to inbox: the inbox follows the app's tables, whatever happens to their rows."""

from __future__ import annotations

import asyncio

import pytest

from notify_server import drain
from notify_server.background import in_background
from notify_server.db import Database
from notify_server.drain import Drain, Reconciler
from notify_server.errors import ConfigError
from notify_server.inbox import Change, Notification
from notify_server.posts import load_id_columns
from tests.clients import SETTLE_S
from tests.conftest import open_database
from tests.inboxes import ADA, GRACE, INSERT, counts_agree, inbox, settled
from tests.postgres import Cluster, Sql, sql
from tests.waiting import eventually

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
    got: list[Change] = []
    async with in_background(Drain(db, got.extend).run()):
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
    await eventually(lambda: len(drained) == 1 and settled(other))
    assert inbox(other) == [1]
    await asyncio.sleep(SETTLE_S)
    assert len(drained) == 1


async def test_a_row_that_the_scan_finds_and_nobody_can_settle_blocks_no_other(
    db: Database, drained: list[Notification], other: Sql
) -> None:
    other.run("ALTER TABLE notify.notification ADD CONSTRAINT no_three CHECK (comment_id <> '3')")
    other.run("ALTER TABLE comments DISABLE TRIGGER notify_insert")
    other.run("INSERT INTO comments (post_id, author_id, body) SELECT 1, 2, '' FROM generate_series(1, 5)")
    async with in_background(Reconciler(db).run()):
        await eventually(lambda: inbox(other) == [1, 2, 4, 5])
    assert other.run("SELECT key FROM notify.poison") == ["3"]


async def test_deletions_that_nothing_told_us_of_are_found(
    db: Database, drained: list[Notification], other: Sql
) -> None:
    other.run("INSERT INTO comments (post_id, author_id, body) SELECT 1, 2, '' FROM generate_series(1, 3)")
    await eventually(lambda: len(drained) == 3)
    other.run("ALTER TABLE comments DISABLE TRIGGER notify_delete")
    other.run("DELETE FROM comments WHERE id = 2")
    async with in_background(Reconciler(db).run()):
        await eventually(lambda: inbox(other) == [1, 3])
    assert counts_agree(other)


async def test_a_send_waits_for_a_missing_function_of_ours(db: Database, other: Sql) -> None:
    other.run("ALTER FUNCTION notify.deliver_v2 RENAME TO deliver_away")
    other.run("SELECT notify.send('1', 'hello')")
    got: list[Change] = []
    async with in_background(Drain(db, got.extend).run()):
        await asyncio.sleep(0.5)
        assert got == []
        other.run("ALTER FUNCTION notify.deliver_away RENAME TO deliver_v2")
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
    got: list[Change] = []
    with sql(direct_url) as holder:
        holder.run("BEGIN")
        assert holder.value("SELECT notify.try_drain_lock_v1()")
        async with in_background(Drain(db, got.extend).run()):
            other.run(INSERT)
            await asyncio.sleep(0.5)
            assert got == []
            holder.run("ROLLBACK")
            await eventually(lambda: len(got) == 1)


async def test_what_came_back_and_cannot_be_settled_is_set_aside_once(
    db: Database, drained: list[Notification], other: Sql
) -> None:
    other.run("ALTER TABLE comments DROP CONSTRAINT comments_post_id_fkey")
    other.run(INSERT)
    await eventually(lambda: inbox(other) == [1])
    other.run("DELETE FROM posts WHERE id = 1")
    await eventually(lambda: settled(other) and inbox(other) == [])
    other.run("ALTER TABLE notify.notification ADD CONSTRAINT no_one CHECK (comment_id <> '1')")
    other.run("INSERT INTO posts (id, author_id, title, body) VALUES (1, 1, 'One', '…')")
    async with in_background(Reconciler(db, every_s=0.05).run()):
        await eventually(lambda: other.value("SELECT count(*) FROM notify.poison") > 0)
        await asyncio.sleep(SETTLE_S)
    assert other.run("SELECT key FROM notify.poison") == ["1"]
