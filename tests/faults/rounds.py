"""Faults in rounds: some at once, those that must be alone one after the other, then calm."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from tests.faults.kinds import KINDS, Kind, NotHere
from tests.faults.world import World


@dataclass
class Injected:
    """`skipped` names why a kind could not be; `failed` tells of a fault that could not be carried out."""

    counts: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    restless: int = 0  # rounds that did not become calm in time


async def inject(world: World, kinds: Iterable[Kind], injected: Injected) -> None:
    """All of these, each lane's in the order given, with calm afterwards."""
    lanes: dict[str, list[Kind]] = defaultdict(list)
    for kind in kinds:
        lanes["alone" if kind.alone else kind.lane].append(kind)
    world.traffic.go_on()
    await _lane(world, lanes.pop("alone", []), injected)
    await asyncio.gather(*(_lane(world, lane, injected) for lane in lanes.values()))
    world.heal()


async def _lane(world: World, kinds: list[Kind], injected: Injected) -> None:
    for kind in kinds:
        try:
            await kind.inject(world)
            injected.counts[kind.name] += 1
        except NotHere as reason:
            injected.skipped[kind.name] = str(reason)
        except Exception as error:  # a round goes on, and the run tells of it in the end
            injected.failed.append(f"{kind.name}: {error!r}")
        await asyncio.sleep(world.random.uniform(0.05, 0.3))


def draw(random: Random, number: int) -> list[Kind]:
    """Each kind once, then by weight; in random order."""
    kinds = list(KINDS.values())
    drawn = [*kinds, *random.choices(kinds, [kind.weight for kind in kinds], k=max(0, number - len(kinds)))][:number]
    random.shuffle(drawn)
    return drawn
