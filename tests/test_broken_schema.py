"""Our schema broken: the app's INSERT neither waits nor fails, and what it wrote is found after the repair."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients import NodeClients
from tests.conftest import Running, lacking
from tests.inboxes import ADA, GRACE, INSERT, inbox
from tests.postgres import Cluster, Sql, make_folder, sql


@pytest.fixture
def quick_reconciler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify_server.app.RECONCILE_S", 0.3)


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
