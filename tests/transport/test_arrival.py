"""Proof that what was sent has arrived, on both transports; and offsets that no other event overwrites."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from notify_server.transport import Server
from tests.clients import NodeClients
from tests.transport.own import let_in, serving
from tests.transport.servers import Peer
from tests.waiting import eventually


class Proofs:
    def __init__(self) -> None:
        self.marks: list[int] = []

    def __call__(self, _sid: str, mark: int) -> None:
        self.marks.append(mark)


@pytest.fixture
def proofs() -> Proofs:
    return Proofs()


@pytest.fixture
async def peer(proofs: Proofs) -> AsyncIterator[Peer]:
    sio = Server(async_mode="aiohttp", offsets=True, proved=proofs)
    sio.on("connect", lambda sid, _environ, _auth: {"pid": f"of {sid}"})
    async with serving(sio) as peer:
        yield peer


def _only_sid(peer: Peer) -> str:
    (sid,) = peer.sio.manager.rooms["/"][None]
    return str(sid)


async def test_the_pong_to_the_ping_behind_it_proves_it(peer: Peer, proofs: Proofs) -> None:
    ws = await let_in(peer)
    sid = _only_sid(peer)
    peer.sio.emit_now("n", 1, room=sid, mark=5)
    assert await ws.messages(2) == ['42["n",1]', "2"]
    assert proofs.marks == []
    await ws.send("3")
    await eventually(lambda: proofs.marks == [5])


async def test_what_is_sent_while_a_proof_is_awaited_shares_the_next_ping(peer: Peer, proofs: Proofs) -> None:
    ws = await let_in(peer)
    sid = _only_sid(peer)
    for mark in range(1, 101):
        peer.sio.emit_now("n", mark, room=sid, mark=mark)
    assert [message for message in await ws.messages(101) if message == "2"] == ["2"]
    await ws.send("3")
    assert await ws.message() == "2"
    await ws.send("3")
    await eventually(lambda: proofs.marks == [1, 100])
    await ws.nothing(0.2)


async def test_pongs_that_nothing_asked_for_prove_nothing(peer: Peer, proofs: Proofs) -> None:
    ws = await let_in(peer)
    await ws.send("3", "3", "3")
    await asyncio.sleep(0.1)
    peer.sio.emit_now("n", 1, room=_only_sid(peer), mark=5)
    await ws.messages(2)
    await asyncio.sleep(0.1)
    assert proofs.marks == []


async def test_a_pong_to_an_earlier_heartbeat_is_no_proof(proofs: Proofs) -> None:
    sio = Server(async_mode="aiohttp", proved=proofs, ping_interval=0.3, ping_timeout=5)
    sio.on("connect", lambda *_args: None)
    async with serving(sio) as peer:
        ws = await let_in(peer)
        assert await ws.message() == "2"  # the heartbeat's
        sio.emit_now("n", 1, room=_only_sid(peer), mark=5)
        await ws.messages(2)
        await ws.send("3")
        await asyncio.sleep(0.1)
        assert proofs.marks == []
        await ws.send("3")
        await eventually(lambda: proofs.marks == [5])
        assert await ws.message() == "2"  # and the heart goes on


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], None])
@pytest.mark.parametrize("version", ["4.0", "4.8"])
async def test_real_clients_prove_it(
    peer: Peer, proofs: Proofs, nodes: NodeClients, transports: list[str] | None, version: str
) -> None:
    client = await nodes.open(peer.url, version=version, transports=transports).connected()
    for mark in range(1, 6):
        peer.sio.emit_now("n", mark, room=_only_sid(peer), mark=mark)
        await eventually(lambda mark=mark: proofs.marks[-1:] == [mark])  # type: ignore[misc]
    assert client.named("n") == [[mark] for mark in range(1, 6)]


async def test_polling_proves_by_a_pong_in_a_post(peer: Peer, proofs: Proofs) -> None:
    session = await peer.polling("/socket.io/")
    await session.send("40")
    assert (await session.receive(1))[0].startswith("40{")
    peer.sio.emit_now("n", 1, room=_only_sid(peer), mark=5)
    assert (await session.poll()).packets == ['42["n",1]', "2"]
    await asyncio.sleep(0.1)
    assert proofs.marks == []
    await session.send("3")
    await eventually(lambda: proofs.marks == [5])


async def test_what_the_connect_handler_returns_is_in_the_answer(peer: Peer) -> None:
    ws = await peer.websocket("/socket.io/")
    await ws.send("40")
    answer = str(await ws.message())
    sid = _only_sid(peer)
    assert answer == f'40{{"pid":"of {sid}","sid":"{sid}"}}'


@pytest.mark.parametrize(
    ("args", "sent"),
    [
        (("text",), '["e","text",null]'),
        ((), '["e",null]'),
        ((1, "a"), '["e",1,"a",null]'),
        (("a", 1), '["e","a",1]'),
        (({},), '["e",{}]'),
        ((None,), '["e",null]'),
    ],
)
async def test_no_event_of_an_app_ends_in_text(peer: Peer, args: tuple[Any, ...], sent: str) -> None:
    ws = await let_in(peer)
    sid = _only_sid(peer)
    await peer.sio.emit("e", args, to=sid)
    assert await ws.message() == "42" + sent
    peer.sio.emit_now("e", *args, room=sid)
    assert await ws.message() == "42" + sent
    peer.sio.emit_now("e", *args, room=sid, offset="7.x")
    assert str(await ws.message()).endswith(',"7.x"]')
    await peer.sio.emit("e", args, to=sid, callback=lambda *_args: None)  # clients put a function behind these
    assert "null]" not in str(await ws.message()) or args == (None,)


async def test_without_offsets_events_go_out_as_they_are() -> None:
    sio = Server(async_mode="aiohttp")
    sio.on("connect", lambda *_args: None)
    async with serving(sio) as peer:
        ws = await let_in(peer)
        await sio.emit("e", "text", to=_only_sid(peer))
        assert await ws.message() == '42["e","text"]'


async def test_a_proof_that_was_asked_of_one_socket_is_none_of_the_next_on_its_transport(
    proofs: Proofs,
) -> None:
    sio = Server(async_mode="aiohttp", proved=proofs)
    sio.on("connect", lambda *_args: None)
    sio.on("connect", lambda *_args: None, namespace="/other")  # keeps the transport open
    async with serving(sio) as peer:
        ws = await let_in(peer)
        sio.emit_now("n", 1, room=_only_sid(peer), mark=50)
        await ws.messages(2)
        await ws.send("41", "40")
        assert str(await ws.message()).startswith("40{")
        await ws.send("3")  # to the first one's ping
        sio.emit_now("n", 1, room=_only_sid(peer), mark=2)
        await ws.messages(2)
        assert proofs.marks == []
        await ws.send("3")
        await eventually(lambda: proofs.marks == [2])


async def test_what_is_sent_upon_room_at_an_upgrade_comes_behind_what_waited() -> None:
    told: list[str] = []

    def writable(sid: str) -> None:
        told.append(sid)
        sio.emit_now("room", room=sid)

    sio = Server(async_mode="aiohttp", writable=writable)
    sio.on("connect", lambda *_args: None)
    async with serving(sio) as peer:
        session = await peer.polling("/socket.io/")
        await session.send("40")
        await session.receive(1)
        for n in range(7):
            sio.emit_now("n", n, "x" * 40_000, room=_only_sid(peer))
        ws = await peer.websocket("/socket.io/", sid=session.sid)
        await ws.send("2probe")
        assert await ws.message() == "3probe"
        await ws.send("5")
        names = [str(message)[:8] for message in await ws.messages(8)]
        assert names == ['42["n",' + str(n) for n in range(7)] + ['42["room']
        assert len(told) == 1
