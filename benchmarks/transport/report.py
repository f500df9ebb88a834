"""Medians, ranges and targets, as JSON and as a Markdown table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.transport.measures import MEASURES, Measure, Sample

RESULTS = Path(__file__).parent.parent / "results"

Samples = Mapping[str, Mapping[str, Sequence[Sample]]]


def median(samples: Sequence[Sample]) -> float:
    return statistics.median(sample.value for sample in samples)


def figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def cell(samples: Sequence[Sample]) -> str:
    values = [sample.value for sample in samples]
    return f"{figure(median(samples))} ({figure(min(values))} to {figure(max(values))})"


def verdict(measure: Measure, by_server: Mapping[str, Sequence[Sample]]) -> tuple[float, bool] | None:
    """The ratio of ours to Node's, and whether it is what it should be."""
    if not (by_server.get("ours") and by_server.get("node")):
        return None
    ratio = median(by_server["ours"]) / median(by_server["node"])
    return ratio, ratio >= measure.target if measure.more_is_better else ratio <= measure.target


def table(samples: Samples, servers: Sequence[str]) -> str:
    rows = [["", *servers, "ours ÷ node", "target", ""], ["---", *["---:"] * (len(servers) + 2), "---"]]
    for name, by_server in samples.items():
        measure = MEASURES[name]
        judged = verdict(measure, by_server)
        rows.append([
            f"{measure.title}, {measure.unit}",
            *(cell(by_server[server]) for server in servers),
            f"{judged[0]:.2f}" if judged else "",
            f"{'≥' if measure.more_is_better else '≤'} {measure.target}",
            ("met" if judged[1] else "**missed**") if judged else "",
        ])  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def load_line(samples: Samples) -> str:
    """How far the load was from being the bottleneck."""
    return "; ".join(
        f"{name}: " + ", ".join(
            f"{server} {statistics.median(one.server_busy for one in taken):.0%}"
            f" / load {statistics.median(one.load_busy for one in taken):.0%}"
            f" / others at most {max(one.others for one in taken):.0%}"
            for server, taken in by_server.items()
        )
        for name, by_server in samples.items()
    )  # fmt: skip


def write(samples: Samples, text: str, facts: Mapping[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    measures = {}
    for name, by_server in samples.items():
        judged = verdict(MEASURES[name], by_server)
        measures[name] = asdict(MEASURES[name]) | {
            "ratio": judged and judged[0],
            "met": judged and judged[1],
            "servers": {
                server: {"median": median(taken), "rounds": [asdict(one) for one in taken]}
                for server, taken in by_server.items()
            },
        }
    content = json.dumps({**facts, "measures": measures}, indent=2)
    (RESULTS / "transport.json").write_text(f"{content}\n")
    (RESULTS / "transport.md").write_text(f"{text}\n")
