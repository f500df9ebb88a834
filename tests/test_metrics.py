"""What /metrics shows, by the official parser, after real traffic."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from notify_server.app import METRICS_PORT
from notify_server.auth import Identity
from notify_server.errors import ConfigError
from tests.clients import NodeClients
from tests.conftest import Running, StartServer
from tests.postgres import Sql, free_port, sql
from tests.sessions import session
from tests.test_http import ask
from tests.waiting import eventually

GRACE = {"Authorization": "User 2"}
README = Path(__file__).parent.parent / "README.md"


class Scrape:
    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """0 for what is not there."""
        return self.values.get((f"notify_{name}", frozenset(labels.items())), 0)


async def scrape(server: Running) -> Scrape:
    async with server.http.get(f"http://127.0.0.1:{server.app[METRICS_PORT]}/metrics") as response:
        assert response.status == 200
        return Scrape(await response.text())


@pytest.fixture
async def server(start_server: StartServer) -> Running:
    return await start_server(metrics_port=0, rate_limit_user="30/minute")


async def test_comments_are_counted_on_their_whole_way(server: Running, nodes: NodeClients, other: Sql) -> None:
    before = await scrape(server)
    ada = await nodes.open(server.url, {"userId": 1}, transports=["websocket"]).connected()
    for _ in range(3):
        await server.comment(2, 1)
    other.run("INSERT INTO comments (post_id, author_id, body) VALUES (1, 3, 'foreign')")
    await ada.notified(4)
    after = await scrape(server)

    def moved(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    assert moved("stored_total", source="post") == moved("emitted_total", source="post") == 3
    assert moved("stored_total", source="outbox") == 1
    assert moved("emitted_total", source="outbox") == 1
    assert moved("lag_seconds_count", source="post") == 3
    assert moved("lag_seconds_bucket", source="post", le="0.1") == 3
    assert moved("lag_seconds_count", source="outbox") == 1
    assert 0 < moved("lag_seconds_sum", source="outbox") < 5
    assert moved("batch_rows_count") == moved("batch_rows_sum") == 3
    assert moved("handshakes_total", outcome="accepted") == 1
    assert after("connections", transport="websocket") == after("users") == 1
    assert moved("http_requests_total", method="POST", route="/posts/{postId}/comments", status="200") == 3
    assert moved("http_request_seconds_count", route="/posts/{postId}/comments") == 3
    assert moved("http_requests_total", method="GET", route="/socket.io", status="101") == 1
    assert after("database_up") == 1
    assert (after("pool", state="size"), after("pool", state="waiting")) == (10, 0)
    assert after.values[("process_resident_memory_bytes", frozenset())] > 1_000_000


async def test_another_server_s_are_told_apart(start_server: StartServer, nodes: NodeClients) -> None:
    one, two = await start_server(metrics_port=0), await start_server(metrics_port=0)
    ada = await nodes.open(two.url, {"userId": 1}).connected()
    await one.comment(2, 1)
    await ada.notified(1)
    assert (await scrape(one))("stored_total", source="post") == 1
    assert (await scrape(one))("emitted_total", source="post") == 0
    second = await scrape(two)
    assert second("emitted_total", source="elsewhere") == second("lag_seconds_count", source="elsewhere") == 1
    assert second("lag_seconds_sum", source="elsewhere") < 5
    assert second("stored_total", source="post") == 0  # nothing is shared between servers in a process


async def test_catching_up_is_counted(server: Running) -> None:
    async with session(server.http, server.url, {"userId": 1}) as first:
        await server.comment(2, 1)
        await first.read(1)
        auth = {"userId": 1, "pid": first.pid, "offset": first.offset}
    for _ in range(4):
        await server.comment(2, 1)
    async with session(server.http, server.url, auth) as second:
        await second.read(4)
    found = await scrape(server)
    assert (found("replays_total"), found("emitted_total", source="replay")) == (1, 4)


async def test_how_handshakes_ended_and_why_sockets_were_cut(start_server: StartServer) -> None:
    server = await start_server(metrics_port=0, max_sockets=2, client_url="https://app.example.com")
    url = server.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    async with server.http.ws_connect(url) as nobody:
        await nobody.receive_str()
        await nobody.send_str("40")
        assert (await nobody.receive_str()).startswith("44")
        async with session(server.http, server.url, {"userId": 1}) as ada:
            assert (await ask(server, "GET", "/socket.io/?EIO=4&transport=polling"))[0] == 503
            await ada.send("made_up", 1)
            await ada.send("another", 1)
            await ada.websocket.send_str("9")  # no packet
            await ada.until_closed()
    assert (await ask(server, "GET", "/socket.io/?EIO=3&transport=polling"))[0] == 400
    foreign = {"Origin": "https://evil.example"}
    assert (await ask(server, "GET", "/socket.io/?EIO=4&transport=polling", headers=foreign))[0] == 403
    async with session(server.http, server.url, {"userId": 1}) as broken:
        writer = broken.websocket._writer.transport
        assert writer is not None
        writer.write(b"\xff\xff\xff\xff")
        await broken.until_closed()
    async with session(server.http, server.url, {"userId": 1}) as last:
        for sid in list(server.realtime.feeds._by_sid):
            server.realtime.logins.opened(sid, Identity("1", expires_at=0.0))
        await last.until_closed()
    await eventually(lambda: not server.realtime.server.eio.sockets)
    async with session(server.http, server.url, {"userId": 1}) as drained:
        await server.realtime.drain(0)
        await drained.until_closed()
    assert (await ask(server, "GET", "/socket.io/?EIO=4&transport=polling"))[0] == 503
    found = await scrape(server)
    outcomes = {"accepted": 4, "unauthorized": 1, "full": 1, "old_protocol": 1, "origin_not_allowed": 1, "not_ready": 1}
    assert {name: found("handshakes_total", outcome=name) for name in outcomes} == outcomes
    for reason in ("bad_input", "bad_frame", "expired", "drain"):
        assert found("cuts_total", reason=reason) == 1, reason
    assert found("unknown_events_total") == 2
    assert "made_up" not in str(found.values)


async def test_a_client_that_reads_nothing_is_counted_among_the_slow(start_server: StartServer) -> None:
    server = await start_server(metrics_port=0)
    engine = server.realtime.server.eio
    async with session(server.http, server.url, {"userId": 1}):
        (socket,) = engine.sockets.values()
        engine.cut_slow(socket)
        await eventually(lambda: not engine.sockets)
    async with session(server.http, server.url, {"userId": 1}):
        (socket,) = engine.sockets.values()
        engine.stalls._stalled(socket)
        await eventually(lambda: not engine.sockets)
    found = await scrape(server)
    assert (found("cuts_total", reason="slow"), found("cuts_total", reason="stalled")) == (1, 1)


async def test_requests_are_counted_by_routes_and_never_by_what_a_client_makes_up(server: Running) -> None:
    for path in ("/posts/1", "/posts/2", "/Posts/99/", "/made-up-1", "/made-up-2"):
        await ask(server, "GET", path, headers=GRACE)
    await ask(server, "PROPFIND", "/posts/1")
    for _ in range(31):
        status, _, _ = await ask(server, "DELETE", "/comments/99", headers=GRACE)
    assert status == 429
    found = await scrape(server)
    assert found("http_requests_total", method="GET", route="/posts/{postId}", status="200") == 2
    assert found("http_requests_total", method="GET", route="/posts/{postId}", status="404") == 1
    assert found("http_requests_total", method="GET", route="(none)", status="404") == 2
    assert found("http_requests_total", method="(other)", route="(none)", status="405") == 1
    assert found("http_requests_total", method="DELETE", route="/comments/{commentId}", status="429") == 1
    assert found("rate_limited_total", limit="user") == 1
    assert "made-up" not in str(found.values)
    assert "PROPFIND" not in str(found.values)


async def test_what_waits_in_the_outbox_and_what_was_set_aside(server: Running, other: Sql, direct_url: str) -> None:
    other.run("BEGIN")
    while not other.value("SELECT notify.try_drain_lock_v1()"):  # the server's own drain is at it just then
        await asyncio.sleep(0.01)
    try:
        with sql(direct_url) as writer:
            for _ in range(3):
                writer.run("INSERT INTO comments (post_id, author_id, body) VALUES (1, 3, 'waits')")
        async with asyncio.timeout(10):
            while (found := await scrape(server))("outbox_rows") != 3:
                await asyncio.sleep(0.3)
        assert 0 < found("outbox_oldest_seconds") < 11
    finally:
        other.run("COMMIT")
    other.run("INSERT INTO notify.outbox_0 (kind, key) VALUES ('nonsense', '1')")
    async with asyncio.timeout(10):
        while (found := await scrape(server))("poison_rows") != 1 or found("outbox_rows"):
            await asyncio.sleep(0.05)
    assert found("poisoned_total") == 1


async def test_a_late_event_loop_is_seen(server: Running) -> None:
    await asyncio.sleep(0.01)
    time.sleep(0.6)  # noqa: ASYNC251
    await asyncio.sleep(0.4)
    found = await scrape(server)
    assert found("loop_lag_seconds_count") > 0
    assert found("loop_lag_seconds_sum") > 0.2


async def test_without_the_database_the_rest_is_shown(server: Running, other: Sql, direct_url: str) -> None:
    name = direct_url.rsplit("/", 1)[1]
    with sql(direct_url.rsplit("/", 1)[0] + "/postgres") as admin:
        admin.run(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        admin.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name)
        found = await scrape(server)
        assert found("database_up") == 0
        assert "notify_outbox_rows" not in found.families
        assert found("pool", state="size") == 10
        admin.run(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")


async def test_every_metric_of_the_readme_is_shown_and_every_one_shown_is_there(
    server: Running, nodes: NodeClients
) -> None:
    await nodes.open(server.url, {"userId": 1}).connected()
    await server.comment(2, 1)
    shown = {name for name in (await scrape(server)).families if name.startswith("notify_")}
    text = README.read_text()
    table = text[text.index("| metric |") : text.index("| `process_*`")]
    listed = set(re.findall(r"`(notify_\w+)", table))
    assert {name.removesuffix("_total") for name in listed} == shown


async def test_openmetrics_is_spoken_too(server: Running) -> None:
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with server.http.get(f"http://127.0.0.1:{server.app[METRICS_PORT]}/metrics", headers=headers) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        families = parse_openmetrics(await response.text())  # type: ignore[no-untyped-call]
        assert "notify_users" in {family.name for family in families}


async def test_metrics_are_on_their_own_port_alone(server: Running) -> None:
    async with server.http.get(f"{server.url}/metrics") as response:
        assert response.status == 404
    async with server.http.get(f"http://127.0.0.1:{server.app[METRICS_PORT]}/posts", headers=GRACE) as response:
        assert response.status == 404


async def test_by_default_there_is_no_such_port(start_server: StartServer) -> None:
    assert METRICS_PORT not in (await start_server()).app


async def test_a_port_that_is_taken_is_named(start_server: StartServer) -> None:
    port = free_port()
    await start_server(metrics_port=port)
    with pytest.raises(ConfigError, match=f"METRICS_PORT {port} .* is in use"):
        await start_server(metrics_port=port)


async def test_the_port_is_there_when_the_process_serves(start: Any, url: str) -> None:
    port, metrics = free_port(), free_port()
    process = await start("serve", DATABASE_URL=url, TRUST_USER_ID="true", PORT=port, METRICS_PORT=metrics)
    await process.until("ready")
    async with ClientSession() as http, http.get(f"http://127.0.0.1:{metrics}/metrics") as response:
        assert "notify_connections" in await response.text()
    assert (await process.stop())[0] == 0
    assert "Traceback" not in process.output
    assert json.loads(process.output.splitlines()[0])["event"]
