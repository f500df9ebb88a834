"""What every answer tells browsers."""

from __future__ import annotations

import pytest

from tests.conftest import Running, StartServer

GRACE = {"Authorization": "User 2"}
ANSWERS = [
    ("GET", "/posts", 200), ("POST", "/posts/1/comments", 200), ("GET", "/me", 200), ("GET", "/notifications", 200),
    ("POST", "/notifications/read", 422), ("DELETE", "/comments/99", 404), ("GET", "/nothing", 404),
    ("PUT", "/posts", 405),
    ("GET", "/livez", 200), ("GET", "/readyz", 200), ("OPTIONS", "/posts", 204), ("PUT", "/mutes/post:1", 200),
    ("GET", "/socket.io/?EIO=4&transport=polling", 200), ("GET", "/socket.io/?EIO=3&transport=polling", 400),
    ("POST", "/socket.io/?EIO=4&transport=polling&sid=x", 400), ("HEAD", "/posts", 200),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "expected"), ANSWERS)
async def test_no_answer_may_be_guessed_at_embedded_or_kept(
    server: Running, method: str, path: str, expected: int
) -> None:
    async with server.http.request(method, server.url + path, json={"body": "Hello"}, headers=GRACE) as response:
        assert response.status == expected
        headers = response.headers
    assert headers.getall("X-Content-Type-Options") == ["nosniff"]
    assert headers.getall("Referrer-Policy") == ["no-referrer"]
    assert headers.getall("Cache-Control") == ["no-store"]
    assert headers.getall("Cross-Origin-Resource-Policy") == ["same-origin"]
    assert headers.getall("Content-Security-Policy") == ["default-src 'none'; frame-ancestors 'none'"]
    assert "Server" not in headers
    assert "Strict-Transport-Security" not in headers


async def test_an_origin_of_client_url_reads_all_the_same(start_server: StartServer) -> None:
    server = await start_server(client_url="https://app.example.com")
    for path in ("/posts", "/nothing", "/socket.io/?EIO=4&transport=polling"):
        async with server.http.get(
            server.url + path, headers={**GRACE, "Origin": "https://app.example.com"}
        ) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
            assert response.headers["Access-Control-Allow-Credentials"] == "true"
            assert "Origin" in response.headers.getall("Vary")
