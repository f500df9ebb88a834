"""Faults in rounds: some at once, those that must be alone one after the other, then calm."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from tests.faults.kinds import KINDS, Kind, NotHere, NotNow
from tests.faults.world import World


@dataclass
class Injected:
    """`skipped` names why a kind could not be; `failed` tells of a fault that could not be carried out."""

    counts: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    restless: int = 0  # rounds that did not become calm in time


async def inject(world: World, kinds: Iterable[Kind], injected: Injected) -> None:
    """All of these, each lane's in the order given, with calm afterwards. What another lane's was in the way of comes
    once more at the end."""
    lanes: dict[str, list[Kind]] = defaultdict(list)
    for kind in kinds:
        lanes["alone" if kind.alone else kind.lane].append(kind)
    world.traffic.go_on()
    hindered = [await _lane(world, lanes.pop("alone", []), injected)]
    hindered += await asyncio.gather(*(_lane(world, lane, injected) for lane in lanes.values()))
    world.heal()
    for kind, reason in await _lane(world, [kind for some in hindered for kind, _ in some], injected):
        injected.skipped[kind.name] = reason
    world.heal()


async def _lane(world: World, kinds: list[Kind], injected: Injected) -> list[tuple[Kind, str]]:
    """Those that something was in the way of, and what."""
    hindered = []
    for kind in kinds:
        try:
            await kind.inject(world)
            injected.counts[kind.name] += 1
        except NotHere as reason:
            injected.skipped[kind.name] = str(reason)
        except NotNow as reason:
            hindered.append((kind, str(reason)))
        except Exception as error:  # a round goes on, and the run tells of it in the end
            injected.failed.append(f"{kind.name}: {error!r}")
        await asyncio.sleep(world.random.uniform(0.05, 0.3))
    return hindered


_DUE_OF_500 = {
    "server killed after commit": 100, "postgres restarted fast": 20, "postgres restarted immediate": 20,
}  # fmt: skip
_SPARE = 1.05  # some cannot be carried out


def due_of(number: int) -> dict[str, int]:
    """How many of some kinds are due among so many faults."""
    return {name: due * number // 500 for name, due in _DUE_OF_500.items()}


def draw(random: Random, number: int) -> list[Kind]:
    """Each kind once, what is due of some, the rest by weight; in random order."""
    kinds = list(KINDS.values())
    due = [KINDS[name] for name, times in due_of(number).items() for _ in range(int(times * _SPARE) - 1)]
    drawn = [*kinds, *due]
    others = [kind for kind in kinds if kind.name not in _DUE_OF_500]
    drawn += random.choices(others, [kind.weight for kind in others], k=max(0, number - len(drawn)))
    drawn = drawn[:number]
    random.shuffle(drawn)
    return drawn
