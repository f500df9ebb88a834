"""Tables of odd names, types and ties: connected, or refused with a reason."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from notify_server import attachment
from notify_server.attachment import Options
from notify_server.db import Database
from notify_server.errors import ConfigError
from notify_server.migrate import migrate
from tests.clients import NodeClients
from tests.conftest import StartServer, open_database
from tests.postgres import Cluster, Sql, sql

NUMBERS = itertools.count(1)
LONG = "x" * 60
ONE, TWO = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2))


@dataclass(frozen=True)
class Shape:
    """`tables` have the people Ada and Grace, and one post of Ada's; `comment` is Grace's."""

    tables: str
    comment: str
    options: dict[str, str] = field(default_factory=dict)
    ada: str = "1"
    grace: str = "2"
    extension: str | None = None


PLAIN = """
CREATE TABLE users (id serial PRIMARY KEY, name text);
CREATE TABLE posts (id serial PRIMARY KEY, author int REFERENCES users, title text);
INSERT INTO users (name) VALUES ('Ada'), ('Grace');
INSERT INTO posts (author) VALUES (1);
"""
SHAPES = {
    "names to be quoted": Shape(
        r"""
        CREATE SCHEMA "we""ird 'x%s";
        CREATE TABLE "we""ird 'x%s"."us%er {{post_id}} é" ("i""d%" serial PRIMARY KEY, "na'me %s {{x}}" text);
        CREATE TABLE "order" ("$$select" serial PRIMARY KEY, title text,
            "from" int REFERENCES "we""ird 'x%s"."us%er {{post_id}} é");
        CREATE TABLE "comm'ents $$ %(x)s" ("$$id" serial PRIMARY KEY, "pos t" int REFERENCES "order",
            "üser" int REFERENCES "we""ird 'x%s"."us%er {{post_id}} é", "bo\dy" text, "created_at" timestamptz
            DEFAULT now(), "deleted'At" timestamptz);
        INSERT INTO "we""ird 'x%s"."us%er {{post_id}} é" ("na'me %s {{x}}") VALUES ('Ada'), ('Grace');
        INSERT INTO "order" ("from") VALUES (1);
        """,
        r"""INSERT INTO "comm'ents $$ %(x)s" ("pos t", "üser", "bo\dy") VALUES (1, 2, 'hi')""",
        {"user_name": "na'me %s {{x}}", "body_column": r"bo\dy"},
    ),
    "names of 63 bytes": Shape(
        f"""
        CREATE TABLE {LONG}usr (id serial PRIMARY KEY, name text);
        CREATE TABLE {LONG}pst (id serial PRIMARY KEY, author_id int REFERENCES {LONG}usr);
        CREATE TABLE {LONG}cmt (id serial PRIMARY KEY, post_id int REFERENCES {LONG}pst,
            author_id int REFERENCES {LONG}usr, {LONG}bdy text, created_at timestamptz DEFAULT now());
        INSERT INTO {LONG}usr (name) VALUES ('Ada'), ('Grace');
        INSERT INTO {LONG}pst (author_id) VALUES (1);
        """,
        f"INSERT INTO {LONG}cmt (post_id, author_id, {LONG}bdy) VALUES (1, 2, 'hi')",
        {"body_column": f"{LONG}bdy", "post_author": "author_id"},
    ),
    "domains": Shape(
        f"""
        CREATE DOMAIN uid AS uuid; CREATE DOMAIN post_uid AS uid; CREATE DOMAIN moment AS timestamptz;
        CREATE DOMAIN words AS text CHECK (length(value) < 1000);
        CREATE TABLE users (id uid PRIMARY KEY, name words);
        CREATE TABLE posts (id post_uid PRIMARY KEY, author_id uid REFERENCES users, title words);
        CREATE TABLE comments (id uid DEFAULT gen_random_uuid() PRIMARY KEY, post_id post_uid REFERENCES posts,
            author_id uid REFERENCES users, body words, created_at moment DEFAULT now());
        INSERT INTO users VALUES ('{ONE}', 'Ada'), ('{TWO}', 'Grace');
        INSERT INTO posts VALUES ('{ONE}', '{ONE}', 'A post');
        """,
        f"INSERT INTO comments (post_id, author_id, body) VALUES ('{ONE}', '{TWO}', 'hi')",
        ada=ONE, grace=TWO,
    ),
    "ids of fixed and of varying length": Shape(
        """
        CREATE TABLE users (id char(8) PRIMARY KEY, name varchar(20));
        CREATE TABLE posts (id varchar(10) PRIMARY KEY, author_id char(8) REFERENCES users, title text);
        CREATE TABLE comments (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, post_id varchar(10) REFERENCES posts,
            author_id char(8) REFERENCES users, body varchar(100), created_at date DEFAULT current_date);
        INSERT INTO users VALUES ('ada', 'Ada'), ('grace', 'Grace');
        INSERT INTO posts VALUES ('p1', 'ada', 'A post');
        """,
        "INSERT INTO comments (post_id, author_id, body) VALUES ('p1', 'grace', 'hi')",
        ada="ada", grace="grace",
    ),
    "replies, moderators and editors": Shape(
        """
        CREATE TABLE users (id smallserial PRIMARY KEY, name text);
        CREATE TABLE posts (id serial PRIMARY KEY, editor_id smallint REFERENCES users,
            author_id smallint REFERENCES users);
        CREATE TABLE comments (id serial PRIMARY KEY, parent_id int REFERENCES comments, post_id int REFERENCES posts,
            moderator_id smallint REFERENCES users, author_id smallint REFERENCES users, body text,
            created_at timestamptz DEFAULT now());
        INSERT INTO users (name) VALUES ('Ada'), ('Grace');
        INSERT INTO posts (author_id, editor_id) VALUES (1, 2);
        INSERT INTO comments (post_id, body) VALUES (1, 'of nobody');
        """,
        "INSERT INTO comments (post_id, author_id, body, moderator_id, parent_id) VALUES (1, 2, 'hi', 1, 1)",
    ),
    "keys to what is unique": Shape(
        f"""
        CREATE TABLE users (pk serial PRIMARY KEY, id uuid UNIQUE, name text);
        CREATE TABLE posts (id serial PRIMARY KEY, author uuid REFERENCES users (id), title text);
        CREATE TABLE comments (id serial PRIMARY KEY, post_id int REFERENCES posts, author uuid REFERENCES users (id),
            body text, created_at timestamptz DEFAULT now());
        INSERT INTO users (id, name) VALUES ('{ONE}', 'Ada'), ('{TWO}', 'Grace');
        INSERT INTO posts (author) VALUES ('{ONE}');
        """,
        f"INSERT INTO comments (post_id, author, body) VALUES (1, '{TWO}', 'hi')",
        ada=ONE, grace=TWO,
    ),
    "no foreign keys": Shape(
        """
        CREATE TABLE users (id serial PRIMARY KEY, name text);
        CREATE TABLE posts (id serial PRIMARY KEY, author int, title text);
        CREATE TABLE comments (id serial PRIMARY KEY, post int, author int, body text,
            created_at timestamptz DEFAULT now());
        INSERT INTO users (name) VALUES ('Ada'), ('Grace');
        INSERT INTO posts (author) VALUES (1);
        """,
        "INSERT INTO comments (post, author, body) VALUES (1, 2, 'hi')",
        {"comments": "comments", "post_column": "post", "author_column": "author", "posts": "posts",
         "post_author": "author", "users": "users"},
    ),
    "text in any case": Shape(
        """
        CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext;
        CREATE TABLE users (id ext.citext PRIMARY KEY, name ext.citext);
        CREATE TABLE posts (id serial PRIMARY KEY, author ext.citext REFERENCES users, title ext.citext);
        CREATE TABLE comments (id serial PRIMARY KEY, post int REFERENCES posts, author ext.citext REFERENCES users,
            body ext.citext, created_at timestamptz DEFAULT now());
        INSERT INTO users VALUES ('ada', 'Ada'), ('grace', 'Grace');
        INSERT INTO posts (author) VALUES ('ada');
        """,
        "INSERT INTO comments (post, author, body) VALUES (1, 'grace', 'hi')",
        ada="ada", grace="grace", extension="citext",
    ),
}  # fmt: skip
COLUMNS = "post int REFERENCES posts, author int REFERENCES users, body text, created_at timestamptz DEFAULT now()"
REFUSED = {
    f"CREATE TABLE comments (n int, {COLUMNS}, PRIMARY KEY (post, n))":
        "comments has a primary key of several columns",
    f"CREATE TABLE remarks (id serial PRIMARY KEY, {COLUMNS}); CREATE VIEW comments AS SELECT * FROM remarks":
        "--comments: comments is a view; a plain table is needed",
    f"CREATE TABLE comments (id serial PRIMARY KEY, {COLUMNS}) PARTITION BY RANGE (id)":
        "--comments: comments is partitioned; a plain table is needed",
    f"CREATE TABLE comments (id serial PRIMARY KEY, {COLUMNS}); CREATE TABLE old () INHERITS (comments)":
        "--comments: comments has tables that inherit from it, whose rows its triggers would not see",
    f"CREATE TABLE comments (id numeric PRIMARY KEY, {COLUMNS})":
        "comments.id is of type numeric; ids are integers, UUIDs or text",
}  # fmt: skip


@pytest.fixture
def other(cluster: Cluster) -> Iterator[Sql]:
    """An empty database."""
    name = f"shape_{next(NUMBERS)}"
    with sql(cluster.url()) as admin:
        admin.run(f"CREATE DATABASE {name}")
        with sql(cluster.url(name)) as connection:
            yield connection
        admin.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def direct_url(other: Sql, cluster: Cluster) -> str:
    return cluster.url(other.value("SELECT current_database()"))


async def connect(db: Database, **options: str) -> None:
    await migrate(db)
    await attachment.attach(db, await attachment.proposed(db, Options(**options)))


@pytest.mark.parametrize("name", SHAPES)
async def test_it_is_attached_notified_and_let_go(
    name: str, other: Sql, direct_url: str, cluster: Cluster, start_server: StartServer, nodes: NodeClients
) -> None:
    shape = SHAPES[name]
    if shape.extension and not other.value(
        "SELECT count(*) FROM pg_available_extensions WHERE name = %s", shape.extension
    ):
        pytest.skip(f"this PostgreSQL has no {shape.extension}; 15 has")
    other.run(shape.tables)
    before = app_of(cluster, direct_url)
    db = open_database(direct_url)
    await connect(db, **shape.options)
    server = await start_server(database_url=direct_url)
    ada = await nodes.open(server.url, {"userId": shape.ada}).connected()
    other.run(shape.comment)
    ((event),) = await ada.notified()
    assert event["message"] == "Grace commented on your post"
    written = await server.comment(shape.grace, other.value("SELECT id::text FROM notify.posts"), "Over HTTP")
    assert [each["commentId"] for each in await ada.notified(2)][1] == written["id"] != event["commentId"]
    await attachment.detach(db)
    await db.close()
    assert app_of(cluster, direct_url) == before


def app_of(cluster: Cluster, url: str) -> list[str]:
    lines = cluster.dump(url, "--exclude-schema=notify").splitlines()
    return [line for line in lines if not line.startswith(("\\restrict", "\\unrestrict"))]


@pytest.mark.parametrize(("tables", "reason"), REFUSED.items())
async def test_it_is_refused_with_a_reason(tables: str, reason: str, other: Sql, direct_url: str) -> None:
    other.run(PLAIN + tables)
    db = open_database(direct_url)
    with pytest.raises(ConfigError) as refused:
        await connect(db, comments="comments")
    assert reason in refused.value.message
    if "partitioned" in reason:  # also where it was not named
        with pytest.raises(ConfigError, match="comments is partitioned"):
            await connect(db)
    await db.close()


async def test_one_named_column_is_enough_to_find_the_rest(other: Sql, direct_url: str) -> None:
    """No other table needs to have it."""
    other.run(PLAIN + f"CREATE TABLE remarks (id serial PRIMARY KEY, says text, {COLUMNS})")
    db = open_database(direct_url)
    for options in ({"body_column": "says"}, {"post_author": "author"}, {"post_title": "title"}):
        spec = await attachment.proposed(db, Options(**options))
        assert (spec.comments.table.name, spec.posts.table.name) == ("remarks", "posts")
    await db.close()
