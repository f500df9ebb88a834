"""What an ORM's migrations do to tables that are connected: the app is not kept from it, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest

from notify_server import attachment
from notify_server.attachment import Options
from tests.clients import NodeClients
from tests.conftest import Running, StartServer, open_database
from tests.postgres import Cluster
from tests.test_attach import Place, app_named, make_place, run
from tests.waiting import eventually

INSERT = "INSERT INTO comments (post_id, user_id, content) VALUES (1, 2, 'Hello')"
PASSES = {
    "ALTER TABLE comments ADD COLUMN likes int NOT NULL DEFAULT 0": INSERT,
    "ALTER TABLE comments RENAME COLUMN content TO says": INSERT.replace("content", "says"),
    "ALTER TABLE comments RENAME COLUMN id TO comment_id": INSERT,
    "ALTER TABLE comments RENAME TO remarks": INSERT.replace("comments", "remarks"),
    "CREATE SCHEMA blog; ALTER TABLE comments SET SCHEMA blog": INSERT.replace("comments", "blog.comments"),
    "ALTER TABLE users RENAME TO members": INSERT,
    "TRUNCATE comments RESTART IDENTITY": INSERT,
}
REFUSED = (
    "ALTER TABLE comments ALTER COLUMN content TYPE varchar(500)",
    "ALTER TABLE posts DROP COLUMN title",
)


@pytest.fixture
def place(cluster: Cluster) -> Iterator[Place]:
    yield from make_place(app_named("integer"), cluster)


@pytest.fixture
async def server(place: Place, start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setattr("notify_server.app.RECONCILE_S", 0.3)
    done = await run(place, "attach")
    assert done.returncode == 0, done.stderr
    return await start_server(database_url=place.url)


@pytest.mark.parametrize("migration", PASSES)
async def test_it_passes_and_comments_go_on(migration: str, place: Place, server: Running, nodes: NodeClients) -> None:
    ada = await nodes.open(server.url, {"userId": 1}).connected()
    place.sql.run(INSERT)
    await ada.notified(1)
    place.sql.run(migration)
    place.sql.run(PASSES[migration])
    await ada.notified(2)
    db = open_database(place.url)
    assert await attachment.missing_triggers(db) == []
    body = "says" if "TO says" in migration else None  # which name it has by now must be told
    await attachment.attach(db, await attachment.proposed(db, Options(body_column=body)))
    await db.close()
    place.sql.run(PASSES[migration])
    await ada.notified(3)


@pytest.mark.parametrize("migration", REFUSED)
async def test_what_postgresql_refuses_passes_between_detach_and_attach(
    migration: str, place: Place, server: Running, nodes: NodeClients, start_server: StartServer
) -> None:
    ada = await nodes.open(server.url, {"userId": 1}).connected()
    with pytest.raises(psycopg2.Error, match="view"):
        place.sql.run(migration)
    place.sql.run(INSERT)
    await ada.notified(1)
    assert (await run(place, "detach")).returncode == 0
    place.sql.run(migration)
    place.sql.run(INSERT)  # nobody's news
    assert (await run(place, "attach")).returncode == 0
    place.sql.run(INSERT)
    await ada.notified(2)
    assert [event["commentId"] for event in ada.notifications] == [2, 4]


RESET = (
    "DROP TABLE users, posts, comments CASCADE",
    "CREATE TABLE users (id serial PRIMARY KEY, username text NOT NULL)",
    """CREATE TABLE posts (id serial PRIMARY KEY, user_id int NOT NULL REFERENCES users, title text, content text)""",
    """CREATE TABLE comments (id serial PRIMARY KEY, post_id int NOT NULL REFERENCES posts,
       user_id int NOT NULL REFERENCES users, content text NOT NULL, created_at timestamptz DEFAULT now())""",
    "INSERT INTO users (username) VALUES ('Ada'), ('Grace')",
    "INSERT INTO posts (user_id, title) VALUES (1, 'A post')",
)


@pytest.mark.parametrize("by", ["the command", "the server's next start"])
async def test_tables_that_were_dropped_and_made_anew_begin_anew(
    by: str, place: Place, server: Running, nodes: NodeClients, start_server: StartServer
) -> None:
    """As `sequelize.sync({force: true})` and `prisma migrate reset` do, over and over while one develops. Ids come
    again: what was told of the old ones must neither be shown to another's successor nor keep the new ones quiet."""
    ada = await nodes.open(server.url, {"userId": 1}).connected()
    for _ in range(2):
        place.sql.run(INSERT)
    await ada.notified(2)
    for statement in RESET:
        place.sql.run(statement)
    place.sql.run(INSERT)  # the app is not kept from it, and this one is the past
    async with server.http.get(f"{server.url}/readyz") as response:
        assert response.status == 200
    looked = await run(place, "doctor")
    assert looked.returncode == 1
    assert "its table was dropped with CASCADE" in looked.stdout
    if by == "the command":
        assert (await run(place, "attach")).returncode == 0
        running = server
    else:
        running = await start_server(database_url=place.url)
    await eventually(lambda: place.sql.value("SELECT count(*) FROM notify.notification") == 0)
    successor = await nodes.open(running.url, {"userId": 1}).connected()
    place.sql.run(INSERT)
    assert [event["commentId"] for event in await successor.notified(1)] == [2]
    assert place.sql.value("SELECT unread FROM notify.inbox WHERE user_id = '1'") == 1
