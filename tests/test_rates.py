"""How fast one may write."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from typing import Any

import pytest

from notify_server.errors import TooMany
from notify_server.rates import Rate
from tests.clients import NodeClients
from tests.conftest import Running, StartServer

WRITES: list[tuple[str, str, Any]] = [
    ("POST", "/posts/1/comments", {"body": "Hello"}),
    ("POST", "/posts/1/comments", {"body": ""}),
    ("POST", "/posts/99/comments", {"body": "Hello"}),
    ("POST", "/posts", {"title": "t", "body": "b"}),
    ("DELETE", "/comments/99", None),
]
INBOX: list[tuple[str, str, Any]] = [
    ("POST", "/notifications/seen", {"upTo": 1}),
    ("POST", "/notifications/read", {"seqs": [1]}),
    ("POST", "/notifications/unread", {"seqs": [1]}),
    ("POST", "/notifications/delete", {"seqs": [1]}),
    ("PUT", "/mutes/post:1", None),
    ("DELETE", "/mutes/post:1", None),
]
READING = ["/posts", "/posts/1", "/posts/1/comments", "/me", "/notifications", "/notifications/counts", "/mutes"]


async def ask(
    server: Running, method: str, path: str, body: Any = None, user: str = "2", **headers: str
) -> tuple[int, Any, Any]:
    """(status, body, headers)."""
    async with server.http.request(
        method, server.url + path, json=body, headers={"Authorization": f"User {user}", **headers}
    ) as response:
        return response.status, await response.json() if response.status != 204 else None, response.headers


@pytest.mark.parametrize("write", WRITES)
async def test_who_writes_too_fast_is_told_when_to_come_again(
    start_server: StartServer, write: tuple[str, str, Any]
) -> None:
    """Whether or not what was written was any good."""
    server = await start_server(rate_limit_user="2/second")
    for _ in range(2):
        assert (await ask(server, *write))[0] in (200, 204, 404, 422)
    status, body, headers = await ask(server, *write)
    assert (status, body["code"], headers["Retry-After"]) == (429, "too_many", "1")
    assert "try again" in body["error"]
    assert (await ask(server, *write, "3"))[0] != 429  # another user
    for path in READING:
        assert (await ask(server, "GET", path))[0] == 200
    assert (await ask(server, *INBOX[0]))[0] == 200
    await asyncio.sleep(1)
    assert (await ask(server, *write))[0] in (200, 204, 404, 422)


@pytest.mark.parametrize("operation", INBOX)
async def test_what_one_does_with_one_s_inbox_has_a_limit_of_its_own(
    start_server: StartServer, operation: tuple[str, str, Any]
) -> None:
    server = await start_server(rate_limit_inbox="2/minute")
    for _ in range(2):
        assert (await ask(server, *operation))[0] == 200
    status, body, headers = await ask(server, *operation)
    assert (status, body["code"]) == (429, "too_many")
    assert 25 <= int(headers["Retry-After"]) <= 30
    for path in READING:
        assert (await ask(server, "GET", path))[0] == 200
    await server.comment(2, 1)


async def test_the_same_over_a_socket_and_counted_together(start_server: StartServer, nodes: NodeClients) -> None:
    server = await start_server(rate_limit_inbox="3/minute")
    grace = await nodes.open(server.url, {"userId": 2}).connected()
    other = await nodes.open(server.url, {"userId": 2}).connected()
    assert (await grace.ask("notifications:seen", {"upTo": 1}))["ok"]
    assert (await other.ask("mutes:add", {"topic": "post:1"}))["ok"]
    assert (await ask(server, *INBOX[0]))[0] == 200
    for event, values in (
        ("notifications:seen", {"upTo": 1}),
        ("notifications:read", {"seqs": [1]}),
        ("notifications:unread", {"seqs": [1]}),
        ("notifications:delete", {"seqs": [1]}),
        ("mutes:add", {"topic": "post:1"}),
        ("mutes:remove", {"topic": "post:1"}),
    ):
        answer = await grace.ask(event, values)
        assert answer["code"] == "too_many"
        assert 15 <= answer["retryAfter"] <= 20
    for event in ("notifications:list", "notifications:counts", "mutes:list"):
        assert (await grace.ask(event, {}))["ok"]
    assert (await ask(server, *INBOX[0]))[0] == 429


async def test_what_a_key_answers_again_counts(start_server: StartServer) -> None:
    server = await start_server(rate_limit_user="2/minute")
    answers = [await ask(server, *WRITES[0], **{"Idempotency-Key": "one"}) for _ in range(3)]
    assert [status for status, _, _ in answers] == [200, 200, 429]
    assert answers[0][1] == answers[1][1]


async def test_an_address_counts_for_all_its_users_and_for_wrong_credentials(
    start_server: StartServer, nodes: NodeClients
) -> None:
    import jwt

    secret = "s" * 32
    server = await start_server(
        jwt_secret=secret, jwt_require_exp=False, trusted_proxies="127.0.0.0/8", rate_limit_address="4/minute"
    )

    async def post(token: str, address: str, number: int = 0) -> int:
        path, body = ("/posts/1/comments", {"body": "Hello"}) if number % 2 else ("/notifications/seen", {"upTo": 1})
        headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": address}
        async with server.http.post(server.url + path, json=body, headers=headers) as response:
            return response.status

    tokens = [jwt.encode({"sub": str(user)}, secret) for user in (1, 2, 3)]
    assert [await post(token, "192.0.2.1", 1) for token in (tokens[0], tokens[1], "wrong", tokens[2], tokens[2])] == [
        200, 200, 401, 200, 429,
    ]  # fmt: skip
    assert await post("wrong", "192.0.2.1") == 429
    assert await post(tokens[0], "192.0.2.2") == 200
    first = await nodes.open(
        server.url, {"token": tokens[0]}, headers={"X-Forwarded-For": "192.0.2.1"}, transports=["websocket"]
    ).connected()
    assert (await first.ask("notifications:seen", {"upTo": 1}))["code"] == "too_many"
    second = await nodes.open(
        server.url, {"token": tokens[0]}, headers={"X-Forwarded-For": "192.0.2.3"}, transports=["websocket"]
    ).connected()
    assert (await second.ask("notifications:seen", {"upTo": 1}))["ok"]
    async with server.http.get(
        f"{server.url}/me", headers={"Authorization": f"Bearer {tokens[0]}", "X-Forwarded-For": "192.0.2.1"}
    ) as response:
        assert response.status == 200


async def test_without_trusted_proxies_no_address_is_believed_or_counted(start_server: StartServer) -> None:
    server = await start_server(rate_limit_address="1/minute")
    for n in range(3):
        assert (await ask(server, *WRITES[0], str(1 + n)))[0] == 200


def test_memory_is_bounded_however_many_write() -> None:
    count = Rate("120/minute").counting("requests")
    assert count is not None
    threads = threading.active_count()
    tracemalloc.start()
    try:
        sizes = []
        for start in range(0, 500_000, 100_000):
            for user in range(start, start + 100_000):
                count(str(user))
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert max(sizes) < 40_000_000, sizes
    assert sizes[-1] < sizes[1] * 1.05, sizes
    assert threading.active_count() == threads


def test_at_most_so_many_at_once_and_then_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("throttled.utils.now_mono_f", lambda: now)
    count = Rate("120/minute").counting("requests")
    assert count is not None
    passed = 0
    for _ in range(6000):  # of ten minutes, ten a second
        now += 0.1
        try:
            count("7")
        except TooMany:
            continue
        passed += 1
    assert passed in range(1315, 1322)  # 120, and two a second
