"""Sockets: what they cost at rest, how fast they come, and how fast events get to them."""

from __future__ import annotations

import statistics

from benchmarks.load.sockets import Sockets
from benchmarks.world import Measured, Measures, World, expect

SOCKETS = 10_000
IDLE_S = 50  # in which everybody is pinged twice
CONNECTS = 5_000
AUDIENCE = 5_000
FANOUTS = 10
ROOMS = 1_000
SINGLES = 50_000
BURSTS = 3


def rest(world: World, _seed: int, *, number: int = SOCKETS, idle_s: float = IDLE_S) -> Measures:
    warm_up(world, 100)
    with world.sockets() as sockets:
        before = _settled_rss(world, sockets)
        sockets.open(range(1, number + 1))
        after = _settled_rss(world, sockets)
        yield Measured("rss", (after - before) / number / 1000)
        pings = sockets.pings
        watch = world.watch()
        sockets.rest(idle_s)
        busy = watch.busy()
        yield Measured("idle", busy.server * 100, busy)
        expect(sockets.pings - pings > (idle_s / 25 - 0.1) * number, "everybody was pinged")
        expect(world.server.sockets() == number, "all sockets still there")


def connects(world: World, _seed: int, *, number: int = CONNECTS) -> Measures:
    warm_up(world, 1_000)
    for figure, polling in (("connects", False), ("connects-polling", True)):
        with world.sockets() as sockets:
            watch = world.watch()
            took_s = sockets.open(range(1, number + 1), polling=polling)
            yield Measured(figure, number / took_s, watch.busy())
            expect(world.server.sockets() == number, "all of them connected")
        world.until_empty()


def fanout(world: World, _seed: int, *, audience: int = AUDIENCE) -> Measures:
    """The median of several emits, each begun when the one before has reached everybody."""
    with world.sockets() as sockets:
        sockets.open(range(1, audience + 1))
        world.server.ask("join-all everybody")
        for _ in range(3):
            _emit(world, sockets, "emit-room everybody 1", audience)
        watch = world.watch()
        took_s = [_emit(world, sockets, "emit-room everybody 1", audience) for _ in range(FANOUTS)]
        yield Measured("fanout", statistics.median(took_s) * 1000, watch.busy())
        expect(sockets.events() == {FANOUTS + 3}, "every event once for each")


def single(world: World, _seed: int, *, rooms: int = ROOMS) -> Measures:
    """The median of several bursts, after a shorter one."""
    with world.sockets() as sockets:
        sockets.open(range(1, rooms + 1))
        warm = SINGLES // 5
        _emit(world, sockets, f"emit-each {rooms} {warm}", warm)
        watch = world.watch()
        took_s = [_emit(world, sockets, f"emit-each {rooms} {SINGLES}", SINGLES) for _ in range(BURSTS)]
        yield Measured("single", SINGLES / statistics.median(took_s), watch.busy())
        expect(sockets.events() == {(warm + BURSTS * SINGLES) // rooms}, "every event once for each")


def warm_up(world: World, number: int) -> None:
    with world.sockets() as sockets:
        sockets.open(range(1, number + 1))
    world.until_empty()


def _emit(world: World, sockets: Sockets, command: str, events: int) -> float:
    """Seconds from the first call of emit until the last event has come."""
    world.server.tell(command)
    ended_ns = sockets.receive(events)
    started_ns: int = world.server.answer()["started_ns"]
    return (ended_ns - started_ns) / 1e9


def _settled_rss(world: World, sockets: Sockets) -> int:
    """Twice, since what a collection finalizes is freed by the next one."""
    for _ in range(2):
        sockets.rest(1)
        world.server.ask("collect")
    return world.server.rss_bytes()
