"""What a client may do, as plain data. `{sid}` in a query stands for the session's id."""

from __future__ import annotations

import dataclasses
import struct
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class _Plain:
    def __repr__(self) -> str:
        """Without what is as by default."""
        values = [(each.name, getattr(self, each.name), each.default) for each in dataclasses.fields(self)]
        shown = (f"{name}={value!r}" for name, value, default in values if value != default)
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, slots=True, repr=False)
class Frame(_Plain):
    """As `raw.frame`, and with a mask and a form of its length to choose: `form` is the size of the extended length."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    masked: bool = True
    reserved: int = 0
    claims: int | None = None
    form: int = 0
    key: bytes = b"key!"

    def encode(self) -> bytes:
        size = len(self.payload) if self.claims is None else self.claims
        form = max(self.form, 0 if size < 126 else 2 if size < 2**16 else 8)
        short, extended = {
            0: (size, b""), 2: (126, struct.pack(">H", size % 2**16)), 8: (127, struct.pack(">Q", size)),
        }[form]  # fmt: skip
        head = bytes([self.fin << 7 | self.reserved << 4 | self.opcode, self.masked << 7 | short]) + extended
        if not self.masked:
            return head + self.payload
        return head + self.key + bytes(byte ^ self.key[n % 4] for n, byte in enumerate(self.payload))


@dataclass(frozen=True, slots=True, repr=False)
class Send(_Plain):
    """Frames on the WebSocket, in segments that end at `cuts`, and no further than `keep` bytes."""

    frames: tuple[Frame, ...]
    cuts: tuple[int, ...] = ()
    keep: int | None = None

    def segments(self) -> list[bytes]:
        data = b"".join(frame.encode() for frame in self.frames)[: self.keep]
        ends = [*sorted(cut for cut in self.cuts if cut < len(data)), len(data)]
        return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@dataclass(frozen=True, slots=True, repr=False)
class Http(_Plain):
    """A request on a connection of its own. Unless `wait`, what follows does not wait for its answer."""

    method: str
    query: str
    headers: tuple[str, ...] = ()
    body: bytes = b""
    framing: str = "length"
    cut: int | None = None
    wait: bool = True

    def segments(self, sid: str) -> list[bytes]:
        lines = [f"{self.method} /socket.io/?{self.query.replace('{sid}', sid)} HTTP/1.1", "Host: localhost"]
        body, size = self.body, len(self.body)
        if self.framing == "chunked":
            body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:5], body[5:]) if part) + b"0\r\n\r\n"
        elif self.framing == "bad chunks":
            body = b"5\r\n" + body + b"zz\r\n"
        if "chunk" in self.framing:
            lines.append("Transfer-Encoding: chunked")
        elif self.framing != "none":
            lines.append(f"Content-Length: {size + {'short': 10, 'long': -3}.get(self.framing, 0)}")
        if self.method == "POST" and not any(header.startswith("Content-Type") for header in self.headers):
            lines.append("Content-Type: text/plain;charset=UTF-8")
        data = "\r\n".join([*lines, *self.headers, "", ""]).encode("latin-1") + body
        return [data] if self.cut is None else [data[: self.cut], data[self.cut :]]


@dataclass(frozen=True, slots=True, repr=False)
class Upgrade(_Plain):
    """A WebSocket for the session, which is what `Send` writes to from now on."""

    query: str = "EIO=4&transport=websocket&sid={sid}"
    headers: tuple[str, ...] = (
        "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    )  # fmt: skip
    early: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Drop(_Plain):
    """The WebSocket ends: rst, fin or half (a FIN of the client's alone)."""

    how: str


@dataclass(frozen=True, slots=True, repr=False)
class Pause(_Plain):
    ms: int


Action = Send | Http | Upgrade | Drop | Pause
ENDS = ("rst", "fin", "close", "half", "silence")


@dataclass(frozen=True, slots=True, repr=False)
class Scenario(_Plain):
    """`begins` with nothing, with polling, or as a WebSocket."""

    begins: str
    actions: tuple[Action, ...]
    ends: str
