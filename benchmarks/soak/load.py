"""Clients of every kind, one life after the other in each of so many places, until they are told to stop."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
from collections.abc import Awaitable, Callable
from random import Random

from aiohttp import ClientSession

from tests.transport.hostile.actions import Drop, Http, Scenario, Send, Upgrade
from tests.transport.hostile.client import Client
from tests.transport.hostile.frames import frames_of
from tests.transport.hostile.scenarios import POLL, scenario
from tests.transport.raw import RawWebSocket
from tests.transport.servers import Peer

EVENT = '421["echo",{"text":"€"},[1,2,3]]'
_LONG_S = 10  # a life that takes longer hangs


class Load:
    """`lives` counts what was lived; `broken` says where a good client was not served."""

    def __init__(self, port: int, http: ClientSession, seed: int, places: int) -> None:
        self.lives: collections.Counter[str] = collections.Counter()
        self.broken: list[str] = []
        self._peer = Peer(port, http)
        self._random = Random(seed)
        self._places = places
        self._kinds: list[tuple[int, Callable[[Random], Awaitable[None]]]] = [
            (4, self.websocket), (3, self.polling), (4, self.upgrade), (3, self.dying_upgrade), (6, self.junk),
            (3, self.slow_reader), (3, self.reset), (1, self.half_open), (2, self.parallel_polls),
            (2, self.aborted_poll), (2, self.idle),
        ]  # fmt: skip

    async def run(self, seconds: float) -> None:
        """All clients have gone afterwards."""
        until = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(self._place(Random(self._random.getrandbits(64)), until) for _ in range(self._places)))

    async def _place(self, r: Random, until: float) -> None:
        loop = asyncio.get_running_loop()
        lives, weights = [life for _, life in self._kinds], [weight for weight, _ in self._kinds]
        await asyncio.sleep(r.random())
        while loop.time() < until:
            (life,) = r.choices(lives, weights)
            name = getattr(life, "__name__", "")
            self.lives[name] += 1
            try:
                async with asyncio.timeout(_LONG_S):
                    await life(r)
            except (AssertionError, TimeoutError, OSError, ValueError) as error:
                self.broken.append(f"{name}: {error!r}"[:300])
            await asyncio.sleep(r.uniform(0.05, 0.5))

    # --- good ones --------------------------------------------------------------------------------------------------

    async def websocket(self, r: Random) -> None:
        ws = await self._joined('42["join","text","binary"]')
        await self._echo(ws, r)
        ws.abort() if r.randrange(2) else ws.writer.close()

    async def polling(self, r: Random) -> None:
        session = await self._peer.polling("/socket.io/")
        await session.send("40", EVENT, '42["join","text"]')
        got: list[str] = []
        while not any(packet.startswith("431") for packet in got):
            got += (await session.poll()).packets
            if "2" in got:
                got.remove("2")
                await session.send("3")
        if r.randrange(2):
            await session.send("1")

    async def upgrade(self, r: Random) -> None:
        session = await self._peer.polling("/socket.io/")
        await session.send("40")
        await session.poll()
        ws = await self._peer.websocket("/socket.io/", sid=session.sid)
        self._peer._opened.clear()
        await ws.send("2probe")
        assert await ws.message() == "3probe"
        await ws.send("5", '42["join","binary"]')
        await self._echo(ws, r)
        ws.abort()

    async def _echo(self, ws: RawWebSocket, r: Random) -> None:
        """Events with acks both ways, and what the rooms emit beside them, for a while."""
        for _ in range(r.randrange(1, 10)):
            await ws.send(EVENT, '42["ask"]')
            answered = False
            while not answered:
                found = await ws.message()
                if found == "2":
                    await ws.send("3")
                elif isinstance(found, str) and found.endswith('["asked","well?"]'):
                    await ws.send(f"43{found[2:].partition('[')[0]}[1]")
                answered = isinstance(found, str) and found.startswith("431[")
            await asyncio.sleep(r.uniform(0, 0.2))

    async def _joined(self, *packets: str) -> RawWebSocket:
        ws = await self._peer.websocket("/socket.io/")
        self._peer._opened.clear()
        await ws.send("40", *packets)
        return ws

    # --- others -----------------------------------------------------------------------------------------------------

    async def junk(self, r: Random) -> None:
        statuses = await Client(self._peer.port).play(scenario(r))
        assert max(statuses, default=0) < 500, statuses

    async def dying_upgrade(self, r: Random) -> None:
        """At each stage."""
        probe, seal = Send(tuple(frames_of(r, "2probe"))), Send(tuple(frames_of(r, "5")))
        poll = Http("GET", POLL, framing="none", wait=False)
        stages = (Http("POST", POLL, body=b"40"), poll, Upgrade(), probe, poll, seal)
        end = Drop(r.choice(("rst", "fin", "half")))
        await Client(self._peer.port).play(Scenario("polling", (*stages[: r.randrange(2, 7)], end), "rst"))

    async def slow_reader(self, r: Random) -> None:
        """Takes nothing of what its room gets, while it answers pings or not, until the server cuts it."""
        ws = await self._joined('42["join","large","text"]')
        ws.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
        ws.writer.transport.pause_reading()  # type: ignore[attr-defined]
        answers = r.randrange(2)
        with contextlib.suppress(ConnectionError):
            for _ in range(r.randrange(4, 10)):
                await asyncio.sleep(0.25)
                if answers:
                    await ws.send("3")
        ws.abort()

    async def reset(self, r: Random) -> None:
        await Client(self._peer.port).play(
            Scenario(r.choice(("websocket", "polling")), tuple(self._connect(r)), "rst")
        )  # fmt: skip

    async def half_open(self, r: Random) -> None:
        """Goes silent without a word, until the server gives it up; or ends its own side alone."""
        begins = r.choice(("websocket", "polling"))
        await Client(self._peer.port).play(Scenario(begins, tuple(self._connect(r)), r.choice(("half", "silence"))))

    async def parallel_polls(self, r: Random) -> None:
        poll = Http("GET", POLL, framing="none", wait=False)
        actions = (*self._connect(r), *[poll] * r.randrange(2, 5), Http("POST", POLL, body=b"3", wait=False))
        await Client(self._peer.port).play(Scenario("polling", actions, "fin"))

    async def aborted_poll(self, r: Random) -> None:
        poll = Http("GET", POLL, framing="none", wait=False)
        await Client(self._peer.port).play(Scenario("polling", (*self._connect(r), poll), r.choice(("rst", "fin"))))

    async def idle(self, r: Random) -> None:
        """Handshakes and says nothing, which the server ends."""
        ws = await self._peer.websocket("/socket.io/")
        self._peer._opened.clear()
        await ws.closed()

    def _connect(self, r: Random) -> list[Send | Http]:
        """For either transport: what is not for it is left out, or refused."""
        return [Send(tuple(frames_of(r, "40"))), Http("POST", POLL, body=b"40\x1e" + EVENT.encode())]
