"""The move of a polling session to a WebSocket: a probe and its answer, then the packet that seals it.

Until that packet the session lives on its polling, and an attempt that fails or hangs costs nothing but itself.

A client whose probe was answered stops polling before it sends that packet. Were its WebSocket closed in between, it
would neither poll nor go on, and notice only when pings fail to come. So where the session ends just then, the
WebSocket is left open until the client has moved to it, or has closed it because a poll told it of the end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from notify_server.transport.packets import NOOP_PACKET, PROBE, PROBE_ANSWER, UPGRADE
from notify_server.transport.polling import Polling

if TYPE_CHECKING:
    from notify_server.transport.session import Session
    from notify_server.transport.websocket import WebSocket

_NUDGE_S = 0.1
_LAST_WORD_S = 2.0


class Upgrading:
    def __init__(self, session: Session, websocket: WebSocket, timeout_s: float) -> None:
        self.websocket = websocket
        self._session = session
        loop = asyncio.get_running_loop()
        self._timeout = loop.call_later(timeout_s, self.fail)
        self._nudge_timer: asyncio.TimerHandle | None = None
        self._answered = False

    def receive(self, data: str | bytes) -> None:
        if self._session.closed:
            self.fail()
        elif data == PROBE:
            self.websocket.send(PROBE_ANSWER)
            self._answered = True
            self._nudge()
        elif data == UPGRADE:
            self._cancel_timers()
            self._session.move_to(self.websocket)
        else:
            self.fail()

    def fail(self) -> None:
        self._cancel_timers()
        self._session.upgrading = None
        self.websocket.close()

    def end(self) -> None:
        """The session is closed."""
        if not self._answered:
            self.fail()
            return
        self._cancel_timers()
        self._timeout = asyncio.get_running_loop().call_later(_LAST_WORD_S, self.fail)
        self._session.engine.lingering.add(self.websocket)

    def _nudge(self) -> None:
        """Ends an open poll: the client seals the upgrade when none is left."""
        polling = self._session.transport
        if isinstance(polling, Polling) and polling.idle:
            polling.send(NOOP_PACKET)
        if self._nudge_timer is not None:
            self._nudge_timer.cancel()
        self._nudge_timer = asyncio.get_running_loop().call_later(_NUDGE_S, self._nudge)

    def _cancel_timers(self) -> None:
        self._timeout.cancel()
        if self._nudge_timer is not None:
            self._nudge_timer.cancel()
