"""Caps on sockets, addresses and events."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiohttp import web

from notify_server.transport import Limits
from tests.transport.own import let_in, nothing_left, serving
from tests.transport.raw import SEPARATOR, ask, text
from tests.transport.servers import at
from tests.waiting import eventually


async def test_one_socket_too_many_gets_503_and_a_free_place_is_taken(server_class: Any) -> None:
    sio = server_class(async_mode="aiohttp", limits=Limits(sockets=2))
    async with serving(sio) as peer:
        first = await peer.websocket("/socket.io/")
        await peer.polling("/socket.io/")
        async with peer.http.get(peer.url + at("/socket.io/")) as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "1"
            assert await response.json() == {"code": 6, "message": "Too many sockets"}
        assert (await peer.websocket("/socket.io/")).head.status == 503
        first.abort()
        await eventually(lambda: len(sio.eio.sockets) == 1)
        assert (await peer.websocket("/socket.io/")).head.status == 101


async def test_addresses_are_counted_apart(server_class: Any) -> None:
    def address_of(request: web.Request) -> str | None:
        return request.headers.get("X-Address")

    sio = server_class(async_mode="aiohttp", limits=Limits(sockets_per_address=2, address_of=address_of))

    async def status(address: str | None) -> int:
        headers = {} if address is None else {"X-Address": address}
        return (await ask(peer.http, "GET", peer.url + at("/socket.io/"), headers=headers)).status

    async with serving(sio) as peer:
        assert [await status("a") for _ in range(3)] == [200, 200, 503]
        assert [await status("b") for _ in range(3)] == [200, 200, 503]
        assert [await status(None) for _ in range(3)] == [200, 200, 200]
        for session in list(sio.eio.sockets.values())[:2]:
            sio.eio.close(session, "server disconnect")
        assert [await status("a") for _ in range(3)] == [200, 200, 503]
        await sio.shutdown()
        assert not sio.eio.addresses


async def test_events_beyond_the_limit_wait_and_none_is_lost(server_class: Any) -> None:
    sio, handled = server_class(async_mode="aiohttp", limits=Limits(events_per_s=100)), []

    async def handle(_sid: str, n: int) -> None:
        handled.append((n, time.monotonic()))

    sio.on("connect", lambda *_args: None)
    sio.on("n", handle)
    async with serving(sio) as peer:
        flood, other = await peer.websocket("/socket.io/"), await peer.websocket("/socket.io/")
        for ws in (flood, other):
            await ws.send("40")
            await ws.message()
        await flood.write(b"".join(text(f'42["n",{n}]') for n in range(250)))
        await eventually(lambda: len(handled) >= 100)
        await other.send('42["n",-1]')
        await eventually(lambda: any(n == -1 for n, _ in handled))  # nobody else waits
        assert len(handled) <= 101
        await eventually(lambda: len(handled) == 251)
        mine = [(n, at_s) for n, at_s in handled if n >= 0]
        assert [n for n, _ in mine] == list(range(250))
        assert mine[249][1] - mine[0][1] >= 1.9


async def test_a_flood_is_read_no_further_than_it_is_handled(server_class: Any) -> None:
    sio, going_on, handled = server_class(async_mode="aiohttp"), asyncio.Event(), []

    async def handle(_sid: str, n: int) -> None:
        handled.append(n)
        await going_on.wait()

    sio.on("connect", lambda *_args: None)
    sio.on("n", handle)
    async with serving(sio) as peer:
        ws = await let_in(peer)
        (session,) = sio.eio.sockets.values()
        base = len(asyncio.all_tasks())
        for start in range(0, 5000, 50):
            await ws.write(b"".join(text(f'42["n",{n}]') for n in range(start, start + 50)))
        await eventually(lambda: session.paused)
        assert handled == [0]
        assert len(asyncio.all_tasks()) <= base + 1
        going_on.set()
        await eventually(lambda: len(handled) == 5000)
        assert handled == list(range(5000))
        assert not session.paused


async def test_a_post_with_more_than_is_handled_is_answered_when_there_is_room(server_class: Any) -> None:
    sio, going_on, handled = server_class(async_mode="aiohttp"), asyncio.Event(), []

    async def handle(_sid: str, n: int) -> None:
        await going_on.wait()
        handled.append(n)

    sio.on("connect", lambda *_args: None)
    sio.on("n", handle)
    async with serving(sio) as peer:
        session = await peer.polling("/socket.io/")
        await session.send("40")
        posting = asyncio.create_task(session.send(*(f'42["n",{n}]' for n in range(200))))
        await eventually(lambda: any(found.paused for found in sio.eio.sockets.values()))
        assert not posting.done()
        going_on.set()
        await posting
        await eventually(lambda: handled == list(range(200)))


async def test_what_a_client_sent_before_it_left_is_handled_before_its_end(server_class: Any) -> None:
    seen: list[Any] = []
    sio = server_class(async_mode="aiohttp")

    async def handle(_sid: str, n: int) -> None:
        await asyncio.sleep(0.02)
        seen.append(n)

    sio.on("connect", lambda *_args: None)
    sio.on("disconnect", lambda *_args: seen.append("left"))
    sio.on("n", handle)
    async with serving(sio) as peer:
        ws = await let_in(peer)
        await ws.send('42["n",1]', '42["n",2]', '42["n",3]', "41")
        ws.writer.close()
        await nothing_left(sio)
        assert seen == [1, 2, 3, "left"]


async def test_a_handler_may_wait_for_an_answer_of_the_same_client(server_class: Any) -> None:
    sio, answers = server_class(async_mode="aiohttp"), []

    async def handle(sid: str) -> None:
        answers.append(await sio.call("question", to=sid, timeout=3))

    sio.on("connect", lambda *_args: None)
    sio.on("ask", handle)
    async with serving(sio) as peer:
        ws = await let_in(peer)
        await ws.send('430["for the counter itself"]')  # no ack of ours has this id
        for n in range(3):
            await ws.send('42["ask"]')
            question = str(await ws.message())
            ack_id = question.removeprefix("42").removesuffix('["question"]')
            await ws.send(f"43{ack_id}[{n}]")
        await eventually(lambda: answers == [0, 1, 2])
        assert not sio.manager.callbacks


async def test_a_handler_that_fails_fails_alone(server_class: Any, caplog: Any) -> None:
    sio, handled = server_class(async_mode="aiohttp"), []

    async def handle(_sid: str, n: int) -> None:
        if n == 1:
            raise RuntimeError("a bug of the app's")
        handled.append(n)

    sio.on("connect", lambda *_args: None)
    sio.on("n", handle)
    async with serving(sio) as peer:
        ws = await let_in(peer)
        await ws.send('42["n",0]', '42["n",1]', '42["n",2]')
        await eventually(lambda: handled == [0, 2])
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["event_failed"]


async def test_a_post_that_waits_for_room_is_answered_when_its_session_ends(server_class: Any) -> None:
    sio = server_class(async_mode="aiohttp")

    async def hangs(*_args: Any) -> None:
        await asyncio.Event().wait()

    sio.on("connect", lambda *_args: None)
    sio.on("n", hangs)
    async with serving(sio) as peer:
        session = await peer.polling("/socket.io/")
        await session.send("40")
        body = SEPARATOR.join('42["n",1]' for _ in range(200))
        posting = asyncio.create_task(session.post(body))
        await eventually(lambda: any(found.paused for found in sio.eio.sockets.values()))
        for found in list(sio.eio.sockets.values()):
            sio.eio.close(found, "server disconnect")
        assert (await posting).status == 200
    await eventually(lambda: len(asyncio.all_tasks()) == 1)  # nor does the handler outlive the server


async def test_an_event_called_star_is_an_event_like_any_other(server_class: Any) -> None:
    sio, caught = server_class(async_mode="aiohttp"), []

    async def catch_all(event: str, _sid: str, *args: Any) -> None:
        caught.append((event, *args))

    sio.on("connect", lambda *_args: None)
    sio.on("*", catch_all)
    async with serving(sio) as peer:
        ws = await let_in(peer)
        await ws.send('42["*",1]', '42["other",2]')
        await eventually(lambda: len(caught) == 2)
    assert caught == [("*", 1), ("other", 2)]


async def test_a_client_that_ends_while_it_is_read_no_further_is_let_go_at_once(server_class: Any) -> None:
    sio, going_on = server_class(async_mode="aiohttp"), asyncio.Event()

    async def waits(*_args: Any) -> None:
        await going_on.wait()

    sio.on("connect", lambda *_args: None)
    sio.on("n", waits)
    async with serving(sio) as peer:
        ws = await let_in(peer)
        await ws.write(b"".join(text('42["n"]') for _ in range(200)))
        await eventually(lambda: any(found.paused for found in sio.eio.sockets.values()))
        for found in list(sio.eio.sockets.values()):
            sio.eio.close(found, "server disconnect")
        await ws.closed()
        await eventually(lambda: not sio.eio.lingering, timeout_s=2)
        going_on.set()


async def test_one_post_of_very_many_events_is_taken_a_little_at_a_time(server_class: Any) -> None:
    sio, handled = server_class(async_mode="aiohttp", limits=Limits(events_per_s=100)), []
    sio.on("connect", lambda *_args: None)
    sio.on("n", lambda *_args: handled.append(1))
    async with serving(sio) as peer:
        session = await peer.polling("/socket.io/")
        await session.send("40")
        body = SEPARATOR.join(['42["n"]'] * 100_000)
        posting = asyncio.create_task(session.post(body))
        await eventually(lambda: len(handled) == 100)
        (found,) = sio.eio.sockets.values()
        assert len(sio.eio.inbound._queues[found].items) <= 64
        sio.eio.close(found, "server disconnect")
        await posting


async def test_who_sends_very_many_events_and_goes_is_no_ghost(server_class: Any) -> None:
    sio = server_class(async_mode="aiohttp", limits=Limits(events_per_s=10), ping_interval=0.2, ping_timeout=0.2)
    sio.on("connect", lambda *_args: None)
    sio.on("n", lambda *_args: None)
    async with serving(sio) as peer:
        ws = await let_in(peer)
        await ws.write(b"".join(text('42["n"]') for _ in range(500)))
        await eventually(lambda: any(found.paused for found in sio.eio.sockets.values()))
        ws.abort()
        await eventually(lambda: not sio.eio.sockets, timeout_s=3)


async def test_answers_that_nobody_waits_for_cost_no_task(server_class: Any) -> None:
    sio = server_class(async_mode="aiohttp")
    sio.on("connect", lambda *_args: None)
    async with serving(sio) as peer:
        ws = await let_in(peer)
        most = 0
        for _ in range(10):
            await ws.write(b"".join(text("431[]") for _ in range(500)))
            most = max(most, len(asyncio.all_tasks()))
        assert most < 20


async def test_more_events_at_once_than_can_wait_end_the_socket(
    server_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify_server.transport.inbound._MOST", 100)
    sio, handled = server_class(async_mode="aiohttp", limits=Limits(events_per_s=10)), []
    sio.on("connect", lambda *_args: None)
    sio.on("n", lambda *_args: handled.append(1))
    async with serving(sio) as peer:
        ws = await let_in(peer)
        await ws.write(b"".join(text('42["n"]') for _ in range(500)))
        await eventually(lambda: not sio.eio.sockets)
        assert len(handled) <= 10


async def test_connections_that_are_being_closed_count_as_well(server_class: Any) -> None:
    sio = server_class(async_mode="aiohttp", limits=Limits(sockets=2))
    async with serving(sio) as peer:
        for _ in range(2):
            await (await peer.websocket("/socket.io/")).send("no packet")  # and it does not close its side
        await eventually(lambda: not sio.eio.sockets)
        assert (await ask(peer.http, "GET", peer.url + at("/socket.io/"))).status == 503
