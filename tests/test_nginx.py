"""Behind the real nginx, as `docs/nginx.conf` sets it up: upgrade, polling, affinity, addresses."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from aiohttp import web

from tests.clients import NodeClients
from tests.conftest import SECRET, Running, StartServer, lacking
from tests.inboxes import ADA, INSERT
from tests.nginx import Nginx
from tests.postgres import Missing, Sql
from tests.test_origins import token
from tests.waiting import eventually

StartNginx = Callable[..., Nginx]


@pytest.fixture
def start_nginx() -> Iterator[StartNginx]:
    started: list[Nginx] = []

    def start(ports: dict[int, int], replaced: dict[str, str] | None = None) -> Nginx:
        try:
            started.append(Nginx(ports, replaced))
        except Missing as missing:
            lacking(missing)
        return started[-1]

    yield start
    for nginx in started:
        nginx.remove()


@pytest.fixture
async def express() -> AsyncIterator[int]:
    """The port of another server, which says which paths it was asked for."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"express": request.method, "path": request.path})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


def port_of(server: Running) -> int:
    return int(server.url.rsplit(":", 1)[1])


Pair = tuple[Running, Running, Nginx]


@pytest.fixture
async def pair(start_server: StartServer, express: int, start_nginx: StartNginx) -> Pair:
    """Two servers behind one nginx."""
    options = {"jwt_secret": SECRET, "trusted_proxies": "127.0.0.0/8", "max_sockets_per_address": 20}
    a = await start_server(sid_prefix="a", **options)
    b = await start_server(sid_prefix="b", **options)
    nginx = await asyncio.to_thread(start_nginx, {5000: express, 8001: port_of(a), 8002: port_of(b)})
    return a, b, nginx


async def test_sockets_go_to_notify_server_and_all_else_to_express(pair: Pair) -> None:
    a, _, nginx = pair
    for method, path in (("GET", "/"), ("POST", "/posts/1/comments"), ("GET", "/notify"), ("GET", "/socket.iox")):
        async with a.http.request(method, nginx.url + path) as response:
            assert await response.json() == {"express": method, "path": path}
    async with a.http.get(f"{nginx.url}/socket.io/?EIO=4&transport=polling") as response:
        assert (await response.text()).startswith("0{")


async def test_no_request_meets_the_end_of_an_idle_connection_to_express(start_nginx: StartNginx) -> None:
    """Node ends it after 5 s, and a POST that is on its way then cannot be sent again: nginx has to be the first."""
    idle_s: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                began = time.monotonic()
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        idle_s.append(time.monotonic() - began)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as express:
        port = express.sockets[0].getsockname()[1]
        await asyncio.to_thread(start_nginx, {5000: port, 8001: port, 8002: port})  # and one request
        await eventually(lambda: len(idle_s) == 1, timeout_s=4.5)
    assert idle_s[0] > 1  # kept, all the same


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="+".join)
async def test_the_real_client_gets_through_by_either_transport(
    pair: Pair, nodes: NodeClients, other: Sql, transports: list[str]
) -> None:
    clients = [nodes.open(pair[2].url, {"token": token(ADA)}, transports=transports) for _ in range(6)]
    for client in clients:
        await client.connected()
    other.run(INSERT)
    for client in clients:
        assert len(await client.notified()) == 1
    if len(transports) == 2:
        assert all(client.named("upgrade") == [["websocket"]] for client in clients)


async def test_a_polling_session_stays_with_its_server(pair: Pair, nodes: NodeClients, other: Sql) -> None:
    a, b, nginx = pair
    clients = [nodes.open(nginx.url, {"token": token(ADA)}, transports=["polling"]) for _ in range(12)]
    for client in clients:
        await client.connected()
    counts = Counter({"a": len(a.realtime.server.eio.sockets), "b": len(b.realtime.server.eio.sockets)})
    assert sum(counts.values()) == 12
    assert min(counts.values()) >= 3  # both have some
    for _ in range(10):
        other.run(INSERT)
        await asyncio.sleep(0.05)
    for client in clients:
        assert len(await client.notified(10)) == 10
        assert len(client.named("connect")) == 1
        assert client.named("disconnect") == []


async def test_without_the_prefix_s_map_it_would_not(
    pair: Pair, express: int, start_nginx: StartNginx, nodes: NodeClients
) -> None:
    """So that the test above does not pass by chance."""
    a, b, _ = pair
    stock = await asyncio.to_thread(
        start_nginx, {5000: express, 8001: port_of(a), 8002: port_of(b)},
        {"~^a\\.   notify_a;": "", "~^b\\.   notify_b;": ""},
    )  # fmt: skip
    clients = [nodes.open(stock.url, {"token": token(ADA)}, transports=["polling"]) for _ in range(6)]
    await asyncio.sleep(3)
    assert any(client.named("connect_error") or client.named("disconnect") for client in clients)


async def test_the_client_s_address_is_told_by_the_proxy_and_by_nobody_else(pair: Pair) -> None:
    a, _, nginx = pair
    statuses = []
    for n in range(50):
        async with a.http.get(
            f"{nginx.url}/socket.io/?EIO=4&transport=polling", headers={"X-Forwarded-For": f"10.1.{n}.1"}
        ) as response:
            statuses.append(response.status)
    assert statuses.count(200) >= 50  # each says to be another, and we believe what a trusted proxy was told
    counted = []
    for _ in range(60):
        async with a.http.get(
            f"{nginx.url}/socket.io/?EIO=4&transport=polling", headers={"X-Forwarded-For": "198.51.100.7"}
        ) as response:
            counted.append(response.status)
    assert counted.count(200) == 40  # 20 of one address on each of two servers
    assert set(counted) == {200, 503}


async def test_a_reload_of_nginx_costs_no_notification(pair: Pair, nodes: NodeClients, other: Sql) -> None:
    client = await nodes.open(pair[2].url, {"token": token(ADA)}).connected()
    other.run(INSERT)
    await client.notified()
    await asyncio.to_thread(pair[2].reload)
    for _ in range(5):
        other.run(INSERT)
        await asyncio.sleep(0.1)
    assert len(await client.notified(6)) == 6
    await eventually(lambda: len(client.seqs) == 6)
    assert client.seqs == sorted(set(client.seqs))
