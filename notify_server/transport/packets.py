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
_DEFLATE_TAIL = b"\x00\x00\xff\xff"


class Encoded:
    """One packet, encoded once however many sockets it goes to. `payload` is UTF-8 with the packet's type in front, or
    a binary message."""

    __slots__ = ("_deflated", "_frame", "_is_text", "_payload")

    def __init__(self, payload: bytes, *, is_text: bool = True) -> None:
        self._payload = payload
        self._is_text = is_text
        self._frame: bytes | None = None
        self._deflated: bytes | None = None

    @property
    def frame(self) -> bytes:
        """A WebSocket frame (RFC 6455, section 5.2), unmasked as a server's are."""
        frame = self._frame
        if frame is None:
            frame = self._frame = _frame(_TEXT if self._is_text else _BINARY, self._payload)
        return frame

    @property
    def deflated_frame(self) -> bytes:
        """For a socket that takes permessage-deflate (RFC 7692), without context takeover, so that all can share it."""
        if self._deflated is None:
            if len(self._payload) < _DEFLATE_FROM_BYTES:
                self._deflated = self.frame
            else:
                deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
                packed = deflate.compress(self._payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
                first_byte = (_TEXT if self._is_text else _BINARY) | _COMPRESSED
                self._deflated = _frame(first_byte, packed.removesuffix(_DEFLATE_TAIL))
        return self._deflated

    @property
    def text(self) -> str:
        """As a part of a polling body."""
        return self._payload.decode() if self._is_text else BASE64 + base64.b64encode(self._payload).decode()


def encoded(data: str | bytes) -> Encoded:
    """`data` is text with the packet's type in front, or a binary message."""
    return Encoded(data.encode()) if isinstance(data, str) else Encoded(data, is_text=False)


def message(data: str | bytes) -> Encoded:
    return encoded(MESSAGE + data if isinstance(data, str) else data)


def decode_base64(text: str) -> bytes:
    """Padding may be missing, as other decoders allow. Raises ValueError."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def close_frame(code: int | None) -> bytes:
    return _frame(_CLOSE, b"" if code is None else struct.pack("!H", code))


def pong_frame(payload: bytes) -> bytes:
    return _frame(_PONG, payload)


def _frame(first_byte: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first_byte, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", first_byte, 126, size) + payload
    return struct.pack("!BBQ", first_byte, 127, size) + payload


PING_PACKET = encoded(PING)
NOOP_PACKET = encoded(NOOP)
CLOSE_PACKET = encoded(CLOSE)
PROBE = PING + "probe"
PROBE_ANSWER = encoded(PONG + "probe")
