"""HTTP long-polling: what waits for a session until its next GET, and the GET that waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from aiohttp import web

from notify_server.transport.packets import Encoded

if TYPE_CHECKING:
    from notify_server.transport.session import Session


class PollOverlap(Exception):
    """Two polls of one session at once."""


class PollLost(Exception):
    """The connection that a poll came on is gone."""


class _Poll:
    """Stands in for the request's body, which aiohttp tells of a lost connection (it cancels no handler)."""

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def set_exception(self, _error: BaseException, _cause: BaseException | None = None) -> None:
        if not self.answer.done():
            self.answer.set_exception(PollLost())


class Polling:
    name: ClassVar[str] = "polling"
    __slots__ = ("_over_high_water", "_poll", "_session", "_waiting", "posting", "taken_bytes", "waiting_bytes")

    def __init__(self, session: Session) -> None:
        self._session: Session | None = session
        self._waiting: list[Encoded] = []
        self._poll: _Poll | None = None
        self._over_high_water = False
        self.posting = False
        self.waiting_bytes = 0
        self.taken_bytes = 0

    @property
    def idle(self) -> bool:
        """A poll is open, and nothing goes out with it."""
        return self._poll is not None and not self._waiting

    def send(self, packet: Encoded) -> None:
        session = self._session
        if session is None:
            return
        size = len(packet.frame)
        self._waiting.append(packet)
        self.waiting_bytes += size
        if self._poll is not None:
            self._answer()
        limits = session.engine.limits
        if self.waiting_bytes > limits.waiting_bytes and self.waiting_bytes > size:
            session.engine.cut_slow(session)  # but one message may be larger than all that may wait
            return
        session.engine.stalls.watch(session)
        if self.waiting_bytes > limits.high_water_bytes and not self._over_high_water:
            self._over_high_water = True
            session.engine.slow(session)

    async def poll(self, request: web.Request) -> list[Encoded]:
        """Waits for something to send. Raises PollOverlap, PollLost."""
        if self._poll is not None:
            raise PollOverlap
        if not self._waiting:
            self._poll = poll = _Poll()
            request._payload = poll  # type: ignore[assignment]
            try:
                await poll.answer
            finally:
                self._poll = None
        if request.transport is None or request.transport.is_closing():
            raise PollLost
        return self.take()

    def take(self) -> list[Encoded]:
        """All that waits."""
        packets, self._waiting = self._waiting, []
        self.taken_bytes += self.waiting_bytes
        self.waiting_bytes = 0
        if self._over_high_water and self._session is not None:
            self._over_high_water = False
            self._session.engine.writable(self._session)
        return packets

    def close(self, last: Encoded) -> None:
        """An open poll takes the last packet along; without one, the next finds no session."""
        self._session = None
        if self._poll is not None:
            self._waiting.append(last)
            self._answer()

    def abort(self) -> None:
        self._session = None
        if self._poll is not None:
            self._poll.set_exception(PollLost())

    def pause_reading(self) -> None:
        """Nothing to do: the POST that brought too much is answered later."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""

    def _answer(self) -> None:
        if self._poll is not None and not self._poll.answer.done():
            self._poll.answer.set_result(None)
