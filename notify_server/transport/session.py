"""One client, on whichever transport it is at the moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notify_server.transport.packets import (
    BASE64,
    CLOSE,
    CLOSE_PACKET,
    MESSAGE,
    NOOP,
    NOOP_PACKET,
    OPEN,
    PING_PACKET,
    PONG,
    UPGRADE,
    Encoded,
    decode_base64,
    encoded,
)  # fmt: skip
from notify_server.transport.polling import Polling

if TYPE_CHECKING:
    import engineio

    from notify_server.transport.engine import Engine
    from notify_server.transport.upgrade import Upgrading
    from notify_server.transport.websocket import WebSocket

_IGNORED = {OPEN, UPGRADE, NOOP}  # the reference server ignores them, too


class Session:
    """`engineio.AsyncServer` keeps these in `sockets`, by sid. `session` is what python-engineio calls the app's own
    values."""

    __slots__ = (
        "_asked", "_mark", "_proof_in", "_unanswered", "_values", "address", "beat_at", "closed", "engine", "excused",
        "extended", "paused", "pinged_at", "refusals", "sid", "transport", "upgrading",
    )  # fmt: skip

    def __init__(self, engine: Engine, sid: str) -> None:
        self.engine = engine
        self.sid = sid
        self.transport: Polling | WebSocket = Polling(self)
        self.upgrading: Upgrading | None = None
        self.closed = False
        self.paused = False
        self.beat_at = 0  # these four are the heartbeat's
        self.pinged_at: int | None = None
        self.extended = False
        self.excused = 0
        self.refusals = 0  # of CONNECT
        self.address: str | None = None
        self._unanswered = 0  # pings
        self._proof_in = 0  # so many pongs from now, what was sent up to `_asked` has arrived; 0: nothing is asked
        self._asked = 0
        self._mark = 0
        self._values: dict[str, Any] | None = None

    @property
    def upgraded(self) -> bool:
        return self.transport.name == "websocket"

    @property
    def session(self) -> dict[str, Any]:
        if self._values is None:
            self._values = {}
        return self._values

    @session.setter
    def session(self, values: dict[str, Any]) -> None:
        self._values = values

    # --- to the client ------------------------------------------------------------------------------------------

    async def send(self, packet: engineio.packet.Packet) -> None:
        """A packet of python-engineio's."""
        self.transport.send(encoded(packet.encode()))

    def ping(self) -> None:
        self._unanswered += 1
        self.transport.send(PING_PACKET)

    def prove(self, mark: int) -> None:
        """Asks for a proof that what was sent up to now has arrived: transports are ordered, and clients answer a ping
        at any time, so the pong to one that is sent right behind it is that proof. `engine.proved` is called with the
        highest mark so proved. One ping at a time: what is sent meanwhile shares the next."""
        self._mark = mark
        if not self._proof_in:
            self._ask()

    def forget_proofs(self) -> None:
        """What was asked for was somebody else's: the socket has left, or another comes on this transport."""
        self._proof_in = self._mark = self._asked = 0

    def _ask(self) -> None:
        self._asked = self._mark
        self.ping()
        self._proof_in = self._unanswered

    def _ponged(self) -> None:
        if not self._unanswered:
            return
        self._unanswered -= 1
        if self._proof_in:
            self._proof_in -= 1
            if not self._proof_in:
                proved = self._asked
                if self._mark > proved:
                    self._ask()
                self.engine.proved(self, proved)

    def pause(self) -> None:
        """Takes nothing more from the client for now; its silence is not its fault meanwhile."""
        self.paused = True
        self.transport.pause_reading()

    def resume(self) -> None:
        self.paused = False
        self.transport.resume_reading()

    async def close(self, wait: bool = False, abort: bool = False, reason: str | None = None) -> None:
        """As python-engineio's; nothing is waited for."""
        self.engine.close(self, reason or self.engine.reason.SERVER_DISCONNECT, abort=abort)

    # --- from the client ----------------------------------------------------------------------------------------

    def receive(self, transport: Polling | WebSocket, data: str | bytes) -> bool:
        """One packet. False, and the session is closed, where it is none that a client may send."""
        if transport is not self.transport:
            if self.upgrading is not None and transport is self.upgrading.websocket:
                self.upgrading.receive(data)
            return True
        if self.closed:
            return True
        if isinstance(data, bytes):
            return self._message(data)
        kind = data[:1]
        if kind == PONG:
            self.engine.heartbeat.answered(self)
            self._ponged()
            return True
        if kind == MESSAGE:
            return self._message(data[1:])
        if kind == BASE64:
            try:
                return self._message(decode_base64(data[1:]))
            except ValueError:
                return self._refuse()
        if kind == CLOSE:
            self.engine.close(self, self.engine.reason.CLIENT_DISCONNECT, last=NOOP_PACKET)
            return True
        if kind not in _IGNORED or not kind:
            return self._refuse()
        self.engine.heartbeat.heard(self)
        return True

    def _message(self, data: str | bytes) -> bool:
        self.engine.heartbeat.heard(self)
        self.engine.received(self, data)
        return True

    def _refuse(self) -> bool:
        self.engine.close_bad(self, "packet")
        return False

    def lost(self, transport: WebSocket) -> None:
        """A WebSocket has ended, or is about to."""
        if self.upgrading is not None and transport is self.upgrading.websocket:
            self.upgrading.fail()
        elif transport is self.transport:
            self.engine.close(self, self.engine.reason.TRANSPORT_CLOSE)

    def move_to(self, websocket: WebSocket) -> None:
        """What waits goes along; a poll that is still open ends with nothing."""
        polling, self.transport = self.transport, websocket
        self.upgrading = None
        if isinstance(polling, Polling):
            was_slow = polling.over_high_water
            waiting = polling.hand_over()
            polling.close(NOOP_PACKET)
            for packet in waiting:
                websocket.send(packet)
            if was_slow and websocket.waiting_bytes <= self.engine.limits.high_water_bytes:
                self.engine.writable(self)  # not before: what follows must not overtake what waited
        if self.paused:
            websocket.pause_reading()

    def end(self, last: Encoded = CLOSE_PACKET, *, code: int | None = None, abort: bool = False) -> None:
        """The transports' end, once the engine has closed the session."""
        if self.upgrading is not None:
            self.upgrading.end()
        if abort:
            self.transport.abort()
        elif isinstance(self.transport, Polling):
            self.transport.close(last)
        else:
            self.transport.close(code=code)
