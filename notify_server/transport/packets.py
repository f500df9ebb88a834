"""Engine.IO packets as they go over the wire (engine.io-protocol, revision 4)."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib

SEPARATOR = "\x1e"  # between the packets of one polling body
OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = "0123456"
BASE64 = "b"  # a binary message where only text can pass

_TEXT, _BINARY, _CLOSE, _PONG = 0x81, 0x82, 0x88, 0x8A
_COMPRESSED = 0x40
_DEFLATE_FROM_BYTES = 1024
_MEDIUM, _LARGE = struct.Struct("!BBH"), struct.Struct("!BBQ")
_DEFLATE_TAIL = b"\x00\x00\xff\xff"


class Encoded:
    """One packet, encoded once however many sockets it goes to. `payload` is UTF-8 with the packet's type in front, or
    a binary message; `frame` is the WebSocket frame of it (RFC 6455, section 5.2), unmasked as a server's are."""

    __slots__ = ("_deflated", "_opcode", "_payload", "frame")

    def __init__(self, payload: bytes, opcode: int = _TEXT) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((opcode, size))
        elif size < 65536:
            head = _MEDIUM.pack(opcode, 126, size)
        else:
            head = _LARGE.pack(opcode, 127, size)
        self.frame = head + payload
        self._payload = payload
        self._opcode = opcode
        self._deflated: bytes | None = None

    @property
    def deflated_frame(self) -> bytes:
        """For a socket that takes permessage-deflate (RFC 7692), without context takeover, so that all can share it."""
        if self._deflated is None:
            if len(self._payload) < _DEFLATE_FROM_BYTES:
                self._deflated = self.frame
            else:
                deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
                packed = deflate.compress(self._payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
                self._deflated = Encoded(packed.removesuffix(_DEFLATE_TAIL), self._opcode | _COMPRESSED).frame
        return self._deflated

    @property
    def text(self) -> str:
        """As a part of a polling body."""
        if self._opcode == _TEXT:
            return self._payload.decode()
        return BASE64 + base64.b64encode(self._payload).decode()


def encoded(data: str | bytes) -> Encoded:
    """`data` is text with the packet's type in front, or a binary message."""
    return Encoded(data.encode()) if isinstance(data, str) else Encoded(data, _BINARY)


def message(data: str | bytes) -> Encoded:
    return encoded(MESSAGE + data if isinstance(data, str) else data)


def decode_base64(text: str) -> bytes:
    """Padding may be missing, as other decoders allow. Raises ValueError."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def close_frame(code: int | None) -> bytes:
    return Encoded(b"" if code is None else code.to_bytes(2, "big"), _CLOSE).frame


def pong(payload: bytes) -> Encoded:
    """The answer to a WebSocket's ping, which is not Engine.IO's."""
    return Encoded(payload, _PONG)


PING_PACKET = encoded(PING)
NOOP_PACKET = encoded(NOOP)
CLOSE_PACKET = encoded(CLOSE)
PROBE = PING + "probe"
PROBE_ANSWER = encoded(PONG + "probe")
