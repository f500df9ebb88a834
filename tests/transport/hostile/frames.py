"""WebSocket frames, good and otherwise."""

from __future__ import annotations

import dataclasses
import struct
from random import Random

from tests.transport.hostile.actions import Frame, Send
from tests.transport.hostile.packets import Packet
from tests.transport.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

MAX_BYTES = 20_000  # of a message: the server's limit
_LENGTHS = (0, 1, 125, 126, 127, 65535, 65536, MAX_BYTES + 1, 2**31, 2**32, 2**62, 2**63, 2**64 - 1)
_CODES = (1000, 1001, 3000, 4999, 0, 999, 1004, 1005, 1006, 1014, 1015, 1016, 2999, 5000, 65535)
_BAD_UTF8 = (b"\xff", b"\xe2\x82", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80")


def control(r: Random) -> Frame:
    opcode = r.choice((PING, PONG, PING, PONG, CLOSE))
    if opcode == CLOSE:
        return Frame(
            CLOSE, r.choice((b"", struct.pack(">H", r.choice(_CODES)) + r.choice((b"", b"bye", b"\xff")), b"x"))
        )
    return Frame(opcode, b"x" * r.choice((0, 1, 125, 4, 126)))


def spoilt(r: Random, frame: Frame) -> Frame:
    """With one thing changed, which may or may not break the protocol."""
    match r.randrange(8):
        case 0:
            return dataclasses.replace(frame, form=r.choice((2, 8)))
        case 1:
            return dataclasses.replace(frame, opcode=r.randrange(16))
        case 2:
            return dataclasses.replace(frame, fin=not frame.fin)
        case 3:
            return dataclasses.replace(frame, reserved=r.randrange(1, 8))
        case 4:
            return dataclasses.replace(frame, masked=False)
        case 5:
            return dataclasses.replace(frame, claims=r.choice((*_LENGTHS, len(frame.payload) + 1)))
        case 6:
            at = r.randrange(len(frame.payload) + 1)
            return dataclasses.replace(frame, payload=frame.payload[:at] + r.choice(_BAD_UTF8) + frame.payload[at:])
        case _:
            return dataclasses.replace(frame, payload=bytes(MAX_BYTES + r.choice((0, 1))))


def frames_of(r: Random, message: Packet) -> list[Frame]:
    """One message, in fragments or whole, with control frames between."""
    opcode, payload = (TEXT, message.encode()) if isinstance(message, str) else (BINARY, message)
    cuts = sorted(r.randrange(len(payload) + 1) for _ in range(r.choice((0, 0, 0, 1, 3))))
    key = r.choice((b"key!", b"\0\0\0\0", b"\xff\x00\x80\x01"))
    found: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(payload)], strict=True):
        if found and not r.randrange(3):
            found.append(Frame(r.choice((PING, PONG)), b"x" * r.choice((0, 1, 125))))
        found.append(Frame(CONTINUATION if found else opcode, payload[start:end], fin=False, key=key))
    found[-1] = dataclasses.replace(found[-1], fin=True)
    return found


def frames(r: Random, messages: list[Packet], spoil: int) -> tuple[Frame, ...]:
    """One in `spoil` is not as it should be; 0 is none."""
    found: list[Frame] = []
    for n, message in enumerate(messages):
        if not n or message != messages[n - 1]:
            latest = frames_of(r, message)
        found += latest
    return tuple(spoilt(r, frame) if spoil and r.randrange(spoil) == spoil - 1 else frame for frame in found)


def cuts(r: Random) -> tuple[int, ...]:
    match r.randrange(4):
        case 3:
            return tuple(range(1, 60))
        case 2:
            return tuple(r.randrange(1, 200) for _ in range(r.randrange(4)))
        case _:
            return ()


def send(r: Random, messages: list[Packet], spoil: int = 100) -> Send:
    return Send(frames(r, messages, spoil), cuts(r), r.randrange(100) if r.randrange(12) == 11 else None)
