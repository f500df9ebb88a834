"""`python -m benchmarks.soak --minutes 10 --seed 1`. Ends with 1 where something is not back to what it was."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import ClientSession, TCPConnector

from benchmarks.soak.load import Load

QUIET_S = 20  # by when all is back once the clients have gone
ANSWER_S = 10
COUNTS = ("tasks", "fds", "sessions", "environ", "manager", "queues", "inside", "errors")
MB = 1_000_000
RSS_MARGIN_BYTES, RSS_MARGIN = 5 * MB, 0.10  # the larger of both
TREND_BYTES = 0.3 * MB  # a minute, over the second half

Held = dict[str, int]


class Process:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def answer(self) -> Held:
        """Raises RuntimeError where it has ended, TimeoutError where it hangs."""
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_S):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the server has ended")
        found: Held = json.loads(line)
        return found

    async def held(self) -> Held:
        assert self._process.stdin is not None
        self._process.stdin.write(b"held\n")
        return await self.answer()

    async def quiet(self, base: Held) -> Held:
        """What is held once it is as it was, or at the latest after so many seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + QUIET_S
        while True:
            held = await self.held()
            if not _not_back(base, held) or loop.time() > until:
                return held
            await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def _server() -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"{__package__}.server", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Process(process)
    finally:
        with contextlib.suppress(TimeoutError, ConnectionError):  # which tells what went wrong, and ends
            async with asyncio.timeout(ANSWER_S):
                await process.communicate()
        if process.returncode is None:
            process.kill()
            await process.wait()


@dataclass
class Soaked:
    base: Held
    minutes: list[Held] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    lives: int = 0

    @property
    def rss_limit(self) -> float:
        return self.base["rss"] + max(RSS_MARGIN_BYTES, self.base["rss"] * RSS_MARGIN)

    @property
    def trend(self) -> float:
        """Bytes a minute, over the second half of the minutes; 0 for fewer than four."""
        half = [held["rss"] for held in self.minutes[len(self.minutes) // 2 :]]
        if len(self.minutes) < 4:
            return 0
        middle, mean = (len(half) - 1) / 2, sum(half) / len(half)
        spread = sum((n - middle) ** 2 for n in range(len(half)))
        return sum((n - middle) * (rss - mean) for n, rss in enumerate(half)) / spread

    def failures(self) -> list[str]:
        last = self.minutes[-1]
        found = [f"{name}: {last[name]}, {self.base[name]} before" for name in _not_back(self.base, last)]
        if last["rss"] > self.rss_limit:
            found.append(f"memory: {last['rss'] / MB:.1f} MB, at most {self.rss_limit / MB:.1f} MB")
        if self.trend > TREND_BYTES:
            found.append(f"memory grows by {self.trend / MB:.2f} MB a minute")
        return [*found, *self.broken[:10]]


def _not_back(base: Held, held: Held) -> list[str]:
    return [name for name in COUNTS if held[name] != base[name]]


async def soak(*, rounds: int, round_s: float, warm_up_s: float, seed: int, places: int) -> Soaked:
    """Load, round after round. After each all clients go, and what the server holds then is looked at. The base is
    what it held before the first client, but for memory: that is what it had after the warm-up."""
    async with _server() as server, ClientSession(connector=TCPConnector(limit=0, force_close=True)) as http:
        load = Load((await server.answer())["port"], http, seed, places)
        start = await server.held()
        await load.run(warm_up_s)
        warm = await server.quiet(start)
        soaked = Soaked({**warm, **{name: start[name] for name in COUNTS}}, broken=load.broken)
        print("           " + "".join(f"{name:>9}" for name in (*COUNTS, "RSS MB", "joined", "lives")))
        _print("base", soaked.base, load)
        for n in range(1, rounds + 1):
            running = asyncio.create_task(load.run(round_s))
            await asyncio.sleep(round_s * 0.7)
            _print(f"{n} full", await server.held(), load)
            await running
            soaked.minutes.append(await server.quiet(soaked.base))
            _print(f"{n} empty", soaked.minutes[-1], load)
        soaked.lives = load.lives.total()
        print(", ".join(f"{name} {count}" for name, count in load.lives.most_common()))
        return soaked


def _print(name: str, held: Held, load: Load) -> None:
    numbers = [*(held[each] for each in COUNTS), round(held["rss"] / MB, 1), held["joined"], load.lives.total()]
    print(f"{name:<11}" + "".join(f"{number:>9}" for number in numbers), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=150, help="at a time")
    options = parser.parse_args()
    running = soak(rounds=options.minutes, round_s=52, warm_up_s=45, seed=options.seed, places=options.clients)
    soaked = asyncio.run(running)
    failures = soaked.failures()
    print(f"memory: {soaked.trend / MB:+.2f} MB a minute in the second half")
    print("\n".join(failures) if failures else "all is back")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
