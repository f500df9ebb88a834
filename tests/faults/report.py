"""What a run found, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from tests.faults.checker import Broken, summary
from tests.faults.kinds import KINDS
from tests.faults.logs import Life, Row
from tests.faults.rounds import Injected, due_of
from tests.faults.scenarios import Outcome
from tests.faults.traffic import Insert
from tests.faults.world import World

POINTS = ("after_commit", "before_reply", "after_emit")
TARGET_KILL_S = 2
TARGET_HEAL_S = 2
_LASTING_S = 2  # a connection that ends before that was cut by a fault
_INSERT_S = 2  # an INSERT that takes longer waited for something
_BEFORE_S = 1  # how long before a kill a row may have been committed without being told


@dataclass
class Run:
    world: World
    injected: Injected
    found: list[Broken]
    outcomes: list[Outcome] = field(default_factory=list)
    minutes: float = 0
    seed: int = 0


# --- the app's own INSERTs ------------------------------------------------------------------------------------------


def our_inserts(world: World) -> list[Insert]:
    """Those that PostgreSQL itself did not fail."""
    inserts = chain.from_iterable(inserter.inserts for inserter in world.traffic.inserters)
    return [
        one for one in inserts if not any(one.at < end and one.at + one.took_s > start for start, end in world.app_away)
    ]


def late_inserts(world: World) -> list[Insert]:
    """Those that failed, or waited."""
    return [one for one in our_inserts(world) if one.error is not None or one.took_s > _INSERT_S]


# --- kills ----------------------------------------------------------------------------------------------------------


def _delay_s(life: Life, created_at: float, shown_at: float) -> float:
    """From the CONNECT that brought it, or, where the tab was connected all along, from the commit."""
    for connection in life.connections:
        until = connection.until or float("inf")
        if created_at < connection.at <= shown_at and (until >= shown_at or until - connection.at >= _LASTING_S):
            return shown_at - connection.at
    return shown_at - created_at


def kill_delays_s(world: World, rows: Iterable[Row], point: str) -> list[float]:
    """For each tab, and each row that was stored shortly before such a kill and shown after it, how long it took."""
    kills = [death.at for server in world.servers for death in server.deaths if death.point == point]
    concerned: dict[tuple[str, str], tuple[float, float]] = {}
    for row in rows:
        for at in kills:
            if at - _BEFORE_S <= row.created_at <= at:
                concerned[row.user, row.comment_id] = (row.created_at, at)
    delays = []
    for life in world.logs.lives.values():
        for shown in life.shown:
            created_at, killed_at = concerned.get((life.user, shown.comment_id), (0, float("inf")))
            if shown.at > killed_at:
                delays.append(_delay_s(life, created_at, shown.at))
    return sorted(delays)


def percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0


# --- the table ------------------------------------------------------------------------------------------------------


def lines(run: Run) -> Iterator[tuple[str, str, str, bool]]:
    """What, found, target, and whether that holds."""
    world, injected = run.world, run.injected
    times = Counter[str]()
    for broken in run.found:
        times[broken.name] += broken.times

    def none_of(what: str, *names: str, of: str = "") -> tuple[str, str, str, bool]:
        number = sum(times.pop(name, 0) for name in names)
        return what, f"{number:,}{of}", "0", number == 0

    lives = world.logs.lives.values()
    shown = sum(len(life.shown) for life in lives)
    answers = Counter(str(request.status or "no answer") for request in world.logs.requests)
    comments = {request.comment_id for request in world.logs.requests if request.status == 200}
    total = injected.counts.total()
    yield "faults injected", f"{total:,} of {len(injected.counts)} kinds", "≥ 15 kinds", len(injected.counts) >= 15
    yield none_of("acknowledged comments lost", "an answered comment is lost", of=f" of {len(comments):,}")
    yield none_of("comments missing in inboxes, or twice", "a comment is not in its author's inbox",
                  "a comment is in inboxes twice", of=f" of {len(world.dumped.rows):,}")  # fmt: skip
    yield none_of("shown again", "shown again", of=f" of {shown:,} shown")
    yield none_of("not shown to a tab that stayed", "not shown to a tab that stayed",
                  of=f", {sum(not life.closed for life in lives)} tabs of {len(lives)} stayed")  # fmt: skip
    yield none_of(
        "tabs that did not come back", "a tab that stayed is not connected", "a good client was refused for ever"
    )
    yield none_of("order broken", "order broken", "an offset that is not its row's")
    yield none_of("silent gaps", "a gap")
    yield none_of("rows of another user", "another user's row", of=f" of {shown:,} shown")
    yield none_of("phantoms", "a phantom: never stored", "a phantom: shown before it was stored")
    yield none_of("unread counts wrong", "the inbox's counts", "a tab's counts", "a server's counts")
    yield none_of("failed requests that left a comment", "a request that failed left a comment")
    yield none_of("comments written twice", "one key, several comments", "one request, several comments")
    told = ", ".join(f"{status}: {number:,}" for status, number in sorted(answers.items()))
    others = sum(times.pop(name) for name in list(times) if name.startswith("answered "))
    yield "answers", told, "200, 409, 429, 503", others == 0
    for name, number in times.items():
        yield name, f"{number:,}", "0", False

    def due(name: str) -> int:
        return sum(number for kind, number in due_of(total).items() if kind.startswith(name))

    def at_least(name: str) -> str:
        return f"≥ {due(name)}, " if due(name) else ""

    for point in POINTS:
        name = point.replace("_", " ")
        kills = sum(death.point == point for server in world.servers for death in server.deaths)
        delays = kill_delays_s(world, world.dumped.rows, point)
        p99 = percentile(delays, 0.99)
        yield (f"kills {name}: to the screen, p99",
               f"{kills} kills, {p99:.2f} s (p50 {percentile(delays, 0.5):.2f} s, {len(delays)} shown)",
               f"{at_least(f'server killed {name}')}≤ {TARGET_KILL_S} s",
               p99 <= TARGET_KILL_S and kills >= due(f"server killed {name}"))  # fmt: skip
    inserts, late = our_inserts(world), late_inserts(world)
    yield ("the app's own INSERTs that failed, or waited",
           f"{len(late)} of {len(inserts):,}, the worst took {max((one.took_s for one in inserts), default=0):.2f} s",
           f"0, ≤ {_INSERT_S} s", not late)  # fmt: skip
    healed_s = sorted(restart.healed_s for restart in world.restarts)
    worst_s = percentile(healed_s, 1)
    files = min((restart.files for restart in world.restarts), default=0)
    yield (f"PostgreSQL restarts, with {files:,} open files and more: until all servers write again, worst",
           f"{len(healed_s)} restarts, {worst_s:.2f} s (p50 {percentile(healed_s, 0.5):.2f} s)",
           f"{at_least('postgres restarted')}≤ {TARGET_HEAL_S} s",
           worst_s <= TARGET_HEAL_S and len(healed_s) >= due('postgres restarted'))  # fmt: skip
    deaths = sum(len(server.deaths) for server in world.servers)
    tracebacks = sum(len(server.tracebacks) for server in world.servers)
    yield "server's restarts, tracebacks in their logs", f"{deaths}, {tracebacks}", "0 tracebacks", tracebacks == 0
    yield "rounds that were not calm in time", str(injected.restless), "0", injected.restless == 0
    for outcome in run.outcomes:
        yield outcome.name, outcome.found, outcome.target, not outcome.broken


def table(run: Run) -> str:
    head = ["|  | found | target |  |", "| --- | --- | --- | --- |"]
    body = [
        f"| {what} | {found} | {target} | {'' if fine else '**broken**'} |" for what, found, target, fine in lines(run)
    ]
    kinds = ["| kind | faults | runs beside |", "| --- | ---: | --- |"]
    for name, kind in KINDS.items():
        number = str(run.injected.counts[name])
        if name in run.injected.skipped:
            number += f", else {run.injected.skipped[name]}"
        kinds.append(f"| {name} | {number} | {'nothing' if kind.alone else f'those of other than {kind.lane}'} |")
    size = run.world.size
    about = (
        f"Seed {run.seed}, {run.minutes:.0f} minutes, {size.servers} servers, {size.users} users, {size.tabs} tabs of"
        f" socket.io-client 4.8 and 4.6, {size.posts_per_second:g} POSTs and {size.inserts_per_second:g} foreign"
        " INSERTs a second."
    )
    return "\n".join([*head, *body, "", about, "", *kinds, ""])


def evidence(run: Run) -> list[str]:
    found = [f"{broken.invariant} {broken.name} ({broken.times}): {broken.evidence}" for broken in summary(run.found)]
    found += [f"{outcome.name}: {text}" for outcome in run.outcomes for text in outcome.broken[:5]]
    found += [f"an INSERT of the app: {one}" for one in late_inserts(run.world)[:5]]
    found += [text for server in run.world.servers for text in server.tracebacks[:3]]
    return [*found, *run.injected.failed[:20]]
