"""One timer for the pings of all sockets.

Time is counted in ticks, and a tick that comes late is one tick: however long this process stalls, nobody is taken for
dead because of it. A socket stands in exactly one slot, that of the tick at which it is looked at next. Pings go out a
tick early rather than late.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notify_server.transport.session import Session

_MIN_TICK_S, _MAX_TICK_S = 0.004, 1.0
_TICKS = 50  # in the shorter of interval and timeout
_EXCUSES = 3  # timeouts that a socket is given while we do not read it
_AT_ONCE = 500  # sockets looked at before the loop gets its turn


class Heartbeat:
    """`expired` is called for a socket that has not answered its ping for `timeout_s`."""

    def __init__(self, interval_s: float, timeout_s: float, expired: Callable[[Session], None]) -> None:
        self._tick_s = min(_MAX_TICK_S, max(_MIN_TICK_S, min(interval_s, timeout_s) / _TICKS))
        self._interval = max(1, math.floor(interval_s / self._tick_s))
        self._timeout = max(1, math.floor(timeout_s / self._tick_s))
        self._slots: list[list[Session]] = [[] for _ in range(max(self._interval, self._timeout) + 2)]
        self._expired = expired
        self._tick = 0
        self._due = 0.0
        self._live = 0
        self._was_late = False
        self._timer: asyncio.TimerHandle | None = None

    def add(self, session: Session) -> None:
        session.beat_at = self._tick
        self._look_in(session, self._interval)
        self._live += 1
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._due = loop.time() + self._tick_s
            self._timer = loop.call_at(self._due, self._advance)

    def remove(self, _session: Session) -> None:
        """Its place in a slot is left to be found empty."""
        self._live -= 1

    def answered(self, session: Session) -> None:
        """A pong: the next ping goes out an interval from now."""
        if session.pinged_at is not None:
            session.pinged_at = None
            session.excused = 0
            session.beat_at = self._tick

    def heard(self, session: Session) -> None:
        """Anything but a pong extends the wait for the pong, once, as the reference server has it."""
        if session.pinged_at is not None and not session.extended:
            session.extended = True
            session.pinged_at = self._tick

    def _look_in(self, session: Session, ticks: int) -> None:
        self._slots[(self._tick + max(1, ticks)) % len(self._slots)].append(session)

    def _advance(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._live:
            self._timer = None
            for slot in self._slots:
                slot.clear()
            return
        now = loop.time()
        late = now - self._due > max(self._tick_s, 0.05)
        self._due = (now if late else self._due) + self._tick_s
        forgiving, self._was_late = late and not self._was_late, late
        self._timer = loop.call_at(self._due, self._advance)
        self._tick += 1
        index = self._tick % len(self._slots)
        sessions, self._slots[index] = self._slots[index], []
        if sessions:
            self._look_at(sessions, 0, forgiving)

    def _look_at(self, sessions: list[Session], start: int, forgiving: bool) -> None:
        for session in sessions[start : start + _AT_ONCE]:
            if not session.closed:
                self._look(session, forgiving)
        if start + _AT_ONCE < len(sessions):
            asyncio.get_running_loop().call_soon(self._look_at, sessions, start + _AT_ONCE, forgiving)

    def _look(self, session: Session, forgiving: bool) -> None:
        if session.pinged_at is None:
            remaining = session.beat_at + self._interval - self._tick
            if remaining <= 0:
                session.beat_at = session.pinged_at = self._tick
                session.extended = False
                remaining = min(self._interval, self._timeout)
                session.ping()
        else:
            remaining = session.pinged_at + self._timeout - self._tick
            if remaining <= 0:
                if session.paused and session.excused < _EXCUSES:  # it is not being read
                    session.excused += 1
                    session.pinged_at = self._tick
                    remaining = self._timeout
                elif forgiving:  # after a stall, first read what came meanwhile
                    remaining = 1
                else:
                    self._expired(session)
                    return
        self._look_in(session, remaining)
