"""What happened in this process, counted where it happens. Plain numbers: how they are shown is another's business
(`metrics.py`), and counting costs well below a microsecond."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, field

_DURATIONS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_ROWS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)


class Histogram:
    """`counts[n]` are the values up to `bounds[n]` (and above the bound before); the last one those above all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


def _durations() -> Histogram:
    return Histogram(_DURATIONS_S)


@dataclass(slots=True)
class Meters:
    """Sources of notifications: `post`, a batch of ours; `outbox`, a drain of ours; `elsewhere`, another server, or
    ours where its word was lost; `replay`, to one socket that catches up."""

    stored: Counter[str] = field(default_factory=Counter)  # by source
    emitted: Counter[str] = field(default_factory=Counter)
    lag_s: defaultdict[str, Histogram] = field(default_factory=lambda: defaultdict(_durations))
    replays: int = 0
    batch_rows: Histogram = field(default_factory=lambda: Histogram(_ROWS))
    poisoned: int = 0
    handshakes: Counter[str] = field(default_factory=Counter)  # by outcome: accepted, or the error's code
    rate_limited: Counter[str] = field(default_factory=Counter)  # by whose rate: user, inbox, address
    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)  # by method, route, status
    request_s: defaultdict[str, Histogram] = field(default_factory=lambda: defaultdict(_durations))  # by route
    loop_lag_s: Histogram = field(default_factory=_durations)
