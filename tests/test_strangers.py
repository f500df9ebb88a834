"""Somebody else's ids and origins: tried at everything there is, and nothing of it gets through."""

from __future__ import annotations

import itertools
import json
import re
import time
from typing import Any

import jwt
import pytest
from aiohttp import ClientSession

from notify_server.http.keys import TEMPLATES
from notify_server.http.notifications import ROUTES
from notify_server.inbox_requests import InboxRequests
from tests.clients import Client, NodeClients
from tests.conftest import SECRET, Running, StartServer
from tests.inboxes import ADA, GRACE, deliver, everything, seqs
from tests.postgres import Sql
from tests.test_origins import CLIENT_URL, REFUSED

PRIVATE = "what only Ada may read"


def bearer(user: int) -> str:
    return jwt.encode({"sub": str(user), "exp": time.time() + 600}, SECRET)


@pytest.fixture
async def server(start_server: StartServer) -> Running:
    return await start_server(jwt_secret=SECRET, client_url=CLIENT_URL)


@pytest.fixture
def ada_s(other: Sql) -> list[int]:
    """The seqs of Ada's inbox: nobody else has any. She has muted something, and written a comment with id 1."""
    deliver(other, 20, topic=PRIVATE)
    other.run("INSERT INTO comments (post_id, author_id, body) VALUES (2, 1, 'by Ada')")
    other.run("INSERT INTO notify.mute (user_id, topic) VALUES ('1', 'post:2')")
    return seqs(other, user=ADA)


def guesses(mine: list[int]) -> list[dict[str, Any]]:
    """What a stranger could send to reach another's inbox."""
    named: list[dict[str, Any]] = [
        {"userId": 1}, {"user_id": "1"}, {"user": "1"}, {"sub": "1"}, {"userId": ["1"]}, {"userId": {"$ne": "2"}},
    ]  # fmt: skip
    return [
        {"seqs": mine}, {"seqs": mine[:1]}, {"upTo": max(mine)}, {"upTo": 2**63 - 1}, {"topic": PRIVATE},
        {"topic": "post:2"}, {"topic": "user:1"}, {"before": 2**53}, {"status": "unread", "topic": PRIVATE},
        *({"seqs": mine, **name} for name in named), *({"upTo": max(mine), **name} for name in named),
        *({"topic": "user:1", **name} for name in named), *named,
    ]  # fmt: skip


async def request(server: Running, method: str, path: str, values: dict[str, Any], user: int = GRACE) -> str:
    """The status and the whole answer, headers included."""
    query = {name: str(value) for name, value in values.items()} if method == "GET" else None
    body = None if method in ("GET", "DELETE", "PUT") else values
    async with server.http.request(
        method, server.url + path, params=query, json=body,
        headers={"Authorization": f"Bearer {bearer(user)}", "X-User-Id": "1", "X-User": "1"},
    ) as response:  # fmt: skip
        return f"{response.status} {dict(response.headers)} {await response.text()}"


def topics(path: str) -> list[str]:
    return [path.replace("{topic}", topic) for topic in ("post:2", "user:1", "post:1")] if "{topic}" in path else [path]


def is_ada_s(answer: str) -> bool:
    """Whether an answer holds a row of her inbox."""
    return '"n":' in answer.replace(" ", "")  # as `deliver` makes their payloads


async def test_no_endpoint_and_no_event_reaches_another_s_inbox(
    server: Running, nodes: NodeClients, other: Sql, ada_s: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(other, ADA)
    grace = await nodes.open(server.url, {"token": bearer(GRACE)}).connected()
    leaks: list[Any] = []
    tried = 0

    def judge(what: Any, answer: str) -> None:
        nonlocal tried
        tried += 1
        if is_ada_s(answer):
            leaks.append((what, answer))

    for (method, path, _handler), values in itertools.product(ROUTES, guesses(ada_s)):
        for place in topics(path):
            judge((method, place, values), await request(server, method, place, values))
    for event, values in itertools.product(InboxRequests.OPERATIONS, guesses(ada_s)):
        judge((event, values), json.dumps(await grace.ask(event, values)))
    assert is_ada_s(await request(server, "GET", "/notifications", {}, ADA))
    ada = await nodes.open(server.url, {"token": bearer(ADA)}).connected()
    assert is_ada_s(json.dumps(await ada.ask("notifications:list", {})))
    with capsys.disabled():
        print(f"\nanother user's ids: {tried} requests and events tried, {len(leaks)} passed")
    assert not leaks
    assert everything(other, ADA) == before


def other_routes(server: Running) -> list[tuple[str, str]]:
    """(method, path) of every route that is not the inbox's, with Ada's ids in it."""
    inbox = {(method, path) for method, path, _handler in ROUTES}
    templates, routes = server.app[TEMPLATES], server.app.router.routes()
    found = {(route.method, templates[route.resource]) for route in routes if route.resource in templates}
    return [
        (method, re.sub(r"\{\w+\}", "1", path)) for method, path in sorted(found - inbox) if method not in ("*", "HEAD")
    ]


async def test_whatever_id_is_sent_what_one_writes_is_one_s_own(
    server: Running, other: Sql, ada_s: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    authors = "SELECT count(*) FILTER (WHERE author_id = 1), count(*) FILTER (WHERE author_id = 2) FROM "
    was = other.run(authors + "comments") + other.run(authors + "posts")
    routes, wrote, leaks = other_routes(server), 0, []
    assert {("POST", "/posts/1/comments"), ("POST", "/posts"), ("DELETE", "/comments/1"), ("GET", "/me")} <= set(routes)
    claims: list[dict[str, Any]] = [{"author_id": 1}, {"authorId": 1}, {"author": {"id": 1}}, {"user": {"id": 1}}]
    tried = list(itertools.product(routes, [*guesses(ada_s), *claims]))
    for (method, path), values in tried:
        answer = await request(server, method, path, {"body": "by Grace", "title": "by Grace", **values})
        wrote += method == "POST" and answer.startswith("20")
        if is_ada_s(answer) or (path == "/me" and '"Grace"' not in answer):
            leaks.append((method, path, values, answer))
    with capsys.disabled():
        print(f"\nanother user's ids in all other requests: {len(tried)} tried, {len(leaks)} passed")
    assert not leaks
    assert wrote > 0
    (comments, posts) = other.run(authors + "comments") + other.run(authors + "posts")
    assert (comments[0], posts[0]) == (was[0][0], was[1][0])
    assert comments[1] + posts[1] == was[0][1] + was[1][1] + wrote


async def test_no_socket_becomes_another_s(
    server: Running, nodes: NodeClients, ada_s: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    grace = await nodes.open(server.url, {"token": bearer(GRACE)}).connected()
    to_connect = [{"userId": 1, **values, "token": bearer(GRACE)} for values in guesses(ada_s)]
    to_refresh = [*guesses(ada_s), {"token": bearer(ADA)}, {"token": bearer(ADA), "userId": 2}]
    tried, leaks = len(to_connect) + len(to_refresh), []
    for auth in to_connect:
        if await connects(nodes.open(server.url, auth)):
            leaks.append(("connect", auth))
    for values in to_refresh:
        refreshed = await grace.ask("auth:refresh", values)
        if refreshed.get("ok") or is_ada_s(json.dumps(await grace.ask("notifications:list", {}))):
            leaks.append(("auth:refresh", values))
    with capsys.disabled():
        print(f"\nanother user's ids and tokens on sockets: {tried} tried, {len(leaks)} passed")
    assert not leaks


async def test_unknown_and_foreign_are_answered_alike(server: Running, other: Sql, ada_s: list[int]) -> None:
    def told(answer: str) -> str:
        """The status and the body, without the headers."""
        return answer[:4] + (answer[answer.rindex("} {") :] if "} {" in answer else "")

    foreign = await request(server, "DELETE", "/comments/1", {})
    assert foreign.startswith("404")
    assert other.value("SELECT count(*) FROM comments") == 1
    assert told(foreign) == told(await request(server, "DELETE", "/comments/999", {}))
    for path in ("/notifications/read", "/notifications/unread", "/notifications/delete"):
        hers = await request(server, "POST", path, {"seqs": ada_s})
        assert told(hers) == told(await request(server, "POST", path, {"seqs": [10**9]}))


async def connects(client: Client) -> bool:
    await client.until(lambda: bool(client.named("connect") or client.named("connect_error")))
    return bool(client.named("connect"))


async def test_no_origin_that_is_not_allowed_gets_in_by_either_transport(
    server: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also with a good token, because a socket once open needs no further credential."""
    tried, passed = 0, []
    headers = {"Authorization": f"Bearer {bearer(GRACE)}", "Cookie": f"token={bearer(GRACE)}"}
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
    assert len(REFUSED) >= 20
    async with ClientSession() as http:
        for origin, transport in itertools.product(REFUSED, ("polling", "websocket")):
            tried += 1
            more = upgrade if transport == "websocket" else {}
            async with http.get(
                f"{server.url}/socket.io/", params={"EIO": "4", "transport": transport},
                headers={**headers, **more, "Origin": origin},
            ) as response:  # fmt: skip
                if response.status in (101, 200) or "Access-Control-Allow-Origin" in response.headers:
                    passed.append((origin, transport, response.status))
    with capsys.disabled():
        print(f"\norigins: {tried} tried, {len(passed)} passed")
    assert not passed


async def test_an_origin_that_is_allowed_gets_in_by_both(server: Running, nodes: NodeClients) -> None:
    """So that the list above does not pass because something else is in the way."""
    for transport in ("polling", "websocket"):
        client = nodes.open(
            server.url, {"token": bearer(GRACE)}, transports=[transport],
            extraHeaders={"Origin": "https://app.example.com"},
        )  # fmt: skip
        assert await connects(client)
