"""The npm client that apps have, over each of its transports."""

from __future__ import annotations

import asyncio

import pytest

from tests.clients import Client, NodeClients
from tests.transport.servers import Peer

COUNT = 200

each_way = pytest.mark.parametrize(
    "transports", [None, ["websocket"], ["polling"]], ids=["default", "websocket", "polling"]
)


def echoed(client: Client) -> list[object]:
    return [args[0] for args in client.named("message-back")]


@pytest.mark.parametrize("version", ["4.8", "4.5", "4.0"])
@each_way
async def test_200_events_go_each_way_in_order(
    server: Peer, nodes: NodeClients, transports: list[str] | None, version: str
) -> None:
    client = await nodes.open(server.url, {"token": "123"}, version=version, transports=transports).connected()
    for n in range(COUNT):
        client.emit("message", n)
    await client.until(lambda: len(echoed(client)) == COUNT)
    assert echoed(client) == list(range(COUNT))
    assert client.named("auth") == [[{"token": "123"}]]
    assert (await server.observed()).of("event") == [["message", [n]] for n in range(COUNT)]
    client.close()
    observed = await server.empty()
    assert len(observed.of("disconnect")) == 1


async def test_the_default_client_moves_without_losing_anything(server: Peer, nodes: NodeClients) -> None:
    client = await nodes.open(server.url).connected()
    n = 0
    while not client.named("upgrade"):
        client.emit("message", n)
        n += 1
        await asyncio.sleep(0.001)
    for more in range(n, n + 50):
        client.emit("message", more)
    await client.until(lambda: len(echoed(client)) == n + 50)
    assert echoed(client) == list(range(n + 50))
    assert client.named("upgrade") == [["websocket"]]


@each_way
async def test_a_client_that_answers_its_pings_stays(
    quick: Peer, nodes: NodeClients, transports: list[str] | None
) -> None:
    client = await nodes.open(quick.url, transports=transports).connected()
    await asyncio.sleep(1.5)
    assert client.named("disconnect") == []
    client.emit("message", 1)
    await client.until(lambda: echoed(client) == [1])


@each_way
async def test_a_client_that_lost_its_transport_comes_back(
    server: Peer, nodes: NodeClients, transports: list[str] | None
) -> None:
    client = await nodes.open(server.url, transports=transports, reconnectionDelay=50).connected()
    client.drop()
    await client.connected(2)
    client.emit("message", 1)
    await client.until(lambda: echoed(client) == [1])
    await server.until(lambda observed: observed.clients == observed.sessions == 1)


@pytest.mark.not_as_node
@each_way
async def test_a_client_whose_transport_the_server_cuts_comes_back(
    server: Peer, nodes: NodeClients, transports: list[str] | None
) -> None:
    client = await nodes.open(server.url, transports=transports, reconnectionDelay=50).connected()
    if transports is None:
        await client.until(lambda: bool(client.named("upgrade")))
    server.sio.cut(client.named("connect")[0][0])
    await client.connected(2)
    client.emit("message", 1)
    await client.until(lambda: echoed(client) == [1])
    observed = await server.until(lambda found: found.clients == found.sessions == 1)
    assert len(observed.of("disconnect")) == 1


async def test_a_namespace_of_its_own_works_as_well(server: Peer, nodes: NodeClients) -> None:
    client = await nodes.open(f"{server.url}/custom").connected()
    client.emit("message", 1)
    await client.until(lambda: echoed(client) == [1])
    assert (await server.observed()).of("connect") == [["/custom"]]


async def test_an_unknown_namespace_is_a_connect_error(server: Peer, nodes: NodeClients) -> None:
    client = nodes.open(f"{server.url}/random")
    await client.until(lambda: bool(client.named("connect_error")))
    assert client.named("connect_error") == [["Invalid namespace", None]]
