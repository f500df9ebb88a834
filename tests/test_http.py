"""REST, line by line of the wire contract."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import jwt
import pytest

from notify_server.errors import ConfigError
from tests.conftest import SECRET, Running, StartServer
from tests.postgres import Cluster, Sql, sql

GRACE = {"Authorization": "User 2"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def with_tokens(start_server: StartServer) -> Running:
    return await start_server(jwt_secret=SECRET)


async def ask(server: Running, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
    """(status, body, headers)."""
    async with server.http.request(method, server.url + path, **options) as response:
        text = await response.text()
        return response.status, json.loads(text) if text else None, response.headers


async def comment(server: Running, raw: bytes | str, post: str = "1", **headers: str) -> tuple[int, Any, Any]:
    return await ask(server, "POST", f"/posts/{post}/comments", data=raw, headers={**GRACE, **JSON, **headers})


def is_error(body: Any, code: str, field: str | None = None) -> bool:
    return (
        set(body) == {"error", "code"} | ({"field"} if field else set())
        and isinstance(body["error"], str)
        and body["code"] == code
        and body.get("field") == field
    )


async def test_a_comment_is_200_with_the_comment_in_camel_case(server: Running) -> None:
    status, body, headers = await comment(server, '{"body": "Grüße 🎈"}')
    assert status == 200
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body.pop("createdAt"))
    assert body == {"id": 1, "postId": 1, "authorId": 2, "body": "Grüße 🎈"}


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"body", b'{"body": NaN}', b'{"body": "a",}', b"\xff\xfe", b'{"body": "\xff"}', b'{"body": "\\x"}',
     b"[" * 200_000, b'{"a":' * 50_000, b'\xef\xbb\xbf{"body": "a"}', b'{"body": "\\u12"}', b"[" * 5000 + b'"\\u0041"'],
    ids=range(13),
)  # fmt: skip
async def test_what_cannot_be_parsed_is_400(server: Running, raw: bytes) -> None:
    status, body, _ = await comment(server, raw)
    assert status == 400
    assert is_error(body, "invalid_json")


@pytest.mark.parametrize(
    "raw",
    ['{"body": ""}', '{"body": "  \\n"}', "{}", "[]", "null", '"text"', "7", '{"body": null}', '{"body": 7}',
     '{"body": ["a"]}', '{"body": {"a": 1}}', '{"body": true}', '{"body": "a\\u0000b"}', '{"body": "\\ud800"}',
     '{"body": "\\udc00 \\ud83d"}', json.dumps({"body": "x" * 10_001}), '{"Body": "a"}'],
    ids=range(17),
)  # fmt: skip
async def test_what_is_no_comment_is_422_naming_the_field(server: Running, raw: str) -> None:
    status, body, _ = await comment(server, raw)
    assert status == 422
    assert is_error(body, "invalid", "body")


async def test_ten_thousand_characters_fit_however_they_are_written(server: Running) -> None:
    for text in ("x" * 10_000, "🎈" * 10_000):
        status, body, _ = await comment(server, json.dumps({"body": text}))  # escapes all but ASCII
        assert (status, body["body"]) == (200, text)


async def test_the_field_s_name_is_a_setting(start_server: StartServer) -> None:
    server = await start_server(body_field="content")
    status, body, _ = await comment(server, '{"content": "Hello"}')
    assert (status, body["body"]) == (200, "Hello")
    status, body, _ = await comment(server, '{"body": "Hello"}')
    assert (status, body["field"]) == (422, "content")


async def test_the_status_of_a_new_comment_is_a_setting(start_server: StartServer) -> None:
    server = await start_server(comment_status="201")
    status, body, _ = await comment(server, '{"body": "Hello"}')
    assert (status, body["body"]) == (201, "Hello")


async def test_the_route_of_comments_is_a_setting_in_express_s_notation(start_server: StartServer) -> None:
    server = await start_server(comment_route="/api/articles/:articleId/comments")
    for path in ("/api/articles/1/comments", "/API/Articles/1/comments/"):
        assert (await ask(server, "POST", path, json={"body": "Hello"}, headers=GRACE))[1]["postId"] == 1
    assert len((await ask(server, "GET", "/api/articles/1/comments", headers=GRACE))[1]) == 2
    for method in ("GET", "POST"):  # the default is gone
        assert (await ask(server, method, "/posts/1/comments", json={"body": "Hello"}, headers=GRACE))[0] == 404
    assert (await ask(server, "GET", "/posts/1", headers=GRACE))[0] == 200


@pytest.mark.parametrize("sent", [1, "1"])
async def test_a_route_without_a_parameter_takes_the_post_from_the_body(
    start_server: StartServer, sent: object
) -> None:
    server = await start_server(comment_route="/comments", post_field="articleId", api_prefix="/api")
    for path in ("/comments", "/api/comments"):
        status, body, _ = await ask(server, "POST", path, json={"body": "Hello", "articleId": sent}, headers=GRACE)
        assert (status, body["postId"]) == (200, 1)
    assert len((await ask(server, "GET", "/comments?articleId=1", headers=GRACE))[1]) == 2
    assert (await ask(server, "GET", "/comments?articleId=99", headers=GRACE))[0] == 404
    assert (await ask(server, "DELETE", f"/comments/{body['id']}", headers=GRACE))[0] == 204


@pytest.mark.parametrize(
    ("sent", "expected"),
    [(None, 422), (1.0, 422), (True, 422), ([1], 422), ({}, 422), (99, 404), ("x", 404), (-1, 404)],
)
async def test_a_post_of_the_body_that_is_none_is_refused(
    start_server: StartServer, sent: object, expected: int
) -> None:
    server = await start_server(comment_route="/comments")
    status, body, _ = await ask(server, "POST", "/comments", json={"body": "Hello", "postId": sent}, headers=GRACE)
    assert (status, body.get("field")) == (expected, "postId" if expected == 422 else None)
    if sent is None:
        status, body, _ = await ask(server, "GET", "/comments", headers=GRACE)
        assert (status, body["field"]) == (422, "postId")


@pytest.mark.parametrize("route", ["/posts", "/posts/:id", "/me", "/notifications/read", "/socket.io", "/livez"])
async def test_a_route_that_is_taken_is_refused(start_server: StartServer, route: str) -> None:
    with pytest.raises(ConfigError, match="COMMENT_ROUTE"):
        await start_server(comment_route=route)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=utf-16", "x"]
)
async def test_another_content_type_is_415(server: Running, content_type: str) -> None:
    status, body, _ = await comment(server, '{"body": "a"}', **{"Content-Type": content_type})
    assert status == 415
    assert is_error(body, "unsupported_media_type")


async def test_a_charset_that_says_utf_8_is_fine(server: Running) -> None:
    assert (await comment(server, '{"body": "a"}', **{"Content-Type": "application/json; charset=UTF-8"}))[0] == 200


async def test_too_large_is_413(server: Running) -> None:
    status, body, _ = await comment(server, json.dumps({"body": "x" * 300_000}))
    assert status == 413
    assert is_error(body, "too_large")


async def test_a_compressed_bomb_is_413_and_garbage_that_calls_itself_gzip_400(server: Running) -> None:
    import gzip

    bomb = gzip.compress(json.dumps({"body": "x" * 50_000_000}).encode())
    assert (await comment(server, bomb, **{"Content-Encoding": "gzip"}))[0] == 413
    assert (await comment(server, b"no gzip", **{"Content-Encoding": "gzip"}))[0] == 400


@pytest.mark.parametrize(
    "post", ["99", "0", "-1", "x", "1.0", "01", "1e0", "%20", "2147483648", "9" * 400, "%00", "%F0"]
)
async def test_a_post_that_is_not_there_or_cannot_be_is_404(server: Running, post: str) -> None:
    for method, path in (
        ("POST", f"/posts/{post}/comments"),
        ("GET", f"/posts/{post}/comments"),
        ("GET", f"/posts/{post}"),
    ):
        status, body, _ = await ask(server, method, path, data='{"body": "a"}', headers={**GRACE, **JSON})
        assert status == 404
        assert is_error(body, "not_found")


async def test_the_app_s_own_constraint_is_422_refused_without_its_words(server: Running, other: Sql) -> None:
    other.run("ALTER TABLE comments ADD CONSTRAINT polite CHECK (body <> 'rude')")
    status, body, _ = await comment(server, '{"body": "rude"}')
    assert status == 422
    assert is_error(body, "refused")
    assert "polite" not in body["error"]


async def test_a_user_whom_the_app_does_not_have_is_403(server: Running) -> None:
    for headers in ({"Authorization": "User 99"}, {"Authorization": "User somebody"}):
        for method, path in (("POST", "/posts/1/comments"), ("POST", "/posts"), ("GET", "/me")):
            status, body, _ = await ask(
                server, method, path, data='{"body": "a", "title": "t"}', headers={**JSON, **headers}
            )
            assert status == 403
            assert is_error(body, "unknown_user")


async def test_no_or_bad_credential_is_401(server: Running) -> None:
    for headers in (
        {},
        {"Authorization": ""},
        {"Authorization": "User"},
        {"Authorization": "Bearer x"},
        {"Cookie": "token=1", "Sec-Fetch-Site": "same-origin"},
    ):
        for method, path in (("POST", "/posts/1/comments"), ("GET", "/posts"), ("GET", "/posts/1"), ("POST", "/posts"),
                             ("GET", "/posts/1/comments"), ("DELETE", "/comments/1"), ("GET", "/me")):  # fmt: skip
            status, body, answer = await ask(server, method, path, data='{"body": "a"}', headers={**JSON, **headers})
            assert status == 401
            assert is_error(body, "unauthorized")
            assert answer["WWW-Authenticate"] == "Bearer"


async def test_trailing_slashes_and_the_case_of_the_path_do_not_matter(server: Running) -> None:
    for path in ("/posts/1/comments/", "/POSTS/1/Comments", "/Posts/1/COMMENTS/"):
        assert (await ask(server, "POST", path, data='{"body": "a"}', headers={**GRACE, **JSON}))[0] == 200
        assert len((await ask(server, "GET", path, headers=GRACE))[1]) >= 1
    assert (await ask(server, "GET", "/LivEz/"))[1] == {"status": "ok"}


async def test_what_is_at_no_path_is_404_and_a_wrong_method_405_as_json(server: Running) -> None:
    status, body, _ = await ask(server, "GET", "/nothing/here")
    assert status == 404
    assert is_error(body, "not_found")
    status, body, headers = await ask(server, "DELETE", "/posts")
    assert status == 405
    assert is_error(body, "method_not_allowed")
    assert "POST" in headers["Allow"]


async def test_head_is_get_without_the_body(server: Running) -> None:
    assert (await ask(server, "HEAD", "/posts", headers=GRACE))[:2] == (200, None)
    assert (await ask(server, "HEAD", "/posts"))[:2] == (401, None)


async def test_every_route_but_health_is_also_under_the_prefix(start_server: StartServer) -> None:
    server = await start_server(api_prefix="/api/")
    for path in ("/api/posts", "/posts", "/api/me", "/api/posts/1/comments", "/API/posts/1"):
        assert (await ask(server, "GET", path, headers=GRACE))[0] == 200
    assert (await ask(server, "GET", "/livez"))[0] == 200
    assert (await ask(server, "GET", "/api/livez"))[0] == 404


async def test_posts_are_listed_newest_first_by_pages(server: Running) -> None:
    for n in range(5):
        status, body, _ = await ask(server, "POST", "/posts", json={"title": f"t{n}", "body": "b"}, headers=GRACE)
        assert (status, body) == (200, {"id": 3 + n, "authorId": 2, "title": f"t{n}", "body": "b"})
    path, seen = "/posts?limit=3", []
    while path:
        _, page, headers = await ask(server, "GET", path, headers=GRACE)
        seen.append([post["id"] for post in page])
        path = headers["Link"][1:].split(">")[0] if "Link" in headers else ""
    assert seen == [[7, 6, 5], [4, 3, 2], [1]]
    assert (await ask(server, "GET", "/posts/7", headers=GRACE))[1]["title"] == "t4"


async def test_comments_are_listed_oldest_first_by_pages(server: Running) -> None:
    for n in range(7):
        await server.comment(2, 1, f"number {n}")
    await server.comment(2, 2, "elsewhere")
    path, seen = "/posts/1/comments?limit=3", []
    while path:
        _, page, headers = await ask(server, "GET", path, headers=GRACE)
        seen.append([one["body"] for one in page])
        path = headers["Link"][1:].split(">")[0] if "Link" in headers else ""
    assert seen == [["number 0", "number 1", "number 2"], ["number 3", "number 4", "number 5"], ["number 6"]]
    assert (await ask(server, "GET", "/posts/2/comments?limit=1", headers=GRACE))[1][0]["body"] == "elsewhere"


@pytest.mark.parametrize(
    "query",
    [
        "after=2026-01-01~x",
        "after=5",
        "after=now~1",
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=",
        "limit=٣",
        "after=x",
        "after=",
        "limit=1e1",
    ],
)
async def test_a_bad_cursor_or_limit_is_422_naming_it(server: Running, query: str) -> None:
    status, body, _ = await ask(server, "GET", f"/posts/1/comments?{query}", headers=GRACE)
    assert status == 422
    assert is_error(body, "invalid", query.split("=")[0])


async def test_a_bad_post_is_422_naming_the_field(server: Running) -> None:
    for raw, field in (
        ({"body": "b"}, "title"),
        ({"title": "t"}, "body"),
        ({"title": "t" * 301, "body": "b"}, "title"),
    ):
        status, body, _ = await ask(server, "POST", "/posts", json=raw, headers=GRACE)
        assert status == 422
        assert is_error(body, "invalid", field)


async def test_one_deletes_one_s_own_comment_and_nobody_else_s(server: Running, other: Sql) -> None:
    mine = await server.comment(2, 1)
    foreign = await ask(server, "DELETE", f"/comments/{mine['id']}", headers={"Authorization": "User 3"})
    unknown = await ask(server, "DELETE", "/comments/999", headers={"Authorization": "User 3"})
    assert foreign[:2] == unknown[:2]
    assert foreign[0] == 404
    assert (await ask(server, "DELETE", f"/comments/{mine['id']}", headers=GRACE))[:2] == (204, None)
    assert (await ask(server, "DELETE", f"/comments/{mine['id']}", headers=GRACE))[0] == 404
    assert other.value("SELECT count(*) FROM comments") == 0


async def test_me_says_who_i_am(server: Running) -> None:
    assert (await ask(server, "GET", "/me", headers=GRACE))[1] == {"id": 2, "name": "Grace"}


async def test_tokens_speak_for_users_in_the_header_with_or_without_bearer(with_tokens: Running) -> None:
    token = jwt.encode({"sub": 2, "exp": time.time() + 60}, SECRET)
    for value in (f"Bearer {token}", f"bearer {token}", token):
        assert (await ask(with_tokens, "GET", "/me", headers={"Authorization": value}))[1]["name"] == "Grace"
    expired = jwt.encode({"sub": "2", "exp": time.time() - 1}, SECRET)
    status, body, _ = await ask(with_tokens, "GET", "/me", headers={"Authorization": f"Bearer {expired}"})
    assert status == 401
    assert is_error(body, "token_expired")
    assert (await ask(with_tokens, "GET", "/me", headers=GRACE))[0] == 401


async def test_the_database_away_is_503_with_retry_after(server: Running, direct_url: str, cluster: Cluster) -> None:
    name = direct_url.rsplit("/", 1)[1]
    with sql(cluster.url()) as admin:
        admin.run(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        admin.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name)
        for _ in range(3):
            status, body, headers = await comment(server, '{"body": "a"}')
            assert status == 503
            assert body["code"] in ("unavailable", "outcome_unknown")
            assert headers["Retry-After"] == "1"
        assert (await ask(server, "GET", "/readyz"))[:2] == (503, {"status": "database away"})
        assert (await ask(server, "GET", "/livez"))[0] == 200
        assert (await ask(server, "GET", "/socket.io/?EIO=4&transport=polling"))[0] == 503
        admin.run(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
    async with asyncio.timeout(5):
        while (await comment(server, '{"body": "a"}'))[0] != 200:
            await asyncio.sleep(0.05)
    assert (await ask(server, "GET", "/readyz"))[:2] == (200, {"status": "ok"})


async def test_a_body_that_never_comes_is_408(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify_server.http.body._READ_TIMEOUT_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    writer.write(
        b"POST /posts/1/comments HTTP/1.1\r\nHost: localhost\r\nAuthorization: User 2\r\n"
        b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    async with asyncio.timeout(5):
        assert b"408" in await reader.readline()
    writer.close()
