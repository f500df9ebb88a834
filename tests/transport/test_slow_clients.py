"""A client that does not take what it is sent costs little, for a short time, and itself alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from notify_server.transport import Limits
from tests.clients import NodeClients
from tests.transport.own import nothing_left, serving
from tests.transport.raw import RawWebSocket, text
from tests.transport.servers import Peer
from tests.waiting import eventually

LARGE = "x" * 50_000
MB = 1_000_000


def _transport_of(sio: Any) -> Any:
    (session,) = sio.eio.sockets.values()
    return session.transport


async def _in_a_room(sio: Any, peer: Peer, path: str = "websocket") -> Any:
    """One client, which reads only when it is asked to."""
    if path == "polling":
        session = await peer.polling("/socket.io/")
        await session.send("40")
        await session.receive(1)
        return session
    ws = await peer.websocket("/socket.io/")
    ws.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    await ws.send("40")
    await ws.message()
    return ws


def a_server(server_class: Any, limits: Limits | None = None, **options: Any) -> Any:
    sio = server_class(async_mode="aiohttp", limits=limits or Limits(), **options)

    async def connect(sid: str, *_args: Any) -> None:
        await sio.enter_room(sid, "room")

    sio.on("connect", connect)
    return sio


@pytest.mark.parametrize("way", ["websocket", "polling"])
async def test_who_never_reads_holds_a_bounded_amount_and_is_cut(server_class: Any, way: str) -> None:
    sio, held_bytes = a_server(server_class), 0
    async with serving(sio) as peer:
        await _in_a_room(sio, peer, way)
        for _ in range(600):  # 30 MB
            await sio.emit("n", LARGE, room="room")
            await asyncio.sleep(0)
            if not sio.eio.sockets:
                break
            held_bytes = max(held_bytes, _transport_of(sio).waiting_bytes)
        assert 0.9 * MB < held_bytes <= MB
        await nothing_left(sio)


@pytest.mark.parametrize("way", ["websocket", "polling"])
async def test_who_takes_nothing_for_a_while_is_cut_though_it_answers_pings(server_class: Any, way: str) -> None:
    sio = a_server(server_class, Limits(stall_s=1), ping_interval=0.2, ping_timeout=5)
    async with serving(sio) as peer:
        client = await _in_a_room(sio, peer, way)
        for _ in range(200):
            await sio.emit("n", LARGE, room="room")
            await asyncio.sleep(0)
            if _transport_of(sio).waiting_bytes:
                break
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                if not sio.eio.sockets:
                    break
                if isinstance(client, RawWebSocket):
                    await client.write(text("3"))
                else:
                    await client.post("3")
                await asyncio.sleep(0.05)
        await nothing_left(sio)


async def test_who_takes_a_little_now_and_then_is_not_cut(server_class: Any) -> None:
    sio = a_server(server_class, Limits(stall_s=1))
    async with serving(sio) as peer:
        ws = await _in_a_room(sio, peer)
        sent = 0
        while _transport_of(sio).waiting_bytes < MB / 2:
            await sio.emit("n", LARGE, room="room")
            sent += 1
            await asyncio.sleep(0)
        for _ in range(40):  # two seconds: twice as long as one may stall
            await ws.reader.read(60_000)
            await asyncio.sleep(0.05)
        assert len(sio.eio.sockets) == 1


async def test_the_layer_above_is_told_when_too_much_waits_and_when_it_was_taken(server_class: Any) -> None:
    told: list[tuple[str, str]] = []
    sio = a_server(
        server_class,
        slow=lambda sid: told.append(("slow", sid)), writable=lambda sid: told.append(("writable", sid)),
    )  # fmt: skip
    async with serving(sio) as peer:
        ws = await _in_a_room(sio, peer)
        (sid,) = sio.manager.rooms["/"][None]
        sent = 0
        while not told:
            sio.emit_now("n", LARGE, room="room")
            sent += 1
            await asyncio.sleep(0)
        assert told == [("slow", sid)]
        assert _transport_of(sio).waiting_bytes <= 256_000 + len(LARGE) + 100
        assert len([await ws.message() for _ in range(sent)]) == sent
        await eventually(lambda: told == [("slow", sid), ("writable", sid)])


async def test_on_polling_the_layer_above_is_told_too(server_class: Any) -> None:
    told: list[str] = []
    sio = a_server(
        server_class, slow=lambda _sid: told.append("slow"), writable=lambda _sid: told.append("writable")
    )  # fmt: skip
    async with serving(sio) as peer:
        session = await _in_a_room(sio, peer, "polling")
        for _ in range(6):
            sio.emit_now("n", LARGE, room="room")
        assert told == ["slow"]
        assert len((await session.poll()).packets) == 6
        assert told == ["slow", "writable"]


@pytest.mark.parametrize("way", ["websocket", "polling"])
async def test_a_burst_of_a_thousand_cuts_no_healthy_client(server_class: Any, nodes: NodeClients, way: str) -> None:
    sio = a_server(server_class, cors_allowed_origins=[])
    async with serving(sio) as peer:
        client = await nodes.open(peer.url, {}, transports=[way]).connected()
        for n in range(1000):
            sio.emit_now("n", {"n": n, "message": "somebody commented on your post" * 5}, room="room")
        await client.until(lambda: len(client.named("n")) == 1000)
        assert [args[0]["n"] for args in client.named("n")] == list(range(1000))
        assert client.named("disconnect") == []


async def test_one_large_message_passes_where_nothing_waits(server_class: Any) -> None:
    sio = a_server(server_class)
    async with serving(sio) as peer:
        ws = await _in_a_room(sio, peer)
        await sio.emit("n", "x" * 3 * MB, room="room")
        assert len(await ws.message(10)) > 3 * MB


async def test_a_hundred_who_never_read_leave_nothing(server_class: Any) -> None:
    sio = a_server(server_class, Limits(stall_s=1))
    async with serving(sio) as peer:
        base = len(asyncio.all_tasks())
        for _ in range(100):
            ws = await peer.websocket("/socket.io/")
            ws.reader._transport.pause_reading()  # type: ignore[attr-defined]
            await ws.send("40")
        await eventually(lambda: len(sio.manager.get_participants("/", "room")) == 100)
        for _ in range(250):
            sio.emit_now("n", LARGE, room="room")
            await asyncio.sleep(0)
        await nothing_left(sio, 10)
        await eventually(lambda: len(asyncio.all_tasks()) <= base)
        assert not sio.eio.lingering


async def test_an_answer_to_a_poll_that_is_never_read_is_cut_off_with_its_connection(server_class: Any) -> None:
    sio = a_server(server_class, Limits(stall_s=1, waiting_bytes=20 * MB))
    async with serving(sio) as peer:
        session = await _in_a_room(sio, peer, "polling")
        base = len(asyncio.all_tasks())
        for _ in range(300):  # 15 MB: more than the kernel's buffers hold
            sio.emit_now("n", LARGE, room="room")
        parts = urlsplit(session.url)
        raw = socket.create_connection(("127.0.0.1", peer.port))
        raw.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        transport = _transport_of(sio)
        await eventually(lambda: transport._answer_to is not None and transport.waiting_bytes > 0)
        await nothing_left(sio)
        await eventually(lambda: len(asyncio.all_tasks()) <= base)
        raw.close()
