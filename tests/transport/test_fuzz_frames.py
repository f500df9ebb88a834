"""Our WebSocket and wsproto's, given the same bytes in the same pieces, read the same and close with the same code."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from notify_server.transport.engine import Engine
from notify_server.transport.websocket import WebSocket
from tests.transport.hostile.actions import Frame
from tests.transport.hostile.frames import MAX_BYTES, control, frames, frames_of
from tests.transport.hostile.packets import Packet, packets
from tests.transport.hostile.settings import hostile_settings
from tests.transport.raw import CLOSE, PONG

CASES = 500
PROTOCOL, NOT_UTF_8, TOO_BIG = 1002, 1007, 1009


@dataclass
class Read:
    """Messages, pings and the peer's close frame in their order, and the code of a verdict; None where all is well."""

    items: list[tuple[str, Any]] = field(default_factory=list)
    verdict: int | None = None
    why: str = ""

    @property
    def messages(self) -> list[Any]:
        return [value for kind, value in self.items if kind == "message"]


@dataclass(frozen=True)
class Stream:
    frames: tuple[Frame, ...]
    pieces: tuple[int, ...]

    def segments(self) -> list[bytes]:
        """Repeats the sizes of `pieces` as often as needed."""
        data, at = b"".join(frame.encode() for frame in self.frames), 0
        found: list[bytes] = []
        while at < len(data):
            size = self.pieces[len(found) % len(self.pieces)]
            found.append(data[at : at + size])
            at += size
        return found

    @property
    def lies(self) -> bool:
        """About a length, so that it may end within a frame."""
        return any(frame.claims is not None for frame in self.frames)


def stream(r: Random) -> Stream:
    messages: list[Packet] = [message for message in packets(r) if len(message) < 5000]
    found = list(frames(r, messages, r.choice((0, 0, 8, 3))))
    for _ in range(r.randrange(3)):
        found.insert(r.randrange(len(found) + 1), control(r))
    if r.randrange(4) == 3:
        found += frames_of(r, "€" * 2000) + frames_of(r, b"\xff" * r.choice((MAX_BYTES, 65535, 65536, 70_000)))
    whole = (1 << 20,), (1000, 2), (1, 4096)
    small = sum(len(frame.payload) for frame in found) < 1000
    return Stream(tuple(found), r.choice((*whole, (1,), (1, 7, 1, 200), (3,)) if small else whole))


def ours(stream: Stream) -> Read:
    """Must run in a loop. What the WebSocket writes and tells its session is all that counts."""
    read = Read()
    websocket = WebSocket(Engine(max_http_buffer_size=MAX_BYTES), cast(Any, Told(read)))
    websocket.connection_made(cast(asyncio.Transport, Written(read)))
    for segment in stream.segments():
        websocket.data_received(segment)
    websocket.connection_lost(None)
    return read


@dataclass
class Told:
    """In the session's place."""

    read: Read
    transport: Any = None

    def receive(self, _websocket: WebSocket, data: str | bytes) -> None:
        self.read.items.append(("message", data))

    def lost(self, _websocket: WebSocket) -> None:
        pass


@dataclass
class Written:
    """In the place of asyncio's transport."""

    read: Read

    def write(self, data: bytes) -> None:
        opcode, payload = data[0] & 0xF, data[2:]
        if opcode == PONG:
            self.read.items.append(("ping", payload))
            return
        assert opcode == CLOSE
        code = struct.unpack(">H", payload)[0] if payload else None
        if code in (PROTOCOL, NOT_UTF_8, TOO_BIG):
            self.read.verdict = code
        else:
            self.read.items.append(("close", code))

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def set_write_buffer_limits(self, _high: int, _low: int) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def write_eof(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        pass


def of_wsproto(stream: Stream) -> Read:
    read, protocol, parts = Read(), FrameProtocol(client=False, extensions=[]), []
    try:
        for segment in stream.segments():
            protocol.receive_bytes(segment)
            for frame in protocol.received_frames():
                match frame.opcode:
                    case Opcode.PING:
                        read.items.append(("ping", bytes(cast(bytes, frame.payload))))
                    case Opcode.CLOSE:
                        code = cast(tuple[int, str], frame.payload)[0]
                        read.items.append(("close", None if code == 1005 else int(code)))
                        return read
                    case Opcode.TEXT | Opcode.BINARY:
                        parts.append(frame.payload)
                        if frame.message_finished:
                            empty: Any = "" if frame.opcode is Opcode.TEXT else b""
                            read.items.append(("message", empty.join(parts)))
                            parts.clear()
    except ParseFailed as error:
        read.verdict, read.why = int(error.code), str(error)
    return read


def compare(stream: Stream) -> None:
    """They differ on purpose, or without harm, in four things:

    * We refuse a message over the limit, by its header; wsproto knows no limit.
    * wsproto refuses a length in a longer form than it needs. We take it, as `ws` on Node does.
    * wsproto says what is wrong at the first byte that cannot be right; we, once the frame is whole, and of UTF-8, once
      the message is. If another thing is wrong before, that is what we close with. No message is delivered meanwhile.
    * Close code 1014 is registered, and wsproto does not know it.
    """
    mine, theirs = ours(stream), of_wsproto(stream)
    shared = min(len(mine.items), len(theirs.items))
    assert mine.items[:shared] == theirs.items[:shared]
    assert mine.verdict in (None, PROTOCOL, NOT_UTF_8, TOO_BIG)
    assert all(size(message) <= MAX_BYTES for message in mine.messages)
    if theirs.why.startswith("Payload length used"):
        return
    if theirs.why == "CLOSE with unknown reserved code":
        assert mine.verdict is not None or mine.items[-1] == ("close", 1014)
        return
    if mine.verdict == TOO_BIG:
        assert all(size(message) > MAX_BYTES for message in theirs.messages[len(mine.messages) :][:1])
        return
    assert mine.messages == theirs.messages
    if theirs.verdict == NOT_UTF_8 or (theirs.verdict is not None and stream.lies):
        return
    assert (mine.items, mine.verdict) == (theirs.items, theirs.verdict)


def size(message: str | bytes) -> int:
    return len(message.encode() if isinstance(message, str) else message)


@pytest.mark.timeout(1800)
def test_wsproto_reads_the_same(pytestconfig: pytest.Config) -> None:
    @settings(hostile_settings(), max_examples=pytestconfig.getoption("--fuzz-cases") or CASES)
    @given(st.randoms(use_true_random=False).map(stream))
    def reads_the_same(case: Stream) -> None:
        with asyncio.Runner() as runner:
            runner.run(_compare(case))

    reads_the_same()


async def _compare(case: Stream) -> None:
    compare(case)
