"""Which origins may speak, over REST and Socket.IO."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from notify_server.origins import OriginPattern, OriginPolicy
from tests.clients import NodeClients
from tests.conftest import SECRET, Running, StartServer

CLIENT_URL = "https://app.example.com, https://*.preview.example.com, capacitor://localhost, http://localhost:3000"

ALLOWED = [
    "https://app.example.com", "https://APP.example.com", "https://app.example.com:443", "https://a-1.preview.example.com",
    "capacitor://localhost", "http://localhost:3000",
]  # fmt: skip
REFUSED = [
    "null", "", "https://evil.com", "http://app.example.com", "https://app.example.com:8443",
    "https://app.example.com.evil.com",
    "https://evil-app.example.com", "https://preview.example.com", "https://a.b.preview.example.com",
    "https://.preview.example.com", "https://xpreview.example.com", "https://app.example.com@evil.com",
    "https://app.example.com/", "https://app.example.com#", "https://app.example.com evil", "capacitor://localhost:1",
    "ionic://localhost", "http://localhost", "http://localhost:30000", "*",
]  # fmt: skip


@pytest.mark.parametrize("origin", ALLOWED)
def test_allowed(origin: str) -> None:
    policy = OriginPolicy.of(OriginPattern.parse(part) for part in CLIENT_URL.split(","))
    assert policy.allows(origin, "api.example.com")


@pytest.mark.parametrize("origin", REFUSED)
def test_refused(origin: str) -> None:
    policy = OriginPolicy.of(OriginPattern.parse(part) for part in CLIENT_URL.split(","))
    assert not policy.allows(origin, "api.example.com")


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://api.example.com", "api.example.com", True),
        ("https://api.example.com", "API.example.com", True),  # TLS ended before us
        ("https://api.example.com", "api.example.com:443", True),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://127.0.0.1:8000", "127.0.0.1:8001", False),
        ("http://evil.com", "api.example.com", False),
        ("null", "null", False),
        ("capacitor://localhost", "localhost", False),
        ("", "", False),
    ],
)
def test_without_client_url_the_same_host_alone_is_allowed(origin: str, host: str, allowed: bool) -> None:
    assert OriginPolicy(()).allows(origin, host) is allowed


NO_ORIGINS = [
    "*",
    "",
    "https://",
    "app.example.com",
    "https://*",
    "https://*.com",
    "https://a.com/x",
    "https://*.*.com",
]


@pytest.mark.parametrize("text", [*NO_ORIGINS, "https://a.com?x", "https://user@a.com", "https://a*.com"])
def test_what_is_no_origin_is_refused_as_a_setting(text: str) -> None:
    with pytest.raises(ValueError, match="no origin"):
        OriginPattern.parse(text)


@pytest.fixture
async def strict(start_server: StartServer) -> Running:
    return await start_server(jwt_secret=SECRET, client_url=CLIENT_URL)


def token(user: int = 2) -> str:
    return jwt.encode({"sub": str(user), "exp": time.time() + 60}, SECRET)


async def status_of(server: Running, method: str, headers: dict[str, str], path: str = "/posts/1/comments") -> Any:
    async with server.http.request(method, server.url + path, json={"body": "a"}, headers=headers) as response:
        return response.status, response.headers, await response.json()


@pytest.mark.parametrize(
    ("headers", "get", "post"),
    [
        ({"Origin": "https://app.example.com"}, 200, 200),
        ({"Origin": "https://evil.com"}, 403, 403),
        ({"Origin": "null"}, 403, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200, 200),
        ({"Sec-Fetch-Site": "none"}, 200, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403, 403),
        ({}, 200, 403),  # no browser's: reads, but never writes by a cookie
    ],
)
async def test_a_cookie_speaks_only_from_an_origin_that_may(
    strict: Running, headers: dict[str, str], get: int, post: int
) -> None:
    cookie = {"Cookie": f"token={token()}"}
    assert (await status_of(strict, "GET", {**headers, **cookie}))[0] == get
    status, _, body = await status_of(strict, "POST", {**headers, **cookie})
    assert status == post
    if status == 403:
        assert body["code"] == "origin_not_allowed"
    assert (await status_of(strict, "POST", {**headers, "Authorization": f"Bearer {token()}"}))[0] == 200


async def test_answers_carry_cors_headers_for_allowed_origins_alone_errors_too(strict: Running) -> None:
    for headers in ({"Authorization": f"Bearer {token()}"}, {}):
        _, answer, _ = await status_of(strict, "POST", {"Origin": "https://app.example.com", **headers})
        assert answer["Access-Control-Allow-Origin"] == "https://app.example.com"
        assert answer["Access-Control-Allow-Credentials"] == "true"
        assert "Origin" in answer["Vary"]
        _, answer, _ = await status_of(strict, "POST", {"Origin": "https://evil.com", **headers})
        assert "Access-Control-Allow-Origin" not in answer
        assert "Origin" in answer["Vary"]


async def test_preflight_reflects_the_requested_headers(strict: Running) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-anything"}
    for path in ("/posts/1/comments", "/socket.io/?EIO=4&transport=polling"):
        async with strict.http.options(
            strict.url + path, headers={"Origin": "https://app.example.com", **asked}
        ) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
            assert answer.headers["Access-Control-Allow-Headers"] == "authorization,x-anything"
            assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        async with strict.http.options(strict.url + path, headers={"Origin": "https://evil.com", **asked}) as answer:
            assert answer.status == 403
            assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_a_socket_opens_from_allowed_origins_alone(strict: Running, transport: str) -> None:
    url = f"{strict.url}/socket.io/?EIO=4&transport={transport}"
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} if transport == "websocket" else {}  # fmt: skip
    opened = 101 if transport == "websocket" else 200
    for origins, status in ((ALLOWED, opened), (REFUSED, 403)):
        for origin in origins:
            async with strict.http.get(url, headers={"Origin": origin, **upgrade}) as response:
                assert response.status == status, origin
                if status != 101:  # where browsers look for no such header
                    assert ("Access-Control-Allow-Origin" in response.headers) == (status == 200), origin
    async with strict.http.get(url, headers=upgrade) as response:
        assert response.status == opened


async def test_an_unchanged_browser_client_from_the_front_end_s_origin(strict: Running, nodes: NodeClients) -> None:
    client = nodes.open(strict.url, {"userId": 1, "token": token(1)}, headers={"Origin": "http://localhost:3000"})
    await client.connected()
    refused = nodes.open(strict.url, {"userId": 1, "token": token(1)}, headers={"Origin": "http://evil.com"})
    await refused.until(lambda: len(refused.named("connect_error")) > 0)
    assert refused.named("connect") == []
