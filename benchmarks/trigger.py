"""What our trigger adds to the app's own INSERT of one comment.

    make bench-trigger                     a minute
    python -m benchmarks.trigger --rounds 4

An embedded PostgreSQL with its default durability, and one connection of another program. Rounds with the trigger and
without it (disabled) alternate; the cost is the difference of medians. Once inside a transaction, where no commit hides
it, and once with a commit for each row. A drain empties the outbox between rounds, as a server does. Both share one
core: to be woken on another one costs more than what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import psycopg2

from notify_server import embedded
from notify_server.attachment import prepare
from notify_server.db import Database

ROWS = 1000
TARGET_US = 100

_INSERT = "INSERT INTO comments (post_id, author_id, body) VALUES (1, 2, 'What a machine')"


async def _prepare(url: str) -> None:
    db = Database(size=2, timeout_s=10, wait_s=10, connect_timeout_s=10)
    db.open(url)
    await prepare(db)
    await db.close()


def _insert_us(connection: psycopg2.extensions.connection, *, commit_each: bool) -> float:
    """Median µs of one INSERT, as its program waits for it."""
    connection.autocommit = commit_each
    taken = []
    with connection.cursor() as cursor:
        for _ in range(ROWS):
            begun = time.perf_counter()
            cursor.execute(_INSERT)
            taken.append(time.perf_counter() - begun)
    if not commit_each:
        connection.commit()
    return statistics.median(taken) * 1e6


def _measure(url: str, rounds: int) -> None:
    app, admin = psycopg2.connect(url), psycopg2.connect(url)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute("INSERT INTO users (name) VALUES ('Ada'), ('Grace')")
        cursor.execute("INSERT INTO posts (author_id, title, body) VALUES (1, '', '')")
        print(f"{ROWS} rows a round, {rounds} rounds of each; median µs, and the range of the rounds' medians\n")
        print("| | without | with the trigger | cost |\n|---|---|---|---|")
        for name, commit_each in (("in a transaction", False), ("each with its commit", True)):
            seen: dict[str, list[float]] = {"DISABLE": [], "ENABLE": []}
            for number in range(rounds + 1):
                for state, figures in seen.items():
                    cursor.execute(f"ALTER TABLE comments {state} TRIGGER notify_insert")
                    cursor.execute("CHECKPOINT")
                    figure = _insert_us(app, commit_each=commit_each)
                    if number > 0:  # the first is to warm up
                        figures.append(figure)
                    cursor.execute("SELECT notify.drain_v3(100000, NULL, false)")
            without, with_it = (statistics.median(figures) for figures in seen.values())
            ranges = [f"{min(figures):.0f} to {max(figures):.0f}" for figures in seen.values()]
            print(
                f"| {name} | {without:.0f} ({ranges[0]}) | {with_it:.0f} ({ranges[1]}) |"
                f" {with_it - without:.0f} µs, target ≤ {TARGET_US} |"
            )
    app.close()
    admin.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(prefix="notify-") as folder:
        Path(folder).chmod(0o755)  # where PostgreSQL runs as another user than root
        with embedded.running(Path(folder) / "data") as url:
            asyncio.run(_prepare(url))
            _measure(url, arguments.rounds)


if __name__ == "__main__":
    main()
