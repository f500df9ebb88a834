"""Which request a line of the log belongs to."""

from __future__ import annotations

import json
import re
from typing import Any

import aiohttp
import pytest

from tests.conftest import Running
from tests.postgres import Sql, free_port
from tests.processes import Start
from tests.test_http import GRACE, ask

OWN = re.compile(r"[0-9a-f]{8}-[1-9][0-9]*")


async def test_an_id_that_came_is_answered(server: Running) -> None:
    for path in ("/posts", "/nothing", "/socket.io/?EIO=4&transport=polling"):
        _, _, headers = await ask_raw(server, path, {"X-Request-Id": "abc-1.2_3"})
        assert headers.getall("X-Request-Id") == ["abc-1.2_3"]


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 65, "a\tb", "é", '"', "a;b", "<a>"])
async def test_without_one_or_with_one_that_is_none_the_server_makes_its_own(
    server: Running, given: str | None
) -> None:
    seen = [(await ask_raw(server, "/posts", {} if given is None else {"X-Request-Id": given}))[2] for _ in range(2)]
    ids = [headers["X-Request-Id"] for headers in seen]
    assert all(OWN.fullmatch(one) for one in ids)
    assert ids[0] != ids[1]


async def ask_raw(server: Running, path: str, headers: dict[str, str]) -> tuple[int, str, Any]:
    async with server.http.get(server.url + path, headers={**GRACE, **headers}) as response:
        return response.status, await response.text(), response.headers


async def test_the_lines_of_a_request_have_its_id_and_no_other_s(start: Start, url: str, other: Sql) -> None:
    other.run("ALTER TABLE comments ADD CONSTRAINT polite CHECK (body <> 'rude')")
    port = free_port()
    process = await start("serve", DATABASE_URL=url, TRUST_USER_ID="true", PORT=port)
    await process.until('"ready"')
    async with aiohttp.ClientSession(headers=GRACE) as http:
        for name, body in (("first", "fine"), ("second", "rude"), ("third", "rude")):
            async with http.post(
                f"http://127.0.0.1:{port}/posts/1/comments", json={"body": body}, headers={"X-Request-Id": name}
            ) as response:
                assert response.status == (200 if body == "fine" else 422)
        async with http.ws_connect(
            f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket", headers={"X-Request-Id": "fourth"}
        ) as websocket:
            await websocket.receive_str()
            await websocket.send_str('40{"userId": ["x"]}')
            assert (await websocket.receive_str()).startswith("44")
    await process.stop()
    lines = [json.loads(line) for line in process.output.splitlines()]
    of = {event: [line.get("request") for line in lines if line["event"] == event] for event in
          ("comment_refused", "handshake_refused", "ready", "stopped")}  # fmt: skip
    assert of == {
        "comment_refused": ["second", "third"], "handshake_refused": ["fourth"], "ready": [None], "stopped": [None],
    }  # fmt: skip


async def test_an_error_s_body_says_nothing_of_it(server: Running) -> None:
    assert set((await ask(server, "GET", "/nothing"))[1]) == {"error", "code"}
