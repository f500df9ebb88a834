"""Comments that another program inserts, beside a transaction left open: how long until they are on the screen, and how
large the outbox grows.

    make lag                                     1,000 a second for ten minutes
    python -m benchmarks.lag --seconds 30        shorter

Everything is real and on this machine: an embedded PostgreSQL with its default durability, the server as a process, 20
authors on WebSockets, four writers that insert one row a commit at fixed times (open loop: a slow server makes them no
slower). Exit status 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psycopg2

from notify_server import embedded

AUTHORS = 20
WRITERS = 4
TARGET_P99_S = 0.5
TARGET_OUTBOX_BYTES = 8_000_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Writers:
    """`committed[id]` is when the comment was."""

    def __init__(self, url: str, per_second: int, seconds: int) -> None:
        self.committed: dict[int, float] = {}
        self.insert_s: list[float] = []
        self._threads = [
            threading.Thread(target=self._write, args=(url, n, per_second / WRITERS, seconds)) for n in range(WRITERS)
        ]
        for thread in self._threads:
            thread.start()

    def _write(self, url: str, number: int, per_second: float, seconds: int) -> None:
        connection = psycopg2.connect(url)
        connection.autocommit = True
        cursor = connection.cursor()
        begun = time.monotonic()
        for n in range(int(per_second * seconds)):
            ahead_s = begun + n / per_second - time.monotonic()
            if ahead_s > 0:
                time.sleep(ahead_s)
            asked = time.monotonic()
            cursor.execute(
                "INSERT INTO comments (post_id, author_id, body) VALUES (%s, %s, 'from elsewhere') RETURNING id",
                (n % AUTHORS + 1, AUTHORS + 1 + number),
            )
            now = time.monotonic()
            self.committed[cursor.fetchone()[0]] = now
            self.insert_s.append(now - asked)
        connection.close()

    @property
    def running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)


async def listen(http: aiohttp.ClientSession, port: int, user: int, shown: dict[int, list[float]]) -> None:
    async with http.ws_connect(f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket") as ws:
        await ws.receive_str()
        await ws.send_str("40" + json.dumps({"userId": user}))
        async for message in ws:
            if message.data == "2":
                await ws.send_str("3")
            elif message.data.startswith("42"):
                shown.setdefault(json.loads(message.data[2:])[1]["commentId"], []).append(time.monotonic())


@contextlib.asynccontextmanager
async def server(url: str, port: int) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "notify_server", "serve",
        stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url, "TRUST_USER_ID": "true", "PORT": str(port)},
    )  # fmt: skip
    assert process.stderr is not None
    lines = process.stderr
    while b'"ready"' not in (line := await lines.readline()):
        if not line:
            raise SystemExit("the server does not start")

    async def pass_on() -> None:
        async for line in lines:
            sys.stderr.write(line.decode())

    passing = asyncio.create_task(pass_on())
    try:
        yield
    finally:
        process.terminate()
        await process.wait()
        passing.cancel()


async def measure(url: str, per_second: int, seconds: int) -> int:
    port = free_port()
    shown: dict[int, list[float]] = {}
    outbox: list[int] = []
    async with server(url, port), aiohttp.ClientSession() as http:
        other = psycopg2.connect(url)
        other.autocommit = True
        cursor = other.cursor()
        cursor.execute("INSERT INTO users (name) SELECT n::text FROM generate_series(1, %s) n", (AUTHORS + WRITERS,))
        cursor.execute(
            "INSERT INTO posts (author_id, title, body) SELECT n, '', '' FROM generate_series(1, %s) n", (AUTHORS,)
        )
        listening = [asyncio.create_task(listen(http, port, n + 1, shown)) for n in range(AUTHORS)]
        await asyncio.sleep(1)
        idle = psycopg2.connect(url)  # the transaction left open
        with idle.cursor() as left_open:
            left_open.execute(
                "INSERT INTO comments (post_id, author_id, body) VALUES (1, %s, 'left open')", (AUTHORS + 1,)
            )

        writers = Writers(url, per_second, seconds)
        started = time.monotonic()
        while writers.running:
            await asyncio.sleep(1)
            cursor.execute("SELECT sum(pg_relation_size('notify.outbox_' || n)) FROM generate_series(0, 2) n")
            outbox.append(int(cursor.fetchone()[0]))
            if len(outbox) % 60 == 0:
                print(
                    f"{len(outbox):4} s  {len(writers.committed)} written, {len(shown)} shown, outbox {outbox[-1]:,} B"
                )
        took_s = time.monotonic() - started
        for _ in range(100):
            if len(shown) >= len(writers.committed):
                break
            await asyncio.sleep(0.1)
        idle.commit()
        await asyncio.sleep(1)
        for task in listening:
            task.cancel()
        idle.close()
        other.close()

    lags = sorted(shown[one][0] - at for one, at in writers.committed.items() if one in shown)
    inserts = sorted(writers.insert_s)
    missing = per_second * seconds - len(writers.committed)
    lost = len(writers.committed) - len(lags)
    twice = sum(len(moments) > 1 for moments in shown.values())
    late = len(shown) - len(lags)
    print(f"written           {len(writers.committed)} in {took_s:.0f} s, each in {quantiles_ms(inserts)}")
    print(f"commit to client  {quantiles_ms(lags)}")
    print(f"outbox            largest {max(outbox):,} bytes, at the end {outbox[-1]:,}")
    print(
        f"lost {lost}, shown twice {twice}; the one of the transaction left open: {'shown' if late == 1 else 'MISSING'}"
    )
    return int(
        not lags
        or lags[int(len(lags) * 0.99)] > TARGET_P99_S
        or max(outbox) > TARGET_OUTBOX_BYTES
        or missing > 0
        or took_s > seconds * 1.05 + 2
        or lost > 0
        or twice > 0
        or late != 1
    )


def quantiles_ms(seconds: list[float]) -> str:
    if not seconds:
        return "no time at all: there were none"
    p50, p99, worst = (seconds[min(len(seconds) - 1, int(len(seconds) * q))] * 1000 for q in (0.5, 0.99, 1.0))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {worst:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-second", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=600)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="notify-") as folder:
        Path(folder).chmod(0o755)
        with embedded.running(Path(folder) / "data") as url:
            sys.exit(asyncio.run(measure(url, options.per_second, options.seconds)))


if __name__ == "__main__":
    main()
