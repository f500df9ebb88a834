"""Whatever clients send, the server answers below 500 or closes, nothing is left of them, and others are served.

Cases are played sixteen at a time against one server.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector, web
from hypothesis import given, settings
from hypothesis import strategies as st
from socketio.exceptions import ConnectionRefusedError as Refused

from notify_server.transport import Limits, Server
from tests.transport.hostile.actions import Scenario
from tests.transport.hostile.client import Client
from tests.transport.hostile.frames import MAX_BYTES
from tests.transport.hostile.scenarios import scenario
from tests.transport.hostile.settings import hostile_settings
from tests.transport.hostile.troubles import Troubles
from tests.transport.own import left_of
from tests.transport.raw import RawWebSocket
from tests.transport.servers import Peer

CASES, AT_ONCE = 160, 16
GONE_S = 3  # by when nothing is left; what a silent client leaves takes its pings' timeout


# a seed for a crowd: hypothesis never draws one twice, where it likes to repeat the elements of a list
CROWDS = st.integers(0, 2**32 - 1).map(lambda seed: [scenario(Random(seed * AT_ONCE + n)) for n in range(AT_ONCE)])


class App:
    """Counts who has got in and who has left."""

    def __init__(self, sio: Any, namespace: str) -> None:
        self.joined: collections.Counter[str] = collections.Counter()
        self.left: collections.Counter[str] = collections.Counter()
        self._sio, self._namespace = sio, namespace
        sio.on("connect", self._connect, namespace=namespace)
        sio.on("disconnect", self._disconnect, namespace=namespace)
        sio.on("*", self._handle, namespace=namespace)

    async def _connect(self, sid: str, _environ: Any, auth: Any) -> None:
        auth = auth if isinstance(auth, dict) else {}
        if auth.get("refuse"):
            raise Refused("no")
        if auth.get("fail"):
            raise RuntimeError("the database is away")
        await asyncio.sleep(auth.get("slow", 0))
        await self._sio.enter_room(sid, "all", namespace=self._namespace)
        self.joined[sid] += 1

    async def _disconnect(self, sid: str, _reason: Any) -> None:
        self.left[sid] += 1

    async def _handle(self, event: str, sid: str, *args: Any) -> Any:
        sio, namespace = self._sio, self._namespace
        match event:
            case "join":
                await sio.enter_room(sid, "r", namespace=namespace)
            case "leave":
                await sio.leave_room(sid, "r", namespace=namespace)
            case "to-room":
                await sio.emit("room-event", b"\1\2", room=["r", "all"], namespace=namespace)
            case "wait":
                await asyncio.sleep(0.01)
            case "ask":
                await sio.emit("asked", to=sid, namespace=namespace, callback=lambda *_answer: None)
            case "burst":
                for _ in range(50):
                    await sio.emit("burst", "x" * 1000, to=sid, namespace=namespace)
        await sio.emit("echoed", (event, *args), to=sid, namespace=namespace)
        return args


class Fuzzed:
    def __init__(self, peer: Peer, troubles: Troubles, apps: list[App]) -> None:
        self._peer, self._troubles, self._apps = peer, troubles, apps
        self._good = itertools.cycle([self._good_websocket, self._good_polling])
        self._tasks = asyncio.all_tasks()

    async def play(self, scenarios: list[Scenario]) -> None:
        self._troubles.found.clear()
        self._peer.sio.manager._ack_ids = itertools.count(1)  # so that clients guess right
        clients = [Client(self._peer.port).play(each) for each in scenarios]
        for statuses in await asyncio.gather(*clients):
            assert max(statuses, default=0) < 500, statuses
        try:
            async with asyncio.timeout(GONE_S):
                await next(self._good)()
                while self._left():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"still there: {self._left()}") from None
        for app in self._apps:
            assert app.joined == app.left
            assert set(app.left.values()) <= {1}, "left more than once"
            app.joined.clear()
            app.left.clear()
        assert not self._troubles.found, self._troubles.found

    def _left(self) -> dict[str, Any]:
        sio = self._peer.sio
        held = {
            **left_of(sio),
            "joined": sio.manager._joined, "newcomers": sio._connecting._newcomers,
            "connect handlers": sio._connecting._tasks, "inbound": sio.eio.inbound._queues,
            "watched": sio.eio.stalls.watched, "lingering": sio.eio.lingering,
            "addresses": sio.eio.addresses, "tasks": asyncio.all_tasks() - self._tasks - {asyncio.current_task()},
        }  # fmt: skip
        return {name: value for name, value in held.items() if value}

    async def _good_websocket(self) -> None:
        ws = await self._peer.websocket("/socket.io/")
        await ws.send("40", '427["echo",1]')
        assert str(await _next(ws)).startswith('40{"sid":')
        assert [await _next(ws), await _next(ws)] == ['42["echoed","echo",1]', "437[1]"]
        ws.abort()
        self._peer._opened.clear()

    async def _good_polling(self) -> None:
        session = await self._peer.polling("/socket.io/")
        await session.send("40", '427["echo",1]')
        connected, *answers = await session.receive(3)
        assert connected.startswith('40{"sid":')
        assert answers == ['42["echoed","echo",1]', "437[1]"]
        await session.send("1")


async def _next(ws: RawWebSocket) -> str | bytes:
    """Without pings."""
    while (found := await ws.message()) == "2":
        await ws.send("3")
    return found


@asynccontextmanager
async def _fuzzed(troubles: Troubles) -> AsyncIterator[Fuzzed]:
    sio = Server(
        cors_allowed_origins=[], max_http_buffer_size=MAX_BYTES, connect_timeout=0.3, upgrade_timeout=0.15,
        ping_interval=0.1, ping_timeout=0.1,
        limits=Limits(body_timeout_s=0.3, sockets_per_address=1000, address_of=lambda request: request.remote),
    )  # fmt: skip
    apps = [App(sio, namespace) for namespace in ("/", "/custom")]
    app = web.Application()
    sio.attach(app)
    # aiohttp waits so long for the rest of a body whose request was answered already, also once the client has gone
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, lingering_time=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession(connector=TCPConnector(force_close=True)) as http:
        yield Fuzzed(Peer(runner.addresses[0][1], http, sio), troubles, apps)
    await sio.shutdown()
    await runner.cleanup()


@pytest.fixture
def troubles(monkeypatch: pytest.MonkeyPatch) -> Iterator[Troubles]:
    troubles = Troubles()
    monkeypatch.setattr(sys, "unraisablehook", troubles.of_interpreter)
    logging.getLogger().addHandler(troubles)
    yield troubles
    logging.getLogger().removeHandler(troubles)


@pytest.mark.timeout(3600)
def test_no_client_breaks_the_server_or_leaves_anything(troubles: Troubles, pytestconfig: pytest.Config) -> None:
    cases: int = pytestconfig.getoption("--fuzz-cases") or CASES
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(troubles.of_loop)
        stack = AsyncExitStack()
        fuzzed = runner.run(stack.enter_async_context(_fuzzed(troubles)))

        @settings(hostile_settings(), max_examples=cases // AT_ONCE)
        @given(CROWDS)
        def play(crowd: list[Scenario]) -> None:
            runner.run(fuzzed.play(crowd))

        try:
            play()
        finally:
            runner.run(stack.aclose())
