"""One little app behind three transports: ours, Node's (the reference) and stock python-socketio.

Engine.IO alone at `/engine.io/` echoes each message. Socket.IO at `/socket.io/` has the namespaces `/` and `/custom`.
`GET /observed` tells what a test cannot see from outside.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import engineio
import socketio
from aiohttp import ClientSession, web

from notify_server.transport import Server
from notify_server.transport.engine import Engine
from tests.node import PEER
from tests.transport.raw import WAIT_S, PollingSession, RawWebSocket, ask, open_raw
from web.node import install, node

NAMESPACES = ["/", "/custom"]
MAX_PAYLOAD = 1_000_000


@dataclass(frozen=True)
class Options:
    """By default nothing times out during a test."""

    ping_interval_s: float = 25
    ping_timeout_s: float = 20
    upgrade_timeout_s: float | None = None
    connect_timeout_s: float | None = None


@dataclass
class Observed:
    sessions: int
    clients: int
    events: list[list[Any]]

    def of(self, kind: str) -> list[list[Any]]:
        return [event[1:] for event in self.events if event[0] == kind]


@dataclass
class Peer:
    """A running server, and the clients that a test has opened to it."""

    port: int
    http: ClientSession
    sio: Any = None
    _opened: list[RawWebSocket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def observed(self) -> Observed:
        return Observed(**json.loads((await ask(self.http, "GET", f"{self.url}/observed")).text))

    async def until(self, condition: Callable[[Observed], bool], timeout_s: float = WAIT_S) -> Observed:
        observed = await self.observed()
        try:
            async with asyncio.timeout(timeout_s):
                while not condition(observed):
                    await asyncio.sleep(0.01)
                    observed = await self.observed()
        except TimeoutError:
            raise AssertionError(f"it did not come true within {timeout_s} s: {observed}") from None
        return observed

    async def empty(self, timeout_s: float = WAIT_S) -> Observed:
        """Waits until no session and no socket is left; nobody may have been told twice."""
        observed = await self.until(lambda found: found.sessions == found.clients == 0, timeout_s)
        assert len(observed.of("disconnect")) == len(observed.of("connect")), observed
        return observed

    async def websocket(
        self, path: str = "/engine.io/", *, sid: str | None = None, headers: dict[str, str] | None = None,
        target: str | None = None, early: bytes = b"",
    ) -> RawWebSocket:  # fmt: skip
        """Without a `sid` the server's OPEN packet is read already."""
        target = target or at(path, transport="websocket", sid=sid)
        ws = await open_raw("127.0.0.1", self.port, target, headers, early)
        self._opened.append(ws)
        if ws.head.status == 101 and "sid=" not in target and "transport=websocket" in target:
            first = await ws.message()
            assert isinstance(first, str)
            assert first[0] == "0", first
            ws.handshake = json.loads(first[1:])
        return ws

    async def polling(self, path: str = "/engine.io/") -> PollingSession:
        answer = await ask(self.http, "GET", self.url + at(path))
        assert (answer.status, answer.text[:1]) == (200, "0"), answer
        handshake = json.loads(answer.text[1:])
        return PollingSession(self.http, self.url + at(path, sid=handshake["sid"]), handshake)

    async def socket(self, namespace: str = "/") -> RawWebSocket:
        """A WebSocket that is connected to a namespace."""
        ws = await self.websocket("/socket.io/")
        return await joined(ws, namespace)

    def abort_clients(self) -> None:
        for ws in self._opened:
            ws.abort()


async def joined(ws: RawWebSocket, namespace: str = "/") -> RawWebSocket:
    prefix = "" if namespace == "/" else f"{namespace},"
    await ws.send(f"40{prefix}")
    connected, auth = await ws.messages(2)
    assert str(connected).startswith(f"40{prefix}{{"), connected
    assert auth == f'42{prefix}["auth",{{}}]'
    return ws


async def polling_socket(server: Peer) -> PollingSession:
    session = await server.polling("/socket.io/")
    await session.send("40")
    connected, auth = await session.receive(2)
    assert connected.startswith('40{"sid":')
    assert auth == '42["auth",{}]'
    return session


def at(path: str, *, transport: str | None = "polling", eio: str | None = "4", sid: str | None = None) -> str:
    """The path with its query; what is None stays away."""
    values = {"EIO": eio, "transport": transport, "sid": sid}
    return f"{path}?{'&'.join(f'{name}={value}' for name, value in values.items() if value is not None)}"


def _plain(value: Any) -> Any:
    return {"binary": value.hex()} if isinstance(value, bytes) else value


def _add_app(sio: Any, namespace: str, events: list[list[Any]]) -> None:
    async def connect(sid: str, *args: Any) -> None:
        events.append(["connect", namespace])
        await sio.emit("auth", (args[1] if len(args) > 1 else None) or {}, to=sid, namespace=namespace)

    async def disconnect(_sid: str, reason: Any = None, *_args: Any) -> None:
        events.append(["disconnect", namespace, reason])

    async def handle(event: str, sid: str, *args: Any) -> Any:
        events.append(["event", event, [_plain(arg) for arg in args]])
        match event:
            case "message":
                await sio.emit("message-back", args, to=sid, namespace=namespace)
            case "message-with-ack":
                return args
            case "join":
                await sio.enter_room(sid, args[0], namespace=namespace)
            case "to-room":
                await sio.emit("room-event", args[1:], room=args[0], namespace=namespace)
            case "wait":  # not on Node, whose handlers the server does not wait for
                await asyncio.sleep(args[0])
                await sio.emit("waited", args[0], to=sid, namespace=namespace)
        return None

    sio.on("connect", connect, namespace=namespace)
    sio.on("disconnect", disconnect, namespace=namespace)
    sio.on("*", handle, namespace=namespace)


def _clients(sio: Any) -> int:
    manager = sio.manager
    return sum(len(list(manager.get_participants(name, None))) for name in manager.get_namespaces())


@asynccontextmanager
async def python_server(server_class: Any, engine_class: Any, options: Options) -> AsyncIterator[tuple[int, Any]]:
    """The port, and the Socket.IO server."""
    shared: dict[str, Any] = {
        "async_mode": "aiohttp", "cors_allowed_origins": "*", "max_http_buffer_size": MAX_PAYLOAD,
        "ping_interval": options.ping_interval_s, "ping_timeout": options.ping_timeout_s,
    }  # fmt: skip
    if options.upgrade_timeout_s is not None:
        shared["upgrade_timeout"] = options.upgrade_timeout_s
    only_socketio: dict[str, Any] = {"always_connect": True}
    if options.connect_timeout_s is not None:
        only_socketio["connect_timeout"] = options.connect_timeout_s
    events: list[list[Any]] = []
    engine, sio = engine_class(**shared), server_class(**shared, **only_socketio)

    async def echo(sid: str, data: Any) -> None:
        await engine.send(sid, data)

    async def observed(_request: web.Request) -> web.Response:
        sessions = len(engine.sockets) + len(sio.eio.sockets)
        return web.json_response({"sessions": sessions, "clients": _clients(sio), "events": events})

    engine.on("message", echo)
    for namespace in NAMESPACES:
        _add_app(sio, namespace, events)
    app = web.Application()
    engine.attach(app, "engine.io")
    sio.attach(app, "socket.io")
    app.router.add_get("/observed", observed)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1], sio
    await runner.cleanup()
    await sio.shutdown()
    await engine.shutdown()


class NodeServers:
    """One process, in which each test has an app of its own."""

    def __init__(self) -> None:
        install(PEER)
        self._process = subprocess.Popen(
            [*node(), "peer.mjs"], cwd=PEER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def stop(self) -> None:
        self._process.communicate()

    @asynccontextmanager
    async def server(self, options: Options) -> AsyncIterator[tuple[int, Any]]:
        seconds = {
            "pingInterval": options.ping_interval_s, "pingTimeout": options.ping_timeout_s,
            "upgradeTimeout": options.upgrade_timeout_s, "connectTimeout": options.connect_timeout_s,
        }  # fmt: skip
        values = {name: int(value * 1000) for name, value in seconds.items() if value is not None}
        port = await asyncio.to_thread(self._tell, do="open", options={**values, "maxHttpBufferSize": MAX_PAYLOAD})
        yield port, None
        await asyncio.to_thread(self._tell, do="close", port=port)

    def _tell(self, **command: Any) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        told: dict[str, int] = json.loads(self._process.stdout.readline())
        return told["port"]


OURS = (Server, Engine)
STOCK = (socketio.AsyncServer, engineio.AsyncServer)
