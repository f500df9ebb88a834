"""What a user's sockets on this server see of his inbox: everything, once, in order of seq.

Invariants:
  * `head` is the last seq that was emitted to the user's room; it only grows;
  * a socket is *live* (in the room) only from a moment at which its own cursor equalled `head`; before, it is *catching
    up*: its rows are pulled from the inbox and go to it alone;
  * head moves and the room is emitted to in one step, with no await between them;
  * a socket that does not take what it is sent (*slow*) is out of the room and is sent nothing more until it has;
  * what the database told us (`delivered`) is a hint: what does not follow `head` closely is pulled, and every second
    the heads of all connected users are compared with the database. A lost hint costs delay, never a notification.

    event \\ socket      joining              catching up              live                        slow
    joined              cursor = head? live  –                        –                           –
                        else catching up
    next row            –                    pulled later             emitted to the room         pulled later
    row with a gap      –                    pulled later             pulled, then emitted        pulled later
    pulled to the head  –                    live                     –                           –
    too much waits      –                    slow, after this row     slow: leaves the room       –
    it has taken that   –                    –                        –                           catching up
    closed              forgotten            forgotten                forgotten                   forgotten
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from notify_server.errors import NotifyError
from notify_server.inbox import Inbox, Notification

log = logging.getLogger(__name__)

_POLL_S = 1.0
_PULL_ROWS = 200
_POLL_USERS = 2000


class Sockets(Protocol):
    """How a feed reaches screens. All of it happens at once, without awaiting anything; emitting may call
    `Feeds.slow` before it returns."""

    def enter_room(self, sid: str, user_id: str) -> None: ...

    def leave_room(self, sid: str, user_id: str) -> None: ...

    def emit_to_room(self, user_id: str, event: dict[str, Any]) -> None: ...

    def emit_to_socket(self, sid: str, event: dict[str, Any]) -> None: ...


@dataclass(slots=True, eq=False)
class _Socket:
    sid: str
    cursor: int
    live: bool = False
    slow: bool = False
    pulling: bool = False


@dataclass(slots=True, eq=False)
class _Feed:
    user_id: str
    head: int = 0
    sockets: dict[str, _Socket] = field(default_factory=dict)
    opening: asyncio.Task[None] | None = None
    pulling: bool = False
    pull_again: bool = False  # a hint came that the pull under way may not have seen
    early: list[Notification] = field(default_factory=list)  # came while head was not known yet


class Feeds:
    def __init__(self, inbox: Inbox, sockets: Sockets) -> None:
        self._inbox = inbox
        self._sockets = sockets
        self._feeds: dict[str, _Feed] = {}
        self._by_sid: dict[str, _Feed] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- what Socket.IO tells us --------------------------------------------------------------------------------

    async def open(self, user_id: str, sid: str) -> None:
        """Before a socket is answered: whatever is committed from now on will reach it. Raises NotifyError, with
        nothing left behind, where the database does not tell the user's head."""
        feed = self._feeds.get(user_id)
        if feed is None:
            feed = self._feeds[user_id] = _Feed(user_id)
            feed.opening = asyncio.create_task(self._load_head(feed))
        self._by_sid[sid] = feed
        feed.sockets[sid] = _Socket(sid, feed.head)
        try:
            if feed.opening is not None:
                await asyncio.shield(feed.opening)
        except BaseException:
            self.close(sid)
            raise

    def joined(self, sid: str) -> None:
        """The socket's CONNECT has been answered."""
        feed = self._by_sid.get(sid)
        if feed is None:
            return
        socket = feed.sockets[sid]
        if socket.cursor == feed.head and not socket.slow:
            self._go_live(feed, socket)
        else:
            self._catch_up_soon(feed, socket)

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
            self._catch_up_soon(feed, socket)

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

    def delivered(self, notifications: Iterable[Notification]) -> None:
        """Hints: rows that were just committed, of any users, each user's in order."""
        for notification in notifications:
            feed = self._feeds.get(notification.user_id)
            if feed is not None:
                self._accept(feed, notification)

    async def watch(self) -> None:
        """Runs until cancelled: compares the heads of connected users with the database, once a second."""
        while True:
            await asyncio.sleep(_POLL_S)
            users = list(self._feeds)
            try:
                for start in range(0, len(users), _POLL_USERS):
                    heads = await self._inbox.heads(users[start : start + _POLL_USERS])
                    for user_id, head in heads.items():
                        feed = self._feeds.get(user_id)
                        if feed is not None and feed.opening is None and head > feed.head:
                            self._pull_soon(feed)
            except NotifyError as error:
                log.debug("heads_not_read", extra={"code": error.code})

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- inside -------------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load_head(self, feed: _Feed) -> None:
        try:
            feed.head = (await self._inbox.heads([feed.user_id]))[feed.user_id]
        except BaseException:
            if self._feeds.get(feed.user_id) is feed:
                del self._feeds[feed.user_id]
            raise
        feed.opening = None
        for socket in feed.sockets.values():
            socket.cursor = feed.head
        early, feed.early = feed.early, []
        for notification in early:
            self._accept(feed, notification)

    def _accept(self, feed: _Feed, notification: Notification) -> None:
        if feed.opening is not None:
            feed.early.append(notification)
        elif notification.seq == feed.head + 1 and not feed.pulling:
            self._advance(feed, notification)
        elif notification.seq > feed.head:
            self._pull_soon(feed)

    def _advance(self, feed: _Feed, notification: Notification) -> None:
        """The one place where a room hears of anything."""
        if notification.seq > feed.head:
            feed.head = notification.seq
            self._sockets.emit_to_room(feed.user_id, notification.event)

    def _pull_soon(self, feed: _Feed) -> None:
        feed.pull_again = True
        if not feed.pulling:
            feed.pulling = True
            self._spawn(self._pull(feed))

    async def _pull(self, feed: _Feed) -> None:
        """From the head to the inbox's end. Where the database is away, the next poll begins anew."""
        try:
            while feed.pull_again and self._feeds.get(feed.user_id) is feed:
                feed.pull_again = False
                stretch = await self._inbox.after(feed.user_id, feed.head, _PULL_ROWS)
                for notification in stretch.notifications:
                    self._advance(feed, notification)
                feed.head = max(feed.head, stretch.upto)  # the newest may have been deleted again
                feed.pull_again = feed.pull_again or not stretch.complete
        except NotifyError as error:
            log.info("feed_not_pulled", extra={"code": error.code})
        finally:
            feed.pulling = False

    def _go_live(self, feed: _Feed, socket: _Socket) -> None:
        socket.live = True
        self._sockets.enter_room(socket.sid, feed.user_id)

    def _catch_up_soon(self, feed: _Feed, socket: _Socket) -> None:
        if not (socket.pulling or socket.slow or socket.live):
            socket.pulling = True
            self._spawn(self._catch_up(feed, socket))

    async def _catch_up(self, feed: _Feed, socket: _Socket) -> None:
        try:
            await self._pull_for(feed, socket)
        finally:
            socket.pulling = False

    async def _pull_for(self, feed: _Feed, socket: _Socket) -> None:
        """Ends when the socket is live, has gone, or is slow; then `writable` begins anew."""
        while feed.sockets.get(socket.sid) is socket and not socket.slow:
            head = feed.head
            try:
                stretch = await self._inbox.after(feed.user_id, socket.cursor, _PULL_ROWS)
            except NotifyError as error:
                log.info("socket_not_caught_up", extra={"code": error.code})
                await asyncio.sleep(_POLL_S)
                continue
            if feed.sockets.get(socket.sid) is not socket or socket.slow:
                return
            for notification in stretch.notifications:
                self._advance(feed, notification)
                self._sockets.emit_to_socket(socket.sid, notification.event)
                socket.cursor = notification.seq
                if socket.slow:
                    return
            feed.head = max(feed.head, stretch.upto)
            socket.cursor = max(socket.cursor, stretch.upto)
            if socket.cursor == feed.head:
                self._go_live(feed, socket)
                return
            if stretch.complete and socket.cursor < head:  # the inbox has gone back: a restored backup
                await asyncio.sleep(_POLL_S)
