from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from typing import Self

# Between looks at what has come, where no moment is measured. Were the load asleep in epoll, the server's writes would
# have to wake it: up to a third of the server's time, which no client on another machine costs it.
PAUSE_S = 0.000_5


class Stuck(Exception):
    """The server did not do in time what it should have."""


class Poller:
    """Calls what was registered for a socket whenever there is something to read."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], object]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._epoll.close()

    def register(self, one: socket.socket, read: Callable[[], object]) -> None:
        self._readers[one.fileno()] = read
        self._epoll.register(one.fileno(), select.EPOLLIN)

    def unregister(self, one: socket.socket) -> None:
        del self._readers[one.fileno()]
        self._epoll.unregister(one.fileno())

    def look(self) -> None:
        """Without waiting."""
        for fd, _mask in self._epoll.poll(0, 1024):
            reader = self._readers.get(fd)
            if reader is not None:
                reader()

    def wait(self, at_most_s: float) -> None:
        """Wakes at once when something comes, and to the microsecond when nothing does."""
        if at_most_s > 0:
            select.select([self._epoll], [], [], at_most_s)  # epoll's own timeout is in whole milliseconds
        self.look()

    def pause(self) -> None:
        """Sleeps a little, and looks at what has come."""
        time.sleep(PAUSE_S)
        self.look()

    def until(self, done: Callable[[], bool], timeout_s: float, what: str) -> float:
        """Pauses until it is so, and gives the seconds. Raises Stuck."""
        begun = time.monotonic()
        while not done():
            if time.monotonic() > begun + timeout_s:
                raise Stuck(f"not within {timeout_s} s: {what}")
            self.pause()
        return time.monotonic() - begun
