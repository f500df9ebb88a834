"""The demo's page over HTTP: what is served, how, and to whom not."""

from __future__ import annotations

import asyncio
import gzip
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Running, StartServer

ASSET = re.compile(r'(?:src|href)="(/assets/[^"]+\.js)"')


@pytest.fixture
async def demo(start_server: StartServer, built_page: Path) -> Running:
    return await start_server(page=built_page)


@pytest.fixture
async def asset(demo: Running) -> str:
    """The path of a script."""
    async with demo.http.get(f"{demo.url}/") as response:
        match = ASSET.search(await response.text())
    assert match is not None
    return match[1]


async def raw(server: Running, target: str) -> str:
    """The answer to a path that no client library would send as it is."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("path", ["/", "/plain/", "/plain"])
async def test_a_page_is_html_that_is_asked_for_anew_and_mostly_has_not_changed(demo: Running, path: str) -> None:
    async with demo.http.get(demo.url + path) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-cache"
        assert "Last-Modified" in response.headers
        assert '<div id="root">' in await response.text()
        etag = response.headers["ETag"]
    async with demo.http.get(demo.url + path, headers={"If-None-Match": etag}) as response:
        assert response.status == 304
        assert "Content-Security-Policy" in response.headers


@pytest.mark.parametrize("path", ["/", "/plain/", "/icon.svg", "asset"])
async def test_what_is_served_allows_nothing_but_itself(demo: Running, asset: str, path: str) -> None:
    async with demo.http.get(demo.url + path.replace("asset", asset)) as response:
        assert response.status == 200
        rules = dict(rule.split(" ", 1) for rule in response.headers["Content-Security-Policy"].split("; "))
        assert rules == {
            "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'",
            "connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
            "require-trusted-types-for": "'script'",
        }  # fmt: skip
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert response.headers["Permissions-Policy"]


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, deflate, br, zstd", "br"), ("gzip, deflate", "gzip"), ("identity", None), ("", None)],
)
async def test_an_asset_comes_compressed_as_the_browser_takes_it_and_is_kept_for_good(
    demo: Running, asset: str, built_page: Path, accepted: str, encoding: str | None
) -> None:
    async with demo.http.get(
        demo.url + asset, headers={"Accept-Encoding": accepted}, auto_decompress=False
    ) as response:
        assert response.status == 200
        assert response.headers.get("Content-Encoding") == encoding
        assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert "Accept-Encoding" in response.headers.getall("Vary")
        body = await response.read()
    content = (built_page / asset.lstrip("/")).read_bytes()
    match encoding:
        case "gzip":
            assert gzip.decompress(body) == content
        case "br":
            assert len(body) < len(gzip.compress(content))
        case None:
            assert body == content


async def test_head_answers_as_get_without_the_body(demo: Running, asset: str) -> None:
    for path in ("/", "/plain/", "/icon.svg", asset, "/demo"):
        async with demo.http.get(demo.url + path) as response:
            got = response.headers
        async with demo.http.head(demo.url + path) as response:
            assert response.status == 200
            assert await response.read() == b""
            for name in ("Content-Type", "Content-Length", "Cache-Control"):
                assert response.headers.get(name) == got.get(name), (path, name)


@pytest.mark.parametrize(
    "target",
    [
        "/assets/nothing-12345678.js", "/assets/", "/assets", "/assets/../index.html", "/assets/..%2findex.html",
        "/assets/%2e%2e/index.html", "/assets/../../app.py", "/assets/..%2f..%2fapp.py", "/assets/%2e%2e%2f.sources",
        "/assets/..\\..\\app.py", "/assets//etc/passwd", "/.sources", "/index.html.br", "/plain/index.html.gz",
        "/assets/%00.js",
    ],
)  # fmt: skip
async def test_any_other_path_is_our_own_404(demo: Running, target: str) -> None:
    answer = await raw(demo, target)
    assert answer.startswith("HTTP/1.1 404")
    assert '"code":"not_found"' in answer


async def test_a_compressed_file_is_served_by_no_name_of_its_own(demo: Running, asset: str) -> None:
    for suffix in (".br", ".gz"):
        assert (await raw(demo, asset + suffix)).startswith("HTTP/1.1 404")


async def test_the_demo_tells_whom_one_can_be_and_where_things_are(start_server: StartServer, built_page: Path) -> None:
    async def told(**settings: Any) -> Any:
        server = await start_server(page=built_page, **settings)
        async with server.http.get(f"{server.url}/demo") as response:
            assert response.status == 200
            assert response.headers["Cache-Control"] == "no-store"
            return await response.json()

    people = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}, {"id": 3, "name": "Linus"}]
    assert await told() == {"people": people, "socketPath": "/socket.io", "bodyField": "body", "apiPrefix": ""}
    assert await told(socket_path="/ws/", body_field="content", api_prefix="/api") == {
        "people": people, "socketPath": "/ws", "bodyField": "content", "apiPrefix": "/api",
    }  # fmt: skip


async def test_only_this_machine_sees_the_demo(demo: Running) -> None:
    for path in ("/", "/demo", "/icon.svg"):
        for headers in ({"X-Forwarded-For": "192.0.2.1"}, {"Host": "example.com"}):
            async with demo.http.get(demo.url + path, headers=headers) as response:
                assert response.status == 403, path


async def test_without_the_demo_there_is_no_page(server: Running) -> None:
    for path in ("/", "/plain/", "/icon.svg", "/assets/x.js", "/demo"):
        async with server.http.get(server.url + path) as response:
            assert (response.status, (await response.json())["code"]) == (404, "not_found"), path


async def test_a_page_that_was_not_built_says_how(start_server: StartServer, tmp_path: Path) -> None:
    server = await start_server(page=tmp_path)
    for path in ("/", "/plain/"):
        async with server.http.get(server.url + path) as response:
            assert response.status == 404
            assert response.headers["Content-Type"].startswith("text/plain")
            assert "make web" in await response.text()
    (tmp_path / "index.html").write_text("<p>built</p>")
    async with server.http.get(server.url) as response:  # no restart needed
        assert await response.text() == "<p>built</p>"
