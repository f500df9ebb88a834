"""A bounded pool, and the one way from a query to its rows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import psycopg2

from notify_server.db.connect import connect
from notify_server.db.connection import Connection, Row
from notify_server.db.errors import translate
from notify_server.errors import DatabaseAway, DatabaseLost, Overloaded
from notify_server.sql import Query


class Database:
    """A pool of at most `size` connections to one PostgreSQL. Every call raises the errors of `errors.py` alone:
    DatabaseLost and DatabaseAway while PostgreSQL is away, Overloaded where no connection came free within `wait_s`."""

    def __init__(self, *, size: int, timeout_s: float, wait_s: float, connect_timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._wait_s = wait_s
        self._connect_timeout_s = connect_timeout_s
        self.size = size
        self.waiting = 0  # calls, for a connection
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._in_use: set[Connection] = set()
        self._dsn = ""
        self._closed = False
        self.available = False

    @property
    def in_use(self) -> int:
        """Connections."""
        return len(self._in_use)

    def open(self, dsn: str) -> None:
        """Takes a URL or a keyword string; the first query connects."""
        self._dsn = dsn

    @property
    def dsn(self) -> str:
        return self._dsn

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
                rows = await connection.run(limits + sql, values, timeout_s)
            except (psycopg2.Error, psycopg2.Warning, ValueError, OSError) as error:
                translated = translate(error)
                if isinstance(translated, DatabaseLost):
                    self._lose(connection)
                raise translated from None  # its text quotes the query, values and all, and so would a traceback
            self.available = True
            return rows

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._closed:
            raise DatabaseAway("the server is stopping")
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait_s) if self._free.locked() else contextlib.nullcontext():
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded("the database has more to do than it can") from None
        finally:
            self.waiting -= 1
        try:
            connection = self._idle_connection() or await self._connect()
            self._in_use.add(connection)
            try:
                yield connection
            finally:
                self._in_use.discard(connection)
                connection.discard_notifications()
                if connection.reusable and not self._closed:
                    self._idle.append(connection)
                else:
                    connection._close()
        finally:
            self._free.release()

    def _idle_connection(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
            connection._close()
        return None

    def _lose(self, connection: Connection) -> None:
        """What ended this connection most likely ended all of them."""
        connection._close()
        self.available = False
        for other in self._idle:
            other._close()
        self._idle.clear()

    async def _connect(self) -> Connection:
        try:
            return await connect(self._dsn, self._connect_timeout_s)
        except DatabaseAway:
            self.available = False
            raise
