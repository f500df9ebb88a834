"""Single questions of many callers, asked together: a thousand sockets that come back cost a few queries."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Gathering(Generic[Q, A]):
    """`ask` answers a list of questions, in order. What is asked while `lanes` of its calls are under way waits, and
    goes together with the next, at most `at_once`; one question alone waits for nobody."""

    def __init__(self, ask: Callable[[list[Q]], Awaitable[list[A]]], *, at_once: int, lanes: int = 2) -> None:
        self._ask = ask
        self._at_once = at_once
        self._free_lanes = lanes
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, question: Q) -> A:
        """Raises what `ask` raised for the questions that went together."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._free_lanes:
            self._free_lanes -= 1
            task = asyncio.create_task(self._run(), context=contextvars.Context())  # of no one caller
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await answer

    async def _run(self) -> None:
        try:
            await self._answer_all()
        finally:
            self._free_lanes += 1

    async def _answer_all(self) -> None:
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(self._at_once, len(self._waiting)))]
            taken = [one for one in taken if not one[1].done()]  # nobody waits for the others any more
            if not taken:
                continue
            try:
                answers = await self._ask([question for question, _ in taken])
            except asyncio.CancelledError:
                for _, future in taken:
                    future.cancel()
                raise
            except Exception as error:
                for _, future in taken:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(taken, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
