from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

A = TypeVar("A")


class Shared(Generic[A]):
    """Calls with the same key that are made while one is under way get its outcome. Who waits may be cancelled; the
    call goes on for the others."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[A]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._running

    async def __call__(self, key: Hashable, call: Callable[[], Coroutine[Any, Any, A]]) -> A:
        return await asyncio.shield(self.start(key, call))

    def start(self, key: Hashable, call: Callable[[], Coroutine[Any, Any, A]]) -> asyncio.Task[A]:
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(call())
            task.add_done_callback(lambda done: self._ended(key, done))
        return task

    def _ended(self, key: Hashable, task: asyncio.Task[A]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen, whoever is still there to be told
