"""Plays scenarios, over plain sockets."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Callable
from typing import cast

from tests.transport.hostile.actions import Action, Drop, Http, Pause, Scenario, Send, Upgrade
from tests.transport.raw import TEXT, frame

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_SID = re.compile(rb'0\{"sid":"([^"]+)"')
_ANSWER_S = 0.3
_SILENCE_S = 0.4
_OPEN_POLLING = Http("GET", "EIO=4&transport=polling", framing="none")
_OPEN_WEBSOCKET = Upgrade("EIO=4&transport=websocket")


class Wire(asyncio.Protocol):
    """One connection, and all that has come on it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = False
        self._news = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._news.set()

    def eof_received(self) -> bool:
        self.ended = True
        self._news.set()
        return False

    def connection_lost(self, _error: BaseException | None) -> None:
        self.eof_received()

    async def until(self, condition: Callable[[bytearray], object], timeout_s: float = _ANSWER_S) -> bool:
        """False where the connection or the time ends before."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not condition(self.received) and not self.ended:
                    self._news.clear()
                    await self._news.wait()
        return bool(condition(self.received))

    async def write(self, segments: list[bytes]) -> None:
        for n, segment in enumerate(segments):
            if n:
                await asyncio.sleep(0)
            if self._transport is not None and not self._transport.is_closing():
                with contextlib.suppress(RuntimeError):  # half closed
                    self._transport.write(segment)

    def drop(self, how: str) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if how == "rst":
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        elif how == "half":
            with contextlib.suppress(OSError, RuntimeError):
                transport.write_eof()
        else:
            transport.close()

    @property
    def statuses(self) -> list[int]:
        return [int(found) for found in _STATUS.findall(self.received)]


class Client:
    def __init__(self, port: int) -> None:
        self._port = port
        self._wires: list[Wire] = []
        self._websocket: Wire | None = None
        self._sid = "unknown"

    async def play(self, scenario: Scenario) -> list[int]:
        """The statuses of all answers."""
        try:
            if scenario.begins == "polling":
                await self._act(_OPEN_POLLING)
            elif scenario.begins == "websocket":
                await self._act(_OPEN_WEBSOCKET)
            for action in scenario.actions:
                await self._act(action)
                await asyncio.sleep(0.001)
            await self._end(scenario.ends)
        finally:
            for wire in self._wires:
                wire.drop("rst")
        return [status for wire in self._wires for status in wire.statuses]

    async def _act(self, action: Action) -> None:
        match action:
            case Http():
                wire = await self._open(action.segments(self._sid))
                if action.wait:
                    await wire.until(_STATUS.search)
                    if self._sid == "unknown" and await wire.until(
                        _SID.search, _ANSWER_S if "EIO=4" in action.query else 0
                    ):
                        self._sid = _SID.findall(wire.received)[0].decode()
            case Upgrade():
                request = Http("GET", action.query, action.headers, framing="none").segments(self._sid)
                self._websocket = await self._open([request[0] + b"".join(frame.encode() for frame in action.early)])
                await self._websocket.until(_STATUS.search)
            case Send():
                if self._websocket is not None:
                    await self._websocket.write(action.segments())
            case Drop():
                if self._websocket is not None:
                    self._websocket.drop(action.how)
            case Pause():
                await asyncio.sleep(action.ms / 1000)

    async def _open(self, segments: list[bytes]) -> Wire:
        loop = asyncio.get_running_loop()
        wire = Wire()
        self._wires.append(wire)
        with contextlib.suppress(ConnectionError):
            await loop.create_connection(lambda: wire, "127.0.0.1", self._port)
        await wire.write(segments)
        return wire

    async def _end(self, how: str) -> None:
        match how:
            case "silence":
                await asyncio.sleep(_SILENCE_S)
            case "close" if self._websocket is not None:
                await self._websocket.write([frame(TEXT, b"1")])
                await self._websocket.until(lambda _received: False)
            case "close":
                await self._act(Http("POST", "EIO=4&transport=polling&sid={sid}", body=b"1"))
            case _:
                for wire in self._wires:
                    wire.drop(how)
                if how == "half":
                    await asyncio.gather(*(wire.until(lambda _received: False) for wire in self._wires))
