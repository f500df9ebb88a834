"""What lies below the server: how fast PostgreSQL writes such rows where only the one who asks shares its core, and how
fast the kernel takes such frames."""

from __future__ import annotations

import contextlib
import functools
import json
import multiprocessing
import random
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from benchmarks.load.poller import Poller
from benchmarks.machine import cores, on_core
from benchmarks.postgres import AUTHORS, COMMENTERS, Postgres, Sql, sql
from benchmarks.world import Measured, Measures, expect
from notify_server.sql import queries

BATCHES = (1, 16, 200)
ROWS = 20_000
ROWS_ALONE = 2_000
LISTENERS = 1_000  # whose posts are commented on, and whose sockets are written to
FRAME_BYTES = 250  # of a comment's event
FRAMES = 200_000
BODY = "What a machine"

_POST = queries("comments").post_comments.sql
_INSERT = """
INSERT INTO comments (post_id, author_id, body)
SELECT n.post_id, n.author_id, n.body
FROM jsonb_to_recordset(%(batch)s::jsonb) n (post_id integer, author_id integer, body text) RETURNING id
"""


def limits(postgres: Postgres, seed: int) -> Measures:
    random_ = random.Random(seed)
    for figure, attached in (("limit-rows", True), ("limit-inserts", False)):
        for size in BATCHES:
            with postgres.database(attached=attached) as url, sql(url) as app:
                yield Measured(f"{figure}-{size}", _rows_per_s(app, random_, size, attached=attached))
    yield Measured("limit-frames", _frames_per_s())


def _rows_per_s(app: Sql, random_: random.Random, size: int, *, attached: bool) -> float:
    """Batches one after the other, each with a commit of its own; as the server posts them where `attached`, else the
    app's own rows alone."""
    count = (ROWS_ALONE if size == 1 else ROWS) // size
    warm_up = count // 4
    statement = _POST if attached else _INSERT
    with app.connection.cursor() as cursor:
        for number in range(warm_up + count):
            if number == warm_up:
                begun = time.perf_counter()
            batch = json.dumps(list(_comments(random_, size)))
            cursor.execute(statement, {"batch": batch, "batch_id": str(uuid.uuid4()), "patient": False})
    taken_s = time.perf_counter() - begun
    written = [app.value("SELECT count(*) FROM comments")]
    if attached:
        written.append(app.value("SELECT count(*) FROM notify.notification"))
    expect(set(written) == {(warm_up + count) * size}, "every comment written, and its notification")
    return count * size / taken_s


def _comments(random_: random.Random, size: int) -> Iterator[dict[str, object]]:
    for n in range(size):
        post, author = random_.randint(1, LISTENERS), AUTHORS + random_.randint(1, COMMENTERS)
        yield {"n": n, "post_id": str(post), "author_id": str(author), "body": BODY}


def _frames_per_s() -> float:
    """One frame to each socket in turn, written on the server's core and read on the other. What is written fits into
    the kernel's buffers, so that the writer never waits."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=LISTENERS) as server, Poller() as poller,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as others, contextlib.ExitStack() as accepted,
    ):  # fmt: skip
        with on_core(cores()[0]):
            writing = others.submit(_write, server.getsockname()[1])
        for _ in range(LISTENERS):
            one = accepted.enter_context(server.accept()[0])
            poller.register(one, functools.partial(one.recv, 65_536))
        poller.until(writing.done, 60, f"{FRAMES} frames written")
        return writing.result()


def _write(port: int) -> float:
    with contextlib.ExitStack() as connected:
        sockets = [connected.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(LISTENERS)]
        for one in sockets:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        frame = bytes(FRAME_BYTES)
        begun = time.perf_counter()
        for _ in range(FRAMES // LISTENERS):
            for one in sockets:
                one.send(frame)
        return FRAMES / (time.perf_counter() - begun)
