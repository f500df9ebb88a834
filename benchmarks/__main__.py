from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import benchmarks
from benchmarks import chart, comments, foreign, growth, inbox, limits, report, returns, sockets
from benchmarks.load.poller import Stuck
from benchmarks.machine import cores, facts, raise_file_limit
from benchmarks.postgres import Postgres, running
from benchmarks.processes import EXPRESS, NAIVE, OURS, STRING_KEY, install_peer
from benchmarks.report import Samples
from benchmarks.world import Measured, Measures, World, world

Stage = Callable[[Postgres, Samples, int], None]
_ALL = (EXPRESS, OURS, NAIVE)


def _show(server: str, measured: Measured) -> None:
    busy = measured.busy
    shares = "" if busy is None else (
        f"server {busy.server:.0%}, PostgreSQL {busy.postgres:.0%}, load {busy.load:.0%}, others {busy.others:.0%}"
    )  # fmt: skip
    print(f"  {server:12}{measured.figure:24}{report.number(measured.value):>10}  {shares}", flush=True)


def _collect(samples: Samples, server: str, measures: Measures) -> None:
    for measured in measures:
        samples.add(server, measured)
        _show(server, measured)


def _side_by_side(measure: Callable[[World, int], Measures], *servers: str) -> Stage:
    """One after the other, each with a database and a process of its own; each round begins with another one."""

    def stage(postgres: Postgres, samples: Samples, number: int) -> None:
        for n in range(len(servers)):
            name = servers[(n + number) % len(servers)]
            with world(name, postgres) as one:
                samples.versions[name] = one.server.version
                _collect(samples, name, measure(one, number))

    return stage


def _http(one: World, seed: int) -> Measures:
    return comments.http(one, seed, connections=(64,) if one.name == STRING_KEY else comments.CONNECTIONS)


def _back(postgres: Postgres, samples: Samples, _number: int) -> None:
    for name in (EXPRESS, OURS):
        _collect(samples, name, returns.back(postgres, name))


def _growth(postgres: Postgres, samples: Samples, number: int) -> None:
    if number == 1:
        for name in (EXPRESS, OURS):
            _collect(samples, name, growth.growth(postgres, name, number))


def _inbox_rounds(postgres: Postgres, samples: Samples, rounds: int) -> None:
    with inbox.sizes(postgres) as both:
        for number in range(rounds):
            for size in both:
                for measured in inbox.operations(size, number):
                    samples.inbox.setdefault(measured.figure, {}).setdefault(size.name, []).append(measured.value)
                    _show(size.name, measured)
        for name, own, median_ms in inbox.by_own(both[-1]):
            samples.by_own.setdefault(name, {})[own] = median_ms
            _show(f"own {own}", Measured(name, median_ms))


STAGES: dict[str, Stage] = {
    "http": _side_by_side(_http, EXPRESS, OURS, NAIVE, STRING_KEY),
    "delivery": _side_by_side(comments.delivery, *_ALL),
    "foreign": _side_by_side(foreign.foreign, OURS),
    "trigger": lambda postgres, samples, _number: _collect(samples, OURS, foreign.trigger(postgres)),
    "rest": _side_by_side(sockets.rest, *_ALL),
    "connects": _side_by_side(sockets.connects, *_ALL),
    "fanout": _side_by_side(sockets.fanout, *_ALL),
    "single": _side_by_side(sockets.single, *_ALL),
    "back": _back,
    "replay": lambda postgres, samples, _number: _collect(samples, OURS, returns.replay(postgres)),
    "growth": _growth,
    "limits": lambda postgres, samples, number: _collect(samples, OURS, limits.limits(postgres, number)),
}
INBOX = "inbox"  # in rounds of its own: ten million are made once


def some_of(known: list[str]) -> Any:
    def parse(text: str) -> list[str]:
        asked = text.split(",")
        if unknown := set(asked) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(known)}")
        return [name for name in known if name in asked]

    return parse


def measure(only: list[str], rounds: int, samples: Samples, found: dict[str, Any]) -> None:
    with running() as postgres:
        found["postgres"] = postgres.version
        for number in range(1, rounds + 1):
            for name in only:
                if name in STAGES:
                    print(f"round {number}, {name}", flush=True)
                    STAGES[name](postgres, samples, number)
        if INBOX in only:
            print(INBOX, flush=True)
            _inbox_rounds(postgres, samples, rounds)


def main() -> int:
    stages = [*STAGES, INBOX]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=benchmarks.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=some_of(stages), default=stages, help=",".join(stages))
    parser.add_argument("--results", type=Path, help="a folder; of a full run benchmarks/results")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and PostgreSQL are ended
    raise_file_limit(sockets.SOCKETS)
    os.sched_setaffinity(0, {cores()[1]})
    gc.disable()  # a pause here would be measured as the server's
    install_peer()

    begun = time.monotonic()
    samples = Samples()
    found = {"date": time.strftime("%Y-%m-%d"), **facts(), "rounds": options.rounds}
    try:
        measure(options.only, options.rounds, samples, found)
    except (Stuck, RuntimeError, OSError) as failure:
        if samples.by_server:
            print(f"\n{report.text(samples, found)}")
        print(f"given up: {failure}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f"\n{report.text(samples, found)}\n{time.monotonic() - begun:.0f} s")
    folder = options.results or (report.RESULTS if options.only == stages else None)
    if folder is not None:
        report.write(samples, found, folder)
        chart.write(samples, folder)
    return int(not all(one.met for one in report.verdicts(samples).values()))


if __name__ == "__main__":
    sys.exit(main())
