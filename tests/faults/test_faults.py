"""Every kind of fault once, under traffic; and that the checker finds what servers lose that are broken on purpose."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.conftest import lacking
from tests.faults.checker import Broken, summary
from tests.faults.kinds import KINDS
from tests.faults.opening import open_world
from tests.faults.report import late_inserts
from tests.faults.rounds import Injected, draw, inject
from tests.faults.world import Size, World
from tests.node import install_clients
from tests.postgres import Missing, embedded_bin

SMALL = Size(users=8, tabs=8, posters=3, posts_per_second=30, inserts_per_second=10)


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    try:
        embedded_bin()
        install_clients()
    except (Missing, FileNotFoundError) as missing:
        lacking(missing)


@pytest.mark.timeout(240)
async def test_every_kind_of_fault_breaks_nothing(tmp_path: Path) -> None:
    injected = Injected()
    async with open_world(1, Size(), pace=0.4, keep=tmp_path) as world:
        await inject(world, draw(world.random, len(KINDS)), injected)
        found = await world.check(90, settled=True)
        assert summary(found) == []
        assert late_inserts(world) == []
        assert [text for server in world.servers for text in server.tracebacks] == []
    assert injected.failed == []
    assert injected.skipped.keys() <= {"disk full", "server out of file descriptors"}  # what not every machine has


async def _reset_until_found(world: World, name: str) -> list[Broken]:
    found: list[Broken] = []
    for _ in range(5):
        world.traffic.go_on()
        for network in world.networks:
            network.reset()
        await asyncio.sleep(2)
        found = summary(await world.check(3, settled=False))
        if name in {broken.name for broken in found}:
            break
    return found


async def test_the_checker_catches_a_server_without_recovery() -> None:
    async with open_world(1, SMALL, variables={"RECOVERY": "off"}) as world:
        found = await _reset_until_found(world, "a gap")
    assert {(2, "not shown to a tab that stayed"), (3, "a gap")} & {broken[:2] for broken in found}
    assert {broken.invariant for broken in found} <= {2, 3}


async def test_the_checker_catches_a_server_that_emits_before_commit() -> None:
    program = (sys.executable, str(Path(__file__).parent / "broken_server.py"))
    async with open_world(1, SMALL, program=program) as world:
        found = await _reset_until_found(world, "a phantom: never stored")
    assert {(1, "an answered comment is lost"), (4, "a phantom: never stored")} <= {broken[:2] for broken in found}
