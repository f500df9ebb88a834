"""Socket.IO's CONNECT and DISCONNECT."""

from __future__ import annotations

import json

import pytest

from tests.transport.conftest import Serve
from tests.transport.servers import Peer, joined, polling_socket

both = pytest.mark.parametrize(("namespace", "prefix"), [("/", ""), ("/custom", "/custom,")], ids=["main", "custom"])


@both
@pytest.mark.parametrize("auth", ["", '{"token":"123"}', "{}"], ids=["no payload", "payload", "empty payload"])
async def test_connect_is_answered_once_with_a_sid_and_nothing_else(
    server: Peer, namespace: str, prefix: str, auth: str
) -> None:
    ws = await server.websocket("/socket.io/")
    await ws.send(f"40{prefix}{auth}")
    answer = str(await ws.message())
    assert answer.startswith(f"40{prefix}{{")
    connected = json.loads(answer.removeprefix(f"40{prefix}"))
    assert connected.keys() == {"sid"}
    assert connected["sid"] not in ("", ws.handshake["sid"])
    assert await ws.message() == f'42{prefix}["auth",{auth or "{}"}]'
    await ws.nothing(0.1)
    observed = await server.observed()
    assert (observed.clients, observed.events) == (1, [["connect", namespace]])


async def test_a_namespace_needs_no_comma_where_nothing_follows(server: Peer) -> None:
    ws = await server.websocket("/socket.io/")
    await ws.send("40/custom")
    assert str(await ws.message()).startswith('40/custom,{"sid":')
    assert await ws.message() == '42/custom,["auth",{}]'


async def test_polling_connects_as_well(server: Peer) -> None:
    session = await polling_socket(server)
    await session.send('42["message",1,"2",{"3":[true]}]')
    assert await session.receive(1) == ['42["message-back",1,"2",{"3":[true]}]']


@pytest.mark.parametrize("packet", ["40/random", "40/random,", '40/random,{"token":"123"}'])
async def test_an_unknown_namespace_is_refused(server: Peer, packet: str) -> None:
    ws = await server.websocket("/socket.io/")
    await ws.send(packet)
    assert await ws.message() == '44/random,{"message":"Invalid namespace"}'
    await joined(ws)
    assert (await server.observed()).events == [["connect", "/"]]


async def test_one_transport_carries_several_namespaces(server: Peer) -> None:
    ws = await server.socket()
    await joined(ws, "/custom")
    await ws.send('42["message",1]', '42/custom,["message",2]')
    assert await ws.messages(2) == ['42["message-back",1]', '42/custom,["message-back",2]']
    observed = await server.observed()
    assert (observed.sessions, observed.clients) == (1, 2)
    ws.abort()
    observed = await server.empty()
    assert sorted(event[0] for event in observed.of("disconnect")) == ["/", "/custom"]


async def test_leaving_the_main_namespace_keeps_the_transport(quick: Peer) -> None:
    ws = await quick.socket()
    await ws.send("41")
    assert await ws.message() == "2"
    observed = await quick.observed()
    assert (observed.sessions, observed.clients, len(observed.of("disconnect"))) == (1, 0, 1)
    await ws.send("3")
    await joined(ws)


async def test_leaving_a_namespace_leaves_the_others(server: Peer) -> None:
    ws = await joined(await server.socket(), "/custom")
    await ws.send("41/custom,", '42["message","to the main namespace"]')
    assert await ws.message() == '42["message-back","to the main namespace"]'
    observed = await server.observed()
    assert observed.clients == 1
    assert [event[0] for event in observed.of("disconnect")] == ["/custom"]


async def test_leaving_and_coming_back_is_a_new_socket(server: Peer) -> None:
    ws = await joined(await server.socket(), "/custom")
    await ws.send("41/custom,")
    await server.until(lambda found: found.clients == 1)
    await joined(ws, "/custom")
    observed = await server.observed()
    assert [event[:2] for event in observed.events] == [
        ["connect", "/"], ["connect", "/custom"], ["disconnect", "/custom"], ["connect", "/custom"],
    ]  # fmt: skip


CONNECT_TIMEOUT_S = 0.3


@pytest.mark.parametrize("transport_name", ["polling", "websocket"])
async def test_who_never_connects_is_closed(serve: Serve, transport_name: str) -> None:
    server = await serve(connect_timeout_s=CONNECT_TIMEOUT_S)
    if transport_name == "polling":
        session = await server.polling("/socket.io/")
        answer = await session.poll()
        assert (answer.status, answer.text) == (200, "1")
    else:
        ws = await server.websocket("/socket.io/")
        await ws.closed_in_silence()
    assert (await server.empty()).events == []


async def test_who_was_refused_and_does_nothing_else_is_closed(serve: Serve) -> None:
    server = await serve(connect_timeout_s=CONNECT_TIMEOUT_S)
    ws = await server.websocket("/socket.io/")
    await ws.send("40/random,")
    assert str(await ws.message()).startswith("44/random,")
    await ws.closed_in_silence()
    await server.empty()


async def test_who_connects_is_not_closed(serve: Serve) -> None:
    server = await serve(connect_timeout_s=CONNECT_TIMEOUT_S)
    ws = await server.socket("/custom")
    await ws.nothing(CONNECT_TIMEOUT_S * 2)
    await ws.send('42/custom,["message",1]')
    assert await ws.message() == '42/custom,["message-back",1]'
