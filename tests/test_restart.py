"""PostgreSQL restarted under load, with more than 1,100 open sockets."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession

from notify_server.http.health import DATABASE
from tests.clients import NodeClients
from tests.conftest import StartServer
from tests.postgres import Cluster, embedded_bin, free_port, sql
from tests.processes import Start
from tests.waiting import eventually

SOCKETS = 1150


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    cluster = Cluster(embedded_bin())
    yield cluster
    cluster.remove()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_under_load_costs_503_and_nothing_else(
    own_cluster: Cluster, start: Start, nodes: NodeClients, mode: str
) -> None:
    """The server as a process, on uvloop where there is one: the loop that keeps stale descriptors the longest."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = await start("serve", DATABASE_URL=own_cluster.url(), TRUST_USER_ID="true", PORT=port)
    await server.until('"ready"')
    with sql(own_cluster.url()) as other:
        other.run("INSERT INTO users (name) SELECT n::text FROM generate_series(1, 1200) n")
        other.run("INSERT INTO posts (author_id, title, body) SELECT n, '', '' FROM generate_series(1, 1200) n")
    tabs = []
    for n in range(SOCKETS):
        tabs.append(nodes.open(url, {"userId": n + 1}, transports=["websocket"]))
        if n % 50 == 49:
            await tabs[-1].connected()
    for tab in tabs:
        await tab.connected()

    answers: list[tuple[float, int, int | None, str]] = []
    stop = asyncio.Event()

    async def post(http: ClientSession, post_id: int, author: int) -> None:
        async with http.post(
            f"{url}/posts/{post_id}/comments", json={"body": "x"}, headers={"Authorization": f"User {author}"}
        ) as response:
            body = await response.json()
            answers.append((time.monotonic(), response.status, body.get("id"), body.get("code", "")))

    async def keep_posting(http: ClientSession, post_id: int) -> None:
        while not stop.is_set():
            post_id = post_id % SOCKETS + 1
            await post(http, post_id, author=post_id % 1200 + 1)
            await asyncio.sleep(0.01)

    async with ClientSession() as http:
        posting = [asyncio.create_task(keep_posting(http, n * 100)) for n in range(8)]
        await asyncio.sleep(0.5)
        await asyncio.to_thread(own_cluster.stop, mode)
        await asyncio.sleep(0.7)
        await asyncio.to_thread(own_cluster.start)
        back = time.monotonic()
        newcomers = [nodes.open(url, {"userId": 1200}, transports=["websocket"]) for _ in range(10)]
        await asyncio.sleep(2.5)
        stop.set()
        await asyncio.gather(*posting)
        for newcomer in newcomers:
            await newcomer.connected()
        await post(http, 1200, author=1)

    assert Counter(status for _, status, _, _ in answers).keys() == {200, 503}, server.output[-60000:]
    assert {code for _, status, _, code in answers if status == 503} <= {"unavailable", "outcome_unknown", "overloaded"}
    assert [at for at, status, _, _ in answers if status == 503 and at > back + 2] == []
    for newcomer in newcomers:
        assert len(await newcomer.notified()) == 1
    assert all(tab.named("disconnect") == [] for tab in tabs)

    # every comment that was answered 200 is there and was shown once; what was answered 503 is shown once or not at all
    written = {comment_id for _, status, comment_id, _ in answers if status == 200}
    with sql(own_cluster.url()) as other:
        stored = set(other.run("SELECT id FROM comments"))
        assert written <= stored
        assert {int(one) for one in other.run("SELECT payload ->> 'commentId' FROM notify.notification")} == stored

    def shown() -> Counter[int]:
        return Counter(event["commentId"] for tab in [*tabs, newcomers[0]] for event in tab.notifications)

    await eventually(lambda: shown().keys() == stored)
    assert set(shown().values()) == {1}
    await server.stop()
    assert "Traceback" not in server.output


async def test_a_database_that_comes_late_is_awaited(
    own_cluster: Cluster, start_server: StartServer, nodes: NodeClients
) -> None:
    own_cluster.stop()
    starting = asyncio.ensure_future(start_server(database_url=own_cluster.url()))
    await asyncio.sleep(1.5)
    assert not starting.done()
    await asyncio.to_thread(own_cluster.start)
    server = await starting
    with sql(own_cluster.url()) as other:
        other.run("INSERT INTO users (name) VALUES ('Ada'), ('Grace')")
        other.run("INSERT INTO posts (author_id, title, body) VALUES (1, '', '')")
    client = await nodes.open(server.url, {"userId": 1}).connected()
    await server.comment(2, 1)
    assert len(await client.notified()) == 1


async def test_a_client_caught_in_the_handshake_by_the_outage_comes_back_by_itself(
    own_cluster: Cluster, start_server: StartServer, nodes: NodeClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No CONNECT_ERROR, which would stop it for ever: the transport is held and closed."""
    monkeypatch.setattr("notify_server.transport.connecting._HOLD_S", (0.2, 0.4))
    server = await start_server(database_url=own_cluster.url())
    own_cluster.stop()
    server.app[DATABASE].available = True  # not noticed yet
    clients = [nodes.open(server.url, {"userId": 1}, transports=t) for t in (["websocket"], ["polling"], None)]
    await asyncio.sleep(1.5)
    assert all(client.named("connect") == [] for client in clients)
    await asyncio.to_thread(own_cluster.start)
    for client in clients:
        await client.until(lambda client=client: len(client.named("connect")) == 1, timeout_s=15)  # type: ignore[misc]
    assert len(server.realtime.feeds._feeds["1"].sockets) == 3
    assert len(server.realtime.server.manager.rooms["/"][None]) == 3
