"""What the benchmark asks a server over stdin: a command a line, each answered by a line of JSON. Ends with its stdin.

collect                       a full garbage collection
sockets                       how many there are
join-all <room>               every socket joins it
emit-room <room> <times>      `times` events to all of a room
emit-each <users> <times>     one event to user 1, the next to user 2, and round again
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

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


class Control:
    """`room_of` gives the room where a user's sockets are, by the user's id."""

    def __init__(self, sio: Any, room_of: Callable[[str], str | None]) -> None:
        self._sio = sio
        self._room_of = room_of

    async def obey(self, ready: dict[str, Any]) -> None:
        """Answers `ready` at first; then until stdin ends."""
        commands = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        answer(ready)
        async for line in commands:
            answer(await self._obey(*line.decode().split()))

    async def _obey(self, command: str, *arguments: str) -> dict[str, Any]:
        match command, arguments:
            case "collect", ():
                gc.collect()
                return {}
            case "sockets", ():
                return {"sockets": len(self._sio.eio.sockets)}
            case "join-all", (room,):
                for sid, _eio_sid in list(self._sio.manager.get_participants("/", None)):
                    await self._sio.enter_room(sid, room)
                return {}
            case "emit-room", (room, times):
                return {"started_ns": await self._emit_room(room, int(times))}
            case "emit-each", (users, times):
                return {"started_ns": await self._emit_each(int(users), int(times))}
        raise ValueError(command)

    async def _emit_room(self, room: str, times: int) -> int:
        started_ns = time.monotonic_ns()
        for n in range(times):
            await self._sio.emit(EVENT, payload(n), room=room)
        return started_ns

    async def _emit_each(self, users: int, times: int) -> int:
        """Gives the loop its turn now and then, so that what was written leaves."""
        started_ns = time.monotonic_ns()
        for n in range(times):
            await self._sio.emit(EVENT, payload(n), room=self._room_of(str(n % users + 1)))
            if n % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
        return started_ns


def answer(fields: dict[str, Any]) -> None:
    print(json.dumps(fields), flush=True)
