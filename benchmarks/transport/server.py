"""The server under load, ours or stock python-socketio, steered over stdin: a command a line, each answered by a line
of JSON. Ends with its stdin.

    collect                       a full garbage collection
    stats                         memory, CPU time, sockets
    join-all <room>               every socket joins it
    emit-room <room> <times>      `times` events to all of a room
    emit-each <rooms> <times>     one event to user:0, the next to user:1, and round again
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import re
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import socketio
from aiohttp import web

from notify_server.transport import Server

EVENT = "notification"
AT_ONCE = 100


def payload(n: int) -> dict[str, Any]:
    return {
        "type": "comment",
        "postId": 123456,
        "commentId": 1000000 + n,
        "fromUser": "Alexandra Konstantinidou",
        "message": "Alexandra Konstantinidou commented on your post",
    }


class App:
    """What an application does with its transport: rooms by user, and emits."""

    def __init__(self, sio: Any) -> None:
        self._sio = sio
        self._live: set[str] = set()
        sio.on("connect", self._connect)
        sio.on("disconnect", self._disconnect)

    async def _connect(self, sid: str, _environ: Any, auth: dict[str, Any]) -> None:
        self._live.add(sid)
        await self._sio.enter_room(sid, f"user:{auth['userId']}")

    async def _disconnect(self, sid: str, *_reason: Any) -> None:
        self._live.discard(sid)

    async def obey(self, command: str, *arguments: str) -> dict[str, Any]:
        match command, arguments:
            case "collect", ():
                gc.collect()
                return {}
            case "stats", ():
                return {"rss_bytes": rss_bytes(), "cpu_s": time.process_time(), "sockets": len(self._live)}
            case "join-all", (room,):
                for sid in list(self._live):
                    await self._sio.enter_room(sid, room)
                return {}
            case "emit-room", (room, times):
                return {"started_ns": await self._emit_room(room, int(times))}
            case "emit-each", (rooms, times):
                return {"started_ns": await self._emit_each(int(rooms), int(times))}
        raise ValueError(command)

    async def _emit_room(self, room: str, times: int) -> int:
        started_ns = time.monotonic_ns()
        for n in range(times):
            await self._sio.emit(EVENT, payload(n), room=room)
        return started_ns

    async def _emit_each(self, rooms: int, times: int) -> int:
        """Gives the loop its turn now and then, so that what was written leaves."""
        started_ns = time.monotonic_ns()
        for n in range(times):
            await self._sio.emit(EVENT, payload(n), room=f"user:{n % rooms}")
            if n % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
        return started_ns


def rss_bytes() -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def create(stock: bool) -> Any:
    if stock:
        return socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins=[])
    return Server(ping_interval=25, ping_timeout=20, cors_allowed_origins=[])


async def serve(stock: bool) -> None:
    loop = asyncio.get_running_loop()
    application = web.Application()
    sio = create(stock)
    sio.attach(application)
    app = App(sio)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()

    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    gc.collect()
    gc.freeze()
    name = f"python-socketio {version('python-socketio')}" if stock else f"notify-server {version('notify-server')}"
    answer({
        "port": runner.addresses[0][1],
        "version": f"{name}, Python {platform.python_version()}, {type(loop).__module__.partition('.')[0]}",
    })  # fmt: skip
    async for line in commands:
        answer(await app.obey(*line.decode().split()))


def answer(fields: dict[str, Any]) -> None:
    print(json.dumps(fields), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stock", action="store_true")
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    options = parser.parse_args()
    gc.set_threshold(50_000, 50, 50)
    factory = None
    if options.loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(options.stock))


if __name__ == "__main__":
    main()
