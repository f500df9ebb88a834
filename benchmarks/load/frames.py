"""WebSocket frames, as much of them as a load needs."""

from __future__ import annotations

from benchmarks.load.poller import Stuck

_MASK = b"\x1f\x3a\xc5\x72"


def masked(opcode: int, payload: bytes) -> bytes:
    """A final frame as a client sends it, of up to 65,535 bytes."""
    size = len(payload)
    mask = int.from_bytes((_MASK * (size // 4 + 1))[:size], "big")
    veiled = (int.from_bytes(payload, "big") ^ mask).to_bytes(size, "big")
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2, "big")
    return bytes([0x80 | opcode]) + length + _MASK + veiled


PONG = masked(1, b"3")
CLOSE = masked(8, b"\x03\xe8")


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The payloads of whole text frames, and what is left. Raises Stuck where the server closes."""
    payloads = []
    at = 0
    while len(data) - at >= 4 or (len(data) - at >= 2 and data[at + 1] < 126):
        if data[at] != 0x81:
            raise Stuck(f"not a text frame: {data[at : at + 40]!r}")
        body = at + 2
        size = data[at + 1]
        if size == 126:
            body = at + 4
            size = data[at + 2] << 8 | data[at + 3]
        if body + size > len(data):
            break
        at = body + size
        payloads.append(data[body:at])
    return payloads, data[at:]
