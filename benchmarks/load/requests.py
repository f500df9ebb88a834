"""POST requests over connections that are kept: as many at a time as there are connections, or at given moments."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from benchmarks.load.poller import Poller, Stuck
from benchmarks.postgres import AUTHORS, COMMENTERS
from benchmarks.processes import CLIENT_URL, token

_HEAD = f"""\
POST /posts/%d/comments HTTP/1.1
Host: 127.0.0.1:%d
Connection: keep-alive
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36
Accept: application/json, text/plain, */*
Content-Type: application/json
Authorization: Bearer %s
Origin: {CLIENT_URL}
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9
Content-Length: %d

"""
_BODY = b'{"body":"It weaves algebraic patterns as the Jacquard loom weaves flowers and leaves."}'


@dataclass
class Answers:
    """`waited_s` of each answer, in a closed loop from the sending and in an open one from the moment at which it was
    to be sent; `late_s`, in an open one, by how much it was sent too late. `log` has (that moment, the answer)."""

    waited_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    log: list[tuple[float, bytes]] = field(default_factory=list)


class _Connection:
    __slots__ = ("begun", "data", "socket")

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.data = b""
        self.begun = 0.0


def requests(port: int, seed: int, authors: int = AUTHORS) -> Iterator[bytes]:
    """Without end: commenters and posts by chance, the same for the same seed."""
    random = Random(seed)
    heads: dict[int, tuple[str, str]] = {}
    template = _HEAD.replace("\n", "\r\n")
    while True:
        user = AUTHORS + 1 + random.randrange(COMMENTERS)
        if user not in heads:
            before, after = (template % (0, port, token(user), len(_BODY))).split("/0/", 1)
            heads[user] = before, after
        before, after = heads[user]
        yield f"{before}/{random.randrange(authors) + 1}/{after}".encode() + _BODY


class Posts:
    """Raises Stuck where an answer is not 200."""

    def __init__(self, poller: Poller, port: int, connections: int, posts: Iterator[bytes]) -> None:
        self._poller = poller
        self._posts = posts
        self._free: deque[_Connection] = deque()
        self._all = [_Connection(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(connections)]
        for one in self._all:
            one.socket.setblocking(False)
            one.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            poller.register(one.socket, self._reader(one))
            self._free.append(one)
        self.answers = Answers()
        self._again: Callable[[_Connection], None] = self._free.append
        self._log = False

    def close(self) -> None:
        for one in self._all:
            self._poller.unregister(one.socket)
            one.socket.close()

    def flat_out(self, seconds: float) -> tuple[Answers, float]:
        """Each connection sends as soon as it is answered. Gives the answers, and the seconds that they took."""
        until = time.perf_counter() + seconds

        def again(one: _Connection) -> None:
            if time.perf_counter() < until:
                self._send(one)
            else:
                self._free.append(one)

        return self._run(again)

    def so_many(self, number: int) -> tuple[Answers, float]:
        """Likewise, until all have been sent; each answer is logged."""
        left = number - len(self._all)

        def again(one: _Connection) -> None:
            nonlocal left
            if left > 0:
                left -= 1
                self._send(one)
            else:
                self._free.append(one)

        return self._run(again, log=True)

    def _run(self, again: Callable[[_Connection], None], *, log: bool = False) -> tuple[Answers, float]:
        self._begin(again, log)
        begun = time.perf_counter()
        while self._free:
            self._send(self._free.popleft())
        while len(self._free) < len(self._all):
            self._wait(begun)
        return self.answers, time.perf_counter() - begun

    def at(self, moments: Sequence[float]) -> Answers:
        """One request at each of the moments, given in seconds from now, whatever the server does; each is logged."""
        self._begin(self._free.append, True)
        begun = time.perf_counter()
        for moment in moments:
            due = begun + moment
            while (now := time.perf_counter()) < due:
                self._poller.wait(due - now)
            while not self._free:
                self._wait(begun)
            self.answers.late_s.append(time.perf_counter() - due)
            self._send(self._free.popleft(), due)
        while len(self._free) < len(self._all):
            self._wait(begun)
        return self.answers

    def _begin(self, again: Callable[[_Connection], None], log: bool) -> None:
        self.answers = Answers()
        self._again, self._log = again, log

    def _wait(self, begun: float) -> None:
        self._poller.wait(1)
        if time.perf_counter() > begun + 120:
            raise Stuck(f"{len(self._all) - len(self._free)} requests were not answered")

    def _send(self, one: _Connection, begun: float | None = None) -> None:
        request = next(self._posts)
        one.begun = time.perf_counter() if begun is None else begun
        one.socket.send(request)

    def _reader(self, one: _Connection) -> Callable[[], None]:
        def read() -> None:
            received = one.socket.recv(65536)
            data = one.data + received if one.data else received
            if data[-1:] != b"}":
                if not received:
                    raise Stuck(f"the server closed a connection: {data!r}")
                one.data = data
                return
            one.data = b""
            if data[9:12] != b"200":
                raise Stuck(data.decode(errors="replace"))
            answers = self.answers
            answers.waited_s.append(time.perf_counter() - one.begun)
            if self._log:
                answers.log.append((one.begun, data))
            self._again(one)

        return read


def poisson(per_second: float, seconds: float, seed: int) -> list[float]:
    """Moments at which independent people do something, the same for the same seed."""
    random = Random(seed)
    moments = []
    at = random.expovariate(per_second)
    while at < seconds:
        moments.append(at)
        at += random.expovariate(per_second)
    return moments
