"""What is measured: each takes a fresh server and a load, and gives samples by the name of the measure."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from benchmarks.transport.load import Load, Stuck
from benchmarks.transport.servers import Server, cores, idle_s

IDLE_S = 50
CONNECTS = 5_000
AUDIENCE = 5_000
FANOUTS = 10
ROOMS = 1_000
SINGLES = 50_000
BURSTS = 3


@dataclass(frozen=True)
class Measure:
    """`target` is the ratio of ours to Node's."""

    title: str
    unit: str
    target: float
    more_is_better: bool = False


MEASURES = {
    "rss": Measure("memory of an idle WebSocket", "KB", 0.6),
    "idle": Measure("CPU while all are idle", "% of a core", 0.3),
    "connects": Measure(f"connects, {CONNECTS:,} by 64", "per second", 1.1, more_is_better=True),
    "fanout": Measure(f"one emit to a room of {AUDIENCE:,}, until the last has it", "ms", 0.8),
    "single": Measure(f"emits to {ROOMS:,} rooms of one", "per second", 1.5, more_is_better=True),
}


@dataclass(frozen=True)
class Sample:
    """With how busy both were meanwhile, as shares of their cores. A load near 1 would have measured itself; much of
    `others` is something else that ran on the server's core, or the hypervisor."""

    value: float
    server_busy: float
    load_busy: float
    others: float


class Watch:
    """CPU time from here on, the server's and ours."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._server_s = server.stats().cpu_s
        self._load_s = time.process_time()
        self._core = cores()[0]
        self._idle_s = idle_s(self._core)
        self._begun = time.monotonic()

    def sample(self, value: float | None = None) -> Sample:
        """The value is the server's CPU in percent where none is given."""
        elapsed_s = time.monotonic() - self._begun
        load = (time.process_time() - self._load_s) / elapsed_s
        idle = (idle_s(self._core) - self._idle_s) / elapsed_s
        server = (self._server.stats().cpu_s - self._server_s) / elapsed_s
        return Sample(server * 100 if value is None else value, server, load, max(0.0, 1 - idle - server))


Samples = Iterator[tuple[str, Sample]]


def at_rest(server: Server, load: Load, sockets: int, only: Collection[str]) -> Samples:
    warm_up(server, load, 100)
    before = settled_rss(server, load)
    watch = Watch(server)
    load.open(sockets)
    after = settled_rss(server, load)
    if "rss" in only:
        yield "rss", watch.sample((after - before) / sockets / 1000)
    if "idle" in only:
        pings = load.pings
        watch = Watch(server)
        load.answer_pings(IDLE_S)
        yield "idle", watch.sample()
        expect(load.pings - pings > 1.9 * sockets, "two pings each")
    expect(server.stats().sockets == sockets, "all sockets still there")


def connects(server: Server, load: Load) -> Samples:
    warm_up(server, load, 1_000)
    watch = Watch(server)
    took_s = load.open(CONNECTS)
    yield "connects", watch.sample(CONNECTS / took_s)
    expect(server.stats().sockets == CONNECTS, "all of them connected")


def fanout(server: Server, load: Load) -> Samples:
    """The median of several emits, each begun when the one before has reached everybody."""
    load.open(AUDIENCE)
    server.ask("join-all everybody")
    for _ in range(3):
        emit(server, load, "emit-room everybody 1", AUDIENCE)
    watch = Watch(server)
    took_s = [emit(server, load, "emit-room everybody 1", AUDIENCE) for _ in range(FANOUTS)]
    yield "fanout", watch.sample(statistics.median(took_s) * 1000)
    expect(set(load.events.values()) == {FANOUTS + 3}, "every event once for each")


def single(server: Server, load: Load) -> Samples:
    """The median of several bursts, after a shorter one."""
    load.open(ROOMS)
    warm = SINGLES // 5
    emit(server, load, f"emit-each {ROOMS} {warm}", warm)
    watch = Watch(server)
    took_s = [emit(server, load, f"emit-each {ROOMS} {SINGLES}", SINGLES) for _ in range(BURSTS)]
    yield "single", watch.sample(SINGLES / statistics.median(took_s))
    expect(set(load.events.values()) == {(warm + BURSTS * SINGLES) // ROOMS}, "every event once for each")


def emit(server: Server, load: Load, command: str, events: int) -> float:
    """Seconds from the first call of emit until the last event has come."""
    server.tell(command)
    ended_ns = load.receive(events)
    started_ns: int = server.answer()["started_ns"]
    return (ended_ns - started_ns) / 1e9


def warm_up(server: Server, load: Load, sockets: int) -> None:
    load.open(sockets)
    load.close()
    deadline = time.monotonic() + 10
    while server.stats().sockets:
        expect(time.monotonic() < deadline, "closed sockets forgotten")
        time.sleep(0.05)


def settled_rss(server: Server, load: Load) -> int:
    """Twice, since what a collection finalizes is freed by the next one."""
    for _ in range(2):
        load.answer_pings(1)
        server.ask("collect")
    return server.stats().rss_bytes


def expect(fulfilled: bool, what: str) -> None:
    if not fulfilled:
        raise Stuck(f"expected: {what}")


def plan(only: Collection[str], sockets: int) -> list[Callable[[Server, Load], Samples]]:
    """Memory and idle CPU are read from the same sockets."""
    plan: list[Callable[[Server, Load], Samples]] = []
    if {"rss", "idle"} & set(only):
        plan.append(lambda server, load: at_rest(server, load, sockets, only))
    each = {"connects": connects, "fanout": fanout, "single": single}
    return plan + [measure for name, measure in each.items() if name in only]
