"""How busy everybody was while something was measured."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.machine import cores, idle_s
from benchmarks.postgres import Postgres
from benchmarks.processes import Server


@dataclass(frozen=True)
class Busy:
    """Shares of a core. The server has one, PostgreSQL and the load have the other: where the server's is near 1, it
    was the limit; where the other's are, they were. Much of `others` is something else that ran on the server's core,
    or the hypervisor."""

    server: float
    postgres: float
    load: float
    others: float


class Watch:
    """CPU time from here on."""

    def __init__(self, server: Server, postgres: Postgres) -> None:
        self._server, self._postgres = server, postgres
        self._before = self._taken()

    def _taken(self) -> tuple[float, ...]:
        return (
            time.monotonic(), self._server.cpu_s(), self._postgres.cpu_s(), time.process_time(), idle_s(cores()[0]),
        )  # fmt: skip

    def server_s(self) -> float:
        return self._server.cpu_s() - self._before[1]

    def busy(self) -> Busy:
        elapsed, server, postgres, load, idle = (
            now - before for now, before in zip(self._taken(), self._before, strict=True)
        )
        share = server / elapsed
        return Busy(share, postgres / elapsed, load / elapsed, max(0.0, 1 - idle / elapsed - share))
