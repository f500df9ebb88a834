"""STATIC_DIR: an app's built front end, served beside the routes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from notify_server.errors import ConfigError
from notify_server.settings import load
from tests.conftest import Running, StartServer
from tests.test_page import raw

PAGE = "<!doctype html><title>app</title>"
GOES = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html,application/xhtml+xml"}
FETCHES = {"Sec-Fetch-Mode": "cors", "Accept": "*/*", "Authorization": "User 2"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As Vite and others leave it, and things that are not to be had."""
    dist = tmp_path / "dist"
    for name, text in {
        "index.html": PAGE, "favicon.ico": "icon", "robots.txt": "User-agent: *", "about/index.html": "about",
        "assets/index-DqwXe3xY.js": "let a = 1;", "assets/plain.js": "let b = 1;", "static/js/main.3f2c91ab.js": "c",
        ".env": "SECRET=x", ".git/config": "x", ".well-known/security.txt": "mail us", "a b.txt": "space",
        "umlaut-ü.txt": "u",
    }.items():  # fmt: skip
        path = dist / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (dist / "assets/index-DqwXe3xY.js.gz").write_bytes(gzip.compress(b"let a = 1;"))
    (tmp_path / "secret.txt").write_text("secret")
    (dist / "link.txt").symlink_to(tmp_path / "secret.txt")
    (dist / "up").symlink_to(tmp_path)
    (dist / "circle").symlink_to(dist / "circle")
    return dist


@pytest.fixture
async def server(start_server: StartServer, folder: Path) -> Running:
    return await start_server(static_dir=folder, api_prefix="/api")


async def get(server: Running, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Any:
    async with server.http.request(method, server.url + path, headers=headers or {"Accept": "*/*"}) as response:
        return response.status, response.headers, await response.text()


@pytest.mark.parametrize(
    ("path", "text", "kind", "caching"),
    [
        ("/", PAGE, "text/html; charset=utf-8", "no-cache"),
        ("/index.html", PAGE, "text/html; charset=utf-8", "no-cache"),
        ("/about", "about", "text/html; charset=utf-8", "no-cache"),
        ("/about/", "about", "text/html; charset=utf-8", "no-cache"),
        ("/favicon.ico", "icon", "image/x-icon", "no-cache"),
        ("/robots.txt", "User-agent: *", "text/plain; charset=utf-8", "no-cache"),
        ("/assets/index-DqwXe3xY.js", "let a = 1;", "text/javascript; charset=utf-8", "immutable"),
        ("/static/js/main.3f2c91ab.js", "c", "text/javascript; charset=utf-8", "immutable"),
        ("/assets/plain.js", "let b = 1;", "text/javascript; charset=utf-8", "no-cache"),
        ("/.well-known/security.txt", "mail us", "text/plain; charset=utf-8", "no-cache"),
        ("/a%20b.txt", "space", "text/plain; charset=utf-8", "no-cache"),
        ("/umlaut-%C3%BC.txt", "u", "text/plain; charset=utf-8", "no-cache"),
    ],
)
async def test_files_have_their_type_and_are_kept_as_long_as_may_be(
    server: Running, path: str, text: str, kind: str, caching: str
) -> None:
    status, headers, body = await get(server, path)
    assert (status, body, headers["Content-Type"]) == (200, text, kind)
    assert caching in headers["Cache-Control"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert (await get(server, path, {"If-None-Match": headers["ETag"]}))[0] == 304
    assert (await get(server, path, {"Range": "bytes=0-0"}))[0] == 206
    assert (await get(server, path, method="HEAD"))[::2] == (200, "")


async def test_a_compressed_file_is_taken_where_the_browser_takes_it(server: Running) -> None:
    _, headers, body = await get(server, "/assets/index-DqwXe3xY.js", {"Accept-Encoding": "gzip"})
    assert (headers["Content-Encoding"], body, headers["Vary"]) == ("gzip", "let a = 1;", "Accept-Encoding")
    _, headers, _ = await get(server, "/assets/index-DqwXe3xY.js", {"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in headers


@pytest.mark.parametrize(
    "path", ["/settings", "/posts/7", "/posts", "/posts/7/comments/9", "/user.name", "/a/b/c", "/me"]
)
async def test_who_goes_to_a_page_of_the_app_gets_its_html(server: Running, path: str) -> None:
    assert (await get(server, path, GOES))[::2] == (200, PAGE)
    older = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}  # browsers without Sec-Fetch-Mode
    assert (await get(server, path, older))[::2] == (200, PAGE)


async def test_a_script_that_fetches_the_same_path_gets_the_route(server: Running) -> None:
    status, headers, body = await get(server, "/posts/1", FETCHES)
    assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert '"title": "One"' in body
    assert (await get(server, "/api/posts/1", FETCHES))[0] == 200
    assert (await get(server, "/posts/1", {**FETCHES, "Authorization": "no"}))[0] == 401
    async with server.http.post(
        f"{server.url}/posts/1/comments", json={"body": "x"}, headers={"Authorization": "User 2"}
    ) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/assets/index-OLDHASH1.js", {"Accept": "*/*"}), ("/assets/index-OLDHASH1.js", GOES), ("/assets", GOES),
        ("/nothing.png", {"Accept": "image/*"}), ("/nothing", FETCHES), ("/api/nothing", GOES), ("/api", GOES),
        ("/socket.io/nothing", GOES), ("/livez/x", GOES),
    ],
)  # fmt: skip
async def test_what_is_not_there_is_404_and_no_html(server: Running, path: str, headers: dict[str, str]) -> None:
    status, got, body = await get(server, path, headers)
    assert (status, got["Content-Type"]) == (404, "application/json; charset=utf-8")
    assert "<" not in body


@pytest.mark.parametrize(
    "path",
    ["/.env", "/.git/config", "/%2eenv", "/assets/../.env", "/assets/%2e%2e/.env", "/../secret.txt", "/..%2fsecret.txt",
     "/%2e%2e/secret.txt", "/link.txt", "/up/secret.txt", "/circle", "//etc/passwd", "/%00", "/a%00.txt",
     "/..\\secret.txt", "/..%5csecret.txt", "/" + "x" * 5000, "/.well-known/../.env", "/.well-known/.env",
     "/assets/index-DqwXe3xY.js/x", "/C:/x", "/%c0%ae%c0%ae/secret.txt"],
)  # fmt: skip
async def test_nothing_else_is_to_be_had(server: Running, path: str) -> None:
    answer = await raw(server, path)
    assert answer.startswith(("HTTP/1.1 404", "HTTP/1.1 400")), answer[:200]
    assert "secret" not in answer.replace("secret.txt", "")
    assert "SECRET" not in answer


async def test_sockets_and_health_are_as_before(server: Running) -> None:
    assert (await get(server, "/livez", GOES))[2] == '{"status":"ok"}'
    assert (await get(server, "/socket.io/?EIO=4&transport=polling", GOES))[2].startswith("0{")


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_without_pages_stops_the_start(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"STATIC_DIR takes a folder with an index\.html"):
        load(None, trust_user_id=True, static_dir=str(tmp_path / name))
