"""What another site can have a logged-in user's browser send: every shape of it, to everything that writes."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest

from tests.conftest import SECRET, Running, StartServer
from tests.postgres import Sql

APP = "https://app.example.com"
WRITES: list[tuple[str, str, Any]] = [
    ("POST", "/posts/1/comments", {"body": "forged"}),
    ("POST", "/posts", {"title": "forged", "body": "forged"}),
    ("DELETE", "/comments/1", None),
    ("POST", "/notifications/seen", {"upTo": 1}),
    ("POST", "/notifications/read", {"seqs": [1]}),
    ("POST", "/notifications/unread", {"seqs": [1]}),
    ("POST", "/notifications/delete", {"seqs": [1]}),
    ("PUT", "/mutes/user:3", None),
    ("DELETE", "/mutes/post:2", None),
]
FOREIGN = [
    "https://evil.example", "null", "", "file://", "data:", "http://localhost", "http://127.0.0.1", "http://127.0.0.1:1",
    "https://app.example.com.evil.example", "https://evil-app.example.com", "https://evil.app.example.com",
    "https://app.example.com:8443", "http://app.example.com", "https://app.example.com@evil.example",
    "https://evil.example#https://app.example.com", "https://app.example.com, https://evil.example",
    "https://app.example.com/", "https://appXexample.com", "https://example.com", "https://*.example.com",
]  # fmt: skip
SITES: list[dict[str, str]] = [
    *({"Origin": origin} for origin in FOREIGN),
    *({"Origin": origin, "Sec-Fetch-Site": "same-origin"} for origin in FOREIGN),
    *({"Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "CROSS-SITE", "", "same-origin, none", "x")),
    {},  # neither: no browser of today
    {"Referer": f"{APP}/"},
]
BODIES = ["json", "json as text", "json as a form", "form", "multipart", "json in multipart", "nothing"]
OVERRIDES: list[tuple[str, str, dict[str, str]]] = [
    (carrier, query, headers)
    for carrier in ("GET", "POST")
    for query, headers in [
        ("", {"X-HTTP-Method-Override": "{method}"}), ("", {"X-HTTP-Method": "{method}"}),
        ("", {"X-Method-Override": "{method}"}), ("?_method={method}", {}),
    ]
]  # fmt: skip


def shaped(kind: str, body: Any) -> tuple[bytes | None, dict[str, str]]:
    """(the body as a page of another site would have it sent, its content type)."""
    text = json.dumps(body or {})
    boundary = "x"
    match kind:
        case "json":
            return text.encode(), {"Content-Type": "application/json"}
        case "json as text":
            return text.encode(), {"Content-Type": "text/plain"}
        case "json as a form":
            return f'{text[:-1]}, "=": ""}}'.encode(), {"Content-Type": "application/x-www-form-urlencoded"}
        case "form":
            return urlencode(body or {}).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
        case "multipart" | "json in multipart":
            named = {"body": text} if kind.startswith("json") else body or {}
            parts = "".join(
                f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                for name, value in named.items()
            )
            return f"{parts}--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        case _:
            return None, {}


@pytest.fixture
async def server(start_server: StartServer) -> Running:
    return await start_server(jwt_secret=SECRET, client_url=APP)


@pytest.fixture
def cookie() -> dict[str, str]:
    token = jwt.encode({"sub": "2", "exp": time.time() + 600}, SECRET)
    return {"Cookie": f"token={token}"}


async def send(server: Running, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> int:
    async with server.http.request(
        method, server.url + path, data=data, headers=headers, skip_auto_headers=["Content-Type"]
    ) as response:
        return response.status


def state(other: Sql) -> Any:
    """All that a write could have changed."""
    return other.run("""
        SELECT (SELECT jsonb_agg(to_jsonb(c) ORDER BY c.id) FROM comments c)::text,
               (SELECT jsonb_agg(to_jsonb(p) ORDER BY p.id) FROM posts p)::text,
               (SELECT jsonb_agg(to_jsonb(n) ORDER BY n.user_id, n.seq) FROM notify.notification n)::text,
               (SELECT jsonb_agg(to_jsonb(m) ORDER BY m.user_id, m.topic) FROM notify.mute m)::text""")


async def prepare(server: Running, cookie: dict[str, str]) -> None:
    """Something to delete, to read, and to unmute, by the page that may: which all of it lets in."""
    own = {**cookie, "Origin": APP, "Content-Type": "application/json"}
    ada = jwt.encode({"sub": "1", "exp": time.time() + 600}, SECRET)
    assert await send(server, "POST", "/posts/1/comments", b'{"body": "mine"}', own) == 200
    assert await send(
        server, "POST", "/posts/2/comments", b'{"body": "hers"}', {**own, "Cookie": f"token={ada}"}
    ) == 200  # fmt: skip
    assert await send(server, "PUT", "/mutes/post:2", None, {**cookie, "Origin": APP}) == 200


async def test_nothing_that_another_site_sends_is_done(
    server: Running, cookie: dict[str, str], other: Sql, capsys: pytest.CaptureFixture[str]
) -> None:
    await prepare(server, cookie)
    before = state(other)
    tried, passed = 0, []
    for (method, path, body), kind, site in itertools.product(WRITES, BODIES, SITES):
        data, content_type = shaped(kind, body)
        tried += 1
        if await send(server, method, path, data, {**cookie, **content_type, **site}) < 400:
            passed.append((method, path, kind, site))
    for (method, path, body), (carrier, query, headers), site in itertools.product(WRITES, OVERRIDES, SITES[:1]):
        data, content_type = shaped("json", body) if carrier == "POST" else (None, {})
        override = {name: value.format(method=method) for name, value in headers.items()}
        tried += 1
        target = path + query.format(method=method)
        if await send(server, carrier, target, data, {**cookie, **content_type, **site, **override}) < 400:
            passed.append((carrier, target, str(override), site))
    with capsys.disabled():
        print(f"\nCSRF: {tried} requests of other sites tried, {len(passed)} passed")
    assert not passed
    assert state(other) == before


async def test_no_form_is_taken_from_the_own_site_either(server: Running, cookie: dict[str, str], other: Sql) -> None:
    """So that nothing hangs on the origin alone."""
    await prepare(server, cookie)
    before = state(other)
    for (method, path, body), kind in itertools.product(WRITES, BODIES[1:]):
        if body is not None:
            data, content_type = shaped(kind, body)
            status = await send(server, method, path, data, {**cookie, **content_type, "Origin": APP})
            assert status == 415, (path, kind)
    assert state(other) == before


async def test_no_other_method_stands_for_one_that_writes(server: Running, cookie: dict[str, str], other: Sql) -> None:
    await prepare(server, cookie)
    before = state(other)
    for (method, path, _body), (carrier, query, headers) in itertools.product(WRITES, OVERRIDES):
        if carrier == "GET":
            override = {name: value.format(method=method) for name, value in headers.items()}
            await send(server, carrier, path + query.format(method=method), None, {**cookie, "Origin": APP, **override})
    assert state(other) == before


async def test_all_of_it_is_done_for_the_page_that_may(server: Running, cookie: dict[str, str], other: Sql) -> None:
    """So that the list above does not pass because something else is in the way."""
    await prepare(server, cookie)
    for (method, path, body), site in itertools.product(
        WRITES, [{"Origin": APP}, {"Origin": server.url}, {"Sec-Fetch-Site": "same-origin"}]
    ):
        data, content_type = shaped("json", body) if body is not None else (None, {})
        status = await send(server, method, path, data, {**cookie, **content_type, **site})
        assert status in (200, 204, 404 if path == "/comments/1" else 200), (method, path, site)


def test_the_list_has_everything_that_writes(server: Running) -> None:
    found = [route.method for route in server.app.router.routes() if route.method not in ("GET", "HEAD", "*")]
    assert sorted(found) == sorted(method for method, _, _ in WRITES)
