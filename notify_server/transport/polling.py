"""HTTP long-polling: what waits for a session until its next GET, and the GET that waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from aiohttp import web

from notify_server.transport.packets import Encoded

if TYPE_CHECKING:
    from notify_server.transport.session import Session


_LINGER_S = 5.0


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
    """What was handed to a poll's answer still waits while the answer's connection has not taken it."""

    name: ClassVar[str] = "polling"
    __slots__ = (
        "_answer_to", "_handed_bytes", "_poll", "_queued_bytes", "_session", "_waiting", "over_high_water", "posting",
    )  # fmt: skip

    def __init__(self, session: Session) -> None:
        self._session: Session | None = session
        self._waiting: list[Encoded] = []
        self._poll: _Poll | None = None
        self._answer_to: asyncio.Transport | None = None
        self.over_high_water = False
        self._queued_bytes = 0
        self._handed_bytes = 0
        self.posting = False

    @property
    def idle(self) -> bool:
        """A poll is open, and nothing goes out with it."""
        return self._poll is not None and not self._waiting

    @property
    def waiting_bytes(self) -> int:
        return self._queued_bytes + self._undrained_bytes

    @property
    def taken_bytes(self) -> int:
        return self._handed_bytes - self._undrained_bytes

    @property
    def _undrained_bytes(self) -> int:
        return 0 if self._answer_to is None else self._answer_to.get_write_buffer_size()

    def send(self, packet: Encoded) -> None:
        session = self._session
        if session is None:
            return
        size = len(packet.frame)
        self._waiting.append(packet)
        self._queued_bytes += size
        if self._poll is not None:
            self._answer()
        limits, waiting_bytes = session.engine.limits, self.waiting_bytes
        if waiting_bytes > limits.waiting_bytes and waiting_bytes > size:
            session.engine.cut_slow(session)  # but one message may be larger than all that may wait
            return
        session.engine.stalls.watch(session)
        if waiting_bytes > limits.high_water_bytes and not self.over_high_water:
            self.over_high_water = True
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
        self._answer_to = request.transport
        return self.take()

    def take(self) -> list[Encoded]:
        """All that waits."""
        was_slow = self.over_high_water
        packets = self.hand_over()
        if was_slow and self._session is not None:
            self._session.engine.writable(self._session)
        return packets

    def hand_over(self) -> list[Encoded]:
        """The same, for who sends it himself, and then tells that more can be taken."""
        packets, self._waiting = self._waiting, []
        self._handed_bytes += self._queued_bytes
        self._queued_bytes = 0
        self.over_high_water = False
        return packets

    def close(self, last: Encoded) -> None:
        """An open poll takes the last packet along; without one, the next finds no session. An answer that is not taken
        is cut off."""
        self._session = None
        if self._poll is not None:
            self._waiting.append(last)
            self._answer()
        else:
            self._waiting.clear()
        if self._undrained_bytes:
            self._linger(self._undrained_bytes)

    def abort(self) -> None:
        self._session = None
        self._waiting.clear()
        if self._poll is not None:
            self._poll.set_exception(PollLost())
        if self._answer_to is not None and self._undrained_bytes:
            self._answer_to.abort()

    def _linger(self, undrained_bytes: int) -> None:
        """Looks again and again, as long as something of the answer is being taken."""

        def look() -> None:
            left_bytes = self._undrained_bytes
            if 0 < left_bytes < undrained_bytes:
                self._linger(left_bytes)
            elif left_bytes and self._answer_to is not None:
                self._answer_to.abort()

        asyncio.get_running_loop().call_later(_LINGER_S, look)

    def pause_reading(self) -> None:
        """Nothing to do: the POST that brought too much is answered later."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""

    def _answer(self) -> None:
        if self._poll is not None and not self._poll.answer.done():
            self._poll.answer.set_result(None)
