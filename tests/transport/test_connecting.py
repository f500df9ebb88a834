"""Nobody gets in but through the connect handler, and who does not get in leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import socketio
from aiohttp import web

from tests.clients import NodeClients
from tests.transport.own import left_of, let_in, nothing_left, serving
from tests.transport.raw import text
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def _short_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify_server.transport.connecting._HOLD_S", (0.05, 0.1))


async def fails(*_args: Any) -> None:
    raise RuntimeError("the handler is broken")


async def is_cancelled(*_args: Any) -> None:
    raise asyncio.CancelledError  # as a driver does whose query the database has cancelled


async def hangs(*_args: Any) -> None:
    await asyncio.Event().wait()


def fails_at_once(*_args: Any) -> None:
    raise RuntimeError("the handler is broken")


@pytest.mark.parametrize("handler", [fails, is_cancelled, hangs, fails_at_once])
async def test_a_handler_that_fails_lets_nobody_in_and_leaves_nothing(
    server_class: Any, handler: Callable[..., Awaitable[None]]
) -> None:
    sio, left = server_class(async_mode="aiohttp", connect_timeout=0.3), []
    sio.on("connect", handler)
    sio.on("disconnect", lambda *_args: left.append(1))
    async with serving(sio) as peer:
        ws = await peer.websocket("/socket.io/")
        await ws.send("40")
        await ws.closed_in_silence()
        await nothing_left(sio)
        assert left == []


async def test_a_namespace_class_whose_handler_is_cancelled_lets_nobody_in(server_class: Any) -> None:
    class Main(socketio.AsyncNamespace):  # type: ignore[misc]
        async def on_connect(self, *_args: Any) -> None:
            raise asyncio.CancelledError

    sio = server_class(async_mode="aiohttp")
    sio.register_namespace(Main("/"))
    async with serving(sio) as peer:
        ws = await peer.websocket("/socket.io/")
        await ws.send("40")
        await ws.closed_in_silence()
        await nothing_left(sio)


async def test_the_stock_client_tries_again_until_the_handler_is_well(server_class: Any, nodes: NodeClients) -> None:
    sio, tries = server_class(async_mode="aiohttp", cors_allowed_origins=[]), []

    async def third_time_lucky(_sid: str, _environ: Any, _auth: Any) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError("not yet")

    sio.on("connect", third_time_lucky)
    async with serving(sio) as peer:
        client = nodes.open(peer.url, {"userId": 1}, reconnectionDelay=50, reconnectionDelayMax=100)
        await client.connected()
        assert len(tries) == 3
        assert client.named("connect_error") == []
        client.close()
        await nothing_left(sio)


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (socketio.exceptions.ConnectionRefusedError("no", {"code": "x"}), '44{"message":"no","data":{"code":"x"}}'),
        (False, '44{"message":"Connection rejected by server"}'),
        (ConnectionRefusedError("no"), '44{"message":"Connection refused by server"}'),
    ],
)
async def test_a_refusal_says_why_and_the_third_ends_the_transport(
    server_class: Any, refusal: Any, expected: str
) -> None:
    sio = server_class(async_mode="aiohttp")

    async def refuses(_sid: str, _environ: Any, _auth: Any) -> bool:
        if isinstance(refusal, Exception):
            raise refusal
        return bool(refusal)

    sio.on("connect", refuses)
    async with serving(sio) as peer:
        ws = await peer.websocket("/socket.io/")
        for _ in range(3):
            await ws.send("40{}")
            assert await ws.message() == expected
        assert not sio.manager.rooms
        await ws.closed_in_silence()
        await nothing_left(sio)


async def test_two_hundred_connects_on_one_socket_are_not_two_hundred_answers(server_class: Any) -> None:
    sio = server_class(async_mode="aiohttp")
    async with serving(sio) as peer:
        ws = await peer.websocket("/socket.io/")
        await ws.write(b"".join(text(f"40/n{n},") for n in range(200)))
        answers = 0
        while (found := await ws.next()) is not None and found.opcode == 1:
            answers += 1
        assert answers == 3
        await nothing_left(sio)


async def test_a_handler_may_ask_for_the_auth_or_not(server_class: Any) -> None:
    calls: list[tuple[Any, ...]] = []
    for handler in (
        lambda sid, environ: calls.append((sid, environ)),
        lambda sid, environ, auth: calls.append((sid, environ, auth)),
        lambda *args: calls.append(args),
    ):
        sio = server_class(async_mode="aiohttp")
        sio.on("connect", handler)
        async with serving(sio) as peer:
            ws = await peer.websocket("/socket.io/")
            await ws.send('40{"a":1}')
            assert str(await ws.message()).startswith('40{"sid":')
    assert [len(args) for args in calls] == [2, 3, 3]
    assert calls[1][2] == {"a": 1}


async def test_a_type_error_in_the_handler_does_not_run_it_twice(server_class: Any) -> None:
    sio, calls = server_class(async_mode="aiohttp"), []

    async def broken(_sid: str, _environ: Any, auth: Any = None) -> None:
        calls.append(auth)
        raise TypeError("a bug of the app's")

    sio.on("connect", broken)
    async with serving(sio) as peer:
        ws = await peer.websocket("/socket.io/")
        await ws.send("40")
        await ws.closed_in_silence()
    assert len(calls) == 1


async def test_who_is_not_in_yet_hears_nothing(server_class: Any) -> None:
    sio, may_enter = server_class(async_mode="aiohttp"), asyncio.Event()

    async def waits(_sid: str, _environ: Any, _auth: Any) -> None:
        await may_enter.wait()

    sio.on("connect", waits)
    async with serving(sio) as peer:
        ws = await peer.websocket("/socket.io/")
        await ws.send("40")
        await eventually(lambda: bool(sio.manager.pending_connect))
        await sio.emit("secret", {"for": "those who are in"})
        may_enter.set()
        assert str(await ws.message()).startswith('40{"sid":')
        await sio.emit("news", {})
        assert await ws.message() == '42["news",{}]'


async def test_who_leaves_while_the_handler_runs_leaves_nothing(server_class: Any) -> None:
    sio, may_enter, left = server_class(async_mode="aiohttp"), asyncio.Event(), []

    async def waits(_sid: str, _environ: Any, _auth: Any) -> None:
        await may_enter.wait()

    sio.on("connect", waits)
    sio.on("disconnect", lambda sid, _reason: left.append(sid))
    async with serving(sio) as peer:
        ws = await peer.websocket("/socket.io/")
        await ws.send("40")
        await eventually(lambda: bool(sio.manager.pending_connect))
        ws.abort()
        await eventually(lambda: not sio.eio.sockets)
        may_enter.set()
        await nothing_left(sio)
        assert len(left) == 1  # the handler had let it in


@pytest.mark.parametrize("how", ["raises", "hangs"])
async def test_a_disconnect_handler_that_fails_leaves_no_ghost(
    server_class: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify_server.transport.server._LEAVE_S", 0.2)
    sio, calls = server_class(async_mode="aiohttp"), []

    async def disconnect(sid: str, _reason: str) -> None:
        calls.append(sid)
        if how == "raises":
            raise RuntimeError("a bug of the app's")
        await asyncio.Event().wait()

    sio.on("connect", lambda *_args: None)
    sio.on("disconnect", disconnect)
    async with serving(sio) as peer:
        ws = await let_in(peer)
        ws.abort()
        await nothing_left(sio)
    assert len(calls) == 1


async def test_nothing_of_the_request_outlives_the_handshake(server_class: Any) -> None:
    sio = server_class(async_mode="aiohttp")
    sio.on("connect", lambda *_args: None)
    of_other_tests = _requests()
    async with serving(sio) as peer:
        sockets = [await peer.websocket("/socket.io/") for _ in "abc"]
        for ws in sockets:
            await ws.send("40")
            await ws.message()
        assert _requests() <= of_other_tests
        sid = next(iter(sio.manager.rooms["/"][None]))
        environ = sio.get_environ(sid)
        assert "aiohttp.request" not in environ
        assert environ["REMOTE_ADDR"] == "127.0.0.1"
        assert "transport=websocket" in environ["QUERY_STRING"]
        assert left_of(sio)["sessions"] == 3


def _requests() -> set[int]:
    gc.collect()
    return {id(found) for found in gc.get_objects() if isinstance(found, web.BaseRequest | web.RequestHandler)}


async def test_a_transport_that_is_held_is_no_way_to_try_again_and_again(server_class: Any) -> None:
    sio, tries = server_class(async_mode="aiohttp"), []

    async def broken(*_args: Any) -> None:
        tries.append(1)
        raise RuntimeError("the handler is broken")

    sio.on("connect", broken)
    async with serving(sio) as peer:
        ws = await peer.websocket("/socket.io/")
        await ws.send("40")
        await eventually(lambda: len(tries) == 1)
        await ws.write(b"".join(text("40") for _ in range(50)))
        await ws.closed_in_silence()
        await nothing_left(sio)
    assert len(tries) == 1


async def test_a_websocket_key_that_is_no_text_leaves_nothing(server_class: Any) -> None:
    sio = server_class(async_mode="aiohttp")
    async with serving(sio) as peer:
        polling = await peer.polling("/socket.io/")
        for sid in ("", f"&sid={polling.sid}"):
            reader, writer = await asyncio.open_connection("127.0.0.1", peer.port)
            writer.write(
                f"GET /socket.io/?EIO=4&transport=websocket{sid} HTTP/1.1\r\nHost: x\r\n".encode()
                + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
                + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \xe9\r\n\r\n"
            )
            assert (await reader.readline()).startswith(b"HTTP/1.1 400")
            writer.close()
        assert list(sio.eio.sockets) == [polling.sid]


async def test_a_second_namespace_comes_after_the_first_with_the_request(server_class: Any) -> None:
    sio, seen = server_class(async_mode="aiohttp"), []
    for namespace in ("/", "/chat"):
        sio.on("connect", lambda _sid, environ, _auth: seen.append(environ["aiohttp.request"]), namespace=namespace)
    async with serving(sio) as peer:
        ws = await peer.websocket("/socket.io/")
        await ws.send("40/chat,")
        assert str(await ws.message()).startswith("40/chat,")
        await ws.send("40")
        assert str(await ws.message()).startswith('40{"sid"')
    assert len(seen) == 2


async def test_with_always_connect_who_leaves_in_the_handler_leaves_once(server_class: Any) -> None:
    sio, may_enter = server_class(async_mode="aiohttp", always_connect=True), asyncio.Event()
    left: list[str] = []

    async def waits(_sid: str, _environ: Any, _auth: Any) -> None:
        await may_enter.wait()

    sio.on("connect", waits)
    sio.on("disconnect", lambda sid, _reason: left.append(sid))
    async with serving(sio) as peer:
        ws = await let_in(peer)
        ws.abort()
        await eventually(lambda: not sio.eio.sockets)
        may_enter.set()
        await nothing_left(sio)
        await eventually(lambda: not sio._connecting._tasks)
    assert len(left) == 1


async def test_who_has_left_all_namespaces_does_not_stay_for_ever(server_class: Any) -> None:
    sio = server_class(async_mode="aiohttp", connect_timeout=0.5)
    sio.on("connect", lambda *_args: None)
    async with serving(sio) as peer:
        ws = await peer.websocket("/socket.io/")
        for _ in range(2):
            await ws.send("40")
            await ws.message()
            await ws.send("41")
        await ws.closed_in_silence()
        await nothing_left(sio)
