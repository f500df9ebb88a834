"""Sessions that the real express-session, connect-pg-simple and passport made."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote

import jwt
import pytest

from notify_server.app import make_database
from notify_server.auth import Identity
from notify_server.auth.session import OpenSession, SessionVerifier, unsign
from notify_server.background import in_background
from notify_server.logins import Logins
from notify_server.settings import load
from tests.clients import Client, NodeClients
from tests.conftest import SECRET as JWT_SECRET
from tests.conftest import Running, StartServer
from tests.expressapp import ExpressApp, express_app
from tests.node import EXPRESS
from tests.postgres import Cluster, Sql, embedded_bin, sql
from web.node import install

SECRET = "keyboard cat, with a comma"

StartExpress = Callable[..., Awaitable[ExpressApp]]


@pytest.fixture(scope="session")
def _installed_express() -> None:
    install(EXPRESS)


@pytest.fixture
async def start_express(_installed_express: None, direct_url: str) -> AsyncIterator[StartExpress]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(database: str = direct_url, **options: Any) -> ExpressApp:
            return await stack.enter_async_context(express_app(database, **{"secret": [SECRET], **options}))

        yield start


@pytest.fixture
async def express(start_express: StartExpress) -> ExpressApp:
    return await start_express()


@pytest.fixture
async def server(start_server: StartServer) -> Running:
    return await start_server(session_secret=SECRET)


def sid_of(cookie: str) -> str:
    return unquote(cookie.split("=", 1)[1])[2:].rpartition(".")[0]


def signed(sid: str, secret: str = SECRET) -> str:
    mac = base64.b64encode(hmac.digest(secret.encode(), sid.encode(), "sha256")).decode().rstrip("=")
    return f"s:{sid}.{mac}"


async def test_who_is_logged_in_with_express_is_logged_in_here(
    express: ExpressApp, server: Running, nodes: NodeClients
) -> None:
    ada, grace = await express.log_in("Ada"), await express.log_in("Grace")
    assert (await server.who(ada), await server.who(grace)) == (1, 2)
    clients = [
        await nodes.open(server.url, {"userId": 1}, headers={"Cookie": ada}, transports=transports).connected()
        for transports in (None, ["websocket"], ["polling"])
    ]
    async with server.http.post(
        f"{server.url}/posts/1/comments", json={"body": "a"}, headers={"Cookie": grace, "Origin": server.url}
    ) as response:
        assert response.status == 200
    for client in clients:
        assert (await client.notified())[0]["fromUser"] == "Grace"
    assert await nodes.open(server.url, {"userId": 2}, headers={"Cookie": ada}).refused() == "user_mismatch"


async def test_the_cookie_of_another_origin_of_the_same_site_comes_with_the_upgrade(
    express: ExpressApp, start_server: StartServer, nodes: NodeClients
) -> None:
    server = await start_server(session_secret=SECRET, client_url="https://app.example.com")
    origin = {"Origin": "https://app.example.com"}
    options = {
        "polling": {"extraHeaders": origin},
        "websocket": {"extraHeaders": {**origin, "Cookie": await express.log_in("Ada")}},
    }
    client = await nodes.open(server.url, {"userId": 1}, transportOptions=options).connected()
    assert client.named("open") == [["polling"]]


async def test_a_session_s_cookie_speaks_only_from_an_origin_that_may(express: ExpressApp, server: Running) -> None:
    ada = await express.log_in("Ada")
    assert await server.who(ada, Origin="https://evil.com") == (403, "origin_not_allowed")
    for headers in ({"Origin": "https://evil.com"}, {"Sec-Fetch-Site": "cross-site"}, {}, {"Origin": "null"}):
        async with server.http.post(
            f"{server.url}/posts/2/comments", json={"body": "a"}, headers={"Cookie": ada, **headers}
        ) as response:
            assert (response.status, (await response.json())["code"]) == (403, "origin_not_allowed"), headers


async def test_secrets_rotate(start_express: StartExpress, start_server: StartServer) -> None:
    before = await start_express(secret=["old, older"])
    old = await before.log_in("Ada")
    after = await start_express(secret=["new", "old, older"])
    new = await after.log_in("Ada")
    while_rotating = await start_server(session_secret='["new", "old, older"]')
    afterwards = await start_server(session_secret="new")
    assert await after.get("/me", old) == 200
    assert (await while_rotating.who(old), await while_rotating.who(new)) == (1, 1)
    assert (await afterwards.who(old), await afterwards.who(new)) == ((401, "session_invalid"), 1)


async def test_cookie_table_and_schema_may_have_any_name(
    start_express: StartExpress, start_server: StartServer, other: Sql, nodes: NodeClients
) -> None:
    other.run('CREATE SCHEMA "Web %s"')
    express = await start_express(name="my.app~sid", table='User"Session', schema="Web %s")
    server = await start_server(
        session_secret=SECRET, session_cookie="my.app~sid", session_table='User"Session', session_schema="Web %s"
    )
    ada = await express.log_in("Ada")
    assert ada.startswith("my.app~sid=")
    assert other.value('SELECT count(*) FROM "Web %s"."User""Session"') >= 1
    other.run('UPDATE "Web %s"."User""Session" SET expire = expire - interval \'1 hour\'')
    assert await server.who(ada) == 1
    assert other.value('SELECT bool_or(expire > now() + interval \'23.9 hours\') FROM "Web %s"."User""Session"')
    client = await nodes.open(server.url, headers={"Cookie": ada}).connected()
    await express.post("/logout", ada)
    assert await client.refused() == "session_ended"


async def test_the_user_is_found_where_the_app_keeps_it(
    start_express: StartExpress, start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    express = await start_express(whole=True)
    ada = await express.log_in("Ada")
    assert await (await start_server(session_secret=SECRET, session_user="passport.user.id")).who(ada) == 1
    with caplog.at_level(logging.ERROR):
        assert await (await start_server(session_secret=SECRET)).who(ada) == (401, "not_logged_in")
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == ["session_user_is_no_id"]
    own = await start_server(session_secret=SECRET, session_user="userId")
    anybody = await express.post("/become", userId=None)
    expected: list[tuple[Any, Any]] = [
        (1, 1), ("2", 2), (None, (401, "not_logged_in")), (True, (401, "not_logged_in")),
        (1.5, (401, "not_logged_in")), ("", (401, "not_logged_in")), ([1], (401, "not_logged_in")),
        ({"id": 1}, (401, "not_logged_in")), ("1\0", (401, "not_logged_in")), ("\ud800", (401, "not_logged_in")),
        ("x" * 300, (401, "not_logged_in")), (10**300, (401, "not_logged_in")),
    ]  # fmt: skip
    for user_id, taken in expected:
        await express.post("/become", anybody, userId=user_id)
        assert await own.who(anybody) == taken, user_id


async def test_a_visitor_who_has_a_session_but_no_user_is_refused(
    express: ExpressApp, server: Running, nodes: NodeClients
) -> None:
    visitor = await express.post("/become", userId=1)  # not where SESSION_USER looks
    assert await server.who(visitor) == (401, "not_logged_in")
    assert await nodes.open(server.url, headers={"Cookie": visitor}).refused() == "not_logged_in"


LEAVING: dict[str, Callable[[ExpressApp, str, Sql], Awaitable[object]]] = {
    "passport's logout": lambda express, cookie, other: express.post("/logout", cookie),
    "session.destroy": lambda express, cookie, other: express.post("/destroy", cookie),
}


async def within_2_s(gone: Client, since: float) -> None:
    await gone.until(lambda: gone.named("disconnect") == [["transport close"]], timeout_s=2)
    assert time.monotonic() - since < 2


@pytest.mark.parametrize("way", LEAVING)
async def test_a_logout_closes_the_sockets_of_that_session_alone(
    express: ExpressApp, server: Running, nodes: NodeClients, other: Sql, way: str
) -> None:
    laptop, phone = await express.log_in("Ada"), await express.log_in("Ada")
    tabs = [
        await nodes.open(server.url, headers={"Cookie": laptop}, transports=transports).connected()
        for transports in (None, ["websocket"], ["polling"])
    ]
    elsewhere = await nodes.open(server.url, headers={"Cookie": phone}).connected()
    started = time.monotonic()
    await LEAVING[way](express, laptop, other)
    await asyncio.gather(*(within_2_s(tab, started) for tab in tabs))
    for tab in tabs:
        assert await tab.refused() == "session_ended"
    assert await server.who(laptop) == (401, "session_ended")
    assert elsewhere.named("disconnect") == []
    assert await server.who(phone) == 1


async def test_a_session_that_expires_or_becomes_somebody_else_s_closes_its_sockets(
    express: ExpressApp, start_server: StartServer, nodes: NodeClients, other: Sql
) -> None:
    server = await start_server(session_secret=SECRET, session_user="userId")
    expires = await express.post("/become", userId=1)
    client = await nodes.open(server.url, headers={"Cookie": expires}).connected()
    started = time.monotonic()
    other.run("UPDATE session SET expire = now() - interval '1 second' WHERE sid = %s", sid_of(expires))
    await within_2_s(client, started)
    assert await client.refused() == "session_ended"
    for user_id in (2, None):
        changes = await express.post("/become", userId=1)
        client = await nodes.open(server.url, headers={"Cookie": changes}).connected()
        await express.post("/become", changes, userId=1, note="something else changed")
        await asyncio.sleep(1.5)
        assert client.named("disconnect") == []
        started = time.monotonic()
        await express.post("/become", changes, userId=user_id)
        await within_2_s(client, started)


async def test_no_content_of_a_session_blinds_the_watch(
    express: ExpressApp, start_server: StartServer, nodes: NodeClients
) -> None:
    server = await start_server(session_secret=SECRET, session_user="userId")
    poisoned = await express.post("/become", userId=1, note="\0 \ud800")
    plain = await express.post("/become", userId=2)
    clients = [await nodes.open(server.url, headers={"Cookie": each}).connected() for each in (poisoned, plain)]
    started = time.monotonic()
    await express.post("/destroy", plain)
    await within_2_s(clients[1], started)
    assert clients[0].named("disconnect") == []


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    cluster = Cluster(embedded_bin())
    yield cluster
    cluster.remove()


async def test_a_database_that_is_away_cuts_nobody(
    own_cluster: Cluster, start_express: StartExpress, start_server: StartServer, nodes: NodeClients
) -> None:
    server = await start_server(session_secret=SECRET, database_url=own_cluster.url())
    with sql(own_cluster.url()) as other:
        other.run("INSERT INTO users (name) VALUES ('Ada')")
    ada = await (await start_express(own_cluster.url())).log_in("Ada")
    client = await nodes.open(server.url, headers={"Cookie": ada}).connected()
    await asyncio.to_thread(own_cluster.stop, "immediate")
    await asyncio.sleep(2.5)
    assert (await server.who(ada))[0] == 503
    await asyncio.to_thread(own_cluster.start)
    async with asyncio.timeout(20):
        while await server.who(ada) != 1:
            await asyncio.sleep(0.2)
    assert client.named("disconnect") == []


async def test_sessions_that_cannot_be_read_say_come_back(
    express: ExpressApp, server: Running, nodes: NodeClients, other: Sql, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("notify_server.transport.connecting._HOLD_S", (0.1, 0.2))
    ada = await express.log_in("Ada")
    client = await nodes.open(server.url, headers={"Cookie": ada}).connected()
    other.run("ALTER TABLE session RENAME TO away")
    for _ in range(3):
        assert await server.who(ada) == (503, "sessions_unreadable")
    another = nodes.open(server.url, headers={"Cookie": ada})
    await another.until(lambda: len(another.named("open")) >= 2)
    await asyncio.sleep(1.5)
    other.run("ALTER TABLE away RENAME TO session")
    await another.connected()
    assert client.named("disconnect") == []
    unreadable = [record for record in caplog.records if record.getMessage() == "sessions_unreadable"]
    assert [getattr(record, "sqlstate", None) for record in unreadable] == ["42P01"]  # said once


# --- use keeps a session --------------------------------------------------------------------------------------------


def left_s(other: Sql, cookie: str) -> float:
    return float(other.value("SELECT extract(epoch FROM expire - now()) FROM session WHERE sid = %s", sid_of(cookie)))


def age(other: Sql, cookie: str, seconds: float) -> None:
    """As if it had been used last so long ago."""
    other.run("UPDATE session SET expire = expire - make_interval(secs => %s) WHERE sid = %s", seconds, sid_of(cookie))


@pytest.mark.parametrize("max_age_s", [None, 3600, 100 * 86_400])
async def test_use_over_rest_keeps_a_session_as_express_does(
    start_express: StartExpress, start_server: StartServer, other: Sql, nodes: NodeClients, max_age_s: int | None
) -> None:
    ttl = 7200
    express = await start_express(maxAge=None if max_age_s is None else max_age_s * 1000, ttl=ttl)
    server = await start_server(session_secret=SECRET, session_ttl=ttl)
    ada, lasts_s = await express.log_in("Ada"), max_age_s or ttl
    age(other, ada, 300)
    assert await express.get("/touched", ada) == 200
    by_express = left_s(other, ada)
    session = other.value("SELECT sess::text FROM session WHERE sid = %s", sid_of(ada))
    age(other, ada, 300)
    assert await server.who(ada) == 1
    assert left_s(other, ada) == pytest.approx(by_express, abs=2)
    assert by_express == pytest.approx(lasts_s, abs=2)
    assert other.value("SELECT sess::text FROM session WHERE sid = %s", sid_of(ada)) == session
    age(other, ada, 50)  # used less than a minute ago
    for _ in range(5):
        assert await server.who(ada) == 1
    assert left_s(other, ada) == pytest.approx(lasts_s - 50, abs=2)
    age(other, ada, 300)
    client = await nodes.open(server.url, headers={"Cookie": ada}).connected()
    assert (await client.ask("notifications:counts"))["ok"]
    assert left_s(other, ada) == pytest.approx(lasts_s - 350, abs=2)  # a socket is no use
    assert await express.get("/me", ada) == 200


async def test_a_session_is_touched_once_a_minute_whoever_asks_at_once(
    express: ExpressApp, start_server: StartServer, other: Sql
) -> None:
    servers = [await start_server(session_secret=SECRET) for _ in range(2)]
    ada = await express.log_in("Ada")
    age(other, ada, 300)
    other.run("CREATE TABLE touched (sid text); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
              " 'BEGIN INSERT INTO touched VALUES (new.sid); RETURN new; END';"
              " CREATE TRIGGER note AFTER UPDATE ON session FOR EACH ROW EXECUTE FUNCTION note()")  # fmt: skip
    assert set(await asyncio.gather(*(server.who(ada) for server in servers * 20))) == {1}
    assert other.value("SELECT count(*) FROM touched") == 1


async def test_times_are_read_as_the_app_s_connections_write_them(
    start_express: StartExpress, start_server: StartServer, other: Sql, direct_url: str, url: str
) -> None:
    """The store's column has no time zone: it is that of the database, or of the role, for both."""
    database = direct_url.rsplit("/", 1)[1]
    other.run(f"ALTER DATABASE {database} SET timezone = 'Pacific/Auckland'")
    if url != direct_url:
        pytest.skip("PgBouncer keeps connections from before")
    server = await start_server(session_secret=SECRET)
    with sql(direct_url) as there:
        ada = await (await start_express(maxAge=3_600_000)).log_in("Ada")
        age(there, ada, 300)
        assert await server.who(ada) == 1
        assert left_s(there, ada) == pytest.approx(3600, abs=2)
        there.run("UPDATE session SET expire = 'infinity'")
        assert await server.who(ada) == 1
        assert there.value("SELECT expire = 'infinity' FROM session")
        there.run("UPDATE session SET expire = now() - interval '1 second'")
        assert await server.who(ada) == (401, "session_ended")


async def test_short_sessions_are_touched_more_often_and_none_is_shortened(
    start_express: StartExpress, start_server: StartServer, other: Sql
) -> None:
    express = await start_express(maxAge=40_000)
    server = await start_server(session_secret=SECRET)
    ada = await express.log_in("Ada")
    for aged_s, left in ((10, 30), (15, 40)):
        age(other, ada, aged_s)
        assert await server.who(ada) == 1
        assert left_s(other, ada) == pytest.approx(left, abs=2)
    age(other, ada, -100_000)
    assert await server.who(ada) == 1
    assert left_s(other, ada) > 99_000


async def test_nothing_is_touched_where_nothing_shall_be_and_a_touch_that_fails_fails_no_request(
    express: ExpressApp, start_server: StartServer, other: Sql, direct_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await express.log_in("Ada")
    age(other, ada, 3600)
    assert await (await start_server(session_secret=SECRET, session_ttl=0)).who(ada) == 1
    assert left_s(other, ada) == pytest.approx(82_800, abs=2)
    server = await start_server(session_secret=SECRET)
    writer = Sql(direct_url)
    writer.connection.autocommit = False
    writer.run("SELECT 1 FROM session WHERE sid = %s FOR UPDATE", sid_of(ada))  # somebody is at it: nobody waits
    started = time.monotonic()
    assert await server.who(ada) == 1
    assert time.monotonic() - started < 1
    writer.close()
    assert left_s(other, ada) == pytest.approx(82_800, abs=3)
    other.run("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END';"
              " CREATE TRIGGER refuse BEFORE UPDATE ON session FOR EACH ROW EXECUTE FUNCTION refuse()")  # fmt: skip
    assert await server.who(ada) == 1
    assert "session_not_touched" in [record.getMessage() for record in caplog.records]


# --- forged and foreign ---------------------------------------------------------------------------------------------


def forged_cookies(ada: str, gone: str, old: str, visitor: str) -> dict[str, str]:
    """By what is wrong with them; `ada` is the value of a good one."""
    sid, mac = ada[2:].rpartition(".")[::2]
    raw = base64.b64decode(mac + "=" * (-len(mac) % 4))
    flipped = base64.b64encode(bytes([raw[0] ^ 1, *raw[1:]])).decode().rstrip("=")
    url_safe = base64.urlsafe_b64encode(b"\xfb" + raw[1:]).decode().rstrip("=")  # begins with "-"
    another = f"{sid[:-1]}{'y' if sid.endswith('x') else 'x'}"
    return {
        "empty": "", "s: alone": "s:", "no signature": f"s:{sid}", "empty signature": f"s:{sid}.",
        "not marked as signed": f"{sid}.{mac}", "the sid alone": sid, "marked otherwise": f"j:{sid}.{mac}",
        "marked twice": f"s:s:{sid}.{mac}", "one bit": f"s:{sid}.{flipped}", "shortened": f"s:{sid}.{mac[:-1]}",
        "lengthened": f"s:{sid}.{mac}A", "padded": f"s:{sid}.{mac}=", "hexadecimal": f"s:{sid}.{raw.hex()}",
        "url-safe": f"s:{sid}.{url_safe}",
        "another secret": signed(sid, "another"), "an empty secret": signed(sid, ""),
        "a part of the secret": signed(sid, SECRET.split(",")[0]),
        "SHA-1": f"s:{sid}.{base64.b64encode(hmac.digest(SECRET.encode(), sid.encode(), hashlib.sha1)).decode()}",
        "another sid": f"s:{another}.{mac}", "the sid longer": f"s:{sid}x.{mac}",
        "the sid in capitals": f"s:{sid.upper()}.{mac}",
        "a wildcard": f"s:%.{mac}", "made up, well signed": signed("made-up"), "an empty sid, well signed": signed(""),
        "NUL, well signed": signed(f"{sid}\0"), "SQL, well signed": signed(f"{sid}' OR '1'='1"),
        "an array, well signed": signed(f"{{{sid}}}"), "oversize, well signed": signed("x" * 5000),
        "logged out": gone, "expired": old, "never logged in": visitor,
    }  # fmt: skip


async def test_forged_and_ended_sessions_let_nobody_in(
    express: ExpressApp, server: Running, nodes: NodeClients, other: Sql, capsys: pytest.CaptureFixture[str]
) -> None:
    ada, gone, old = [await express.log_in("Ada") for _ in range(3)]
    visitor = await express.post("/become", userId=1)
    await express.post("/logout", gone)
    other.run("UPDATE session SET expire = now() - interval '1 second' WHERE sid = %s", sid_of(old))
    cookies = forged_cookies(*(unquote(cookie.split("=", 1)[1]) for cookie in (ada, gone, old, visitor)))
    assert await server.who(ada) == 1
    passed = []
    for case, value in cookies.items():
        cookie = f"connect.sid={quote(value, safe='')}"
        found = await server.who(cookie)
        if not isinstance(found, tuple) or found[0] != 401:
            passed.append((case, "REST", found))
    clients = {
        case: nodes.open(server.url, {"userId": 1}, headers={"Cookie": f"connect.sid={quote(value, safe='')}"})
        for case, value in cookies.items()
    }
    for case, client in clients.items():
        await client.refused()
        if client.named("connect"):
            passed.append((case, "socket", client.seen))
    with capsys.disabled():
        print(f"\nforged sessions: tried {len(cookies)} over REST and over sockets, passed {len(passed)}")
    assert passed == []


@pytest.mark.parametrize(
    "max_age", [10**400, 1e308, -1, -(10**400), True, "1000", [], {}], ids=lambda value: str(value)[:9]
)
async def test_no_max_age_breaks_a_request(express: ExpressApp, server: Running, other: Sql, max_age: Any) -> None:
    ada = await express.log_in("Ada")
    cookie = json.dumps({"originalMaxAge": max_age})
    other.run(f"UPDATE session SET sess = jsonb_set(sess::jsonb, '{{cookie}}', '{cookie}')::json")
    age(other, ada, 3600)
    assert await server.who(ada) == 1


@pytest.mark.parametrize("value", ["s:a.b", "s:é.x", "s:\ud800.x", "s:." + "é", "s:a.\0", "s:" + "." * 5000, "s:a.é"])
def test_nothing_in_a_cookie_breaks_its_reading(value: str) -> None:
    assert unsign(value, [SECRET]) is None


async def test_tokens_and_sessions_live_beside_each_other(
    express: ExpressApp, start_server: StartServer, nodes: NodeClients
) -> None:
    server = await start_server(session_secret=SECRET, jwt_secret=JWT_SECRET)
    ada = await express.log_in("Ada")
    grace = jwt.encode({"sub": "2", "exp": time.time() + 60}, JWT_SECRET)
    assert await server.who(ada) == 1
    assert await server.who(f"token={grace}") == 2
    assert await server.who(f"token={grace}; {ada}") == 1
    assert await server.who("", Authorization=f"Bearer {grace}") == 2
    assert await server.who(ada, Authorization=f"Bearer {grace}") == 2
    assert await server.who(ada, Authorization="Bearer x") == (401, "token_invalid")  # what speaks plainly, counts
    await nodes.open(server.url, {"token": grace}).connected()
    client = await nodes.open(server.url, headers={"Cookie": ada}).connected()
    assert (await client.ask("auth:refresh", {"token": grace}))["code"] == "user_mismatch"
    alone = await start_server(session_secret=SECRET)
    value = unquote(ada.split("=", 1)[1])
    for one in (server, alone):
        for scheme in ("Session", "session", "headers", "User"):
            assert await one.who("", Authorization=f"{scheme} {value}") == (401, "unauthorized")
            assert await one.who(ada, Authorization=f"{scheme} 1") == (401, "unauthorized")
    assert await alone.who("", Authorization=f"Bearer {grace}") == (401, "unauthorized")
    assert await alone.who(ada, Authorization="Basic dTpw") == 1  # for a proxy in front


async def test_a_logout_among_ten_thousand_sockets_cuts_the_right_ones_within_2_s(
    express: ExpressApp, url: str, other: Sql, capsys: pytest.CaptureFixture[str]
) -> None:
    await express.log_in("Ada")  # which makes the table
    other.run("INSERT INTO session SELECT 's' || n, json_build_object('cookie', '{}'::json, 'filler', repeat('x', 500),"
              " 'passport', json_build_object('user', n)), now() + interval '1 hour'"
              " FROM generate_series(1, 20000) n")  # fmt: skip
    settings = load(None, session_secret=SECRET, database_url=url)
    db = make_database(settings)
    db.open(url)
    verifier, cut = SessionVerifier(settings, db), dict[str, float]()

    def note(sid: str, _why: str) -> None:
        cut[sid] = time.monotonic()

    logins = Logins(note, None, verifier.ended)
    for n in range(1, 10_001):
        logins.opened(f"socket {n}", Identity(str(n), proof=OpenSession(f"s{n}", str(n))))
    async with in_background(logins.watch_proofs()):
        await asyncio.sleep(2.5)
        assert cut == {}
        took = []
        for first in (100, 9_000):
            logged_out = [f"s{n}" for n in range(first, first + 50)]
            started = time.monotonic()
            other.run("DELETE FROM session WHERE sid = ANY (%s)", logged_out)
            async with asyncio.timeout(5):
                while len(cut) < 50:
                    await asyncio.sleep(0.01)
            assert cut.keys() == {f"socket {n}" for n in range(first, first + 50)}
            took.append(max(cut.values()) - started)
            cut.clear()
    started, cpu = time.monotonic(), time.process_time()
    assert await verifier.ended(list(logins._by_proof)) == []
    look_ms, ours_ms = (time.monotonic() - started) * 1000, (time.process_time() - cpu) * 1000
    with capsys.disabled():
        print(f"\nlogged out among 10,000 sockets: cut after {max(took):.2f} s; one look at all of them takes "
              f"{look_ms:.0f} ms, {ours_ms:.0f} of them ours")  # fmt: skip
    assert max(took) < 2
    await db.close()
