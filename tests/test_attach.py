"""Tables of other apps, as tutorials and ORMs make them: connected, notified of, let go without a trace."""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from notify_server import attachment
from notify_server.attachment import Options
from notify_server.attachment.spec import resolve
from notify_server.background import in_background
from notify_server.check import check
from notify_server.drain import Reconciler
from notify_server.errors import ConfigError
from notify_server.findings import has_problems
from notify_server.inbox import Change
from notify_server.migrate import migrate
from notify_server.shadow import Shadow
from tests.clients import NodeClients
from tests.conftest import StartServer, open_database
from tests.postgres import Cluster, PgBouncer, Sql, sql
from tests.processes import Start, environment
from tests.waiting import eventually

SCHEMAS = Path(__file__).parent / "schemas"
NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class App:
    """A schema of `tests/schemas`, what `attach` has to be told of it, and how its own server would use it."""

    name: str
    ada: str
    grace: str
    post: str
    insert: str
    soft_delete: str
    undelete: str
    options: dict[str, str] = field(default_factory=dict)
    writing: dict[str, str] = field(default_factory=dict)
    """What more it has to be told before comments can be written."""
    full_name: str = "Grace"
    is_number: bool = False


CUID = "clh3a1x2k000{}qz8g5b6c7d8e"
APPS = [
    App(
        "integer", "1", "2", "1",
        "INSERT INTO comments (post_id, user_id, content) VALUES (1, 2, 'Hello') RETURNING id",
        "DELETE FROM comments WHERE id = %s", "", is_number=True,
    ),
    App(
        "bigint", "1", "2", "1",
        "INSERT INTO app.replies (article_id, member_id, message) VALUES (1, 2, 'Hello') RETURNING id",
        "UPDATE app.replies SET is_deleted = true WHERE id = %s",
        "UPDATE app.replies SET is_deleted = false WHERE id = %s",
        {"comments": "replies", "post_column": "article_id", "author_column": "member_id", "posts": "articles",
         "users": "app.members"},
        full_name="Grace Hopper",
    ),
    App(
        "uuid", "", "", "",
        """INSERT INTO comment (text, "postId", "userId") SELECT 'Hello', p.id, u.id FROM post p, "user" u
           WHERE u."displayName" = 'Grace' RETURNING id::text""",
        'UPDATE comment SET "deletedAt" = now() WHERE id = %s', 'UPDATE comment SET "deletedAt" = NULL WHERE id = %s',
    ),
    App(
        "prisma", CUID.format(0), CUID.format(1), CUID.format(2),
        f"""INSERT INTO "Comment" (id, body, "postId", "authorId", "updatedAt") VALUES
            (left(gen_random_uuid()::text, 25), 'Hello', '{CUID.format(2)}', '{CUID.format(1)}', now()) RETURNING id""",
        'DELETE FROM "Comment" WHERE id = %s', "", writing={"id_generator": "cuid", "now_columns": "updatedAt"},
    ),
    App(
        "sequelize", "1", "2", "1",
        """INSERT INTO "Comments" (content, "PostId", "UserId", "createdAt", "updatedAt")
           VALUES ('Hello', 1, 2, now(), now()) RETURNING id""",
        'UPDATE "Comments" SET "deletedAt" = now() WHERE id = %s',
        'UPDATE "Comments" SET "deletedAt" = NULL WHERE id = %s', writing={"now_columns": "createdAt,updatedAt"},
        full_name="Grace Hopper", is_number=True,
    ),
]  # fmt: skip


@dataclass
class Place:
    """A database of an app that knows nothing of us."""

    app: App
    url: str
    direct_url: str
    sql: Sql
    cluster: Cluster

    def person(self, name: str) -> str:
        known = {"Ada": self.app.ada, "Grace": self.app.grace}[name]
        return known or self.sql.value("""SELECT id::text FROM "user" WHERE "displayName" = %s""", name)

    @property
    def post(self) -> str:
        return self.app.post or self.sql.value("SELECT id::text FROM post")

    def shown(self, value: str) -> Any:
        """An id as JSON has it."""
        return int(value) if self.app.is_number else value

    def dump(self) -> str:
        """All of the app's own, as pg_dump writes it; restrict keys differ from run to run."""
        lines = self.cluster.dump(self.direct_url, "--exclude-schema=notify").splitlines()
        return "\n".join(line for line in lines if not line.startswith(("\\restrict", "\\unrestrict")))


@pytest.fixture(params=APPS, ids=lambda app: app.name)
def place(request: pytest.FixtureRequest, cluster: Cluster, pgbouncer: PgBouncer | None) -> Iterator[Place]:
    yield from make_place(request.param, cluster, pgbouncer)


def make_place(app: App, cluster: Cluster, pgbouncer: PgBouncer | None = None) -> Iterator[Place]:
    name = f"app_{next(NUMBERS)}"
    with sql(cluster.url()) as admin:
        admin.run(f"CREATE DATABASE {name}")
        with sql(cluster.url(name)) as connection:
            connection.run((SCHEMAS / f"{app.name}.sql").read_text())
            direct = cluster.url(name)
            yield Place(app, direct if pgbouncer is None else pgbouncer.url(name), direct, connection, cluster)
        admin.run(f"DROP DATABASE {name} WITH (FORCE)")


def app_named(name: str) -> App:
    return next(app for app in APPS if app.name == name)


@pytest.fixture
def integer(cluster: Cluster) -> Iterator[Place]:
    yield from make_place(app_named("integer"), cluster)


@pytest.fixture
def prisma(cluster: Cluster) -> Iterator[Place]:
    yield from make_place(app_named("prisma"), cluster)


async def run(place: Place, *args: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "notify_server", *args], capture_output=True, text=True, check=False,
        env=environment(DATABASE_URL=place.url), cwd=SCHEMAS, timeout=60,
    )  # fmt: skip


def arguments(options: dict[str, str]) -> list[str]:
    return [part for name, value in options.items() for part in ("--" + name.replace("_", "-"), value)]


async def test_an_app_is_attached_notified_and_detached_without_a_trace(
    place: Place, start_server: StartServer, nodes: NodeClients
) -> None:
    before = place.dump()
    looked = await run(place, "check", *arguments(place.app.options))
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert place.dump() == before
    assert place.sql.value("SELECT to_regnamespace('notify')") is None

    done = await run(place, "attach", *arguments(place.app.options | place.app.writing))
    assert done.returncode == 0, done.stderr
    server = await start_server(database_url=place.url)
    ada = await nodes.open(server.url, {"userId": place.person("Ada")}).connected()

    comment_id = str(place.sql.value(place.app.insert))
    expected = {
        "type": "comment", "postId": place.shown(place.post), "commentId": place.shown(comment_id),
        "fromUser": place.app.full_name, "message": f"{place.app.full_name} commented on your post",
    }  # fmt: skip
    assert await ada.notified() == [expected]

    unread = "SELECT unread FROM notify.inbox"
    place.sql.run(place.app.soft_delete, comment_id)
    await eventually(lambda: place.sql.value(unread) == 0)
    if place.app.undelete:
        place.sql.run(place.app.undelete, comment_id)
        assert await ada.notified(2) == [expected, expected]

    written = await server.comment(place.person("Grace"), place.post, "Over HTTP")
    assert written["body"] == "Over HTTP"
    assert written["postId"] == place.shown(place.post)
    assert [event["commentId"] for event in await ada.notified(3 if place.app.undelete else 2)][-1] == written["id"]
    async with server.http.delete(
        f"{server.url}/comments/{written['id']}", headers={"Authorization": f"User {place.person('Grace')}"}
    ) as response:
        assert response.status == 204
    await eventually(lambda: place.sql.value(unread) == (1 if place.app.undelete else 0))

    place.sql.run(place.app.soft_delete, comment_id)
    assert (await run(place, "detach")).returncode == 0
    place.sql.run(place.app.insert)
    assert place.dump() == before
    assert (await run(place, "detach", "--purge")).returncode == 0
    assert place.sql.value("SELECT to_regnamespace('notify')") is None


@pytest.mark.parametrize("app", [app for app in APPS if app.writing], ids=lambda app: app.name)
async def test_where_an_orm_fills_columns_comments_stay_with_the_app_s_own_server(
    app: App, cluster: Cluster, start_server: StartServer, nodes: NodeClients
) -> None:
    for place in make_place(app, cluster):
        done = await run(place, "attach")
        assert "docs/SWITCH.md, the first way" in done.stdout
        for column in app.writing["now_columns"].split(","):
            assert f"{column} " in done.stdout
            assert f"--now-columns {column}" in done.stdout
        server = await start_server(database_url=place.url)
        ada = await nodes.open(server.url, {"userId": app.ada}).connected()
        async with server.http.post(
            f"{server.url}/posts/{app.post}/comments",
            json={"body": "x"},
            headers={"Authorization": f"User {app.grace}"},
        ) as response:  # fmt: skip
            assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
            assert (await response.json())["code"] == "read_only"
        place.sql.run(app.insert)
        assert len(await ada.notified()) == 1


async def test_a_dry_run_prints_what_would_run_and_changes_nothing(integer: Place) -> None:
    before = integer.dump()
    printed = await run(integer, "attach", "--dry-run")
    assert printed.returncode == 0
    assert integer.dump() == before
    assert integer.sql.value("SELECT to_regnamespace('notify')") is None
    await run(integer, "migrate")
    integer.sql.run(printed.stdout)  # it is all there, and nothing else
    assert integer.sql.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'notify\\_%%'") == 10
    assert (await run(integer, "detach", "--dry-run")).stdout.count("DROP VIEW") == 1


async def test_the_rest_is_found_by_the_foreign_keys_and_told(integer: Place) -> None:
    looked = await run(integer, "check")
    assert "comments.id (integer), on post_id → posts.id, by user_id → users.id, text in content" in looked.stdout
    assert "comments has its own: count_comments" in looked.stdout
    assert "likes" not in looked.stdout
    server = Path(__file__).parent.parent / "examples" / "pern" / "server"
    looked = await run(integer, "check", "--server", str(server))
    assert (looked.returncode, "clients send the event typing" in looked.stdout) == (0, True)


REFUSALS: dict[str, tuple[str, dict[str, str], str]] = {
    "no such table": ("", {"comments": "comment"}, r"--comments: there is no table comment in the database app_\d+"),
    "another case": ("", {"comments": "Comments"}, "--comments: there is no table Comments .*; there is comments"),
    "no such column": ("", {"author_column": "author_id", "comments": "comments"},
                       "--author-column: table comments has no column author_id; it has id, post_id, user_id"),
    "another case of a column": ("", {"comments": "comments", "body_column": "Content"}, "there is content"),
    "a column of a wrong type": ("", {"comments": "comments", "body_column": "post_id"}, "is of type integer"),
    "two tables of comments": (
        "CREATE TABLE reply_comments (id serial PRIMARY KEY, post_id int REFERENCES posts,"
        " user_id int REFERENCES users, body text)", {},
        "several tables may be the comments: say which: --comments comments .*reply_comments"),
    "no foreign keys": ("ALTER TABLE comments DROP CONSTRAINT comments_post_id_fkey; DROP TABLE likes", {},
                        "by foreign keys"),
    "a key of two columns": ("ALTER TABLE comments DROP CONSTRAINT comments_pkey, ADD PRIMARY KEY (id, post_id)", {},
                             "comments has a primary key of several columns"),
    "no key": ("ALTER TABLE comments DROP CONSTRAINT comments_pkey", {}, "comments has no primary key"),
    "a view": ("CREATE VIEW old AS SELECT * FROM comments", {"comments": "old"}, "old is a view"),
    "in two schemas": ("CREATE SCHEMA b; CREATE TABLE b.comments ()", {"comments": "comments"},
                       "in several schemas: b.comments, public.comments"),
    "no time": ("ALTER TABLE comments DROP created_at", {}, "--created-column"),
    "no name": ("ALTER TABLE users RENAME username TO mail", {}, "--user-name: which column of users .* mail"),
    "a generator that is not enough": (
        "ALTER TABLE comments ADD rating int, ADD CONSTRAINT r CHECK (true); DELETE FROM comments;"
        " ALTER TABLE comments ALTER rating SET NOT NULL", {"id_generator": "uuid"},
        "comments.rating must not be NULL"),
    "a time of another type": ("", {"now_columns": "content"}, "comments.content is of type text"),
    "an id of another type": ("DELETE FROM comments; ALTER TABLE comments DROP CONSTRAINT comments_pkey,"
                              " ADD key numeric; ALTER TABLE comments ADD PRIMARY KEY (key)", {},
                              "comments.key is of type numeric"),
    "a trigger of that name": (
        "CREATE TRIGGER notify_insert AFTER INSERT ON comments FOR EACH ROW EXECUTE FUNCTION count_comments()", {},
        "comments has triggers of its own named notify_insert"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
async def test_what_does_not_fit_is_refused_by_name_and_nothing_done(integer: Place, name: str) -> None:
    change, options, reason = REFUSALS[name]
    if change:
        integer.sql.run(change)
    before = integer.dump()
    db = open_database(integer.url)
    with pytest.raises(ConfigError, match=reason):
        resolve(await attachment.read_catalogue(db), Options(**options))
    assert has_problems(await check(db, Options(**options)))
    await db.close()
    assert integer.dump() == before


async def test_a_role_without_rights_is_told_which(integer: Place, cluster: Cluster) -> None:
    integer.sql.run("CREATE ROLE weak LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO weak")
    try:
        db = open_database(integer.url.replace("postgres@", "weak@"))
        found = await check(db, Options())
        assert has_problems(found)
        told = "\n".join(map(str, found))
        assert "GRANT CREATE ON DATABASE" in told
        assert "may not make triggers on" in told
        integer.sql.run("GRANT TRIGGER ON ALL TABLES IN SCHEMA public TO weak")
        integer.sql.run(f"GRANT CREATE ON DATABASE {integer.url.rsplit('/', 1)[1]} TO weak")
        found = await check(db, Options())
        assert not has_problems(found)
        assert "only the owner can detach" in "\n".join(map(str, found))
        assert "may not insert into comments" in "\n".join(map(str, found))
        await migrate(db)
        await attachment.attach(db, await attachment.proposed(db, Options()))
        assert integer.sql.value("SELECT notify.missing_triggers_v1()::text") == "[]"
        await db.close()
    finally:
        integer.sql.run("DROP OWNED BY weak CASCADE; DROP ROLE weak")


async def test_a_table_that_somebody_holds_is_waited_for_shortly_and_nobody_behind_it(integer: Place) -> None:
    db = open_database(integer.url)
    await migrate(db)
    spec = await attachment.proposed(db, Options())
    waited: list[int] = []
    with sql(integer.direct_url) as holder, sql(integer.direct_url) as app:
        holder.run("BEGIN; UPDATE comments SET content = content")
        work = asyncio.create_task(attachment.attach(db, spec, waiting=lambda: waited.append(1)))
        await eventually(lambda: bool(waited))
        app.run("SET statement_timeout = '3s'")
        await asyncio.to_thread(app.run, app_named("integer").insert)  # never queues behind us for long
        holder.run("COMMIT")
        await work
    assert integer.sql.value("SELECT notify.missing_triggers_v1()::text") == "[]"
    await db.close()


async def test_attaching_again_keeps_the_app_s_own_drafts_and_its_past(integer: Place) -> None:
    db = open_database(integer.url)
    await migrate(db)
    spec = await attachment.proposed(db, Options())
    await attachment.attach(db, spec)
    integer.sql.run(
        """CREATE OR REPLACE VIEW notify.drafts AS SELECT c.id AS comment_id, p.author_id::text AS user_id,
           'kommentar' AS type, jsonb_build_object('message', u.name || ' hat kommentiert: ' || p.title) AS payload,
           'post:' || p.id AS topic, c.author_id::text AS actor_id, p.id::text AS post_id
           FROM notify.comments c JOIN notify.posts p ON p.id = c.post_id JOIN notify.people u ON u.id = c.author_id"""
    )
    await attachment.attach(db, spec, answers="SELECT c.id, c.content FROM public.comments c")
    await attachment.attach(db, spec)
    assert integer.sql.value("SELECT type FROM notify.drafts") == "kommentar"
    assert (
        integer.sql.value("SELECT answer::text FROM notify.comment_answers('{1}')") == '{"id": 1, "content": "Before"}'
    )
    assert integer.sql.value("SELECT count(*) FROM notify.considered") == 1
    await attachment.detach(db)
    await attachment.attach(db, spec)  # what was written meanwhile is the past as well
    assert integer.sql.value("SELECT type FROM notify.drafts") == "comment"
    await db.close()


async def test_other_tables_take_over_from_those_before(integer: Place) -> None:
    integer.sql.run("CREATE TABLE articles (LIKE posts INCLUDING ALL); INSERT INTO articles SELECT * FROM posts")
    integer.sql.run("CREATE TABLE remarks (LIKE comments INCLUDING ALL)")
    integer.sql.run("ALTER TABLE articles ADD FOREIGN KEY (user_id) REFERENCES users")
    integer.sql.run(
        "ALTER TABLE remarks ADD FOREIGN KEY (user_id) REFERENCES users, ADD FOREIGN KEY (post_id) REFERENCES articles"
    )
    db = open_database(integer.url)
    await migrate(db)
    await attachment.attach(db, await attachment.proposed(db, Options(comments="comments")))
    remarks = await attachment.proposed(db, Options(comments="remarks"))
    await attachment.attach(db, remarks)
    on = "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE 'notify\\_%%' ORDER BY 1"
    assert integer.sql.run(on) == ["articles", "remarks", "users"]
    integer.sql.run("SELECT notify.deliver_v2(ARRAY[('1', 'comment', '{}', NULL, NULL, '1', '1')::notify.draft])")
    await attachment.detach(db)
    with pytest.raises(ConfigError, match="comments in remarks: `notify-server detach --purge`"):
        await attachment.attach(db, await attachment.proposed(db, Options(comments="comments")))
    await attachment.detach(db, purge=True)
    await migrate(db)
    await attachment.attach(db, await attachment.proposed(db, Options(comments="comments")))
    assert integer.sql.run(on) == ["comments", "posts", "users"]
    await db.close()


async def test_a_server_starts_neither_beside_tables_that_nobody_connected_nor_after_they_were_let_go(
    integer: Place, start_server: StartServer
) -> None:
    before = integer.dump()
    with pytest.raises(ConfigError, match="`notify-server attach` connects them by their own names: --body-column"):
        await start_server(database_url=integer.url)
    assert integer.dump() == before
    await run(integer, "attach")
    await run(integer, "detach")
    with pytest.raises(ConfigError, match="are detached: `notify-server attach`"):
        await start_server(database_url=integer.url)
    assert integer.dump() == before


async def test_what_was_written_before_or_between_is_nobody_s_news(
    integer: Place, start_server: StartServer, nodes: NodeClients
) -> None:
    await run(integer, "attach")
    await run(integer, "detach")
    integer.sql.run(integer.app.insert)
    await run(integer, "attach")
    server = await start_server(database_url=integer.url)
    db = open_database(integer.url)
    await Reconciler(db)._round()
    ada = await nodes.open(server.url, {"userId": "1"}).connected()
    comment_id = integer.sql.value(integer.app.insert)
    assert [event["commentId"] for event in await ada.notified()] == [comment_id]
    await db.close()


async def test_drafts_and_the_answer_are_the_app_s_own_sql(
    prisma: Place, tmp_path: Path, start_server: StartServer, nodes: NodeClients
) -> None:
    drafts, answer = tmp_path / "drafts.sql", tmp_path / "answer.sql"
    drafts.write_text(
        """-- everybody in the thread hears of it
        SELECT c.id AS comment_id, w.id AS user_id, 'comment' AS type,
               jsonb_build_object('postId', c."postId", 'commentId', c.id, 'fromUser', u.name,
                                  'link', '/p/' || c."postId", 'message', u.name || ' schrieb: ' || c.body) AS payload,
               'post:' || c."postId" AS topic, c."authorId" AS actor_id, c."postId" AS post_id
        FROM public."Comment" c JOIN public."User" u ON u.id = c."authorId"
        JOIN public."User" w ON w.id <> u.id;
        """
    )
    answer.write_text(
        """SELECT c.id, c.body, c."createdAt", 7::bigint AS big, 7 AS small, true AS yes, NULL::text AS nothing,
                  json_build_object('id', u.id, 'name', u.name) AS author
           FROM public."Comment" c JOIN public."User" u ON u.id = c."authorId";"""
    )
    done = await run(prisma, "attach", "--drafts", str(drafts), "--answer", str(answer), *arguments(prisma.app.writing))
    assert done.returncode == 0, done.stderr
    server = await start_server(database_url=prisma.url)
    ada = await nodes.open(server.url, {"userId": prisma.app.ada}).connected()
    comment = await server.comment(prisma.app.grace, prisma.app.post, "Guten Tag")
    assert comment == {
        "id": comment["id"], "body": "Guten Tag", "createdAt": comment["createdAt"], "big": "7", "small": 7,
        "yes": True, "nothing": None, "author": {"id": prisma.app.grace, "name": "Grace"},
    }  # fmt: skip
    assert comment["createdAt"].endswith("Z")
    assert (await ada.notified())[0]["message"] == "Grace schrieb: Guten Tag"

    prisma.sql.run('ALTER TABLE "User" ADD divisor int NOT NULL DEFAULT 0')
    prisma.sql.run("CREATE OR REPLACE VIEW notify.answers AS SELECT c.id, c.body, c.\"createdAt\", 7::bigint AS big,"
                   " 7 / (SELECT divisor FROM \"User\" LIMIT 1) AS small, true AS yes, NULL::text AS nothing,"
                   " json_build_object('id', u.id, 'name', u.name) AS author"
                   ' FROM "Comment" c JOIN "User" u ON u.id = c."authorId"')  # fmt: skip
    usual = await server.comment(prisma.app.grace, prisma.app.post, "Steht trotzdem")
    assert usual["authorId"] == prisma.app.grace  # broken, it costs the answer's form, not the comment


@pytest.mark.parametrize(
    ("option", "text", "reason"),
    [
        ("--drafts", "SELECT 1", "cannot (drop|change)"),
        ("--drafts", "SELEC", "syntax error"),
        ("--answer", "SELECT c.content FROM public.comments c", 'no column "id"'),
        ("--answer", "SELECT id FROM public.nowhere", "nowhere"),
    ],
)
async def test_sql_that_does_not_fit_is_refused_and_nothing_connected(
    integer: Place, tmp_path: Path, option: str, text: str, reason: str
) -> None:
    before = integer.dump()
    (tmp_path / "own.sql").write_text(text)
    done = await run(integer, "attach", option, str(tmp_path / "own.sql"))
    assert done.returncode == 1
    assert re.search(f"notify-server: the tables cannot be connected, and nothing was changed: .*{reason}", done.stderr)
    assert "Traceback" not in done.stderr
    assert integer.dump() == before


async def test_history_is_written_as_read_below_what_was_delivered(
    integer: Place, start_server: StartServer, nodes: NodeClients
) -> None:
    integer.sql.run(
        "INSERT INTO comments (post_id, user_id, content, created_at)"
        " SELECT 1, 2, n::text, now() - n * interval '1 hour' FROM generate_series(1, 1500) n"
    )
    integer.sql.run("INSERT INTO comments (post_id, user_id, content, created_at) VALUES (1, 2, 'old', '2001-01-01')")
    await run(integer, "attach")
    server = await start_server(database_url=integer.url)
    ada = await nodes.open(server.url, {"userId": "1"}).connected()
    integer.sql.run(integer.app.insert)
    await ada.notified()
    first = await run(integer, "backfill")
    assert "wrote 1501 notifications of the past 90 days" in first.stdout
    again = await run(integer, "backfill")
    assert (again.returncode, "was written already" in again.stderr) == (1, True)

    rows = integer.sql.run(
        "SELECT seq::int, created_at, read_at IS NOT NULL FROM notify.notification WHERE user_id = '1'"
        " ORDER BY seq DESC"
    )
    assert [seq for seq, _, _ in rows] == list(range(1, -1501, -1))
    moments = [moment for _, moment, _ in rows]
    assert moments == sorted(moments, reverse=True)
    assert [is_read for _, _, is_read in rows] == [False] + [True] * 1501
    assert integer.sql.value("SELECT unread FROM notify.inbox") == 1
    page = await ada.ask("notifications:list", {"limit": 100})
    below = await ada.ask("notifications:list", {"limit": 100, "before": page["next"]})
    assert [entry["seq"] for entry in below["notifications"]] == list(range(-99, -199, -1))
    assert (await ada.ask("notifications:unread", {"seqs": [-7]}))["unread"] == 2
    assert (await ada.ask("notifications:read", {"upTo": -5}))["unread"] == 1
    await asyncio.sleep(0.5)
    assert len(ada.notifications) == 1
    fresh = await nodes.open(server.url, {"userId": "1"}).connected()
    await asyncio.sleep(0.5)
    assert fresh.notifications in ([], ada.notifications)


async def test_a_history_that_was_interrupted_goes_on_and_doubles_nothing(integer: Place) -> None:
    integer.sql.run(
        "INSERT INTO comments (post_id, user_id, content, created_at)"
        " SELECT 1, 2, n::text, now() - n * interval '1 minute' FROM generate_series(1, 1200) n"
    )
    db = open_database(integer.url)
    await migrate(db)
    await attachment.attach(db, await attachment.proposed(db, Options()))

    class Stop(Exception):
        pass

    def stop(done: int, _total: int) -> None:
        if done >= 500:
            raise Stop

    with pytest.raises(Stop):
        await attachment.backfill(db, 90, stop)
    assert 500 <= integer.sql.value("SELECT count(*) FROM notify.notification") < 1200
    await attachment.backfill(db, 90, lambda _done, _total: None)
    assert integer.sql.run("SELECT count(*), count(DISTINCT comment_id) FROM notify.notification") == [(1201, 1201)]
    await db.close()


async def test_in_the_shadow_of_an_old_server_all_is_stored_as_read_and_nobody_told(
    integer: Place, start_server: StartServer, start: Start, nodes: NodeClients, caplog: pytest.LogCaptureFixture
) -> None:
    await run(integer, "attach")
    shadow = await start("serve", DATABASE_URL=integer.url, SHADOW="1", TRUST_USER_ID="1", PORT=0, LOG_FORMAT="text")
    port = (await shadow.until(r"listening.*port=(\d+)"))[1]
    await shadow.until("ready")
    async with ClientSession(f"http://127.0.0.1:{port}") as http:
        async with http.get("/socket.io/?EIO=4&transport=polling") as response:
            assert response.status == 503
        async with http.post("/posts/1/comments", json={"body": "x"}, headers={"Authorization": "User 2"}) as response:
            assert response.status == 405
    integer.sql.run(integer.app.insert)
    await eventually(lambda: integer.sql.value("SELECT count(*) FROM notify.notification") == 1)
    assert integer.sql.run("SELECT unread, unseen, last_seq FROM notify.inbox") == [(0, 0, 1)]
    await shadow.stop()

    counting = Shadow(0.05)
    caplog.set_level("INFO", "notify_server.shadow")
    counting.count(
        [Change(user, 0, 1, {"added": [{"seq": 1, "type": "comment", "payload": {}}]}) for user in ("1", "1", "2")]
    )
    async with in_background(counting.run()):
        await eventually(lambda: len([record for record in caplog.records if record.message == "shadow"]) > 1)
    first, then = [vars(record) for record in caplog.records if record.message == "shadow"][:2]
    assert (first["notifications"], first["users"], first["since_start"]) == ({"comment": 3}, 2, {"comment": 3})
    assert (then["notifications"], then["users"], then["since_start"]) == ({}, 0, {"comment": 3})
    server = await start_server(database_url=integer.url)
    ada = await nodes.open(server.url, {"userId": "1"}).connected()
    comment_id = integer.sql.value(integer.app.insert)
    assert [event["commentId"] for event in await ada.notified()] == [comment_id]
    listed = await ada.ask("notifications:list")
    assert [entry["readAt"] is None for entry in listed["notifications"]] == [True, False]


async def test_a_missing_trigger_is_told_by_readyz_which_stays_ready(
    integer: Place, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify_server.app.RECONCILE_S", 0.1)
    await run(integer, "attach")
    server = await start_server(database_url=integer.url)

    async def ready() -> tuple[int, Any]:
        async with server.http.get(f"{server.url}/readyz") as response:
            return response.status, await response.json()

    assert await ready() == (200, {"status": "ok"})
    integer.sql.run("ALTER TABLE comments DISABLE TRIGGER notify_insert; DROP TRIGGER notify_move ON posts")
    expected = [["public", "comments", "notify_insert"], ["public", "posts", "notify_move"]]
    for _ in range(50):
        status, told = await ready()
        if "missingTriggers" in told:
            break
        await asyncio.sleep(0.1)
    assert (status, told["status"], sorted(told["missingTriggers"])) == (200, "ok", expected)
    await run(integer, "attach")
    assert orjson.loads(integer.sql.value("SELECT notify.missing_triggers_v1()::text")) == []
    for _ in range(50):
        if await ready() == (200, {"status": "ok"}):
            break
        await asyncio.sleep(0.1)
    assert await ready() == (200, {"status": "ok"})
