"""`notify-server doctor`: says that all is well where it is, and what is not where it is not."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession, web

from notify_server.attachment import Options
from notify_server.check import check
from notify_server.db import Database
from notify_server.doctor import examine
from notify_server.settings import load
from tests.conftest import Running, StartServer
from tests.postgres import PgBouncer, Sql
from tests.processes import Start


async def findings(db: Database, url: str, public_url: str | None = None, **values: Any) -> dict[str, tuple[str, str]]:
    """The last finding of each subject, problems before others: (level, text)."""
    settings = load(None, **{"database_url": url, "trust_user_id": True, **values})
    found: dict[str, tuple[str, str]] = {}
    async for finding in examine(db, settings, public_url):
        if found.get(finding.subject, ("",))[0] != "problem":
            found[finding.subject] = (finding.level, str(finding))
    return found


def problems(found: dict[str, tuple[str, str]]) -> set[str]:
    return {subject for subject, (level, _) in found.items() if level == "problem"}


async def test_all_is_well_where_it_is(db: Database, direct_url: str, server: Running) -> None:
    found = await findings(db, direct_url, server.url, client_url="http://localhost:3000", listen_url=direct_url)
    assert problems(found) == {"polling", "WebSocket"}  # the server's CLIENT_URL is another than ours
    found = await findings(db, direct_url, server.url, listen_url=direct_url)
    assert problems(found) == set(), found["polling"]
    expected = {"database", "clock", "migrations", "triggers", "drafts", "outbox", "LISTEN", "files", "CLIENT_URL",
                "polling", "WebSocket"}  # fmt: skip
    assert found.keys() == expected


async def test_a_pooler_in_between_is_told(
    pgbouncer: PgBouncer | None, db: Database, url: str, direct_url: str
) -> None:
    """By `check` beforehand, by `doctor` afterwards; and it is well where LISTEN_URL leads around it."""
    before = [str(finding) for finding in await check(db, Options()) if "pooler" in finding.text]
    found = await findings(db, url)
    assert problems(found) == set()
    if pgbouncer is None:
        assert before == []
        assert found["LISTEN"] == ("ok", "ok       LISTEN: hears what others change")
        return
    assert "LISTEN_URL" in before[0]
    level, text = found["LISTEN"]
    assert level == "note"
    assert "a pooler stands in between" in text
    assert "LISTEN_URL" in text
    assert (await findings(db, url, listen_url=direct_url))["LISTEN"][0] == "ok"


BROKEN = {
    "triggers": ("DROP TRIGGER notify_insert ON comments", "notify_insert on public.comments is gone or disabled"),
    "migrations": (
        "DELETE FROM notify.migration WHERE version = (SELECT max(version) FROM notify.migration)", "1 pending",
    ),
    "tables": ("UPDATE notify.attachment SET spec = NULL", "not connected"),
    "views": ("DROP VIEW notify.drafts", "`notify-server attach` makes them anew"),
    "outbox": ("INSERT INTO notify.outbox_0 (kind, key, at) VALUES ('comment', '1', now() - interval '1 minute')",
               "the oldest 60 s old"),
}  # fmt: skip


@pytest.mark.parametrize("subject", BROKEN)
async def test_what_is_broken_is_named_with_what_to_do(db: Database, url: str, other: Sql, subject: str) -> None:
    change, told = BROKEN[subject]
    other.run(change)
    found = await findings(db, url)
    assert problems(found) == {subject}
    assert told in found[subject][1]
    assert "→" in found[subject][1]


async def test_sessions_that_cannot_be_read_are_told(db: Database, url: str, other: Sql) -> None:
    found = await findings(db, url, trust_user_id=False, session_secret="x" * 32)
    assert problems(found) == {"sessions"}
    assert "SESSION_TABLE" in found["sessions"][1]
    other.run("CREATE TABLE session (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL)")
    assert problems(await findings(db, url, trust_user_id=False, session_secret="x" * 32)) == set()


@pytest.mark.parametrize(
    ("column", "complaint"),
    [
        ("''::text AS user_id, d.type, d.payload", "user_id must have 1 to 255 characters"),
        ("d.user_id, repeat('x', 65) AS type, d.payload", "type must have 1 to 64 characters"),
        ("d.user_id, d.type, d.payload || '{\"type\": 1}' AS payload", "without the key"),
        ("d.user_id, d.type, '[]'::jsonb AS payload", "payload must be a JSON object"),
    ],
)
async def test_drafts_that_cannot_be_delivered_are_found(
    db: Database, url: str, other: Sql, column: str, complaint: str
) -> None:
    other.run("INSERT INTO comments (post_id, author_id, body) VALUES (1, 2, 'x')")
    other.run("ALTER VIEW notify.drafts RENAME TO d0")
    other.run(f"CREATE VIEW notify.drafts AS SELECT d.comment_id, {column}, d.topic, d.actor_id, d.post_id"
              " FROM notify.d0 d")  # fmt: skip
    found = await findings(db, url)
    assert problems(found) == {"drafts"}
    assert complaint in found["drafts"][1]


async def test_a_database_that_is_away_is_told_and_the_rest_looked_at(url: str) -> None:
    away = Database(size=2, timeout_s=1, wait_s=1, connect_timeout_s=1)
    away.open("postgresql://postgres@127.0.0.1:1/x")
    found = await findings(away, url)
    assert problems(found) == {"database"}
    assert "files" in found
    await away.close()


async def test_a_clock_that_is_wrong_is_told(db: Database, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    real = time.time
    monkeypatch.setattr("notify_server.doctor.time.time", lambda: real() - 90)
    found = await findings(db, url)
    monkeypatch.undo()
    assert "90 s behind" in found["clock"][1]


Forward = Callable[[web.Request], Awaitable[web.StreamResponse]]
StartProxy = Callable[[list[str]], Awaitable[str]]


@pytest.fixture
async def start_proxy() -> AsyncIterator[StartProxy]:
    """A proxy that knows no upgrade, and sends each request to the next server."""
    runners: list[web.AppRunner] = []
    async with ClientSession() as session:

        async def start(urls: list[str]) -> str:
            turns = itertools.cycle(urls)

            async def forward(request: web.Request) -> web.Response:
                target = next(turns) + str(request.rel_url)
                headers = {name: request.headers[name] for name in ("Content-Type",) if name in request.headers}
                body = await request.read()
                async with session.request(request.method, target, data=body, headers=headers) as response:
                    return web.Response(status=response.status, body=await response.read())

            app = web.Application()
            app.router.add_route("*", "/{path:.*}", forward)
            runners.append(web.AppRunner(app))
            await runners[-1].setup()
            await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
            return f"http://127.0.0.1:{runners[-1].addresses[0][1]}"

        yield start
        for runner in runners:
            await runner.cleanup()


async def test_a_proxy_that_knows_no_upgrade_or_no_affinity_is_told(
    db: Database, url: str, start_server: StartServer, start_proxy: StartProxy
) -> None:
    one, two = await start_server(), await start_server()
    found = await findings(db, url, await start_proxy([one.url]))
    assert problems(found) == {"WebSocket"}
    assert "Upgrade and Connection" in found["WebSocket"][1]
    found = await findings(db, url, await start_proxy([one.url, two.url]))
    assert problems(found) == {"polling", "WebSocket"}
    assert "affinity" in found["polling"][1]


@pytest.mark.parametrize(
    ("address", "told"),
    [("http://127.0.0.1:1", "does not answer"), ("ftp://x", "is no URL"), ("/", "is no URL")],
)
async def test_an_address_where_nothing_is_is_told(db: Database, url: str, address: str, told: str) -> None:
    assert told in (await findings(db, url, address))["proxy"][1]


async def test_something_else_at_the_address_is_told(db: Database, url: str, start_server: StartServer) -> None:
    elsewhere = await start_server(socket_path="/elsewhere")
    found = await findings(db, url, elsewhere.url)
    assert problems(found) == {"polling", "WebSocket"}
    assert "must pass" in found["polling"][1]


async def test_the_command_ends_with_a_status_for_scripts(start: Start, url: str, other: Sql) -> None:
    well = await start("doctor", DATABASE_URL=url, JWT_SECRET="x" * 32)
    assert await well.ended() == 0, well.output
    assert "ok       triggers: in place and enabled" in well.output
    no_login = await start("doctor", DATABASE_URL=url)
    assert await no_login.ended() == 1
    assert "problem  settings: JWT_SECRET takes" in no_login.output
    other.run("ALTER TABLE comments DISABLE TRIGGER ALL")
    broken = await start("doctor", DATABASE_URL=url, JWT_SECRET="x" * 32)
    assert await broken.ended() == 1
    assert broken.output.count("problem  triggers") == 4
