"""Comments over HTTP, and until their events are in the clients."""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Iterator

from benchmarks.load.requests import Answers, Posts, poisson, requests
from benchmarks.load.sockets import Sockets
from benchmarks.world import Measured, Measures, World, expect, quantile

CONNECTIONS = (1, 16, 64, 256)
RATES = (200, 1_000, 2_000)
LISTENERS = 1_000
MOST = 20_000  # comments
_ID = re.compile(rb'"id":\s*(\d+)')
_COMMENT_ID = re.compile(rb'"commentId":\s*(\d+)')


@contextlib.contextmanager
def _posting(world: World, connections: int, seed: int, authors: int = LISTENERS) -> Iterator[Posts]:
    posts = Posts(world.poller, world.server.port, connections, requests(world.server.port, seed, authors))
    try:
        yield posts
    finally:
        posts.close()


def http(world: World, seed: int, *, connections: tuple[int, ...] = CONNECTIONS, seconds: float = 5) -> Measures:
    """As fast as so many connections go, nobody listening; at first until most of those who comment have done so."""
    with _posting(world, 64, seed) as posts:
        posts.flat_out(4)
    for number in connections:
        with _posting(world, number, seed + number) as posts:
            posts.flat_out(0.5)
            watch = world.watch()
            answers, took_s = posts.flat_out(seconds)
            busy, cpu_s = watch.busy(), watch.server_s()
        count = len(answers.waited_s)
        yield Measured(f"http-{number}", count / took_s, busy)
        yield Measured(f"http-{number}-p50", quantile(answers.waited_s, 0.5) * 1000)
        yield Measured(f"http-{number}-p99", quantile(answers.waited_s, 0.99) * 1000)
        yield Measured(f"http-{number}-cpu", cpu_s / count * 1e6)


def delivery(
    world: World, seed: int, *, rates: tuple[int, ...] = RATES, seconds: float = 8, listeners: int = LISTENERS
) -> Measures:
    """From the moment at which a comment was to be sent until its event is in the author's client."""
    with world.sockets() as sockets:
        sockets.open(range(1, listeners + 1))
        _deliver(world, sockets, poisson(500, 2, seed), seed, listeners)
        for rate in rates:
            watch = world.watch()
            waited_s, answers = _deliver(world, sockets, poisson(rate, seconds, seed + rate), seed + rate, listeners)
            yield Measured(f"delivery-{rate}-p50", quantile(waited_s, 0.5) * 1000, watch.busy())
            yield Measured(f"delivery-{rate}-p99", quantile(waited_s, 0.99) * 1000)
            yield Measured(f"late-{rate}-p99", quantile(answers.late_s, 0.99) * 1000)
        sockets.log = []
        with _posting(world, 64, seed, listeners) as posts:
            watch = world.watch()
            begun = time.perf_counter()
            answers, _ = posts.so_many(MOST)
            waited_s = _until_seen(world, sockets, answers)
            last = max(at for at, _ in sockets.log) - begun
            yield Measured("delivery-most", MOST / last, watch.busy())


def _deliver(
    world: World, sockets: Sockets, moments: list[float], seed: int, listeners: int
) -> tuple[list[float], Answers]:
    sockets.log = []
    with _posting(world, 256, seed, listeners) as posts:
        answers = posts.at(moments)
        return _until_seen(world, sockets, answers), answers


def _until_seen(world: World, sockets: Sockets, answers: Answers) -> list[float]:
    """How long each took. Raises Stuck where one was lost or came twice."""
    log = sockets.log
    assert log is not None
    world.poller.until(lambda: len(log) >= len(answers.log), 60, f"{len(answers.log)} events")
    sockets.rest(0.1)  # for what comes twice
    begun = {_found(_ID, answer): at for at, answer in answers.log}
    seen = Counter(comment_id(packet) for _, packet in log)
    expect(seen.keys() == begun.keys() and set(seen.values()) == {1}, "each comment seen, and seen once")
    return [at - begun[comment_id(packet)] for at, packet in log]


def comment_id(packet: bytes) -> int:
    """Of the comment that an event tells of."""
    return _found(_COMMENT_ID, packet)


def _found(pattern: re.Pattern[bytes], data: bytes) -> int:
    found = pattern.search(data)
    assert found, data
    return int(found[1])
