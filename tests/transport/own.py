"""A server of the test's own making: ours, or with `--transport=stock` the class that it replaces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import ClientSession, TCPConnector, web

from tests.transport.raw import RawWebSocket
from tests.transport.servers import Peer


@asynccontextmanager
async def serving(sio: Any) -> AsyncIterator[Peer]:
    app = web.Application()
    sio.attach(app, "socket.io")
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(sio.shutdown)
        http = await stack.enter_async_context(ClientSession(connector=TCPConnector(limit=0)))
        peer = Peer(runner.addresses[0][1], http, sio)
        stack.callback(peer.abort_clients)
        yield peer


async def let_in(peer: Peer) -> RawWebSocket:
    """A WebSocket whose CONNECT has been answered."""
    ws = await peer.websocket("/socket.io/")
    await ws.send("40")
    assert str(await ws.message()).startswith("40{")
    return ws


def left_of(sio: Any) -> dict[str, Any]:
    """Whatever the server still holds of its clients; {} where nothing is left."""
    manager = sio.manager
    held = {
        "sessions": len(sio.eio.sockets), "environ": len(sio.environ), "binary": len(sio._binary_packet),
        "rooms": manager.rooms, "callbacks": manager.callbacks, "connecting": manager.pending_connect,
        "leaving": manager.pending_disconnect,
    }  # fmt: skip
    return {name: value for name, value in held.items() if value}


async def nothing_left(sio: Any, timeout_s: float = 5) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            while left_of(sio):
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"still there: {left_of(sio)}") from None
