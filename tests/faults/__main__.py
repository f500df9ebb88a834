"""`python -m tests.faults --faults 500 --seed 1`: ends with 1 where something broke. `make faults` runs it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import signal
import sys
import tempfile
import time
from pathlib import Path

from notify_server.capacity import raise_fd_limit
from tests.faults import scenarios
from tests.faults.checker import Broken
from tests.faults.kinds import KINDS
from tests.faults.opening import open_world
from tests.faults.report import Run, evidence, lines, table
from tests.faults.rounds import Injected, draw, inject
from tests.faults.scenarios import Outcome
from tests.faults.world import Size
from tests.node import install_clients

ROUND = 10  # faults
CHECK_EVERY = 5  # rounds
LARGE = 200  # faults from which on the long scenarios belong to it
CROWD = 1300  # silent connections on each server when PostgreSQL restarts, from LARGE on
CALM_S = 40
FOUND_LATER_S = 90  # a scan finds within a minute what no trigger could note down


async def run(faults: int, seed: int, pace: float, folder: Path, variables: dict[str, str]) -> Run:
    started = time.monotonic()
    large = faults >= LARGE
    raise_fd_limit()
    async with open_world(
        seed, Size(crowd=CROWD if large else 0), pace=pace, keep=folder, variables=variables
    ) as world:
        found: list[Broken] = []
        injected, outcomes = Injected(), list[Outcome]()
        drawn = draw(world.random, faults)
        for number, start in enumerate(itertools.count(0, ROUND)):
            kinds = drawn[start : start + ROUND]
            if not kinds or found:
                break
            await inject(world, kinds, injected)
            if number % CHECK_EVERY == CHECK_EVERY - 1:
                found = await world.check(CALM_S, settled=False)
            elif not await world.calm(CALM_S):
                injected.restless += 1
                found = await world.check(1, settled=False)
            print(f"{start + len(kinds):>5} faults, {time.monotonic() - started:5.0f} s, "
                  f"{sum(len(poster.requests) for poster in world.traffic.posters):,} requests, broken: {len(found)}",
                  flush=True)  # fmt: skip
        world.traffic.go_on()
        outcomes += [await scenarios.one_key(world), await scenarios.stolen_sessions(world)]
        outcomes.append(await scenarios.long_absence(world, *((130, 5000) if large else (5, 1000))))
        outcomes.append(await scenarios.large_backlog(world, 100_000 if large else 10_000))
        found = await world.check(FOUND_LATER_S, settled=True)
        outcomes.append(await scenarios.restored_backup(world))
    return Run(world, injected, found, outcomes, (time.monotonic() - started) / 60, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=len(KINDS), help="by default each kind once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pace", type=float, default=1, help="how long faults last, 1 being normal")
    parser.add_argument("--keep", type=Path, help="a folder for the logs, which tests.faults.checker takes")
    parser.add_argument(
        "--set", type=lambda text: text.split("=", 1), action="append", default=[], metavar="NAME=VALUE",
        help="a setting of the servers, such as RECOVERY=off",
    )  # fmt: skip
    parser.add_argument("--results", type=Path, help="the file to write the table to")
    options = parser.parse_args()
    install_clients()
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="notify-faults-")))
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is removed
        found = asyncio.run(run(options.faults, options.seed, options.pace, folder, dict(options.set)))
    print(table(found))
    print("\n".join(evidence(found)))
    if options.results:
        options.results.write_text(table(found))
    sys.exit(0 if all(fine for *_, fine in lines(found)) and not found.injected.failed else 1)


if __name__ == "__main__":
    main()
