"""Real socket.io-client sockets, in a Node process of their own."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.node import CLIENT
from web.node import node

WAIT_S = 10
SETTLE_S = 0.4  # how long a test watches that something does NOT happen


@dataclass
class Event:
    name: str
    args: list[Any]


@dataclass
class Client:
    """One socket. `seen` holds all of its events so far."""

    id: int
    nodes: NodeClients
    seen: list[Event] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def recovered(self) -> list[bool]:
        """Of each connect, whether the client took it for the session that it had."""
        return [args[1] for args in self.named("connect")]

    def named(self, name: str) -> list[list[Any]]:
        return [event.args for event in self.seen if event.name == name]

    @property
    def notifications(self) -> list[Any]:
        """The payloads: the hook's one argument."""
        return [args[0] for args in self.named("notification")]

    @property
    def offsets(self) -> list[str]:
        """The second arguments, of which the hook sees nothing. Fails where there is none."""
        return [offset for _payload, offset in self.named("notification")]

    @property
    def seqs(self) -> list[int]:
        return [int(offset.split(".")[0]) for offset in self.offsets]

    async def until(self, condition: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise AssertionError(f"it did not happen within {timeout_s} s; seen: {self.seen}") from None

    async def refused(self) -> Any:
        """Waits for a CONNECT_ERROR of the server's, which ends it; gives its code."""
        await self.until(lambda: any(data for _, data in self.named("connect_error")))
        return next(data for _, data in self.named("connect_error") if data)["code"]

    async def connected(self, times: int = 1) -> Client:
        await self.until(lambda: len(self.named("connect")) >= times)
        return self

    async def notified(self, times: int = 1, timeout_s: float = WAIT_S) -> list[Any]:
        """Waits for so many notifications in all, and a moment for one too many."""
        await self.until(lambda: len(self.notifications) >= times, timeout_s)
        await asyncio.sleep(SETTLE_S)
        return self.notifications

    def close(self) -> None:
        self.nodes.tell(do="close", id=self.id)

    def drop(self) -> None:
        self.nodes.tell(do="drop", id=self.id)

    def emit(self, *args: Any) -> None:
        self.nodes.tell(do="emit", id=self.id, args=args)

    async def ask(self, *args: Any) -> Any:
        """Emits, and waits for the acknowledgement's one argument."""
        before = len(self.named("answer"))
        self.nodes.tell(do="ask", id=self.id, args=args)
        await self.until(lambda: len(self.named("answer")) > before)
        (answer,) = self.named("answer")[before]
        return answer


class NodeClients:
    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._clients: dict[int | None, Client] = {}
        self._ids = itertools.count(1)

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *node(),
            "driver.mjs",
            cwd=CLIENT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
        )
        self._clients[None] = ready = Client(0, self)
        self._reader = asyncio.create_task(self._read())
        await ready.until(lambda: bool(ready.named("ready")))

    async def stop(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        if self._reader is not None:
            await self._reader

    def open(
        self, url: str, auth: Any = None, *, version: str = "4.8", transports: list[str] | None = None,
        headers: dict[str, str] | None = None, **options: Any,
    ) -> Client:  # fmt: skip
        client = Client(next(self._ids), self)
        self._clients[client.id] = client
        if auth is not None:
            options["auth"] = auth
        if transports is not None:
            options["transports"] = transports
        if headers is not None:
            options["extraHeaders"] = headers
        self.tell(do="open", id=client.id, version=version, url=url, options=options)
        return client

    def tell(self, **command: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            client = self._clients[told["id"]]
            client.seen.append(Event(told["event"], told["args"]))
            client.changed.set()
