"""PostgreSQL, servers, networks, clients and traffic: all that faults are injected into, on this machine alone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import psycopg2
from aiohttp import ClientError, ClientSession

from tests.faults.browsers import Browsers
from tests.faults.checker import Broken, check
from tests.faults.crowd import Crowd
from tests.faults.disk import Disk
from tests.faults.logs import (
    DUMP,
    Appender,
    Comment,
    Counts,
    Dump,
    Life,
    Logs,
    Row,
    Tail,
)
from tests.faults.proxy import Proxy
from tests.faults.servers import Server
from tests.faults.traffic import Poster, Traffic
from tests.postgres import Cluster, sql

CLIENTS = [("4.8", "default"), ("4.8", "websocket"), ("4.8", "polling"), ("4.6", "default")]
OLD_CLIENT = ("4.5", "default")
DATABASE = "app"
_SETTLE_S = 0.3  # for what should not come, but might
# What may still come right, and is waited for.
_PASSING = {
    "a comment is not in its author's inbox", "not shown to a tab that stayed", "a tab that stayed is not connected",
    "the inbox's counts", "a tab's counts", "a server's counts",
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    users: int = 20
    tabs: int = 40
    servers: int = 2
    networks: int = 4
    old_tabs: int = 2  # of clients that know no recovery
    posters: int = 6
    posts_per_second: float = 60
    inserts_per_second: float = 40
    crowd: int = 0  # silent connections on each server when PostgreSQL restarts


class Restart(NamedTuple):
    """Of PostgreSQL: how many files the servers had open at least, and the time until all of them wrote again."""

    files: int
    healed_s: float


@dataclass(eq=False)
class World:
    random: Random
    size: Size
    folder: Path
    cluster: Cluster
    disk: Disk
    servers: list[Server]
    networks: list[Proxy]
    browsers: Browsers
    traffic: Traffic
    http: ClientSession
    pace: float  # how long faults last, 1 being normal
    backlog: int = 2000
    logs: Logs = field(default_factory=Logs)
    dumped: Dump = field(default_factory=Dump)  # at the latest check
    absent: set[int] = field(default_factory=set)
    app_away: list[tuple[float, float]] = field(default_factory=list)  # when PostgreSQL itself failed the app
    restarts: list[Restart] = field(default_factory=list)
    network_of: dict[int, Proxy] = field(default_factory=dict)
    crowd: Crowd = field(default_factory=lambda: Crowd(0))
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _tail: Tail | None = None
    _deletions: Appender | None = None

    @property
    def url(self) -> str:
        """Straight to PostgreSQL."""
        return self.cluster.url(DATABASE)

    @property
    def poster(self) -> Poster:
        return self.traffic.posters[0]

    async def sleep(self, low_s: float, high_s: float) -> None:
        """A fault's duration."""
        await asyncio.sleep(self.random.uniform(low_s, high_s) * self.pace)

    @contextlib.contextmanager
    def failing_the_app(self) -> Iterator[None]:
        """While PostgreSQL itself is away, and a moment before and after, the app's own INSERTs are not ours."""
        started = time.time() - 0.5
        try:
            yield
        finally:
            self.app_away.append((started, time.time() + 2))

    # --- clients ----------------------------------------------------------------------------------------------------

    def open(self, user: str, client: tuple[str, str], network: Proxy) -> int:
        number = next(self._numbers)
        self.network_of[number] = network
        self.browsers.tell(
            do="open", life=number, user=user, version=client[0], transport=client[1],
            url=f"http://127.0.0.1:{network.port}",
        )  # fmt: skip
        return number

    def close(self, life: int) -> None:
        self.browsers.tell(do="close", life=life)

    def reload(self, life: Life) -> int:
        self.close(life.id)
        return self.open(life.user, (life.version, life.transport), self.network_of[life.id])

    def read(self) -> Logs:
        """The logs, as far as they go."""
        assert self._tail is not None
        for record in self._tail.read():
            if record["event"] != "ready":
                self.logs.add(record)
        return self.logs

    @property
    def lives(self) -> list[Life]:
        """Those that stay."""
        return [life for life in self.read().lives.values() if not life.closed]

    async def connected(self, lives: Iterable[int], timeout_s: float = 30) -> None:
        wanted = set(lives)
        async with asyncio.timeout(timeout_s):
            while not wanted <= {life.id for life in self.lives if life.connections}:
                await asyncio.sleep(0.05)

    async def run(self, statement: str, *values: Any) -> list[Any]:
        """A statement of another program, which tries again while PostgreSQL is away."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return await asyncio.to_thread(self._run, statement, *values)
            except psycopg2.Error:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.2)

    def _run(self, statement: str, *values: Any) -> list[Any]:
        with sql(self.url) as other:
            return other.run(statement, *values)

    async def insert(self, number: int, posts: Sequence[str] = ()) -> None:
        """So many comments by one statement of another program, on these posts in turn, or on everybody's; none of them
        on a post of the one who writes it."""
        posts = posts or [str(n + 1) for n in range(self.size.users)]
        await self.run(
            "INSERT INTO comments (post_id, author_id, body)"
            " SELECT p.id, p.id %% %s + 1, 'many ' || n || ' ' || clock_timestamp()"
            " FROM generate_series(1, %s) n CROSS JOIN LATERAL (SELECT (%s::text[])[n %% %s + 1]::int AS id) p",
            self.size.users, number, list(posts), len(posts),
        )  # fmt: skip

    def forget(self, ids: list[str]) -> None:
        """Notes comments down whose notifications are about to be deleted."""
        assert self._deletions is not None
        self._deletions.write(ids)
        self.logs.deleted.update(ids)

    async def delete_comments(self, ids: list[str]) -> None:
        self.forget(ids)
        await self.run("DELETE FROM comments WHERE id::text = ANY (%s)", ids)

    async def served(self, server: Server) -> None:
        """Waits until a server answers a POST with 200."""
        url = f"http://127.0.0.1:{server.port}/posts/1/comments"
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(ClientError, OSError):
                    async with self.http.post(
                        url, json={"body": f"well? {time.time()!r}"}, headers={"Authorization": "User 2"}
                    ) as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(0.02)

    # --- calm -------------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        for proxy in [*self.networks, *(way for server in self.servers for way in (server.database, server.listen))]:
            proxy.heal()

    async def calm(self, timeout_s: float = 30) -> bool:
        """Stops the traffic and waits until every tab is connected and has its newest row; False where it does not."""
        self.heal()
        await self.traffic.pause()
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if all(server.ready.is_set() for server in self.servers) and await asyncio.to_thread(self._is_calm):
                await asyncio.sleep(_SETTLE_S)
                return True
            await asyncio.sleep(0.1)
        return False

    def _is_calm(self) -> bool:
        with sql(self.url) as admin:
            if admin.value("SELECT EXISTS (SELECT FROM notify.outbox)"):
                return False
            newest = {
                user: (comment_id, created_at)
                for user, comment_id, created_at in admin.run(
                    "SELECT i.user_id, n.payload ->> 'commentId', extract(epoch FROM n.created_at)::float8"
                    " FROM notify.inbox i CROSS JOIN LATERAL (SELECT n.* FROM notify.notification n"
                    " WHERE n.user_id = i.user_id ORDER BY n.seq DESC LIMIT 1) n"
                )
            }
        for life in self.lives:
            if life.id in self.absent or life.refused is not None:
                continue
            if not life.connected:
                return False
            comment_id, created_at = newest.get(life.user, ("", 0))
            if life.recovers and created_at > life.connections[0].at:
                latest = {shown.comment_id for shown in life.shown[-50:]}
                if comment_id not in latest:
                    return False
        return True

    async def check(self, timeout_s: float = 30, *, settled: bool) -> list[Broken]:
        """What is broken once it is calm; what may still come right is waited for."""
        deadline = time.monotonic() + timeout_s
        await self.calm(timeout_s)
        while True:
            found = await asyncio.to_thread(self._check, settled, await self._told_counts())
            if {broken.name for broken in found} - _PASSING or not found or time.monotonic() > deadline:
                return found
            await asyncio.sleep(1)

    async def _told_counts(self) -> list[tuple[str, Counts]]:
        """What each server says to each user's GET."""
        told = []
        for server in self.servers:
            url = f"http://127.0.0.1:{server.port}/notifications/counts"
            for user in map(str, range(1, self.size.users + 1)):
                with contextlib.suppress(ClientError, OSError, TimeoutError):
                    async with self.http.get(url, headers={"Authorization": f"User {user}"}) as response:
                        if response.status == 200:
                            answer = await response.json()
                            told.append((user, Counts(answer["unread"], answer["unseen"])))
        return told

    def _check(self, settled: bool, told_counts: list[tuple[str, Counts]]) -> list[Broken]:
        self.logs.requests = [request for poster in self.traffic.posters for request in poster.requests]
        self.dumped = self.dump(told_counts)
        return check(self.read(), self.dumped, absent=self.absent, settled=settled)

    def dump(self, told_counts: Iterable[tuple[str, Counts]] = ()) -> Dump:
        with sql(self.url) as admin:
            admin.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
            dump = Dump(
                [Row(*row) for row in admin.run(
                    "SELECT user_id, seq, payload ->> 'commentId', extract(epoch FROM created_at)::float8,"
                    " read_at IS NOT NULL, seen_at IS NOT NULL FROM notify.notification")],
                [Comment(*row) for row in admin.run(
                    "SELECT id::text, post_id::text, author_id::text, body FROM comments")],
                dict(admin.run("SELECT id::text, author_id::text FROM posts")),
                {user: Counts(unread, unseen) for user, unread, unseen in admin.run(
                    "SELECT user_id, unread, unseen FROM notify.inbox")},
                list(told_counts),
            )  # fmt: skip
            admin.run("COMMIT")
        dump.save(self.folder / DUMP)
        return dump

    def end_logs(self) -> None:
        if self._tail is not None:
            self._tail.close()
        if self._deletions is not None:
            self._deletions.close()
