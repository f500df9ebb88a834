"""One run: a fresh database, a fresh server on it, and a load for both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.load.poller import Poller, Stuck
from benchmarks.load.sockets import Sockets
from benchmarks.postgres import Postgres
from benchmarks.processes import OURS, Server, running
from benchmarks.watch import Busy, Watch


@dataclass(frozen=True)
class Measured:
    """One value of a figure, with how busy everybody was meanwhile, where that says something."""

    figure: str
    value: float
    busy: Busy | None = None


Measures = Iterator[Measured]


@dataclass(frozen=True)
class World:
    name: str
    url: str
    postgres: Postgres
    server: Server
    poller: Poller

    def watch(self) -> Watch:
        return Watch(self.server, self.postgres)

    @contextlib.contextmanager
    def sockets(self) -> Iterator[Sockets]:
        sockets = Sockets(self.poller, self.server.port)
        try:
            yield sockets
        finally:
            sockets.close()

    def until_empty(self) -> None:
        """Closed sockets are forgotten."""
        self.poller.until(lambda: not self.server.sockets(), 30, "closed sockets forgotten")


@contextlib.contextmanager
def world(name: str, postgres: Postgres) -> Iterator[World]:
    with (
        postgres.database(attached=name == OURS) as url, running(name, url) as server, Poller() as poller,
    ):  # fmt: skip
        yield World(name, url, postgres, server, poller)


def expect(fulfilled: bool, what: str) -> None:
    if not fulfilled:
        raise Stuck(f"expected: {what}")


def quantile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]
