"""A comment's POST takes a shorter way through aiohttp, on which nothing else is different."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from notify_server.http import direct
from tests.conftest import Running, StartServer
from tests.postgres import Sql

JSON = {"Content-Type": "application/json"}
COMMENT = b'{"body": "Hello"}'


@pytest.fixture
def went_directly(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """By status."""
    counted: Counter[int] = Counter()
    write = direct._Connection._write

    async def counting(self: Any, request: Any, response: Any, body: bytes) -> bool:
        counted[response.status] += 1
        return await write(self, request, response, body)

    monkeypatch.setattr(direct._Connection, "_write", counting)
    return counted


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


class Raw:
    """One connection, on which requests go out as they are written."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    @classmethod
    async def open(cls, server: Running) -> Raw:
        return cls(*await asyncio.open_connection("127.0.0.1", int(server.url.rsplit(":", 1)[1])))

    def send(self, path: str, body: bytes, headers: dict[str, str], version: str = "1.1", method: str = "POST") -> None:
        sent = {"Host": "localhost", "Authorization": "User 2", "Content-Length": str(len(body)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        self.writer.write(f"{method} {path} HTTP/{version}\r\n{head}\r\n".encode() + body)

    async def answer(self) -> Answer:
        async with asyncio.timeout(5):
            status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
            if " 100 " in status:
                return await self.answer()
            headers = dict(line.split(": ", 1) for line in lines)
            body = await self._reader.readexactly(int(headers["Content-Length"]))
        return Answer(int(status.split()[1]), headers, json.loads(body))

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()

    async def ended(self) -> bool:
        async with asyncio.timeout(5):
            return await self._reader.read() == b""


async def once(server: Running, path: str, body: bytes, headers: dict[str, str], version: str = "1.1") -> Answer:
    raw = await Raw.open(server)
    raw.send(path, body, headers, version)
    answer = await raw.answer()
    await raw.close()
    return answer


def same(one: Answer) -> tuple[int, dict[str, str], Any]:
    """What does not differ from request to request."""
    apart = ("Date", "X-Request-Id", "Content-Length", "Connection")
    body = {name: value for name, value in one.body.items() if name not in ("id", "createdAt")}
    return one.status, {name: value for name, value in one.headers.items() if name not in apart}, body


@pytest.mark.parametrize(
    ("status", "path", "body", "headers"),
    [
        (200, "/posts/1/comments", COMMENT, JSON),
        (200, "/API/Posts/1/comments/?x=1", COMMENT, JSON | {"Origin": "http://localhost:3000"}),
        (200, "/posts/1/comments", COMMENT, JSON | {"Origin": "http://elsewhere.example"}),
        (401, "/posts/1/comments", COMMENT, JSON | {"Authorization": "Bearer nobody"}),
        (404, "/posts/77/comments", COMMENT, JSON),
        (404, "/posts/%31%2f2/comments", COMMENT, JSON),
        (400, "/posts/1/comments", b"{", JSON),
        (415, "/posts/1/comments", COMMENT, {"Content-Type": "text/plain"}),
        (422, "/posts/1/comments", b'{"body": ""}', JSON),
        (413, "/posts/1/comments", b'{"body": "' + b" " * 300_000 + b'"}', JSON),
    ],
)
async def test_either_way_answers_alike(
    start_server: StartServer, went_directly: Counter[int], status: int, path: str, body: bytes, headers: dict[str, str]
) -> None:
    server = await start_server(client_url="http://localhost:3000", api_prefix="/api")
    directly = await once(server, path, body, headers)
    assert directly.status == status
    assert went_directly == {status: 1}
    assert "X-Request-Id" in directly.headers
    by_aiohttp = await once(server, path, body, headers | {"Expect": "100-continue"})
    assert same(by_aiohttp) == same(directly)
    assert went_directly == {status: 1}


@pytest.mark.parametrize(("version", "headers"), [("1.1", {"Connection": "close"}), ("1.0", {})])
async def test_what_is_not_to_stay_open_is_closed(
    server: Running, went_directly: Counter[int], version: str, headers: dict[str, str]
) -> None:
    raw = await Raw.open(server)
    raw.send("/posts/1/comments", COMMENT, JSON | headers, version)
    assert (await raw.answer()).status == 200
    assert await raw.ended()
    await raw.close()
    assert not went_directly


async def test_a_connection_takes_either_way_in_turn(server: Running, went_directly: Counter[int], other: Sql) -> None:
    """Sent at once, answered in order."""
    raw = await Raw.open(server)
    for n in range(3):
        raw.send("/posts/1/comments", f'{{"body": "{n}"}}'.encode(), JSON)
        raw.send("/posts/1/comments", b"", {}, method="GET")
    for n in range(3):
        assert (await raw.answer()).body["body"] == str(n)
        assert [comment["body"] for comment in (await raw.answer()).body] == [str(k) for k in range(n + 1)]
    assert went_directly == {200: 3}
    assert other.run("SELECT body FROM comments ORDER BY id") == ["0", "1", "2"]
    await raw.close()


async def test_a_client_that_has_gone_has_commented_all_the_same(server: Running, other: Sql) -> None:
    raw = await Raw.open(server)
    raw.send("/posts/1/comments", COMMENT, JSON)
    await raw.writer.drain()
    raw.writer.transport.abort()
    while not other.value("SELECT count(*) FROM notify.notification WHERE user_id = '1'"):
        await asyncio.sleep(0.01)
    assert (await once(server, "/posts/1/comments", COMMENT, JSON)).status == 200


async def test_a_route_that_meets_another_of_ours_leaves_it_its_paths(
    start_server: StartServer, went_directly: Counter[int]
) -> None:
    server = await start_server(comment_route="/notifications/:postId")
    seen = await once(server, "/notifications/seen", b'{"upTo": 0}', JSON)
    assert seen.status == 200
    assert "unseen" in seen.body
    assert (await once(server, "/notifications/1", COMMENT, JSON)).body["postId"] == 1
    assert not went_directly
