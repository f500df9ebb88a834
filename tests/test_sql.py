"""The project's SQL against a real database: migrations, and every named query."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from notify_server import sql as files
from notify_server.attachment import prepare
from notify_server.errors import ConfigError
from notify_server.migrate import migrate, pending
from notify_server.sql import Migration, Query, array, queries
from tests.conftest import open_database
from tests.postgres import Cluster, Sql, sql

ALL = [query for module in files.modules() for query in queries(module)]


def as_prepared(query: Query) -> str:
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", query.sql)))
    return re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", query.sql).replace("%%", "%")


@pytest.mark.parametrize("query", ALL, ids=lambda query: query.name)
def test_postgresql_prepares_every_named_query(other: Sql, query: Query) -> None:
    if query.name.startswith("sessions."):  # connect-pg-simple's, from its table.sql
        other.run('CREATE TABLE "session" (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL)')
    other.run(f"PREPARE q AS {as_prepared(query)}")


@pytest.mark.parametrize(
    "texts", [[], [""], ["1"], ["1", "2"], ["NULL", "{x,y}", " ü ' %s "], ['a"b', "1"], ['"'], ["back\\slash", "\\"]]
)
def test_an_array_arrives_as_it_is(other: Sql, texts: list[str]) -> None:
    assert other.value("SELECT %s::text[]", array(texts)) == texts


def test_a_table_of_another_name_is_quoted(other: Sql) -> None:
    query = Query("x", 'SELECT 1 FROM "session" s').on("session", 'S"e %s', "my schema")
    assert query.sql == 'SELECT 1 FROM "my schema"."S""e %%s" s'
    other.run('CREATE SCHEMA "my schema"; CREATE TABLE "my schema"."S""e %s" ()')
    other.run(f"PREPARE q AS {as_prepared(query)}")


@pytest.mark.parametrize("module", files.modules())
def test_every_query_says_what_it_is_for(module: str) -> None:
    text = (files.ROOT / "queries" / f"{module}.sql").read_text()
    assert re.findall(r"^-- name: \w+\n(?!-- )", text, re.MULTILINE) == []


def test_no_python_file_holds_sql() -> None:
    for path in (files.ROOT.parent / "notify_server").rglob("*.py"):
        if path.name not in ("pool.py", "migrate.py", "health.py"):
            assert not re.search(r'"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s', path.read_text()), path


@pytest.fixture
def empty(cluster: Cluster, request: pytest.FixtureRequest) -> Any:
    with sql(cluster.url()) as admin:
        admin.run("DROP DATABASE IF EXISTS empty WITH (FORCE)")
        admin.run("CREATE DATABASE empty")
        with sql(cluster.url("empty")) as connection:
            yield connection, cluster.url("empty")
        admin.run("DROP DATABASE empty WITH (FORCE)")


async def test_several_servers_may_migrate_at_once(empty: tuple[Sql, str]) -> None:
    databases = [open_database(empty[1]) for _ in range(4)]
    applied = await asyncio.gather(*(migrate(db) for db in databases))
    assert sorted(migration.version for one in applied for migration in one) == [m.version for m in files.migrations()]
    assert await pending(databases[0]) == []
    assert await migrate(databases[0]) == []
    for db in databases:
        await db.close()


async def test_a_database_newer_than_the_code_is_refused(empty: tuple[Sql, str]) -> None:
    other, url = empty
    db = open_database(url)
    await migrate(db)
    other.run("INSERT INTO notify.migration (version, name) VALUES (9999, 'from_the_future')")
    with pytest.raises(ConfigError, match="9999"):
        await migrate(db)
    await db.close()


async def test_a_migration_that_fails_leaves_nothing_and_is_named(
    empty: tuple[Sql, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, url = empty
    broken = [*files.migrations(), Migration(9998, "broken", "CREATE TABLE half (); SELECT 1 / 0;")]
    monkeypatch.setattr("notify_server.migrate.migrations", lambda: broken)
    db = open_database(url)
    with pytest.raises(ConfigError, match="9998_broken failed: division by zero"):
        await migrate(db)
    assert other.value("SELECT to_regclass('half')") is None
    assert other.value("SELECT max(version) FROM notify.migration") == files.migrations()[-1].version
    await db.close()


async def test_tables_that_exist_are_taken_as_they_are(empty: tuple[Sql, str]) -> None:
    other, url = empty
    other.run("CREATE TABLE users (id text PRIMARY KEY, name text, email text)")
    other.run("INSERT INTO users VALUES ('u1', 'Ada', 'a@example.com')")
    db = open_database(url)
    await prepare(db)
    assert other.run("SELECT email FROM users") == ["a@example.com"]
    assert other.value("SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = 'posts'::regclass"
                       " AND attname = 'author_id'") == "text"  # fmt: skip
    await db.close()


async def test_what_was_there_before_is_nobody_s_news(empty: tuple[Sql, str]) -> None:
    other, url = empty
    other.run("CREATE TABLE users (id serial PRIMARY KEY, name text)")
    other.run("CREATE TABLE posts (id serial PRIMARY KEY, author_id int, title text, body text)")
    other.run(
        "CREATE TABLE comments (id serial PRIMARY KEY, post_id int, author_id int, body text, created_at timestamptz)"
    )
    other.run("INSERT INTO users (name) VALUES ('a'), ('b'); INSERT INTO posts (author_id) VALUES (1)")
    other.run("INSERT INTO comments (post_id, author_id) SELECT 1, 2 FROM generate_series(1, 100)")
    db = open_database(url)
    await prepare(db)
    assert (await db.value(queries("drain").reconcile, after=None, newest=False, max_rows=1000)).count('"found": 0')
    assert other.value("SELECT count(*) FROM notify.notification") == 0
    await db.close()


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("CREATE TABLE posts (id serial PRIMARY KEY, user_id int, title text, body text)",
         "table posts has no column author_id"),
        ("CREATE TABLE comments (id text PRIMARY KEY, post_id int, body text, created_at timestamptz)",
         "table comments has no column author_id"),
    ],
)  # fmt: skip
async def test_tables_that_do_not_fit_are_refused_by_name_and_left_alone(
    empty: tuple[Sql, str], table: str, complaint: str
) -> None:
    other, url = empty
    other.run(table)
    db = open_database(url)
    with pytest.raises(ConfigError, match=complaint):
        await prepare(db)
    assert other.value("SELECT count(*) FROM pg_trigger") == 0
    assert other.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 1
    await db.close()


def test_nobody_but_the_owner_may_call_our_functions(other: Sql) -> None:
    assert (
        other.run(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'notify'::regnamespace"
            " AND has_function_privilege('public', oid, 'EXECUTE')"
        )
        == []
    )


def test_definer_functions_have_a_fixed_search_path(other: Sql) -> None:
    found = other.run(
        "SELECT proname, proconfig::text FROM pg_proc WHERE prosecdef AND pronamespace = 'notify'::regnamespace"
    )
    assert len(found) == 9
    for name, config in found:
        assert "search_path=pg_catalog, pg_temp" in config, name
