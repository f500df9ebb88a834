"""PostgreSQL restarted under load, with more than 1,100 open sockets."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from notify_server.http.health import DATABASE
from tests.clients import NodeClients
from tests.conftest import StartServer, _migrate
from tests.postgres import Cluster, embedded_bin, sql
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
    own_cluster: Cluster, start_server: StartServer, nodes: NodeClients, mode: str
) -> None:
    await _migrate(own_cluster.url())
    with sql(own_cluster.url()) as other:
        other.run("INSERT INTO users (name) SELECT n::text FROM generate_series(1, 1200) n")
        other.run("INSERT INTO posts (author_id, title, body) SELECT n, '', '' FROM generate_series(1, 1200) n")
    server = await start_server(database_url=own_cluster.url())
    tabs = []
    for n in range(SOCKETS):
        tabs.append(nodes.open(server.url, {"userId": n + 1}, transports=["websocket"]))
        if n % 50 == 49:
            await tabs[-1].connected()
    for tab in tabs:
        await tab.connected()
    assert len(server.realtime.server.eio.sockets) == SOCKETS

    answers: list[tuple[float, int, int | None, str]] = []
    stop = asyncio.Event()

    async def post(start: int) -> None:
        post_id = start
        while not stop.is_set():
            post_id = post_id % SOCKETS + 1
            author = post_id % 1200 + 1
            async with server.http.post(
                f"{server.url}/posts/{post_id}/comments",
                json={"body": "x"},
                headers={"Authorization": f"User {author}"},
            ) as response:
                body = await response.json()
                answers.append((time.monotonic(), response.status, body.get("id"), body.get("code", "")))
            await asyncio.sleep(0.01)

    posting = [asyncio.create_task(post(n * 100)) for n in range(8)]
    await asyncio.sleep(0.5)
    await asyncio.to_thread(own_cluster.stop, mode)
    await asyncio.sleep(0.7)
    await asyncio.to_thread(own_cluster.start)
    back = time.monotonic()
    newcomer = nodes.open(server.url, {"userId": 1200}, transports=["websocket"])
    await asyncio.sleep(2.5)
    stop.set()
    await asyncio.gather(*posting)

    assert Counter(status for _, status, _, _ in answers).keys() == {200, 503}
    assert {code for _, status, _, code in answers if status == 503} <= {"unavailable", "outcome_unknown", "overloaded"}
    assert [at for at, status, _, _ in answers if status == 503 and at > back + 2] == []
    assert sum(1 for at, status, _, _ in answers if status == 200 and at < back + 2 and at > back) > 0
    await newcomer.connected()
    async with server.http.post(
        f"{server.url}/posts/1200/comments", json={"body": "x"}, headers={"Authorization": "User 1"}
    ) as response:
        answers.append((0, response.status, (await response.json())["id"], ""))
    assert len(await newcomer.notified()) == 1
    assert all(tab.named("disconnect") == [] for tab in tabs)

    # every comment that was answered 200 is there and was shown once; what was answered 503 is shown once or not at all
    written = {comment_id for _, status, comment_id, _ in answers if status == 200}
    with sql(own_cluster.url()) as other:
        stored = set(other.run("SELECT id FROM comments"))
        assert written <= stored
        assert {int(one) for one in other.run("SELECT payload ->> 'commentId' FROM notify.notification")} == stored

    def shown() -> Counter[int]:
        return Counter(event["commentId"] for tab in [*tabs, newcomer] for event in tab.notifications)

    await eventually(lambda: shown().keys() == stored)
    assert set(shown().values()) == {1}


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
    monkeypatch.setattr("notify_server.transport.server._HOLD_S", (0.2, 0.4))
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
