"""What the log says, and what it never does: also see `canaries`, which every test runs above."""

from __future__ import annotations

import asyncio
import io
import itertools
import logging
import re
import time
from pathlib import Path
from typing import Literal

import aiohttp
import jwt
import pytest

from notify_server.logs import handler
from tests.canaries import CANARIES, Net
from tests.clients import NodeClients
from tests.conftest import SECRET
from tests.postgres import Sql, free_port
from tests.processes import Start

LEAKS = {
    "a secret": SECRET,
    "a token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "a credential": "Authorization: Bearer abc",
    "a cookie": "connect.sid=s%3Aabc.def",
    "a name": "Ada",
    "what somebody wrote": "Hello",
    "a password": "postgresql://ada:secret@127.0.0.1/app",
}


def log_message(log: logging.Logger, leak: str) -> None:
    log.error(leak)


def log_fact(log: logging.Logger, leak: str) -> None:
    log.error("something", extra={"detail": leak})


def log_traceback(log: logging.Logger, leak: str) -> None:
    try:
        raise ValueError(leak)
    except ValueError:
        log.exception("something")


def test_the_net_catches_whatever_is_planted(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("tests.planted")
    log.propagate = False
    assert LEAKS.keys() == CANARIES.keys()
    styles: tuple[Literal["json", "text"], ...] = ("json", "text")
    for style in styles:
        for plant in (log_message, log_fact, log_traceback):
            for what, leak in LEAKS.items():
                net, written = Net(), io.StringIO()
                below = handler(written, style)
                log.addHandler(below)
                plant(log, leak)
                log.removeHandler(below)
                net.search_output(written.getvalue())
                assert what in {found for found, _ in net.emptied()}
    with capsys.disabled():
        print(f"\n{2 * 3 * len(LEAKS)} leaks planted, all caught")


BROKEN = """
ALTER TABLE comments ADD CONSTRAINT short CHECK (length(body) < 40);
CREATE FUNCTION pick() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.body LIKE '%internal%' THEN RAISE EXCEPTION 'not this: %', NEW.body USING ERRCODE = 'XX000';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pick BEFORE INSERT ON comments FOR EACH ROW EXECUTE FUNCTION pick();
"""
ANSWERS = "SELECT c.id, CASE WHEN c.body LIKE '%answer%' THEN c.body::int END AS body FROM public.comments c"


@pytest.mark.parametrize("style", ["json", "text"])
async def test_logs_hold_no_secret(
    start: Start, url: str, other: Sql, nodes: NodeClients, tmp_path: Path, style: str
) -> None:
    """A secret, a password, tokens, cookies, a name, keys, bodies and a query string, planted in what goes well and in
    what fails on every side. None is in anything that the server says."""
    other.run("UPDATE users SET name = 'canary-name'")
    other.run(BROKEN)
    port, secret, url = free_port(), "canary-secret" * 3, re.sub("//([^@]*?)(:[^@]*)?@", r"//\1:canary-password@", url)
    assert "canary-password" in url
    (tmp_path / "answer.sql").write_text(ANSWERS)
    assert await (await start("attach", "--answer", "answer.sql", DATABASE_URL=url)).ended() == 0
    server = await start(
        "serve", PORT=port, DATABASE_URL=url, JWT_SECRET=secret, LOG_LEVEL="debug", LOG_FORMAT=style,
    )  # fmt: skip
    await server.until("ready")
    address = f"http://127.0.0.1:{port}"
    good = jwt.encode({"sub": "1", "exp": time.time() + 60}, secret)
    await nodes.open(address, {"token": good}, query={"canary-query": "1"}).connected()
    bad = nodes.open(address, {"token": "canary-token"})
    await bad.until(lambda: bool(bad.named("connect_error")))
    keys = itertools.count()
    async with aiohttp.ClientSession() as http:

        async def post(body: str, **headers: str) -> int:
            async with http.post(
                f"{address}/posts/2/comments?canary-q=1",
                json={"body": body},
                headers={"Idempotency-Key": f"canary-{next(keys)}", **headers},
            ) as response:
                return response.status

        assert await post("canary", Authorization=f"Bearer {good}") == 200
        assert await post("canary", Cookie="token=canary-cookie") == 403
        assert await post("canary", Authorization="canary") == 401
        assert await post("canary" * 10, Authorization=f"Bearer {good}") == 422
        assert await post("canary internal", Authorization=f"Bearer {good}") == 500
        assert await post("canary answer", Authorization=f"Bearer {good}") == 200
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"canary /canary?canary HTTP/9.9\r\nCookie canary\r\n\r\n")
    await writer.drain()
    await server.until("bad_request")
    writer.close()
    await server.stop()
    said = server.output
    for event in ("handshake_refused", "comment_refused", "request_failed", "own_answer_failed", "bad_request"):
        assert event in said
    assert "canary" not in said
    assert good.split(".")[2] not in said
    assert "SQLSTATE XX000" in said
