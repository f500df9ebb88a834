"""What a socket at rest costs, and what many at once cost."""

from __future__ import annotations

import asyncio
import sys
import time
import zlib
from typing import Any

import pytest

from notify_server.transport import packets
from tests.clients import NodeClients
from tests.transport.own import nothing_left, serving
from tests.transport.raw import PONG, TEXT, frame
from tests.transport.servers import Peer
from tests.waiting import eventually


async def _join(sio: Any, peer: Peer, count: int) -> list[Any]:
    opened = []
    for _ in range(count):
        ws = await peer.websocket("/socket.io/")
        await ws.send("40")
        await ws.message()
        opened.append(ws)
    return opened


async def test_a_socket_at_rest_has_no_task_and_no_timer(server_class: Any) -> None:
    sio = server_class(async_mode="aiohttp")
    sio.on("connect", lambda *_args: None)
    async with serving(sio) as peer:
        await _join(sio, peer, 1)
        loop: Any = asyncio.get_running_loop()
        await asyncio.sleep(0)

        def timers() -> int:
            return sum(not timer.cancelled() for timer in loop._scheduled)

        await eventually(lambda: not sio.eio.stalls.watched)
        tasks_before, timers_before = len(asyncio.all_tasks()), timers()
        await _join(sio, peer, 50)
        await eventually(lambda: len(asyncio.all_tasks()) == tasks_before)
        await eventually(lambda: timers() <= timers_before + 1)  # this waiting has one


async def test_without_sockets_no_timer_runs(server_class: Any) -> None:
    sio = server_class(async_mode="aiohttp", ping_interval=0.2, ping_timeout=0.2)
    sio.on("connect", lambda *_args: None)
    async with serving(sio) as peer:
        for ws in await _join(sio, peer, 3):
            ws.abort()
        await nothing_left(sio)
        await eventually(lambda: sio.eio.heartbeat._timer is None)
        assert not any(sio.eio.heartbeat._slots)
        assert sio.eio.stalls._timer is None


async def test_an_event_is_encoded_once_for_a_whole_room(server_class: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sio, frames = server_class(async_mode="aiohttp"), 0
    sio.on("connect", lambda *_args: None)
    async with serving(sio) as peer:
        opened = await _join(sio, peer, 30)
        build = packets.Encoded.__init__

        def counting(self: Any, *args: Any) -> None:
            nonlocal frames
            frames += 1
            build(self, *args)

        monkeypatch.setattr(packets.Encoded, "__init__", counting)
        await sio.emit("n", {"a": 1})
        assert {await ws.message() for ws in opened} == {'42["n",{"a":1}]'}
        assert frames == 1


async def test_an_end_of_all_sockets_at_once_costs_each_the_same(server_class: Any) -> None:
    """Counts calls, not time."""

    async def calls_for(count: int) -> int:
        sio = server_class(async_mode="aiohttp")
        sio.on("connect", lambda sid, *_args: sio.enter_room(sid, f"user:{sid}"))
        calls = 0

        def count_call(_frame: Any, event: str, _arg: Any) -> None:
            nonlocal calls
            calls += event == "call"

        async with serving(sio) as peer:
            opened = await _join(sio, peer, count)
            sys.setprofile(count_call)
            try:
                for ws in opened:
                    ws.abort()
                while sio.eio.sockets or sio.manager.rooms:
                    await asyncio.sleep(0.001)
            finally:
                sys.setprofile(None)
        return calls

    few, many = await calls_for(50), await calls_for(400)
    assert many < few * 8 * 1.5


async def test_a_stall_shorter_than_the_ping_timeout_costs_no_socket(server_class: Any, nodes: NodeClients) -> None:
    sio = server_class(async_mode="aiohttp", ping_interval=0.3, ping_timeout=1, cors_allowed_origins=[])
    sio.on("connect", lambda *_args: None)
    async with serving(sio) as peer:
        clients = [nodes.open(peer.url, {}, transports=[way]) for way in ("websocket", "polling") for _ in range(5)]
        for client in clients:
            await client.connected()
        for _ in range(4):
            await asyncio.sleep(0.35)
            time.sleep(0.8)  # noqa: ASYNC251 - the loop stands still, as it does when something blocks
        await asyncio.sleep(0.5)
        assert [client.named("disconnect") for client in clients] == [[]] * 10


async def test_a_clock_that_is_set_costs_no_socket(server_class: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sio = server_class(async_mode="aiohttp", ping_interval=0.2, ping_timeout=0.4)
    sio.on("connect", lambda *_args: None)
    async with serving(sio) as peer:
        (ws,) = await _join(sio, peer, 1)
        real = time.time
        for jump_s in (3600, -7200, 0):
            monkeypatch.setattr(time, "time", lambda jump_s=jump_s: real() + jump_s)
            for _ in range(3):
                assert await ws.message(1) == "2"
                await ws.send("3")


async def test_deflate_is_used_where_it_was_asked_for(server_class: Any) -> None:
    sio = server_class(async_mode="aiohttp", per_message_deflate=True)
    sio.on("connect", lambda *_args: None)

    async def echo(sid: str, value: str) -> None:
        await sio.emit("back", value, to=sid)

    sio.on("echo", echo)
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    async with serving(sio) as peer:
        plain = await peer.websocket("/socket.io/")
        assert "sec-websocket-extensions" not in plain.head.headers
        narrow = await peer.websocket(
            "/socket.io/", headers={"Sec-WebSocket-Extensions": "permessage-deflate; server_max_window_bits=9"}
        )
        assert "sec-websocket-extensions" not in narrow.head.headers
        packed = await peer.websocket("/socket.io/", headers=offer)
        assert "server_no_context_takeover" in packed.head.headers["sec-websocket-extensions"]
        for ws in (plain, packed):
            await ws.send("40")
            await ws.message()
        await sio.emit("n", "x" * 50_000)
        assert len(await plain.message()) > 50_000
        head = await packed.reader.readexactly(2)
        assert head[0] == 0b1100_0001  # FIN, compressed, text
        assert head[1] < 126
        inflated = zlib.decompressobj(wbits=-15).decompress(
            await packed.reader.readexactly(head[1]) + b"\x00\x00\xff\xff"
        )
        assert inflated == b'42["n","' + b"x" * 50_000 + b'"]'
        deflate = zlib.compressobj(wbits=-15)
        for _ in range(2):  # the client's side keeps its context
            data = deflate.compress(b'42["echo","again and again"]') + deflate.flush(2)
            await packed.write(frame(TEXT, data.removesuffix(b"\x00\x00\xff\xff"), reserved=0b100))
            assert await packed.message() == '42["back","again and again"]'


async def test_a_pong_nobody_asked_for_is_nothing(server_class: Any) -> None:
    sio = server_class(async_mode="aiohttp", ping_interval=0.2, ping_timeout=0.2)
    sio.on("connect", lambda *_args: None)
    async with serving(sio) as peer:
        (ws,) = await _join(sio, peer, 1)
        await ws.write(frame(PONG, b"x"))
        for _ in range(3):
            assert await ws.message(1) == "2"
            await ws.send("3", "3")
