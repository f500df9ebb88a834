"""LISTEN, on a connection of its own: any error would end aiopg's queue of notifications for good."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg2

from notify_server.db.connect import connect
from notify_server.db.connection import Connection
from notify_server.db.errors import translate
from notify_server.sql import queries

_sql = queries("hints")


class Listener:
    """An open connection that listens to a channel. `pooled` tells that a pooler stands in between, which lends it
    another server connection for every transaction: then nothing is listened to, because LISTEN would stay behind on
    one that others are lent."""

    def __init__(self, connection: Connection, pooled: bool) -> None:
        self._connection = connection
        self.pooled = pooled

    async def next(self, timeout_s: float) -> str | None:
        """The next payload, None where none comes in time. Raises DatabaseLost at the end of the connection."""
        try:
            async with asyncio.timeout(timeout_s):
                payload: str = (await self._connection.notifies.get()).payload
                return payload
        except TimeoutError:
            return None
        except psycopg2.Error as error:
            raise translate(error) from None


@contextlib.asynccontextmanager
async def listening(dsn: str, channel: str, timeout_s: float, *, even_if_pooled: bool) -> AsyncIterator[Listener]:
    """Raises DatabaseAway, DatabaseLost and the other errors of a query."""
    connection = await connect(dsn, timeout_s)
    try:
        try:
            async with connection.cursor(timeout=timeout_s) as cursor:
                await cursor.execute(_sql.backend_pid.sql)
                ((backend_pid,),) = await cursor.fetchall()
                pooled = backend_pid != connection.raw.info.backend_pid
                if even_if_pooled or not pooled:
                    await cursor.execute(f'LISTEN "{channel}"')
        except (psycopg2.Error, psycopg2.Warning, OSError) as error:
            raise translate(error) from None
        yield Listener(connection, pooled)
    finally:
        connection._close()
