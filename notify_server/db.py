"""PostgreSQL through aiopg: a narrow port, and the only importer of aiopg and psycopg2.

What it promises, where aiopg 1.4.0 (unmaintained) does not:
  * a query that the server cancels is a DatabaseTimeout, never a cancelled task;
  * a dead connection is noticed whatever the number of its file descriptor, on asyncio's loop and on uvloop's;
  * waiting for a connection is bounded, and every connection that comes free wakes somebody;
  * connecting holds up nobody who could have had a free connection;
  * every query runs in a transaction of its own, read committed, with a time limit that the server keeps too, and
    leaves no session state behind, so that PgBouncer's transaction mode is fine.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import operator
import os
import selectors
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import aiopg.connection
import psycopg2
import psycopg2.extensions

from notify_server.errors import (
    DatabaseAway,
    DatabaseConflict,
    DatabaseError,
    DatabaseLost,
    DatabaseRefused,
    DatabaseTimeout,
    Invalid,
    NotifyError,
    Overloaded,
)
from notify_server.sql import Query

log = logging.getLogger(__name__)

Row = tuple[Any, ...]

# What only a mistake of ours, or a broken schema, gives. Everything else that is not passing is the app's own refusal:
# its constraints, its policies (42501), and whatever code its triggers raise.
_OUR_MISTAKES = ("0A", "26", "28", "34", "3D", "3F", "42", "F0", "XX")
_CONFLICTS = ("40001", "40P01", "55P03")
# 57P01 to 57P05: the server ends the connection, perhaps behind a commit whose answer is then lost.
_LOST = ("57P01", "57P02", "57P03", "57P04", "57P05")


class _DescriptorProbe:
    """Stands where aiopg asks `select.select` whether a file descriptor is still open: that raises above 1023."""

    @staticmethod
    def select(read: Sequence[int], _write: Sequence[int], _error: Sequence[int], _timeout: float) -> None:
        for descriptor in read:
            os.fstat(descriptor)


aiopg.connection.select = _DescriptorProbe


def _fileno(selector: Any) -> int:
    """epoll's and kqueue's, which typeshed does not give to the common base."""
    number: int = selector.fileno()
    return number


class _WatchedLoop:
    """The event loop as one connection sees it: its socket is watched by a selector of its own, which is all that the
    loop itself gets to see.

    A socket that reports an error makes libuv close its handle, so on uvloop aiopg is told nothing, and whoever opens
    the same descriptor number next gets "the handler is closed". And what libpq closes behind the loop's back leaves an
    entry there that belongs to somebody else later. The selector goes with the connection, entries and all.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._selector: selectors.BaseSelector | None = selectors.DefaultSelector()
        self._callbacks: dict[int, Callable[[], object]] = {}
        loop.add_reader(_fileno(self._selector), self._dispatch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def add_reader(self, descriptor: int, callback: Callable[..., object], *args: Any) -> None:
        self._callbacks[selectors.EVENT_READ] = functools.partial(callback, *args)
        self._watch(descriptor)

    def add_writer(self, descriptor: int, callback: Callable[..., object], *args: Any) -> None:
        self._callbacks[selectors.EVENT_WRITE] = functools.partial(callback, *args)
        self._watch(descriptor)

    def remove_reader(self, descriptor: int) -> None:
        self._callbacks.pop(selectors.EVENT_READ, None)
        self._watch(descriptor)

    def remove_writer(self, descriptor: int) -> None:
        self._callbacks.pop(selectors.EVENT_WRITE, None)
        self._watch(descriptor)

    def stop_watching(self) -> None:
        selector, self._selector = self._selector, None
        if selector is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(_fileno(selector))
            selector.close()

    def _watch(self, descriptor: int) -> None:
        if self._selector is None:
            return
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(descriptor)
        if self._callbacks:
            self._selector.register(descriptor, functools.reduce(operator.or_, self._callbacks))

    def _dispatch(self) -> None:
        for _key, mask in self._selector.select(0) if self._selector is not None else ():
            for event in (selectors.EVENT_READ, selectors.EVENT_WRITE):
                if mask & event and event in self._callbacks:
                    self._callbacks[event]()


class _Connection(aiopg.connection.Connection):  # type: ignore[misc]
    """aiopg's, without its flaws in waiting: it turned a server-side cancel into a cancelled task, by `wait_for` lost
    cancellations on Python 3.11, and does not survive uvloop."""

    _watched_loop: _WatchedLoop | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        try:
            super().__init__(*args, **options)
        except BaseException:
            if self._watched_loop is not None:
                self._watched_loop.stop_watching()
            raise

    @property
    def _loop(self) -> _WatchedLoop | None:
        return self._watched_loop

    @_loop.setter
    def _loop(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watched_loop = _WatchedLoop(loop)

    def _close(self) -> None:
        super()._close()
        if self._watched_loop is not None:
            self._watched_loop.stop_watching()

    async def _poll(self, waiter: asyncio.Future[None], timeout: float) -> None:
        self._ready(self._weakref)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except (asyncio.CancelledError, TimeoutError):
            self._close()
            raise
        finally:
            self._waiter = None

    @property
    def reusable(self) -> bool:
        return (
            not self._conn.closed and self._conn.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_IDLE
        )


def _translate(error: Exception) -> NotifyError:
    """psycopg2's error → ours, for a query that was sent."""
    if isinstance(error, ValueError | UnicodeEncodeError):
        return Invalid("a value holds a character that PostgreSQL cannot store")
    state = getattr(error, "pgcode", None)
    if isinstance(error, TimeoutError) or (
        state is None
        and isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError | psycopg2.DatabaseError | OSError)
    ):
        return DatabaseLost("the connection to the database was lost", state)
    text = error.diag.message_primary or str(error) if isinstance(error, psycopg2.Error) else str(error)
    if state is None:
        return DatabaseError(text)
    if state in _LOST or state.startswith("08"):
        return DatabaseLost("the connection to the database was lost", state)
    if state == "57014":
        return DatabaseTimeout("the database took too long", state)
    if state in _CONFLICTS:
        return DatabaseConflict("another transaction was in the way", state)
    if state[:2] in ("25", "53", "57", "58"):
        return DatabaseAway("the database cannot do this now", state)
    if state[:2] in _OUR_MISTAKES and state != "42501":
        return DatabaseError(text, state)
    return DatabaseRefused(text, state)


class Database:
    """A pool of at most `size` connections to one PostgreSQL. Every call raises the errors of `errors.py` alone:
    DatabaseLost and DatabaseAway while PostgreSQL is away, Overloaded where no connection came free within `wait_s`."""

    def __init__(self, *, size: int, timeout_s: float, wait_s: float, connect_timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._wait_s = wait_s
        self._connect_timeout_s = connect_timeout_s
        self._free = asyncio.Semaphore(size)
        self._idle: list[_Connection] = []
        self._in_use: set[_Connection] = set()
        self._dsn = ""
        self._closed = False
        self.available = False

    def open(self, dsn: str) -> None:
        """Takes a URL or a keyword string; the first query connects."""
        self._dsn = dsn

    async def close(self) -> None:
        self._closed = True
        for connection in [*self._idle, *self._in_use]:
            connection._close()
        self._idle.clear()

    async def fetch(self, query: Query, timeout_s: float | None = None, **values: Any) -> list[Row]:
        """All rows of one statement, in a transaction of its own."""
        return await self._execute(query.sql, values, timeout_s or self._timeout_s)

    async def value(self, query: Query, timeout_s: float | None = None, **values: Any) -> Any:
        """The first column of the first row, None where there is none."""
        rows = await self.fetch(query, timeout_s, **values)
        return rows[0][0] if rows else None

    async def script(self, sql: str, timeout_s: float) -> None:
        """Several statements without parameters, in one transaction."""
        await self._execute(sql, None, timeout_s)

    async def _execute(self, sql: str, values: dict[str, Any] | None, timeout_s: float) -> list[Row]:
        # One message is one transaction, and so SET LOCAL ends with it. The server gives up a little before we do,
        # so that a query which we no longer wait for does not go on.
        limits = (
            "SET LOCAL transaction_isolation = 'read committed'; "
            f"SET LOCAL statement_timeout = {int(timeout_s * 900)}; "
        )
        async with self._connection() as connection:
            try:
                async with connection.cursor(timeout=timeout_s) as cursor:
                    await cursor.execute(limits + sql, values)
                    rows = await cursor.fetchall() if cursor.description is not None else []
            except (psycopg2.Error, psycopg2.Warning, ValueError, OSError) as error:
                translated = _translate(error)
                if isinstance(translated, DatabaseLost):
                    self._lose(connection)
                raise translated from error
            self.available = True
            return rows

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        if self._closed:
            raise DatabaseAway("the server is stopping")
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded("the database has more to do than it can") from None
        try:
            connection = self._idle_connection() or await self._connect()
            self._in_use.add(connection)
            try:
                yield connection
            finally:
                self._in_use.discard(connection)
                if connection.reusable and not self._closed:
                    self._idle.append(connection)
                else:
                    connection._close()
        finally:
            self._free.release()

    def _idle_connection(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
            connection._close()
        return None

    def _lose(self, connection: _Connection) -> None:
        """What ended this connection most likely ended all of them."""
        connection._close()
        self.available = False
        for other in self._idle:
            other._close()
        self._idle.clear()

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                return await self._connect_to_first()
        except (psycopg2.Error, OSError) as error:  # TimeoutError is an OSError
            self.available = False
            state = getattr(error, "pgcode", None)
            lines = str(error).strip().splitlines()
            raise DatabaseAway(lines[0] if lines else "connecting took too long", state) from error

    async def _connect_to_first(self) -> _Connection:
        """Names are looked up here, because libpq would block the loop with it; addresses are tried in turn."""
        options = psycopg2.extensions.parse_dsn(self._dsn)
        options.setdefault("application_name", "notify-server")
        host = options.get("host", "")
        if not host or host.startswith("/") or "hostaddr" in options:
            return await self._connect_to(options)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, options.get("port", 5432), type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        for address in addresses[:-1]:
            with contextlib.suppress(psycopg2.OperationalError):
                return await self._connect_to({**options, "hostaddr": address})
        return await self._connect_to({**options, "hostaddr": addresses[-1]})

    async def _connect_to(self, options: dict[str, Any]) -> _Connection:
        defaults = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
                    "tcp_user_timeout": 20_000}  # fmt: skip
        connection = _Connection(
            None,
            self._connect_timeout_s,
            enable_json=False,
            enable_hstore=False,
            enable_uuid=False,
            **{**defaults, **options},
        )
        await connection._connect()
        return connection
