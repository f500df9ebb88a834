"""A bad network: a TCP proxy whose connections can be slowed, stalled, cut and read from no more.

It stands between clients and server, and between server and PostgreSQL. What happens to one chunk on its way, in this
order: it waits while its direction is stalled, for the delay, and is then handed on whole, in pieces, or half and then
the connection is reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

_CHUNK_BYTES = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time, which makes a close a RST
_READY_FOR_QUERY = b"Z\x00\x00\x00\x05"  # the end of PostgreSQL's answer, sent behind the commit
_UPGRADE_STAGES = 5  # the request, 101, the probe, its answer, what comes then


@dataclass(eq=False)
class Link:
    """One connection of a client, and the one that goes on from here. `chunks` counts both directions."""

    client: asyncio.StreamWriter
    upstream: asyncio.StreamWriter | None = None
    asked: bytes = b""  # the first bytes of the client's latest chunk
    chunks: int = 0
    cut_at: int | None = None  # the chunk that is handed on by half
    swallowing: bool = False

    @property
    def polling(self) -> bool:
        """A long poll most likely hangs here."""
        return self.asked.startswith(b"GET ") and b"transport=polling" in self.asked

    def reset(self) -> None:
        for writer in (self.client, self.upstream):
            if writer is not None and not writer.transport.is_closing():
                with contextlib.suppress(OSError):
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()


def _open() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(eq=False)
class Proxy:
    """Listens on `port` of 127.0.0.1; every setting may be changed at any time, and `heal` takes all of them back."""

    upstream_port: int
    random: Random
    port: int = 0
    delay_s: float = 0
    splits: bool = False
    refuses: bool = False
    links: set[Link] = field(default_factory=set)
    cuts: int = 0  # connections that were cut in the middle of a chunk, or of an answer
    _up: asyncio.Event = field(default_factory=_open)  # cleared: what comes from clients stays where it is
    _down: asyncio.Event = field(default_factory=_open)
    _dropped: bytes | None = None
    _upgrades_cut: bool = False
    _server: asyncio.Server | None = None
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=_CHUNK_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.heal()
        self.reset()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    # --- what can be wrong ------------------------------------------------------------------------------------------

    def heal(self) -> None:
        self.delay_s, self.splits, self.refuses, self._dropped, self._upgrades_cut = 0, False, False, None, False
        self._up.set()
        self._down.set()

    def stall(self) -> None:
        """Half open: connections stay, nothing comes through; new ones are taken and told nothing."""
        self._up.clear()
        self._down.clear()

    def stop_reading(self) -> None:
        """Nothing is taken from upstream any more; what the client says goes on."""
        self._down.clear()

    def reset(self, which: Callable[[Link], bool] = lambda _link: True) -> int:
        """RST in both directions; gives how many."""
        chosen = [link for link in self.links if which(link)]
        for link in chosen:
            link.reset()
        return len(chosen)

    def truncate(self) -> None:
        """Of the next chunk on each connection only a half goes on, then RST."""
        for link in self.links:
            link.cut_at = link.cut_at or link.chunks + 1

    def drop_reply(self, to: bytes) -> None:
        """The next message to PostgreSQL that holds these bytes is carried out, and its answer swallowed."""
        self._dropped = to

    def cut_upgrades(self) -> None:
        """Each new WebSocket is cut at some stage of its upgrade."""
        self._upgrades_cut = True

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        link = Link(writer)
        self.links.add(link)
        try:
            if self.refuses:
                return
            await self._up.wait()
            upstream_reader, link.upstream = await asyncio.open_connection(
                "127.0.0.1", self.upstream_port, limit=_CHUNK_BYTES
            )
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(link, reader, link.upstream, self._up))
                both.create_task(self._pump(link, upstream_reader, link.client, self._down))
        except* OSError:
            pass
        finally:
            link.reset() if self.refuses else self._close(link)
            self.links.discard(link)
            self._serving.discard(task)

    @staticmethod
    def _close(link: Link) -> None:
        for writer in (link.client, link.upstream):
            if writer is not None:
                writer.close()

    async def _pump(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, open_: asyncio.Event
    ) -> None:
        """Ends the link when either side ends."""
        upwards = writer is link.upstream
        while True:
            await open_.wait()
            chunk = await reader.read(_CHUNK_BYTES)
            await open_.wait()
            if not chunk:
                raise ConnectionResetError
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            link.chunks += 1
            if upwards:
                self._look_at(link, chunk)
            elif link.swallowing:
                if _READY_FOR_QUERY in chunk:
                    self.cuts += 1
                    link.reset()
                continue
            if link.cut_at is not None and link.chunks >= link.cut_at:
                self.cuts += 1
                writer.write(chunk[: len(chunk) // 2])
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await writer.drain()
                link.reset()
                raise ConnectionResetError
            await self._hand_on(chunk, writer)

    def _look_at(self, link: Link, chunk: bytes) -> None:
        link.asked = chunk[:200]
        if self._dropped is not None and self._dropped in chunk:
            self._dropped, link.swallowing = None, True
        if self._upgrades_cut and link.chunks == 1 and b"upgrade: websocket" in chunk.lower():
            link.cut_at = self.random.randint(1, _UPGRADE_STAGES)

    async def _hand_on(self, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        if not self.splits:
            writer.write(chunk)
            await writer.drain()
            return
        # byte by byte where the headers are, larger pieces behind
        ends = [*range(1, min(100, len(chunk))), *range(100, len(chunk), 50), len(chunk)]
        for start, end in pairwise([0, *ends]):
            writer.write(chunk[start:end])
            await writer.drain()
            await asyncio.sleep(0)
