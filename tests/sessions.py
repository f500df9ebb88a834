"""A socket whose CONNECT and every frame a test sees: what it brings, what it is answered, what it answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from tests.clients import SETTLE_S


@dataclass
class Session:
    websocket: ClientWebSocketResponse
    answers_pings: bool
    answer: dict[str, Any] = field(default_factory=dict)  # to CONNECT
    events: list[list[Any]] = field(default_factory=list)
    pings: int = 0

    @property
    def pid(self) -> str:
        pid: str = self.answer["pid"]
        return pid

    @property
    def notifications(self) -> list[list[Any]]:
        return [event[1:] for event in self.events if event[0] == "notification"]

    @property
    def offset(self) -> str:
        """As a client remembers it."""
        offset: str = self.notifications[-1][-1]
        return offset

    @property
    def seqs(self) -> list[int]:
        return [int(args[-1].split(".")[0]) for args in self.notifications]

    async def read(self, count: int | None = None, *, timeout_s: float = 10) -> list[int]:
        """Until there are so many notifications in all, and for a moment more; gives their seqs."""
        try:
            async with asyncio.timeout(timeout_s):
                while len(self.notifications) < (count or 0):
                    await self._take()
        except TimeoutError:
            raise AssertionError(f"{count} notifications did not come; seen: {self.events}") from None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while True:
                    await self._take()
        return self.seqs

    async def until_closed(self, timeout_s: float = 10) -> None:
        async with asyncio.timeout(timeout_s):
            while not self.websocket.closed:
                await self._take()

    async def send(self, *event: Any) -> None:
        await self.websocket.send_str("42" + json.dumps(event))

    async def _take(self) -> None:
        message = await self.websocket.receive()
        if message.type is not WSMsgType.TEXT:
            assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING), message
            if not self.websocket.closed:
                await self.websocket.close()
            return
        if message.data == "2":
            self.pings += 1
            if self.answers_pings:
                await self.websocket.send_str("3")
        elif message.data.startswith("40"):
            self.answer = json.loads(message.data[2:])
        elif message.data.startswith("42"):
            self.events.append(json.loads(message.data[2:]))
        else:
            raise AssertionError(message.data)


@contextlib.asynccontextmanager
async def session(http: ClientSession, url: str, auth: dict[str, Any], *, answers_pings: bool = True,
                  max_bytes: int = 2**22) -> AsyncIterator[Session]:  # fmt: skip
    """One that is let in. Raises AssertionError where it is not."""
    async with http.ws_connect(
        url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket", max_msg_size=max_bytes
    ) as websocket:
        assert (await websocket.receive_str()).startswith("0")
        await websocket.send_str("40" + json.dumps(auth))
        found = Session(websocket, answers_pings)
        async with asyncio.timeout(10):
            while not found.answer:
                await found._take()
        yield found
