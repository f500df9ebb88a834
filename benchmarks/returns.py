"""Clients that come back: all of them after a restart, and some that missed much."""

from __future__ import annotations

import time

from benchmarks.load.poller import Poller
from benchmarks.load.sockets import Session, Sockets
from benchmarks.postgres import AUTHORS, Postgres, Sql, sql
from benchmarks.processes import OURS, Server, running
from benchmarks.watch import Watch
from benchmarks.world import Measured, Measures, expect

BACK = 10_000
REPLAYED = 1_000
MISSED = 100
_STATISTICS_S = 2  # by when PostgreSQL has counted what its connections did


def back(postgres: Postgres, name: str) -> Measures:
    """The server is killed while all are connected, and started again. Meanwhile one comment came for each of them,
    where the server has a memory."""
    with postgres.database(attached=name == OURS) as url, sql(url) as other:
        with running(name, url) as server:
            sessions = _sessions(server, BACK)
        missed = BACK if name == OURS else 0
        _insert(other, BACK, missed // BACK)
        with running(name, url) as server, Poller() as poller:
            time.sleep(_STATISTICS_S)
            before = _transactions(other)
            watch = Watch(server, postgres)
            sockets = Sockets(poller, server.port)
            begun = time.monotonic()
            sockets.open(sessions, sessions)
            poller.until(lambda: sockets.arrived >= missed, 120, f"{missed} events")
            yield Measured("back", time.monotonic() - begun, watch.busy())
            sockets.rest(_STATISTICS_S)
            expect(sockets.events() == {missed // BACK}, "each has what it missed, once")
            if name == OURS:
                yield Measured("back-queries", (_transactions(other) - before) / BACK)
            sockets.close()


def replay(postgres: Postgres) -> Measures:
    """From the first connect until the last of what was missed has come."""
    with postgres.database(attached=True) as url, running(OURS, url) as server, sql(url) as other:
        sessions = _sessions(server, REPLAYED)
        _insert(other, REPLAYED, MISSED)
        while other.value("SELECT coalesce(sum(unread), 0) FROM notify.inbox") < REPLAYED * MISSED:
            time.sleep(0.2)
        with Poller() as poller:
            sockets = Sockets(poller, server.port)
            watch = Watch(server, postgres)
            begun = time.monotonic()
            sockets.open(sessions, sessions)
            poller.until(lambda: sockets.arrived >= REPLAYED * MISSED, 120, "everything missed")
            yield Measured("replay", time.monotonic() - begun, watch.busy())
            sockets.rest(0.5)
            expect(sockets.events() == {MISSED}, "each has what it missed, once")
            sockets.close()


def _sessions(server: Server, number: int) -> dict[int, Session]:
    """Of so many that connect and go."""
    with Poller() as poller:
        sockets = Sockets(poller, server.port)
        sockets.open(range(1, number + 1))
        sessions = sockets.sessions()
        sockets.close()
    return sessions


def _insert(other: Sql, authors: int, each: int) -> None:
    other.run(
        "INSERT INTO comments (post_id, author_id, body) SELECT p, %s, 'meanwhile'"
        " FROM generate_series(1, %s) n CROSS JOIN generate_series(1, %s) p",
        AUTHORS + 1, each, authors,
    )  # fmt: skip


def _transactions(other: Sql) -> int:
    found: int = other.value("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    return found
