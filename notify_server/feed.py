"""What a user's sockets on this server see of his inbox: everything, once, in order of seq.

Invariants:
  * a user has one feed at a time, and it alone speaks to his room; one whose last socket has gone says nothing more;
  * `head` and `version` are what the user's room has been told: all notifications up to that seq, all changes up to
    that version. They only grow, and move together with the emit, with no await between;
  * a change is told in order of version: what does not follow `version` closely is pulled, rows and version in one
    snapshot. So a notification that was taken back is not shown behind the word that it was;
  * a socket is *live* (in the room) only from a moment at which its own cursor equalled `head`; before, it is *catching
    up*: its rows are pulled from the inbox and go to it alone. On going live it is told the inbox's version;
  * a socket that does not take what it is sent (*slow*) is out of the room and is sent nothing more until it has;
  * what the database told us (`changed`, `changed_elsewhere`) is a hint: every second the versions of all connected
    users are compared with the database. A lost hint costs delay, never a notification.

    event \\ socket       joining              catching up               live                       slow
    joined               cursor = head? live  –                         –                          –
                         else catching up
    change, the next     –                    removed rows are left     notifications, then the    pulled later
                                              out of what is pulled     change, to the room
    change with a gap    –                    pulled later              pulled, then told          pulled later
    hint, poll           –                    pulled later              pulled, then told          pulled later
    pulled to the head   –                    live                      –                          –
    cursor beyond head   the feed is pulled, and it goes live, or on, when it has got there (another server was ahead)
    too much waits       –                    slow, after this row      slow: leaves the room      –
    it has taken that    –                    –                         –                          catching up
    a pong proves seq    arrived              arrived                   arrived                    arrived
    the inbox went back  cut: it begins anew, with another pid                                     cut
    server drains, cut   forgotten            forgotten                 forgotten                  forgotten
"""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from notify_server.errors import NotifyError
from notify_server.inbox import Cause, Change, Inbox, Notification, State, Stretch
from notify_server.meters import Meters
from notify_server.recovery import Claim, Recovery

log = logging.getLogger(__name__)

_POLL_S = 1.0
_ARRIVALS_S = 0.25
_PULL_ROWS = 200
_POLL_USERS = 2000


class Sockets(Protocol):
    """How a feed reaches screens. All of it happens at once, without awaiting anything; emitting may call
    `Feeds.slow` before it returns. `offset` is None under RECOVERY=off; else `Feeds.arrived` is to be called once the
    notification has provably arrived."""

    def enter_room(self, sid: str, user_id: str) -> None: ...

    def leave_room(self, sid: str, user_id: str) -> None: ...

    def emit_to_room(self, notification: Notification, offset: str | None) -> None: ...

    def emit_to_socket(self, sid: str, notification: Notification, offset: str | None) -> None: ...

    def tell_room(self, user_id: str, change: dict[str, Any]) -> None: ...

    def tell_socket(self, sid: str, change: dict[str, Any]) -> None: ...

    def cut(self, sid: str) -> None: ...


@dataclass(slots=True, eq=False)
class _Socket:
    sid: str
    cursor: int = 0
    joined: bool = False
    live: bool = False
    slow: bool = False
    pulling: bool = False


@dataclass(slots=True, eq=False)
class _Feed:
    user_id: str
    tag: str | None = None  # of its offsets
    head: int = 0
    version: int | None = None  # None: not known yet
    unread: int = 0
    unseen: int = 0
    sockets: dict[str, _Socket] = field(default_factory=dict)
    early: list[Change] = field(default_factory=list)  # came while the version was not known
    pulling: bool = False
    pull_again: bool = False  # a hint came that the pull under way may not have seen
    in_part: bool = False  # rows behind `version` have been told
    awaited: bool = False  # a socket's cursor is beyond head
    reads: int = 0  # under way
    removed: set[int] = field(default_factory=set)  # told meanwhile
    unnamed: int = 0  # how often something was told that does not name what was removed


class Feeds:
    """`recovery` may be set later than the feeds are made, but before anybody is let in; None is RECOVERY=off: sockets
    begin with what is new, and hear of `notification` alone."""

    def __init__(
        self, inbox: Inbox, sockets: Sockets, recovery: Recovery | None = None, *, max_replay: int = 10_000,
        meters: Meters | None = None,
    ) -> None:  # fmt: skip
        self.recovery = recovery
        self._inbox = inbox
        self._sockets = sockets
        self._max_replay = max_replay
        self._meters = meters or Meters()
        self._feeds: dict[str, _Feed] = {}
        self._by_sid: dict[str, _Feed] = {}
        self._arrived: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._look_now = asyncio.Event()
        self._all_known_at: str | None = None  # the database's moment at which no inbox had another version than here

    # --- what Socket.IO tells us --------------------------------------------------------------------------------

    async def open(self, user_id: str, sid: str, pid: Any = None, offset: Any = None) -> str | None:
        """Before a socket is answered: from now on nothing that it is to get can be missed. `pid` and `offset` are what
        the client brought, unparsed. Gives the pid to answer with, None under RECOVERY=off. Raises NotifyError, with
        nothing left behind, where the database does not tell."""
        feed = self._feeds.get(user_id)
        if feed is None:
            feed = self._feeds[user_id] = _Feed(user_id)
        self._by_sid[sid] = feed
        socket = feed.sockets[sid] = _Socket(sid)
        try:
            known, head = feed.version or 0, feed.head
            state = await self._inbox.state(user_id)
            socket.cursor, own_pid = await self._beginning(user_id, state, pid, offset)
        except BaseException:
            self.close(sid)
            raise
        if self._feeds.get(user_id) is not feed:
            pass  # the socket has gone, or is being cut; the room is another feed's by now
        elif feed.version is None:
            self._begin(feed, state)
        elif state.version < known or state.last_seq < head:
            self._went_back(feed)
        elif state.version > feed.version:
            self._pull_soon(feed)
        return own_pid

    def joined(self, sid: str) -> None:
        """The socket's CONNECT has been answered."""
        feed = self._by_sid.get(sid)
        if feed is not None:
            socket = feed.sockets[sid]
            socket.joined = True
            self._settle(feed, socket)

    def slow(self, sid: str) -> None:
        """More waits for the socket than it should hold."""
        feed = self._by_sid.get(sid)
        if feed is None:
            return
        socket = feed.sockets[sid]
        socket.slow = True
        if socket.live:
            socket.live = False
            socket.cursor = feed.head  # the row at the head is among what waits
            self._sockets.leave_room(sid, feed.user_id)

    def writable(self, sid: str) -> None:
        """The socket has taken what waited."""
        feed = self._by_sid.get(sid)
        if feed is not None:
            socket = feed.sockets[sid]
            socket.slow = False
            self._settle(feed, socket)

    def arrived(self, sid: str, seq: int) -> None:
        """The client provably has everything up to this seq."""
        feed = self._by_sid.get(sid)
        if feed is not None:
            self._note_arrival(feed.user_id, seq)

    def user_of(self, sid: str) -> str | None:
        feed = self._by_sid.get(sid)
        return None if feed is None else feed.user_id

    @property
    def users(self) -> int:
        """Who have sockets on this server."""
        return len(self._feeds)

    def count(self, user_id: str) -> int:
        """A user's sockets on this server, those that are just joining included."""
        feed = self._feeds.get(user_id)
        return 0 if feed is None else len(feed.sockets)

    def close(self, sid: str) -> None:
        feed = self._by_sid.pop(sid, None)
        if feed is None:
            return
        feed.sockets.pop(sid, None)
        if not feed.sockets and self._feeds.get(feed.user_id) is feed:
            del self._feeds[feed.user_id]

    # --- what the database tells us -----------------------------------------------------------------------------

    def changed(self, changes: Iterable[Change]) -> None:
        """Just committed, of any users, each user's in order."""
        for change in changes:
            feed = self._feeds.get(change.user_id)
            if feed is not None:
                self._accept(feed, change)

    def changed_elsewhere(self, user_ids: Iterable[str] | None) -> None:
        """Another server changed these inboxes; None: any."""
        if user_ids is None:
            self._look_now.set()
            return
        for user_id in user_ids:
            feed = self._feeds.get(user_id)
            if feed is not None:
                self._pull_soon(feed)

    async def watch(self) -> None:
        """Runs until cancelled: compares the versions of connected users with the database, once a second, and at once
        when hints may have been lost; and the epoch."""
        while True:
            self._look_now.clear()
            try:
                await self._look()
            except NotifyError as error:
                _log_failure("versions_not_read", error)
            try:
                async with asyncio.timeout(_POLL_S):
                    await self._look_now.wait()
            except TimeoutError:
                pass

    async def watch_arrivals(self) -> None:
        """Runs until cancelled: writes down what has arrived."""
        while True:
            await asyncio.sleep(_ARRIVALS_S)
            await self._write_arrivals()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._write_arrivals()

    # --- where a socket begins ----------------------------------------------------------------------------------

    async def _beginning(self, user_id: str, state: State, pid: Any, offset: Any) -> tuple[int, str | None]:
        """(the seq behind which the socket gets everything, its pid)."""
        recovery = self.recovery
        if recovery is None:
            return state.last_seq, None
        claim = recovery.read(user_id, pid, offset)
        if max(claim.floor, claim.offset or 0) > state.last_seq:
            claim = Claim()  # of a future that this inbox does not have
        seen = claim.offset or 0
        self._note_arrival(user_id, seen)
        start = max(claim.floor, seen)
        if claim.pid is not None and start >= state.pruned_upto and not await self._too_long(user_id, state, start):
            return start, claim.pid
        # `seen` may have been written down since the state was read, and so be in neither of the others
        start = min(max(state.floor, seen, self._arrived.get(user_id, 0)), state.last_seq)
        return start, recovery.new_pid(user_id, start)

    async def _too_long(self, user_id: str, state: State, start: int) -> bool:
        if state.last_seq - start <= self._max_replay:
            return False
        return await self._inbox.count_after(user_id, start, self._max_replay + 1) > self._max_replay

    # --- inside -------------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, context=contextvars.Context())  # of no one request
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _begin(self, feed: _Feed, state: State) -> None:
        feed.tag = None if self.recovery is None else self.recovery.tag(feed.user_id)
        feed.head, feed.version = state.last_seq, state.version
        feed.unread, feed.unseen = state.unread, state.unseen
        early, feed.early = feed.early, []
        for change in early:
            self._accept(feed, change)
        if feed.pull_again:
            self._pull_soon(feed)

    def _accept(self, feed: _Feed, change: Change) -> None:
        if feed.version is None:
            feed.early.append(change)
        elif change.since == feed.version:
            for notification in change.added:
                self._advance(feed, notification, change.cause)
            if feed.reads:
                feed.removed.update(change.body.get("removed", ()))
            self._tell(feed, change.to, change.body)
        elif change.to > feed.version:
            self._pull_soon(feed)

    def _advance(self, feed: _Feed, notification: Notification, cause: Cause | None = None) -> None:
        """The one place where a room hears of a notification. Without a cause it was pulled."""
        if notification.seq > feed.head:
            feed.head = notification.seq
            _guarded(self._sockets.emit_to_room, notification, _offset(feed, notification))
            source = "elsewhere" if cause is None else cause.source
            self._meters.emitted[source] += 1
            lag_s = _age_s(notification) if cause is None else time.monotonic() - cause.at
            self._meters.lag_s[source].add(lag_s)

    def _tell(self, feed: _Feed, version: int, body: dict[str, Any]) -> None:
        """The one place where a room hears of a change."""
        feed.version, feed.unread, feed.unseen = version, body["unread"], body["unseen"]
        if feed.tag is not None:
            _guarded(self._sockets.tell_room, feed.user_id, body)
        if feed.awaited:
            feed.awaited = False
            for socket in list(feed.sockets.values()):
                self._settle(feed, socket)

    def _absorb(self, feed: _Feed, stretch: Stretch) -> None:
        """What was pulled from behind a seq that is not above the head."""
        since = feed.version
        if since is None or stretch.version <= since:
            return  # all of it has been told
        added = [notification for notification in stretch.notifications if notification.seq > feed.head]
        for notification in added:
            self._advance(feed, notification)
        if not stretch.complete:
            feed.in_part = feed.in_part or stretch.upto > feed.head or bool(added)
            feed.head = max(feed.head, stretch.upto)
            return
        feed.head = max(feed.head, stretch.upto)  # the newest may have been deleted again
        body: dict[str, Any] = {
            "from": since, "to": stretch.version, "unread": stretch.unread, "unseen": stretch.unseen,
        }  # fmt: skip
        if stretch.altered > since or feed.in_part:
            body["reload"] = True
            feed.unnamed += 1
        else:
            body["added"] = [notification.entry for notification in added]
        feed.in_part = False
        self._tell(feed, stretch.version, body)

    async def _read(self, feed: _Feed, seq: int) -> Stretch | None:
        """Behind a seq that is not above the head, without what was taken back meanwhile. None where that cannot be
        told apart, the inbox went back, or the feed is no more."""
        known, head, unnamed = feed.version or 0, feed.head, feed.unnamed
        feed.reads += 1
        try:
            stretch = await self._inbox.after(feed.user_id, seq, _PULL_ROWS)
        finally:
            feed.reads -= 1
            removed = feed.removed
            if not feed.reads:
                feed.removed = set()
        if self._feeds.get(feed.user_id) is not feed:
            return None  # its last socket has gone: the room may be another feed's by now
        if stretch.version < known or (stretch.complete and stretch.upto < head):
            self._went_back(feed)
            return None
        if feed.unnamed != unnamed and stretch.version < (feed.version or 0):
            return None
        self._absorb(feed, stretch)
        if removed:
            kept = [notification for notification in stretch.notifications if notification.seq not in removed]
            stretch = Stretch(kept, stretch.upto, stretch.complete)
        return stretch

    def _pull_soon(self, feed: _Feed) -> None:
        feed.pull_again = True
        if not feed.pulling and feed.version is not None:
            feed.pulling = True
            self._spawn(self._pull(feed))

    async def _pull(self, feed: _Feed) -> None:
        """From the head to the inbox's end. Where the database is away, the next poll begins anew."""
        try:
            while feed.pull_again and self._feeds.get(feed.user_id) is feed:
                feed.pull_again = False
                stretch = await self._read(feed, feed.head)
                feed.pull_again = feed.pull_again or stretch is None or not stretch.complete
        except NotifyError as error:
            _log_failure("feed_not_pulled", error)
        finally:
            feed.pulling = False

    def _settle(self, feed: _Feed, socket: _Socket) -> None:
        """Live where it may be; else it is caught up."""
        if not socket.joined or socket.slow or socket.live or socket.pulling:
            return
        if self._feeds.get(feed.user_id) is not feed:
            return  # it is being cut
        if socket.cursor == feed.head:
            self._go_live(feed, socket)
        elif socket.cursor < feed.head:
            socket.pulling = True
            self._meters.replays += 1
            self._spawn(self._catch_up(feed, socket))
        else:
            feed.awaited = True
            self._pull_soon(feed)

    def _go_live(self, feed: _Feed, socket: _Socket) -> None:
        socket.live = True
        self._sockets.enter_room(socket.sid, feed.user_id)
        if feed.tag is not None:
            state = {"from": feed.version, "to": feed.version, "unread": feed.unread, "unseen": feed.unseen}
            self._sockets.tell_socket(socket.sid, state)

    async def _catch_up(self, feed: _Feed, socket: _Socket) -> None:
        try:
            await self._pull_for(feed, socket)
        finally:
            socket.pulling = False
        if feed.sockets.get(socket.sid) is socket:
            self._settle(feed, socket)

    async def _pull_for(self, feed: _Feed, socket: _Socket) -> None:
        """Ends when the socket has caught up with the head, has gone, or is slow; then `writable` begins anew."""
        while feed.sockets.get(socket.sid) is socket and not socket.slow and socket.cursor < feed.head:
            try:
                stretch = await self._read(feed, socket.cursor)
            except NotifyError as error:
                _log_failure("socket_not_caught_up", error)
                await asyncio.sleep(_POLL_S)
                continue
            if stretch is None:
                if self._feeds.get(feed.user_id) is not feed:
                    return
                continue
            for notification in stretch.notifications:
                if feed.sockets.get(socket.sid) is not socket or socket.slow:
                    return
                _guarded(self._sockets.emit_to_socket, socket.sid, notification, _offset(feed, notification))
                self._meters.emitted["replay"] += 1
                socket.cursor = notification.seq
            socket.cursor = max(socket.cursor, stretch.upto)

    # --- the database's past --------------------------------------------------------------------------------------

    async def _look(self) -> None:
        moment = None
        try:
            moment = await self._look_at_epoch()
        except NotifyError as error:  # versions are compared all the same
            _log_failure("epoch_not_read", error)
        if moment is not None and moment == self._all_known_at:
            return
        self._all_known_at = None
        known = {user_id: feed.version for user_id, feed in self._feeds.items() if feed.version is not None}
        users = list(known)
        all_known = len(known) == len(self._feeds)
        for start in range(0, len(users), _POLL_USERS):
            part = {user_id: known[user_id] for user_id in users[start : start + _POLL_USERS]}
            for user_id, version in await self._inbox.altered(part):
                all_known = False
                feed = self._feeds.get(user_id)
                if feed is None or feed.version is None:
                    continue
                if version < known[user_id]:
                    self._went_back(feed)
                elif version > feed.version:
                    self._pull_soon(feed)
        if all_known:
            self._all_known_at = moment

    async def _look_at_epoch(self) -> str:
        """The moment of the database's at which it was read."""
        epoch, moment = await self._inbox.moment()
        recovery = self.recovery
        if recovery is not None and epoch != recovery.epoch:
            log.warning("epoch_changed")
            self.recovery = recovery.in_epoch(epoch)
            self._arrived.clear()
            self._feeds.clear()
            for sid in list(self._by_sid):
                self._sockets.cut(sid)
        return moment

    def _went_back(self, feed: _Feed) -> None:
        """A restored copy, in the same epoch: whoever remembers what it does not have begins anew."""
        if self._feeds.get(feed.user_id) is feed:
            log.warning("inbox_went_back", extra={"mend": "notify-server new-epoch"})
            del self._feeds[feed.user_id]
            self._arrived.pop(feed.user_id, None)
            for sid in list(feed.sockets):
                self._sockets.cut(sid)

    # --- what has arrived -----------------------------------------------------------------------------------------

    def _note_arrival(self, user_id: str, seq: int) -> None:
        if seq > self._arrived.get(user_id, 0):
            self._arrived[user_id] = seq

    async def _write_arrivals(self) -> None:
        writing = dict(self._arrived)
        if not writing:
            return
        try:
            await self._inbox.arrived(writing)
        except NotifyError as error:
            _log_failure("arrivals_not_written", error)
            return
        for user_id, seq in writing.items():
            if self._arrived.get(user_id) == seq:
                del self._arrived[user_id]


def _age_s(notification: Notification) -> float:
    """By the database's clock and ours."""
    return max(0.0, time.time() - datetime.datetime.fromisoformat(notification.entry["createdAt"]).timestamp())


def _guarded(tell: Callable[..., None], *what: Any) -> None:
    """What cannot be encoded (nested too deeply, say) stands in nobody's way: it is in the log, and left out."""
    try:
        tell(*what)
    except Exception:
        log.exception("not_told")


def _log_failure(what: str, error: NotifyError) -> None:
    log.log(logging.DEBUG if error.retryable else logging.ERROR, what, extra={"code": error.code})


def _offset(feed: _Feed, notification: Notification) -> str | None:
    return None if feed.tag is None else f"{notification.seq}.{feed.tag}"
