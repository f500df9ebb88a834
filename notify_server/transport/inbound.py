"""What sockets send, handled in order: one thing of one socket at a time, different sockets beside each other.

A socket that sends faster than its events are handled, or than `per_s` allows, is read no further until they are; what
it has sent already waits, and none of it is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notify_server.transport.session import Session

log = logging.getLogger(__name__)

_PAUSE_AT, _RESUME_AT = 64, 16  # things that wait
_MOST = 10_000  # one read of a WebSocket may bring many at once
_WINDOW_S = 1.0
_FINISH_S = 10.0


@dataclass(slots=True, eq=False)
class _Queue:
    window_at: float
    items: deque[Any] = field(default_factory=deque)
    handled: int = 0  # in this window
    task: asyncio.Task[None] | None = None
    room: asyncio.Event = field(default_factory=asyncio.Event)


class Inbound:
    def __init__(self, handle: Callable[[Session, Any], Awaitable[None]], per_s: int | None) -> None:
        self.handle = handle
        self._per_s = per_s
        self._queues: dict[Session, _Queue] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def put(self, session: Session, item: Any) -> None:
        queue = self._queues.get(session)
        if queue is None:
            loop = asyncio.get_running_loop()
            queue = self._queues[session] = _Queue(loop.time())
            if self._sweeper is None:
                self._sweeper = loop.call_later(_WINDOW_S, self._sweep)
        if len(queue.items) >= _MOST:
            session.engine.close_bad(session, "more events than are handled")
            return
        queue.items.append(item)
        if queue.task is None:
            queue.task = asyncio.create_task(self._work(session, queue))
        elif len(queue.items) >= _PAUSE_AT and not session.paused:
            queue.room.clear()
            session.pause()

    def busy(self, session: Session) -> bool:
        queue = self._queues.get(session)
        return queue is not None and queue.task is not None

    async def room(self, session: Session) -> None:
        """Until there is room for more of this socket's. How polling is read no further."""
        queue = self._queues.get(session)
        if queue is not None and session.paused:
            await queue.room.wait()

    async def finish(self, session: Session) -> None:
        """For a socket that has gone: what it sent before is still handled, for a while."""
        queue = self._queues.get(session)
        if queue is None:
            return
        queue.room.set()  # for a POST that waits to be answered
        if queue.task is not None:
            await asyncio.wait({queue.task}, timeout=_FINISH_S)
            queue.items.clear()
        self._queues.pop(session, None)

    def stop(self) -> None:
        """Ends the handlers that are still running."""
        for queue in self._queues.values():
            if queue.task is not None:
                queue.task.cancel()

    async def _work(self, session: Session, queue: _Queue) -> None:
        task = asyncio.current_task()
        try:
            while queue.items and not (task is not None and task.cancelling()):  # which python-socketio swallows
                await self._throttle(queue)
                if not queue.items:
                    break
                try:
                    await self.handle(session, queue.items.popleft())
                except Exception:
                    log.exception("event_failed")
                if session.paused and len(queue.items) <= _RESUME_AT:
                    queue.room.set()
                    session.resume()
        finally:
            queue.task = None

    async def _throttle(self, queue: _Queue) -> None:
        if self._per_s is None:
            return
        now = asyncio.get_running_loop().time()
        if now - queue.window_at >= _WINDOW_S:
            queue.window_at, queue.handled = now, 0
        elif queue.handled >= self._per_s:
            await asyncio.sleep(queue.window_at + _WINDOW_S - now)
            queue.window_at, queue.handled = asyncio.get_running_loop().time(), 0
        queue.handled += 1

    def _sweep(self) -> None:
        """Forgets the sockets that have been silent for a window."""
        loop = asyncio.get_running_loop()
        for session, queue in list(self._queues.items()):
            if queue.task is None and loop.time() - queue.window_at >= _WINDOW_S:
                del self._queues[session]
        self._sweeper = loop.call_later(_WINDOW_S, self._sweep) if self._queues else None
