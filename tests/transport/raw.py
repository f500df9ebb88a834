"""Clients that can send what no library would, and see all that comes back."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import ClientSession
from wsproto.frame_protocol import FrameProtocol, Opcode

WAIT_S = 5
SEPARATOR = "\x1e"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_DATA = {Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY}


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, reserved: int = 0,
    length: int | None = None,
) -> bytes:  # fmt: skip
    """Any frame, also one that breaks the protocol; `length` is what its header claims."""
    claimed = len(payload) if length is None else length
    head = bytes([fin << 7 | reserved << 4 | opcode])
    mask_bit = masked << 7
    if claimed < 126:
        head += bytes([mask_bit | claimed])
    elif claimed < 2**16:
        head += bytes([mask_bit | 126]) + struct.pack(">H", claimed)
    else:
        head += bytes([mask_bit | 127]) + struct.pack(">Q", claimed)
    if not masked:
        return head + payload
    key = os.urandom(4)
    repeated = (key * (len(payload) // 4 + 1))[: len(payload)]
    return head + key + (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(len(payload))


def text(message: str) -> bytes:
    return frame(TEXT, message.encode())


@dataclass(frozen=True)
class Received:
    """A whole message, or a control frame. The payload of CLOSE is its code."""

    opcode: int
    payload: Any


@dataclass
class HttpHead:
    status: int
    headers: dict[str, str]


async def read_head(reader: asyncio.StreamReader) -> HttpHead:
    async with asyncio.timeout(WAIT_S):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.split(":", 1) for line in lines[1:] if line)
    return HttpHead(int(lines[0].split(" ")[1]), {name.lower(): value.strip() for name, value in pairs})


@dataclass
class RawWebSocket:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: HttpHead
    handshake: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._protocol = FrameProtocol(client=True, extensions=[])
        self._received: deque[Received] = deque()
        self._parts: list[str | bytes] = []

    async def send(self, *messages: str | bytes) -> None:
        """All in one segment."""
        await self.write(b"".join(bytes(self._protocol.send_data(message)) for message in messages))

    async def write(self, *segments: bytes, pause_s: float = 0) -> None:
        for segment in segments:
            self.writer.write(segment)
            await self.writer.drain()
            await asyncio.sleep(pause_s)

    async def next(self, timeout_s: float = WAIT_S) -> Received | None:
        """None at the end of the connection."""
        async with asyncio.timeout(timeout_s):
            while not self._received:
                try:
                    data = await self.reader.read(2**16)
                except ConnectionError:
                    data = b""
                if not data:
                    self.writer.close()
                    return None
                self._parse(data)
        return self._received.popleft()

    async def message(self, timeout_s: float = WAIT_S) -> str | bytes:
        """The next text or binary message; anything else is an error."""
        found = await self.next(timeout_s)
        assert found is not None, "the connection has ended"
        assert found.opcode in (TEXT, BINARY), found
        payload: str | bytes = found.payload
        return payload

    async def messages(self, count: int) -> list[str | bytes]:
        return [await self.message() for _ in range(count)]

    async def nothing(self, timeout_s: float) -> None:
        """Watches that nothing comes, not even the end."""
        try:
            found = await self.next(timeout_s)
        except TimeoutError:
            return
        raise AssertionError(f"received {found}")

    async def closed(self, timeout_s: float = WAIT_S) -> int | None:
        """Waits for the server to close, whatever comes before; answers its close frame. The code of that frame, or
        None where the connection ended without one."""
        while (found := await self.next(timeout_s)) is not None:
            if found.opcode == CLOSE:
                self.writer.write(frame(CLOSE, struct.pack(">H", 1000)))
                assert await self.next(timeout_s) is None
                return int(found.payload)
        return None

    async def closed_in_silence(self) -> int | None:
        """The same, and no message before."""
        found = await self.next()
        assert found is None or found.opcode == CLOSE, found
        if found is None:
            return None
        self._received.appendleft(found)
        return await self.closed()

    async def refused(self, message: str) -> None:
        """Waits for the words of a refusal. Node has sent its 101 already where the protocol version is wrong."""
        async with asyncio.timeout(WAIT_S):
            await self.reader.readuntil(message.encode())

    def abort(self) -> None:
        self.writer.transport.abort()

    def _parse(self, data: bytes) -> None:
        self._protocol.receive_bytes(data)
        for part in self._protocol.received_frames():
            if part.opcode not in _DATA:
                payload = part.payload[0] if part.opcode is Opcode.CLOSE else part.payload
                self._received.append(Received(int(part.opcode), payload))
                continue
            assert isinstance(part.payload, str | bytes | bytearray)
            self._parts.append(part.payload if isinstance(part.payload, str) else bytes(part.payload))
            if part.message_finished:
                empty: Any = "" if part.opcode is Opcode.TEXT else b""
                self._received.append(Received(int(part.opcode), empty.join(self._parts)))
                self._parts.clear()


async def open_raw(
    host: str, port: int, target: str, headers: dict[str, str] | None = None, early: bytes = b""
) -> RawWebSocket:
    """Asks for a WebSocket; `head.status` says whether there is one. `early` goes out in the same segment."""
    reader, writer = await asyncio.open_connection(host, port)
    lines = {
        "Host": f"{host}:{port}", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), **(headers or {}),
    }  # fmt: skip
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode() + early)
    return RawWebSocket(reader, writer, await read_head(reader))


async def open_post(url: str, headers: dict[str, str]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A POST whose body the caller writes."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    lines = {"Host": parts.netloc, "Content-Type": "text/plain;charset=UTF-8", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"POST {parts.path}?{parts.query} HTTP/1.1\r\n{head}\r\n".encode())
    return reader, writer


@dataclass
class Answer:
    status: int
    text: str

    @property
    def packets(self) -> list[str]:
        return self.text.split(SEPARATOR)

    @property
    def error(self) -> tuple[int, str]:
        """Of an answer that must be an Engine.IO error."""
        assert self.status == 400, self
        found = orjson.loads(self.text)
        assert set(found) == {"code", "message"}, found
        return found["code"], found["message"]


@dataclass
class PollingSession:
    http: ClientSession
    url: str
    handshake: dict[str, Any]

    @property
    def sid(self) -> str:
        sid: str = self.handshake["sid"]
        return sid

    async def poll(self) -> Answer:
        return await ask(self.http, "GET", self.url)

    async def post(self, body: Any, content_type: str = "text/plain;charset=UTF-8") -> Answer:
        return await ask(self.http, "POST", self.url, data=body, headers={"Content-Type": content_type})

    async def send(self, *packets: str) -> None:
        answer = await self.post(SEPARATOR.join(packets))
        assert answer.status == 200, answer

    async def receive(self, count: int) -> list[str]:
        """So many packets, out of as many polls as it takes; without pings and noops."""
        return [packet async for packet in self._packets(count)]

    async def _packets(self, count: int) -> AsyncIterator[str]:
        while count:
            answer = await self.poll()
            assert answer.status == 200, answer
            for packet in answer.packets:
                if packet not in ("2", "6"):
                    count -= 1
                    yield packet


async def ask(http: ClientSession, method: str, url: str, **options: Any) -> Answer:
    async with asyncio.timeout(WAIT_S), http.request(method, url, **options) as response:
        return Answer(response.status, await response.text())
