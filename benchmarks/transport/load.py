"""Thousands of Socket.IO clients in one thread: sockets, epoll, and just enough of WebSocket.

Frames are told apart by their length and nothing is decoded: an event is a text frame of more than 125 bytes, a ping
one of a single byte.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from itertools import cycle
from typing import Self

IN_FLIGHT = 64
# Between looks at what has come. Were the load asleep in epoll, the server's writes would have to wake it: up to a
# third of the server's time, which no client on another machine costs it.
PAUSE_S = 0.000_5
_MASK = b"\x1f\x3a\xc5\x72"


def masked(opcode: int, payload: bytes) -> bytes:
    """A final frame as a client sends it, of up to 125 bytes."""
    veiled = bytes(byte ^ key for byte, key in zip(payload, cycle(_MASK), strict=False))
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + _MASK + veiled


_PONG = masked(1, b"3")
_CLOSE = masked(8, b"\x03\xe8")
# what a browser sends but for permessage-deflate
_HANDSHAKE = """\
GET /socket.io/?EIO=4&transport=websocket HTTP/1.1
Host: 127.0.0.1:{port}
Connection: Upgrade
Pragma: no-cache
Cache-Control: no-cache
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36
Upgrade: websocket
Origin: http://localhost:3000
Sec-WebSocket-Version: 13
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==

"""


class Stuck(Exception):
    """The server did not send in time what it should have."""


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The payloads of whole frames, and what is left. Raises Stuck where the server closes."""
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


class Load:
    """`events` counts by file descriptor, `pings` altogether."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._handshake = _HANDSHAKE.format(port=port).replace("\n", "\r\n").encode()
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._opening: dict[int, tuple[int, bytes]] = {}  # user, and what has come so far
        self._rest: dict[int, bytes] = {}
        self._buffer = bytearray(65536)
        self._usual = 0
        self.events: dict[int, int] = {}
        self.pings = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
        self._epoll.close()

    def open(self, count: int, timeout_s: float = 60) -> float:
        """Connects users 0 to count-1 and gives the seconds until the last CONNECT was answered."""
        begun = time.monotonic()
        user = 0
        while user < count or self._opening:
            while user < count and len(self._opening) < IN_FLIGHT:
                self._begin(user)
                user += 1
            for fd, _mask in self._poll(begun + timeout_s):
                if fd in self._opening:
                    self._go_on(fd)
                else:
                    self._read(fd)
        return time.monotonic() - begun

    def close(self) -> None:
        for each in self._sockets.values():
            each.setblocking(False)
            with contextlib.suppress(OSError):
                each.send(_CLOSE)
            each.close()
        for known in (self._sockets, self._opening, self._rest, self.events):
            known.clear()

    def receive(self, events: int, timeout_s: float = 60) -> int:
        """The monotonic nanosecond at which the last of so many had come, to about PAUSE_S. Raises Stuck."""
        deadline = time.monotonic() + timeout_s
        while events > 0:
            for fd, _mask in self._poll(deadline):
                events -= self._read(fd)
        return time.monotonic_ns()

    def answer_pings(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(PAUSE_S * 10)
            for fd, _mask in self._epoll.poll(0):
                self._read(fd)

    def _poll(self, deadline: float) -> list[tuple[int, int]]:
        if time.monotonic() > deadline:
            raise Stuck(f"{len(self._opening)} opening, {sum(self.events.values())} events")
        time.sleep(PAUSE_S)
        return self._epoll.poll(1, 1024)

    def _begin(self, user: int) -> None:
        opened = socket.create_connection(self._address, timeout=10)
        opened.setblocking(False)
        opened.send(self._handshake)
        fd = opened.fileno()
        self._sockets[fd] = opened
        self._opening[fd] = (user, b"")
        self._epoll.register(fd, select.EPOLLIN)

    def _go_on(self, fd: int) -> None:
        connection = self._sockets[fd]
        user, before = self._opening[fd]
        received = connection.recv(65536)
        data = before + received
        if not received:
            raise Stuck(f"closed while it opened: {data!r}")
        if data.startswith(b"HTTP/1.1 "):
            head, end, frames = data.partition(b"\r\n\r\n")
            if end and b" 101 " not in head[:16]:
                raise Stuck(head.decode(errors="replace"))
            data = frames if end else data
        if not data.startswith(b"HTTP/1.1 "):
            packets, data = split(data)
            for packet in packets:
                if packet.startswith(b"0{"):
                    connection.send(masked(1, b'40{"userId":"%d"}' % user))
                elif packet.startswith(b"40{"):
                    del self._opening[fd]
                    self.events[fd] = 0
                    return
                else:
                    raise Stuck(repr(packet))
        self._opening[fd] = (user, data)

    def _read(self, fd: int) -> int:
        """How many events there were."""
        size = self._sockets[fd].recv_into(self._buffer)
        if size == self._usual and self._buffer[1] == 126 and fd not in self._rest:
            self.events[fd] += 1
            return 1
        if not size:
            raise Stuck("the server closed a socket")
        packets, rest = split(self._rest.pop(fd, b"") + self._buffer[:size])
        if rest:
            self._rest[fd] = rest
        events = 0
        for packet in packets:
            if len(packet) > 125:
                events += 1
                self._usual = 4 + len(packet)
            elif packet == b"2":
                self.pings += 1
                self._sockets[fd].send(_PONG)
        self.events[fd] += events
        return events
