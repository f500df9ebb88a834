"""What a comment costs does not grow with the app's tables, whatever PostgreSQL believed of them when it planned."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.postgres import Sql

PEOPLE = POSTS = 5_000
READ_WHOLE = """
    SELECT relname, seq_tup_read::int FROM pg_stat_user_tables
    WHERE relname IN ('users', 'posts', 'comments', 'inbox', 'considered') ORDER BY relname"""


@pytest.fixture
def grown(other: Sql) -> Sql:
    """Analyzed while there were no comments: PostgreSQL takes that table for empty."""
    other.run(f"""
        INSERT INTO users (id, name) SELECT n, 'User ' || n FROM generate_series(1000, {1000 + PEOPLE}) n;
        INSERT INTO posts (id, author_id, title, body) SELECT n, n, '', '' FROM generate_series(1000, {1000 + POSTS}) n;
        INSERT INTO notify.inbox (user_id) SELECT n FROM generate_series(1000, {1000 + PEOPLE}) n;
        ANALYZE""")
    return other


def read_whole(other: Sql) -> dict[str, int]:
    other.run("SELECT pg_stat_force_next_flush()")  # at this transaction's end
    return dict(other.run(READ_WHOLE))


@pytest.mark.parametrize("at_once", [1, 40])
def test_a_batch_of_comments_looks_its_rows_up_by_index(grown: Sql, at_once: int) -> None:
    before = read_whole(grown)
    for n in range(12):  # PostgreSQL makes up its mind within the first executions
        rows = ({"n": k, "post_id": f"{1000 + n * at_once + k}", "author_id": "1", "body": "x"} for k in range(at_once))
        grown.run(
            "SELECT notify.post_comments_v3(%s::jsonb, %s::uuid, false)", json.dumps([*rows]), str(uuid.uuid4())
        )  # fmt: skip
    assert grown.value("SELECT count(*) FROM notify.notification") == 12 * at_once
    assert read_whole(grown) == before


def test_a_drain_looks_its_rows_up_by_index(grown: Sql) -> None:
    before = read_whole(grown)
    for n in range(12):
        grown.run("INSERT INTO comments (post_id, author_id, body) VALUES (%s, 1, 'x')", 1000 + n)
        grown.run("SELECT notify.drain_v3(1000, NULL, false)")
    assert grown.value("SELECT count(*) FROM notify.notification") == 12
    assert read_whole(grown) == before
