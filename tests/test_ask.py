"""AUTH_URL: the app itself says who somebody is."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import types
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from notify_server.auth import Credential, Identity
from notify_server.auth.ask import AskVerifier
from notify_server.errors import NotifyError, Overloaded, Unauthorized, Unavailable
from notify_server.outgoing import Outgoing
from tests.clients import NodeClients
from tests.conftest import Running, StartServer
from tests.upstream import Upstream, upstream

NAMED = "X-Access-Token"


@dataclass
class App:
    """Knows people by `sid=<name>` in a cookie, by `Bearer <name>`, or by the named header."""

    server: Upstream = field(default_factory=lambda: Upstream(App.silent))
    logged_in: dict[str, Any] = field(default_factory=lambda: {"ada": 1, "grace": 2})
    slow_s: float = 0.0

    @staticmethod
    async def silent(_request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        raise AssertionError

    async def answer(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.slow_s)
        name = request.cookies.get("sid") or request.headers.get("Authorization", "").removeprefix("Bearer ")
        user_id = self.logged_in.get(name or request.headers.get(NAMED, ""))
        return web.json_response({"id": user_id}, status=401 if user_id is None else 200)

    @property
    def asked(self) -> list[dict[str, str]]:
        return self.server.asked


@pytest.fixture
async def app() -> AsyncIterator[App]:
    found = App()
    async with upstream(found.answer) as found.server:
        yield found


@pytest.fixture
async def server(start_server: StartServer, app: App) -> Running:
    return await start_server(auth_url=f"{app.server.url}/api/me", auth_cache_s=0)


async def test_the_app_is_asked_with_the_request_s_own_cookie_or_token(
    app: App, server: Running, nodes: NodeClients
) -> None:
    assert await server.who("sid=ada; other=1") == 1
    assert await server.who("", Authorization="Bearer grace") == 2
    assert await server.who("", Authorization="grace") == 2
    assert await server.who("sid=nobody") == (401, "not_logged_in")
    assert await server.who("") == (401, "unauthorized")
    assert len(app.asked) == 4  # who brings nothing is not asked about
    await nodes.open(server.url, {"userId": 1}, headers={"Cookie": "sid=ada"}).connected()
    await nodes.open(server.url, {"userId": "2", "token": "grace"}).connected()
    assert app.asked[-1]["Authorization"] == "Bearer grace"
    assert await nodes.open(server.url, {"userId": 2}, headers={"Cookie": "sid=ada"}).refused() == "user_mismatch"
    assert await nodes.open(server.url, {"token": "nobody"}).refused() == "not_logged_in"
    assert await nodes.open(server.url, {"userId": 1}).refused() == "unauthorized"


async def test_nothing_else_of_the_request_goes_there(app: App, start_server: StartServer) -> None:
    server = await start_server(auth_url=f"{app.server.url}/api/me?key=1", jwt_header=NAMED, auth_cache_s=0)
    sent = {"Authorization": "Bearer ada", NAMED: "t", "X-Forwarded-For": "1.2.3.4", "X-Real-IP": "1.2.3.4",
            "Origin": server.url, "User-Agent": "me", "X-Other": "x", "Referer": "y"}  # fmt: skip
    assert await server.who("sid=ada", **sent) == 1
    assert app.asked[0] == {
        "Host": app.server.url.removeprefix("http://"), "User-Agent": "notify-server", "Accept": "application/json",
        "Accept-Encoding": "identity", "Authorization": "Bearer ada", NAMED: "t", "Cookie": "sid=ada",
    }  # fmt: skip
    assert await server.who("", **{NAMED: "grace"}) == 2


async def test_a_cookie_goes_there_only_from_an_origin_that_may(app: App, server: Running) -> None:
    async def post(**headers: str) -> int:
        async with server.http.post(f"{server.url}/posts/1/comments", json={"body": "a"}, headers=headers) as response:
            return response.status

    assert await post(Cookie="sid=ada", Origin=server.url) == 200
    for headers in ({"Origin": "https://evil.com"}, {"Sec-Fetch-Site": "cross-site"}, {}):
        app.asked.clear()
        assert await post(Cookie="sid=ada", **headers) == 403
        assert app.asked == []
        assert await post(Cookie="sid=ada", Authorization="Bearer grace", **headers) == 200  # the token speaks alone
        assert "Cookie" not in app.asked[0]


async def test_the_id_is_where_auth_user_says(app: App, start_server: StartServer) -> None:
    server = await start_server(auth_url=app.server.url, auth_user="user.id", auth_cache_s=0)
    answers: list[tuple[Any, Any]] = [
        ({"user": {"id": 1}}, 1), ({"user": {"id": "2"}}, 2), ({"user.id": 1, "user": {"id": 2}}, 1),
        ({"user": None}, (401, "not_logged_in")), ({"user": {"id": None}}, (401, "not_logged_in")),
        (None, (401, "not_logged_in")),
    ]  # fmt: skip
    wrong: list[Any] = [{}, {"id": 1}, {"user": {}}, {"user": 1}, {"user": {"id": True}}, {"user": {"id": [1]}}, [1], 1,
                        {"user": {"id": ""}}, {"user": {"id": "1\0"}}, {"user": {"id": 1.5}}]  # fmt: skip
    for body, taken in [*answers, *((body, (503, "auth_unavailable")) for body in wrong)]:

        async def answer(_request: web.Request, body: Any = body) -> web.Response:
            return web.json_response(body)

        app.server.answer = answer
        assert await server.who("sid=ada") == taken, body


def answering(status: int = 200, text: str = '{"id": 1}', **headers: str) -> Any:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/elsewhere":
            return web.json_response({"id": 1})
        return web.Response(status=status, text=text, headers=headers)

    return answer


NOT_NOW = {
    "an error": answering(500), "gone": answering(404), "a redirect": answering(302, Location="/elsewhere"),
    "too many": answering(429), "nothing there": answering(204, ""), "no JSON": answering(200, "<html>log in</html>"),
    "empty": answering(200, ""), "huge": answering(200, '{"id": 1, "x": "' + "x" * 300_000 + '"}'),
    "deep": answering(200, "[" * 100_000), "compressed": answering(200, "x", **{"Content-Encoding": "gzip"}),
    "silence": App.silent,
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_NOW)
async def test_what_is_no_answer_lets_nobody_in_and_drives_nobody_away(
    app: App, start_server: StartServer, nodes: NodeClients, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify_server.outgoing._TIMEOUT_S", 0.5)
    monkeypatch.setattr("notify_server.transport.connecting._HOLD_S", (0.1, 0.2))
    server = await start_server(auth_url=app.server.url, auth_cache_s=0)
    app.server.answer = NOT_NOW[case]
    status, _code = await server.who("sid=ada")
    assert status == 503
    client = nodes.open(server.url, headers={"Cookie": "sid=ada"})
    await client.until(lambda: len(client.named("open")) >= 2)  # it comes back by itself
    assert client.named("connect") == []
    app.server.answer = app.answer
    await client.connected()


async def test_an_app_that_is_not_there_is_waited_for(start_server: StartServer) -> None:
    server = await start_server(auth_url="http://127.0.0.1:9/")  # where nobody listens
    assert await server.who("sid=ada") == (503, "auth_unavailable")


async def test_development_believes_ids_beside_the_app(app: App, start_server: StartServer, nodes: NodeClients) -> None:
    server = await start_server(auth_url=app.server.url, auth_cache_s=0, trust_user_id=True)
    assert await server.who("", Authorization="User 2") == 2
    await nodes.open(server.url, {"userId": 3}).connected()
    assert app.asked == []
    assert await server.who("sid=ada") == 1
    await nodes.open(server.url, {"token": "grace"}).connected()


async def test_no_credential_breaks_out_of_its_header(app: App, server: Running, nodes: NodeClients) -> None:
    for bad in ("ada\r\nCookie: sid=grace", "ada\0", "ada\n", "ada\x7f"):
        assert await nodes.open(server.url, {"token": bad}).refused() == "unauthorized"
    assert app.asked == []


@pytest.mark.parametrize("value", ["x" * 17_000, "\ud800", "a\r\nb: c"])
async def test_what_no_header_can_hold_is_refused_unasked(app: App, outgoing: Outgoing, value: str) -> None:
    verifier = AskVerifier(app.server.url, outgoing.get, user_path="id", cache_s=0)
    assert await outcome(verifier, value) is Unauthorized
    assert app.asked == []


# --- asked seldom -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def outgoing() -> AsyncIterator[Outgoing]:
    found = Outgoing()
    yield found
    await found.close()


def cookie(name: str) -> Credential:
    return Credential("headers", "", "cookie", (("Cookie", f"sid={name}"),))


async def outcome(verifier: AskVerifier, name: str) -> Any:
    try:
        return (await verifier.verify(cookie(name), for_socket=False)).user_id
    except NotifyError as error:
        return type(error)


async def test_a_yes_is_good_for_a_while_and_a_no_never(app: App, outgoing: Outgoing) -> None:
    verifier = AskVerifier(app.server.url, outgoing.get, user_path="id", cache_s=0.4)
    assert [await outcome(verifier, "ada") for _ in range(20)] == ["1"] * 20
    assert len(app.asked) == 1
    assert [await outcome(verifier, "nobody") for _ in range(3)] == [Unauthorized] * 3
    assert len(app.asked) == 4
    app.logged_in.pop("ada")
    assert await outcome(verifier, "ada") == "1"
    async with asyncio.timeout(2):
        while await outcome(verifier, "ada") == "1":
            await asyncio.sleep(0.02)
    app.logged_in["nobody"] = 9
    assert await outcome(verifier, "nobody") == "9"


async def test_what_is_kept_is_bounded(app: App, outgoing: Outgoing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify_server.auth.ask._MAX_KEPT", 5)
    verifier = AskVerifier(app.server.url, outgoing.get, user_path="id", cache_s=300)
    for n in range(20):
        app.logged_in[str(n)] = n
        assert await outcome(verifier, str(n)) == str(n)
    assert len(verifier._kept) == 5


async def test_equal_requests_share_one_question_and_few_are_asked_at_once(app: App, outgoing: Outgoing) -> None:
    verifier = AskVerifier(app.server.url, outgoing.get, user_path="id", cache_s=5)
    app.slow_s = 0.05
    assert set(await asyncio.gather(*(outcome(verifier, "ada") for _ in range(200)))) == {"1"}
    assert len(app.asked) == 1
    found = await asyncio.gather(*(outcome(verifier, f"unknown {n}") for n in range(100)))
    assert set(found) == {Unauthorized}
    assert app.server.most_at_once <= 16


async def test_more_questions_than_can_be_answered_say_come_back(
    app: App, outgoing: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify_server.outgoing._TIMEOUT_S", 0.5)
    monkeypatch.setattr("notify_server.auth.ask._MAX_RUNNING", 50)
    verifier = AskVerifier(app.server.url, outgoing.get, user_path="id", cache_s=5)
    app.server.answer = App.silent
    started = time.monotonic()
    found = await asyncio.gather(*(outcome(verifier, str(n)) for n in range(200)))
    assert time.monotonic() - started < 3
    assert (found.count(Overloaded), found.count(Unavailable)) == (150, 50)
    assert len(verifier._asking) == 0


async def test_who_gives_up_waiting_takes_nobody_s_answer_away(app: App, outgoing: Outgoing) -> None:
    verifier = AskVerifier(app.server.url, outgoing.get, user_path="id", cache_s=5)
    app.slow_s = 0.2
    first, second = (asyncio.create_task(outcome(verifier, "ada")) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    assert await second == "1"
    assert len(app.asked) == 1


# --- sockets that are open --------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open sockets are asked about every 0.1 to 0.2 s instead of 30 to 60."""
    monkeypatch.setattr("notify_server.auth.ask._AGAIN_S", (0.1, 0.2))
    monkeypatch.setattr("notify_server.auth.ask._AGAIN_UNHEARD_S", 0.1)
    monkeypatch.setattr("notify_server.logins._EVERY_S", 0.1)


@pytest.mark.usefixtures("impatient")
async def test_a_logout_in_the_app_closes_the_sockets(app: App, start_server: StartServer, nodes: NodeClients) -> None:
    server = await start_server(auth_url=app.server.url, auth_cache_s=300)
    ada, tab = [await nodes.open(server.url, headers={"Cookie": "sid=ada"}).connected() for _ in range(2)]
    grace = await nodes.open(server.url, {"token": "grace"}).connected()
    app.logged_in.pop("ada")
    for client in (ada, tab):
        await client.until(lambda client=client: client.named("disconnect") == [["transport close"]])  # type: ignore[misc]
        assert await client.refused() == "not_logged_in"  # for all that its yes was kept
    assert grace.named("disconnect") == []
    app.logged_in["grace"] = 3  # somebody else by the same credential
    await grace.until(lambda: grace.named("disconnect") == [["transport close"]])


@pytest.mark.usefixtures("impatient")
async def test_an_app_that_is_away_cuts_nobody_for_a_time(
    app: App, start_server: StartServer, nodes: NodeClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await start_server(auth_url=app.server.url, auth_cache_s=0)
    client = await nodes.open(server.url, headers={"Cookie": "sid=ada"}).connected()
    app.server.answer = answering(502)
    asked = len(app.asked)
    async with asyncio.timeout(10):
        while len(app.asked) < asked + 5:
            await asyncio.sleep(0.05)
    assert client.named("disconnect") == []
    monkeypatch.setattr("notify_server.auth.ask._UNHEARD_S", 0.5)
    await client.until(lambda: client.named("disconnect") == [["transport close"]])
    assert client.named("connect_error") == [] or all(data is None for _, data in client.named("connect_error"))


async def test_sockets_of_one_credential_are_asked_about_once_and_spread_over_half_a_minute(
    app: App, outgoing: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = AskVerifier(app.server.url, outgoing.get, user_path="id", cache_s=0)
    now = time.monotonic()
    identities: list[Identity] = []
    for n in range(300):
        app.logged_in[str(n)] = n
        identities += [await verifier.verify(cookie(str(n)), for_socket=True) for _ in range(2)]
    proofs = list({identity.proof for identity in identities})
    assert len(proofs) == 300
    app.asked.clear()
    counts = []
    clock = types.SimpleNamespace(monotonic=lambda: now)  # the verifier's alone
    monkeypatch.setattr("notify_server.auth.ask.time", clock)
    app.server.most_at_once = 0
    for second in range(61):
        clock.monotonic = lambda second=second: now + 10 + second
        before = len(app.asked)
        assert await verifier.ended(proofs) == []
        counts.append(len(app.asked) - before)
    assert sum(counts[:30]) == 0
    assert 300 <= sum(counts) <= 320
    assert max(counts) < 40
    assert app.server.most_at_once <= 4
    assert await verifier.ended([]) == []
    assert verifier._watched == {}


async def test_another_token_keeps_a_socket_here_too(app: App, server: Running, nodes: NodeClients) -> None:
    client = await nodes.open(server.url, {"token": "ada"}).connected()
    app.logged_in["ada's next"] = 1
    assert await client.ask("auth:refresh", {"token": "ada's next"}) == {"ok": True, "expiresAt": None}
    assert app.asked[-1]["Authorization"] == "Bearer ada's next"
    assert (await client.ask("auth:refresh", {"token": "grace"}))["code"] == "user_mismatch"
    assert (await client.ask("auth:refresh", {"token": "nobody"}))["code"] == "not_logged_in"
    assert (await client.ask("notifications:counts"))["ok"]


async def test_what_the_app_answers_wrongly_is_said_once_without_a_secret(
    app: App, server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    app.server.answer = answering(200, json.dumps({"name": "canary-1"}))
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            assert await server.who("sid=canary-2", Authorization="canary-3") == (503, "auth_unavailable")
    said = [vars(record) for record in caplog.records if record.getMessage() == "auth_url_unusable"]
    assert [record["reason"] for record in said] == ["its answer has no id where AUTH_USER says"]
    assert "canary" not in str([vars(record) for record in caplog.records])
