"""Constant traffic: posters over HTTP, and other programs that insert into the app's table and know nothing of us."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import psycopg2
from aiohttp import ClientError, ClientSession, ClientTimeout

from tests.faults.logs import Appender, Life, Request

_ANSWER_S = 15
_TRIES = 8
_READS_PER_S = 5


class Poster:
    """Posts comments, each with a text of its own; every second one under a key, with which it tries again."""

    def __init__(self, http: ClientSession, ports: Sequence[int], log: Appender, random: Random, users: int) -> None:
        self._http, self._ports, self._log, self._random, self._users = http, ports, log, random, users
        self._numbers = itertools.count(1)
        self._name = uuid.UUID(int=random.getrandbits(128)).hex[:8]
        self.requests: list[Request] = []
        self.busy = False

    async def run(self, per_second: float, running: asyncio.Event) -> None:
        """Until cancelled, while `running` is set."""
        while True:
            await running.wait()
            started = time.monotonic()
            user, post = str(self._random.randint(1, self._users)), str(self._random.randint(1, self._users))
            key = uuid.UUID(int=self._random.getrandbits(128)).hex if self._random.random() < 0.5 else None
            await self.post(user, post, key)
            await asyncio.sleep(max(0, started + self._random.uniform(0.5, 1.5) / per_second - time.monotonic()))

    async def post(self, user: str, post: str, key: str | None) -> Request:
        """The last try."""
        body = f"{self._name} {next(self._numbers)}"
        self.busy = True
        try:
            for attempt in range(_TRIES):
                request = await self.attempt(user, post, body, key)
                if key is None or request.status == 200:
                    break
                await asyncio.sleep(self._random.uniform(0.1, 0.4) * (attempt + 1))
        finally:
            self.busy = False
        return request

    async def attempt(self, user: str, post: str, body: str, key: str | None) -> Request:
        """One request, which goes into the log."""
        headers = {"Authorization": f"User {user}"} | ({} if key is None else {"Idempotency-Key": key})
        url = f"http://127.0.0.1:{self._random.choice(self._ports)}/posts/{post}/comments"
        at, started = time.time(), time.monotonic()
        status, answer = None, {}
        with contextlib.suppress(ClientError, OSError, TimeoutError, json.JSONDecodeError):
            async with self._http.post(
                url, json={"body": body}, headers=headers, timeout=ClientTimeout(_ANSWER_S)
            ) as response:
                status = response.status
                answer = await response.json(content_type=None)
        if status == 200 and not answer:  # cut in the middle of the answer
            status = None
        id_ = answer.get("id")
        request = Request(
            at, time.monotonic() - started, user, post, body, key, status, answer.get("code"),
            None if id_ is None else str(id_),
        )  # fmt: skip
        self.requests.append(request)
        self._log.write(request)
        return request


class Insert(NamedTuple):
    at: float
    took_s: float
    error: str | None


class Inserter(threading.Thread):
    """Another program of the app: a row a commit, straight to PostgreSQL."""

    def __init__(self, url: str, per_second: float, seed: int, users: int) -> None:
        super().__init__(daemon=True)
        self._url, self._per_second, self._random, self._users = url, per_second, Random(seed), users
        self._running, self._ended, self._idle = threading.Event(), threading.Event(), threading.Event()
        self._connection: psycopg2.extensions.connection | None = None
        self.inserts: list[Insert] = []

    def go_on(self) -> None:
        self._idle.clear()
        self._running.set()

    def pause(self) -> None:
        """Returns when no INSERT is under way."""
        self._running.clear()
        self._idle.wait(30)

    def end(self) -> None:
        self._ended.set()
        self._running.set()
        self.join(30)

    def run(self) -> None:
        while True:
            if not self._running.is_set():
                self._idle.set()
                self._running.wait()
            if self._ended.is_set():
                break
            self._insert()
            time.sleep(self._random.uniform(0.5, 1.5) / self._per_second)
        if self._connection is not None:
            self._connection.close()

    def _insert(self) -> None:
        at, started, error = time.time(), time.monotonic(), None
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg2.connect(self._url, application_name="app", connect_timeout=5)
                self._connection.autocommit = True
            started = time.monotonic()
            with self._connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO comments (post_id, author_id, body) VALUES (%s, %s, %s)",
                    (self._random.randint(1, self._users), self._random.randint(1, self._users), f"app {at!r}"),
                )
        except psycopg2.Error as failure:
            error = f"{type(failure).__name__}: {failure}".strip()
            time.sleep(0.05)
        self.inserts.append(Insert(at, time.monotonic() - started, error))


class Reader:
    """People who read what their tabs show them: see all, read some, delete a few. `forget` is told a comment's id
    before its notification is deleted."""

    def __init__(
        self, http: ClientSession, ports: Sequence[int], random: Random, lives: Callable[[], list[Life]],
        forget: Callable[[list[str]], None],
    ) -> None:  # fmt: skip
        self._http, self._ports, self._random, self._lives, self._forget = http, ports, random, lives, forget
        self.busy = False

    async def run(self, per_second: float, running: asyncio.Event) -> None:
        """Until cancelled, while `running` is set."""
        while True:
            await running.wait()
            await asyncio.sleep(self._random.uniform(0.5, 1.5) / per_second)
            told = [life for life in self._lives() if life.shown and life.shown[-1].seq is not None]
            if told and running.is_set():
                self.busy = True
                try:
                    await self._read(self._random.choice(told))
                finally:
                    self.busy = False

    async def _read(self, life: Life) -> None:
        shown = self._random.choice(life.shown[-20:])
        what = self._random.choices(["seen", "read", "delete"], [2, 3, 1])[0]
        if what == "delete":
            self._forget([shown.comment_id])
        url = f"http://127.0.0.1:{self._random.choice(self._ports)}/notifications/{what}"
        values = {"upTo": shown.seq} if what == "seen" else {"seqs": [shown.seq]}
        with contextlib.suppress(ClientError, OSError, TimeoutError):
            async with self._http.post(
                url, json=values, headers={"Authorization": f"User {life.user}"}, timeout=ClientTimeout(_ANSWER_S)
            ) as response:
                await response.read()


@dataclass
class Traffic:
    posters: list[Poster] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    inserters: list[Inserter] = field(default_factory=list)
    _running: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, posts_per_second: float) -> None:
        for poster in self.posters:
            self._tasks.append(asyncio.create_task(poster.run(posts_per_second / len(self.posters), self._running)))
        for reader in self.readers:
            self._tasks.append(asyncio.create_task(reader.run(_READS_PER_S, self._running)))
        for inserter in self.inserters:
            inserter.start()
        self.go_on()

    def go_on(self) -> None:
        self._running.set()
        for inserter in self.inserters:
            inserter.go_on()

    async def pause(self) -> None:
        """Returns when nothing is under way."""
        self._running.clear()
        for inserter in self.inserters:
            await asyncio.to_thread(inserter.pause)
        while any(poster.busy for poster in self.posters) or any(reader.busy for reader in self.readers):
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for inserter in self.inserters:
            await asyncio.to_thread(inserter.end)
