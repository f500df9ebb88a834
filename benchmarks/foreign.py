"""Comments that another program inserts: how long until they are on the screen, and what our trigger adds to that
program's INSERT."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import psycopg2

from benchmarks.comments import LISTENERS, comment_id
from benchmarks.load.requests import poisson
from benchmarks.postgres import AUTHORS, Postgres, sql
from benchmarks.world import Measured, Measures, World, expect, quantile

RATE = 200
SECONDS = 20
TRIGGER_ROWS = 1000
TRIGGER_ROUNDS = 5

_INSERT = "INSERT INTO comments (post_id, author_id, body) VALUES (%s, %s, 'What a machine') RETURNING id"


def foreign(world: World, seed: int) -> Measures:
    """From the return of the other program's COMMIT until the event is in the author's client."""
    with world.sockets() as sockets, ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as others:
        sockets.open(range(1, LISTENERS + 1))
        others.submit(_write, world.url, poisson(RATE, 2, seed)).result()
        sockets.rest(1)
        log = sockets.log = []
        watch = world.watch()
        writing = others.submit(_write, world.url, poisson(RATE, SECONDS, seed + 1))
        while not writing.done():
            world.poller.wait(0.1)
        committed = writing.result()
        busy = watch.busy()
        world.poller.until(lambda: len(log) >= len(committed), 30, f"{len(committed)} events")
        seen = Counter(comment_id(packet) for _, packet in log)
        expect(seen.keys() == committed.keys() and set(seen.values()) == {1}, "each comment seen, and seen once")
        waited_s = [at - committed[comment_id(packet)] for at, packet in log]
        yield Measured("foreign-p50", quantile(waited_s, 0.5) * 1000, busy)
        yield Measured("foreign-p99", quantile(waited_s, 0.99) * 1000, busy)


def _write(url: str, moments: list[float]) -> dict[int, float]:
    """When each comment was committed, by time.perf_counter, which all processes share."""
    committed = {}
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        begun = time.perf_counter()
        for n, moment in enumerate(moments):
            time.sleep(max(0.0, begun + moment - time.perf_counter()))
            cursor.execute(_INSERT, (n % LISTENERS + 1, AUTHORS + 1 + n % 1000))
            committed[cursor.fetchone()[0]] = time.perf_counter()
    connection.close()
    return committed


def trigger(postgres: Postgres) -> Measures:
    """Rounds with the trigger and without it (disabled) alternate; the cost is the difference of medians. Once inside a
    transaction, where no commit hides it, and once with a commit for each row. A drain empties the outbox between the
    rounds, as a server does. PostgreSQL and the program share a core: to be woken on another one costs more than what
    is measured."""
    with postgres.database(attached=True) as url, sql(url) as admin, sql(url) as app:
        for figure, commit_each in (("trigger", False), ("trigger-commit", True)):
            seen: dict[str, list[float]] = {"DISABLE": [], "ENABLE": []}
            for number in range(TRIGGER_ROUNDS + 1):
                for state, figures in seen.items():
                    with admin.connection.cursor() as cursor:
                        cursor.execute(f"ALTER TABLE comments {state} TRIGGER notify_insert")
                    admin.run("CHECKPOINT")
                    median_us = _insert_us(app.connection, commit_each=commit_each)
                    if number > 0:  # the first is to warm up
                        figures.append(median_us)
                    admin.run("SELECT notify.drain_v3(100000, NULL, false)")
            without, with_it = (statistics.median(figures) for figures in seen.values())
            yield Measured(f"{figure}-without", without)
            yield Measured(f"{figure}-with", with_it)
            yield Measured(figure, with_it - without)


def _insert_us(connection: psycopg2.extensions.connection, *, commit_each: bool) -> float:
    """Median µs of one INSERT, as its program waits for it."""
    connection.autocommit = commit_each
    taken = []
    with connection.cursor() as cursor:
        for _ in range(TRIGGER_ROWS):
            begun = time.perf_counter()
            cursor.execute(_INSERT, (1, 2))
            taken.append(time.perf_counter() - begun)
    if not commit_each:
        connection.commit()
    return statistics.median(taken) * 1e6
