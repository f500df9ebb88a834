"""What is linear in the number of sockets, and what does not depend on it at all."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import comments, sockets
from benchmarks.postgres import Postgres
from benchmarks.world import Measured, Measures, World, world

NUMBERS = (1_000, 2_000, 5_000, 10_000)


def _http(one: World, seed: int, number: int) -> Measures:
    with one.sockets() as listening:
        listening.open(range(1, number + 1))
        yield from comments.http(one, seed, connections=(64,), seconds=4)


# by a world, a seed and how many sockets there are
_STEPS: list[Callable[[World, int, int], Measures]] = [
    _http,
    lambda one, seed, number: comments.delivery(one, seed, rates=(1_000,), seconds=5, listeners=number),
    lambda one, seed, number: sockets.rest(one, seed, number=number, idle_s=27),
    lambda one, seed, number: sockets.connects(one, seed, number=number),
    lambda one, seed, number: sockets.fanout(one, seed, audience=number),
    lambda one, seed, number: sockets.single(one, seed, rooms=number),
]


def growth(postgres: Postgres, name: str, seed: int) -> Measures:
    """Each figure as `figure@sockets`."""
    for number in NUMBERS:
        for step in _STEPS:
            with world(name, postgres) as one:
                for measured in step(one, seed, number):
                    yield Measured(f"{measured.figure}@{number}", measured.value, measured.busy)
