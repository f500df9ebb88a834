"""aiopg's connection, with its holes closed."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import operator
import os
import selectors
from collections.abc import Callable, Sequence
from typing import Any

import aiopg.connection
import psycopg2.extensions

Row = tuple[Any, ...]


class DescriptorProbe:
    """Stands where aiopg asks `select.select` whether a file descriptor is still open: that raises above 1023."""

    @staticmethod
    def select(read: Sequence[int], _write: Sequence[int], _error: Sequence[int], _timeout: float) -> None:
        for descriptor in read:
            os.fstat(descriptor)


aiopg.connection.select = DescriptorProbe


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


class Connection(aiopg.connection.Connection):  # type: ignore[misc]
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

    async def run(self, sql: str, values: dict[str, Any] | None, timeout_s: float) -> list[Row]:
        """The rows of the last statement, all sent as one message. As by aiopg's cursor, without its layers."""
        with self._conn.cursor() as cursor:
            waiter = self._create_waiter("run")
            try:
                cursor.execute(sql, values)
            except BaseException:
                self._waiter = None
                raise
            await self._poll(waiter, timeout_s)
            return cursor.fetchall() if cursor.description is not None else []

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

    def discard_notifications(self) -> None:
        """Of somebody's LISTEN, which a pooler has left behind on the connection that it lent us."""
        while not self._notifies.empty():
            self._notifies.get_nowait()

    @property
    def reusable(self) -> bool:
        return (
            not self._conn.closed and self._conn.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_IDLE
        )
