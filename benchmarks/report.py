"""Medians, ranges, ratios and targets, as Markdown and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import FIGURES, INBOX, INBOX_TARGET, Figure
from benchmarks.growth import NUMBERS
from benchmarks.processes import EXPRESS, NAIVE, OURS, STRING_KEY, TITLES
from benchmarks.world import Measured

RESULTS = Path(__file__).parent / "results"
_SERVERS = (EXPRESS, OURS, NAIVE, STRING_KEY)


@dataclass
class Samples:
    """By figure and by server; the inbox's by operation and by size; what grows, by figure, server and number."""

    by_server: dict[str, dict[str, list[Measured]]] = field(default_factory=dict)
    inbox: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    by_own: dict[str, dict[int, float]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def add(self, server: str, measured: Measured) -> None:
        self.by_server.setdefault(measured.figure, {}).setdefault(server, []).append(measured)

    def median(self, figure: str, server: str) -> float | None:
        taken = self.by_server.get(figure, {}).get(server)
        return statistics.median(one.value for one in taken) if taken else None


@dataclass(frozen=True)
class Verdict:
    """`found` is what the target is for: a ratio, or the value itself."""

    figure: Figure
    found: float
    met: bool


def verdicts(samples: Samples) -> dict[str, Verdict]:
    """Of the figures that have targets and were measured."""
    found = {}
    for name, figure in FIGURES.items():
        ours, express = samples.median(name, OURS), samples.median(name, EXPRESS)
        value = ours if figure.alone else None if ours is None or not express else ours / express
        if value is not None and (met := figure.met(value)) is not None:
            found[name] = Verdict(figure, value, met)
    for name, by_size in samples.inbox.items():
        ratio = statistics.median(by_size["large"]) / statistics.median(by_size["small"])
        title = f"inbox, {INBOX[name]}: p99 beside 10 million ÷ beside 10 thousand"
        found[name] = Verdict(Figure(title, "", INBOX_TARGET, alone=True), ratio, ratio <= INBOX_TARGET)
    return found


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _cell(taken: Sequence[Measured] | None) -> str:
    if not taken:
        return ""
    values = [one.value for one in taken]
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))} to {number(max(values))})"


def targets_table(samples: Samples) -> str:
    rows = []
    for name, verdict in verdicts(samples).items():
        by_server = samples.by_server.get(name, {})
        rows.append([
            verdict.figure.full_title(),
            _cell(by_server.get(EXPRESS)),
            _cell(by_server.get(OURS)),
            f"{verdict.found:.2f}" if not verdict.figure.alone or name in INBOX else number(verdict.found),
            verdict.figure.target_text().rstrip(),
            "met" if verdict.met else "**missed**",
        ])  # fmt: skip
    return _table(["", "Express", "notify-server", "ratio", "target", ""], rows)


def missed(samples: Samples) -> str:
    return "\n".join(
        f"- Missed: {one.figure.title}. {one.figure.missed or 'No reason is known.'}"
        for one in verdicts(samples).values() if not one.met
    )  # fmt: skip


def all_table(samples: Samples) -> str:
    servers = [server for server in _SERVERS if any(server in by for by in samples.by_server.values())]
    rows = [
        [figure.full_title(), *(_cell(samples.by_server[name].get(one)) for one in servers)]
        for name, figure in FIGURES.items() if name in samples.by_server
    ]  # fmt: skip
    return _table(["", *(TITLES[one] for one in servers)], rows)


def busy_table(samples: Samples) -> str:
    """Who was the limit."""
    rows = []
    for name, figure in FIGURES.items():
        for server in _SERVERS:
            taken = [one.busy for one in samples.by_server.get(name, {}).get(server, []) if one.busy is not None]
            if taken:
                shares = (
                    statistics.median(getattr(one, who) for one in taken)
                    for who in ("server", "postgres", "load", "others")
                )
                rows.append([figure.title, TITLES[server], *(f"{share:.0%}" for share in shares)])
    return _table(["", "", "server", "PostgreSQL", "load", "others on the server's core"], rows)


def inbox_table(samples: Samples) -> str:
    rows = []
    for name, by_size in samples.inbox.items():
        small, large = (statistics.median(by_size[size]) for size in ("small", "large"))
        own = samples.by_own.get(name.removeprefix("inbox-"), {})
        rows.append([INBOX[name], number(small), number(large), f"{large / small:.2f}", *map(number, own.values())])
    owns = next(iter(samples.by_own.values()), {})
    head = ["", "p99 ms, of 10 thousand", "p99 ms, of 10 million", "ratio"]
    return _table([*head, *(f"median ms, {own:,} of one's own" for own in owns)], rows)


def growth_table(samples: Samples) -> str:
    rows = []
    names = {name.partition("@")[0]: None for name in samples.by_server if "@" in name}
    for name in names:
        figure = FIGURES[name]
        for server in (EXPRESS, OURS):
            values = [samples.median(f"{name}@{count}", server) for count in NUMBERS]
            title = figure.title.replace(", of 10,000", "").replace(" 10,000", " all").replace(" 5,000", " all")
            rows.append([f"{title}, {figure.unit}", TITLES[server], *("" if v is None else number(v) for v in values)])
    return _table(["", "", *(f"{count:,} sockets" for count in NUMBERS)], rows)


def text(samples: Samples, facts: Mapping[str, Any]) -> str:
    parts = ["# Measured", conditions(samples, facts), "## Targets", targets_table(samples), missed(samples)]
    parts += ["## Everything", all_table(samples), "## How busy they were", busy_table(samples)]
    if samples.inbox:
        parts += ["## The inbox at size", inbox_table(samples)]
    if any("@" in name for name in samples.by_server):
        parts += ["## By the number of sockets", growth_table(samples)]
    return "\n\n".join(part for part in parts if part) + "\n"


def conditions(samples: Samples, facts: Mapping[str, Any]) -> str:
    versions = "; ".join(samples.versions.values())
    return (
        f"{facts['date']}, {facts['processor']}, Linux {facts['kernel']}; PostgreSQL {facts['postgres']} with its"
        f" default durability; {versions}. Medians of {facts['rounds']} rounds, and their ranges; servers alternate,"
        " each on a core of its own, PostgreSQL and the load on the other."
    )


def write(samples: Samples, facts: Mapping[str, Any], folder: Path = RESULTS) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "bench.md").write_text(text(samples, facts))
    content = {
        **facts,
        "versions": samples.versions,
        "figures": {
            name: {server: [asdict(one) for one in taken] for server, taken in by_server.items()}
            for name, by_server in samples.by_server.items()
        },
        "inbox": samples.inbox,
        "inbox_by_own": samples.by_own,
    }
    (folder / "bench.json").write_text(f"{json.dumps(content, indent=1)}\n")
