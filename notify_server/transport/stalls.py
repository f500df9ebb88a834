"""Finds the sockets that take nothing of what waits for them, whether they answer pings or not.

Only sockets with something waiting are watched; where there are none, no timer runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notify_server.transport.session import Session

_LOOK_S = 0.5


class Stalls:
    """`stalled` is called for a socket that has taken not one byte for `stall_s`."""

    def __init__(self, stall_s: float, stalled: Callable[[Session], None]) -> None:
        self._looks = max(1, round(stall_s / _LOOK_S))
        self._look_s = min(_LOOK_S, stall_s)
        self._stalled = stalled
        self.watched: dict[Session, tuple[int, int]] = {}  # → bytes taken so far, looks since it took some
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, session: Session) -> None:
        if session not in self.watched:
            self.watched[session] = (-1, 0)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(self._look_s, self._look)

    def forget(self, session: Session) -> None:
        self.watched.pop(session, None)

    def _look(self) -> None:
        """Counts looks, not time: a stall of this process is nobody's fault."""
        for session, (taken, looks) in list(self.watched.items()):
            transport = session.transport
            if not transport.waiting_bytes:
                del self.watched[session]
            elif transport.taken_bytes != taken:
                self.watched[session] = (transport.taken_bytes, 0)
            elif looks + 1 >= self._looks:
                del self.watched[session]
                self._stalled(session)
            else:
                self.watched[session] = (taken, looks + 1)
        self._timer = asyncio.get_running_loop().call_later(self._look_s, self._look) if self.watched else None
