"""Thousands of Socket.IO clients."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass

from benchmarks.load.frames import CLOSE, PONG, masked, split
from benchmarks.load.poller import Poller, Stuck
from benchmarks.processes import CLIENT_URL, token

IN_FLIGHT = 64
_EVENT = b'42["notification"'
# what a browser sends but for permessage-deflate
_BROWSER = f"""\
Host: 127.0.0.1:%d
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36
Origin: {CLIENT_URL}
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9
Pragma: no-cache
Cache-Control: no-cache
"""
_UPGRADE = """\
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==

"""

Steps = Generator[socket.socket, bytes, socket.socket]


@dataclass(frozen=True)
class Session:
    """What a client comes back with: the `pid` of its CONNECT, and the offset of the last event."""

    pid: str | None
    offset: str | None


class _Client:
    __slots__ = ("events", "last", "opening", "others", "pid", "rest", "socket", "user")

    def __init__(self, user: int) -> None:
        self.user = user
        self.events = 0
        self.rest = b""
        self.last = b""
        self.pid: str | None = None
        self.socket: socket.socket | None = None
        self.others: list[socket.socket] = []
        self.opening: Steps | None = None


class Sockets:
    """`pings` counts altogether, `arrived` the events of all; `log`, where there is one, has (time.perf_counter, the
    event's packet)."""

    def __init__(self, poller: Poller, port: int) -> None:
        self._poller = poller
        self._address = ("127.0.0.1", port)
        self._browser = (_BROWSER % port).replace("\n", "\r\n")
        self._upgrade = _UPGRADE.replace("\n", "\r\n")
        self._clients: dict[int, _Client] = {}
        self._waiting: deque[tuple[_Client, Session | None]] = deque()
        self._opening = 0
        self._polling = False
        self._buffer = bytearray(262_144)
        self.arrived = 0
        self.pings = 0
        self.log: list[tuple[float, bytes]] | None = None

    def __len__(self) -> int:
        return len(self._clients)

    def events(self) -> set[int]:
        """How many a client has had, of all clients."""
        return {client.events for client in self._clients.values()}

    def sessions(self) -> dict[int, Session]:
        return {user: Session(client.pid, _offset(client.last)) for user, client in self._clients.items()}

    def open(
        self, users: Iterable[int], sessions: dict[int, Session] | None = None, *, polling: bool = False,
        timeout_s: float = 120,
    ) -> float:  # fmt: skip
        """One socket for each user, at first on long polling where that is said. Gives the seconds until the last
        CONNECT was answered, and where it polled at first, until it was on its WebSocket. Raises Stuck."""
        for user in users:
            client = self._clients[user] = _Client(user)
            self._waiting.append((client, (sessions or {}).get(user)))
        self._polling = polling
        for _ in range(IN_FLIGHT):
            self._next()
        return self._poller.until(lambda: not self._opening, timeout_s, f"{len(self)} sockets open")

    def receive(self, events: int, timeout_s: float = 120) -> int:
        """The monotonic nanosecond at which so many more had come, to about the poller's pause. Raises Stuck."""
        until = self.arrived + events
        self._poller.until(lambda: self.arrived >= until, timeout_s, f"{events} events")
        return time.monotonic_ns()

    def rest(self, seconds: float) -> None:
        """Answers pings."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.005)
            self._poller.look()

    def close(self) -> None:
        for client in self._clients.values():
            if client.socket is not None:
                self._poller.unregister(client.socket)
                with contextlib.suppress(OSError):
                    client.socket.send(CLOSE)
                client.socket.close()
            for other in client.others:
                other.close()
        self._clients.clear()

    # --- opening ------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        if not self._waiting:
            return
        client, session = self._waiting.popleft()
        self._opening += 1
        client.opening = (self._by_polling if self._polling else self._by_websocket)(client, session)
        self._listen(client, next(client.opening))

    def _listen(self, client: _Client, one: socket.socket) -> None:
        self._poller.register(one, lambda: self._go_on(client, one))

    def _go_on(self, client: _Client, one: socket.socket) -> None:
        received = one.recv(65536)
        if not received:
            raise Stuck(f"user {client.user}: closed while it opened")
        assert client.opening is not None
        try:
            wanted = client.opening.send(received)
        except StopIteration as opened:
            self._poller.unregister(one)
            self._opened(client, opened.value)
            return
        if wanted is not one:
            self._poller.unregister(one)
            self._listen(client, wanted)

    def _opened(self, client: _Client, websocket: socket.socket) -> None:
        client.opening = None
        client.socket = websocket
        for other in client.others:
            other.close()
        client.others.clear()
        self._opening -= 1
        self._poller.register(websocket, lambda: self._read(client, websocket))
        if client.rest:
            self._take(client, b"")
        self._next()

    def _connect(self) -> socket.socket:
        opened = socket.create_connection(self._address, timeout=10)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setblocking(False)
        return opened

    def _by_websocket(self, client: _Client, session: Session | None) -> Steps:
        websocket = self._connect()
        rest = yield from self._shake_hands(websocket, "transport=websocket")
        packets, rest = yield from _packets(websocket, rest, 1)
        _expect(packets[0].startswith(b"0{"), packets[0])
        websocket.send(masked(1, _connect_packet(client.user, session)))
        while not client.pid:
            packets, rest = yield from _packets(websocket, rest, 1)
            self._connected(client, packets)
        client.rest = rest
        return websocket

    def _by_polling(self, client: _Client, session: Session | None) -> Steps:
        """As the stock client does it: CONNECT by POST while it polls, and the probe at the same time."""
        polling, posting = self._connect(), self._connect()
        client.others = [polling, posting]
        polling.send(self._request("GET", "transport=polling"))
        opened = yield from _response(polling)
        query = f"transport=polling&sid={json.loads(opened[1:])['sid']}"
        polling.send(self._request("GET", query))
        posting.send(self._request("POST", query, _connect_packet(client.user, session)))
        _expect((answer := (yield from _response(posting))).lower() == b"ok", answer)
        websocket = self._connect()
        rest = yield from self._shake_hands(websocket, query.replace("polling", "websocket"))
        websocket.send(masked(1, b"2probe"))
        packets, rest = yield from _packets(websocket, rest, 1)
        _expect(packets == [b"3probe"], packets)
        while True:
            polled = (yield from _response(polling)).split(b"\x1e")
            self._connected(client, polled)
            if client.pid and b"6" in polled:
                break
            polling.send(self._request("GET", query))
        websocket.send(masked(1, b"5"))
        client.rest = rest
        return websocket

    def _connected(self, client: _Client, packets: Iterable[bytes]) -> None:
        for packet in packets:
            if packet.startswith(b"40{"):
                answer = json.loads(packet[2:])
                client.pid = answer.get("pid", "none")
            else:
                _expect(not packet.startswith(b"44"), packet)
                self._packet(client, packet)

    def _shake_hands(self, websocket: socket.socket, query: str) -> Generator[socket.socket, bytes, bytes]:
        path = f"GET /socket.io/?EIO=4&{query} HTTP/1.1\r\n"
        websocket.send(f"{path}{self._browser}{self._upgrade}".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += yield websocket
        head, _, rest = data.partition(b"\r\n\r\n")
        _expect(b" 101 " in head[:16], data)
        return rest

    def _request(self, method: str, query: str, body: bytes = b"") -> bytes:
        head = f"{method} /socket.io/?EIO=4&{query} HTTP/1.1\r\n{self._browser}Accept: */*\r\n"
        if method == "POST":
            head += f"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len(body)}\r\n"
        return f"{head}\r\n".encode() + body

    # --- open ---------------------------------------------------------------------------------------------------

    def _read(self, client: _Client, websocket: socket.socket) -> None:
        buffer = self._buffer
        size = websocket.recv_into(buffer)
        if (
            not client.rest and size > 4 and buffer[1] == 126 and (buffer[2] << 8 | buffer[3]) == size - 4
            and buffer[4:21] == _EVENT
        ):  # fmt: skip
            self._event(client, bytes(buffer[4:size]))
            return
        if not size:
            raise Stuck("the server closed a socket")
        self._take(client, bytes(buffer[:size]))

    def _take(self, client: _Client, data: bytes) -> None:
        packets, client.rest = split(client.rest + data)
        for packet in packets:
            self._packet(client, packet)

    def _packet(self, client: _Client, packet: bytes) -> None:
        if packet.startswith(_EVENT):
            self._event(client, packet)
        elif packet == b"2" and client.socket is not None:
            self.pings += 1
            client.socket.send(PONG)

    def _event(self, client: _Client, packet: bytes) -> None:
        client.events += 1
        client.last = packet
        self.arrived += 1
        if self.log is not None:
            self.log.append((time.perf_counter(), packet))


def _connect_packet(user: int, session: Session | None) -> bytes:
    auth = {"token": token(user)}
    if session is not None:
        auth |= {name: value for name, value in (("pid", session.pid), ("offset", session.offset)) if value}
    return b"40" + json.dumps(auth, separators=(",", ":")).encode()


def _offset(packet: bytes) -> str | None:
    last = json.loads(packet[2:])[-1] if packet else None
    return last if isinstance(last, str) else None


def _packets(
    one: socket.socket, rest: bytes, at_least: int
) -> Generator[socket.socket, bytes, tuple[list[bytes], bytes]]:
    packets, rest = split(rest)
    while len(packets) < at_least:
        more, rest = split(rest + (yield one))
        packets += more
    return packets, rest


def _response(one: socket.socket) -> Generator[socket.socket, bytes, bytes]:
    """The body of an answer of 200."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += yield one
    head, _, body = data.partition(b"\r\n\r\n")
    _expect(b" 200 " in head[:16], data)
    size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < size:
        body += yield one
    return body


def _expect(fulfilled: bool, found: object) -> None:
    if not fulfilled:
        raise Stuck(f"not expected: {found!r}"[:300])
