"""The transport under load. Answers each line on stdin with what this process holds, as JSON; ends with its stdin."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
from typing import Any

from aiohttp import web

from benchmarks.machine import rss_bytes
from notify_server.transport import Limits, Server
from tests.transport.hostile.troubles import Troubles

NAMESPACES = ("/", "/custom")
MAX_BYTES = 20_000
_EMIT_S = 0.05
_GC_THRESHOLDS = (50_000, 50, 50)


class App:
    """Echoes, lets clients join rooms, and emits to the rooms all the time."""

    def __init__(self, sio: Any) -> None:
        self._sio = sio
        self.joined = self.left = self.acks = 0
        for namespace in NAMESPACES:
            sio.on("connect", self._connect, namespace=namespace)
            sio.on("disconnect", self._disconnect, namespace=namespace)
        for event, handle in {"echo": self._echo, "join": self._join, "ask": self._ask}.items():
            sio.on(event, handle, namespace="/")

    async def _connect(self, sid: str, _environ: Any, _auth: Any = None) -> None:
        self.joined += 1

    async def _disconnect(self, sid: str, _reason: Any) -> None:
        self.left += 1

    async def _echo(self, sid: str, *args: Any) -> Any:
        await self._sio.emit("echoed", args, to=sid)
        return args

    async def _join(self, sid: str, *rooms: Any) -> None:
        for room in rooms:
            await self._sio.enter_room(sid, str(room)[:16])

    async def _ask(self, sid: str, *_args: Any) -> None:
        await self._sio.emit("asked", "well?", to=sid, callback=self._answered)

    def _answered(self, *_answer: Any) -> None:
        self.acks += 1

    async def emit(self) -> None:
        n = 0
        while True:
            n += 1
            await self._sio.emit("n", {"n": n, "message": "somebody commented on your post"}, room="text")
            await self._sio.emit("b", (n, b"\1\2\3" * 100), room="binary")
            await self._sio.emit("large", "x" * 20_000, room="large")
            await asyncio.sleep(_EMIT_S)


def held(sio: Any, app: App, troubles: Troubles) -> dict[str, int]:
    manager, eio = sio.manager, sio.eio
    gc.collect()
    return {
        "tasks": len(asyncio.all_tasks()),
        "fds": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "sessions": len(eio.sockets),
        "environ": len(sio.environ),
        "manager": sum(
            len(entries)
            for entries in (
                manager.rooms, manager.callbacks, manager.pending_connect, manager.pending_disconnect, manager._joined,
                sio._binary_packet, sio._connecting._newcomers, sio._connecting._tasks,
            )
        ),
        "queues": len(eio.inbound._queues) + len(eio.stalls.watched) + len(eio.lingering),
        "inside": app.joined - app.left,
        "errors": len(troubles.found),
        "joined": app.joined,
        "acks": app.acks,
        "rss": rss_bytes(),
    }  # fmt: skip


async def serve() -> None:
    loop = asyncio.get_running_loop()
    sio = Server(
        cors_allowed_origins=[], max_http_buffer_size=MAX_BYTES, ping_interval=1, ping_timeout=2, connect_timeout=2.5,
        upgrade_timeout=3, limits=Limits(stall_s=1.5, body_timeout_s=1, events_per_s=500),
    )  # fmt: skip
    app, troubles = App(sio), Troubles()
    logging.getLogger().addHandler(troubles)
    loop.set_exception_handler(troubles.of_loop)
    sys.unraisablehook = troubles.of_interpreter
    application = web.Application()
    sio.attach(application)
    # aiohttp waits so long for the rest of a body whose request was answered already, also once the client has gone
    runner = web.AppRunner(application, access_log=None, lingering_time=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    emitting = asyncio.create_task(app.emit())
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.collect()
    gc.freeze()
    _answer({"port": runner.addresses[0][1]})
    async for _line in commands:
        _answer(held(sio, app, troubles))
    emitting.cancel()
    print(*troubles.found, sep="\n", end="", file=sys.stderr)


def _answer(fields: dict[str, int]) -> None:
    print(json.dumps(fields), flush=True)


def main() -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()
