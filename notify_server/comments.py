"""The batching writer: comments of many requests in one round trip and one commit.

One alone is a batch of one. What arrives while a batch is in flight waits for the next: the fewer come together, the
more each costs PostgreSQL. So another lane begins only when enough have gathered for it, or when one has waited for
long, as behind a batch that waits for a lock.

Strangers in a batch do not hurt each other:

    the batch …                          then
    commits                              each row has its own outcome, matched by its number
    finds a post's row held              that post's comments go to the slow lane, the others are written
    waits for a lock in vain             each post's comments by themselves, once; those that still wait go there too
    deadlocks                            again, a few times; then as above
    is refused by the app                in halves, until the one at fault stands alone: 422
    loses the answer to its COMMIT       looked up by the batch's id before anybody is answered

The slow lane takes the posts in turn, all comments of one together, and waits longer for their locks.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import logging
import random
import time
import uuid
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from notify_server.db import Database
from notify_server.errors import (
    DatabaseConflict,
    DatabaseError,
    DatabaseLost,
    DatabaseRefused,
    Invalid,
    NotFound,
    NotifyError,
    OutcomeUnknown,
    Overloaded,
    ReadOnly,
    Unavailable,
)
from notify_server.failpoints import hit
from notify_server.idempotency import fingerprint, key_in_flight, key_reused
from notify_server.ids import IdColumns
from notify_server.inbox import Cause, Told, changes_from_json, decode
from notify_server.meters import Meters
from notify_server.posts import unknown_user
from notify_server.request_ids import request_id
from notify_server.sql import queries

log = logging.getLogger(__name__)

_sql = queries("comments")

_LANES = 4
_SLOW_LANES = 2
_SLOW_S = 6  # how long a comment may wait for its post
_HELD_PAUSE_S = 0.05
_MAX_LOCKED_POSTS = 3  # in one batch; the rest is not even tried
_MAX_BATCH_ROWS = 200
_FULL_ROWS = 32  # for each lane at work, so many waiting are worth another; from here on, a row costs little less
_PATIENCE_S = 0.01  # so long a comment waits for a lane that is at work
_MAX_BATCH_CHARS = 500_000
_ATTEMPTS = 3
_LOOK_UP_S = 5


@dataclass(slots=True)
class _Pending:
    post_id: str
    author_id: str
    body: str
    key: str | None = None
    request: str | None = field(default_factory=request_id.get)  # for the log
    since: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    answer: asyncio.Future[dict[str, Any]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def succeed(self, comment: dict[str, Any]) -> None:
        if not self.answer.done():
            self.answer.set_result(comment)

    def fail(self, error: NotifyError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


def refused() -> Invalid:
    return Invalid("the database does not accept this comment", code="refused")


class CommentWriter:
    """`told` is called with what each commit changed in inboxes, in the order of commits on one lane.

    Where the table cannot be written to, `is_writable` is false. At most `max_waiting` comments wait; past that, and
    past `slow_waiting` for posts that others hold, Overloaded is raised.
    """

    def __init__(
        self, db: Database, ids: IdColumns, told: Told, *,
        meters: Meters | None = None, is_writable: bool = True,
        max_waiting: int = 5000, max_waiting_chars: int = 20_000_000, slow_waiting: int = 500,
    ) -> None:  # fmt: skip
        self._db = db
        self._ids = ids
        self._told = told
        self._is_writable = is_writable
        self._meters = meters or Meters()
        self._max_waiting, self._max_waiting_chars, self._slow_waiting = max_waiting, max_waiting_chars, slow_waiting
        self._waiting: collections.deque[_Pending] = collections.deque()
        self._waiting_chars = 0
        self._held: dict[str, list[_Pending]] = {}  # by post, the post whose turn it is first
        self._held_count = 0
        self._keyed: set[tuple[str, str]] = set()  # under way
        self._lanes: set[asyncio.Task[None]] = set()
        self._slow_lanes: set[asyncio.Task[None]] = set()
        self._at_work = 0  # lanes
        self._relief: asyncio.TimerHandle | None = None
        self.commits = 0

    async def write(self, user_id: str, post_id: str, body: str, key: str | None = None) -> dict[str, Any]:
        """The comment's JSON. Raises ReadOnly, NotFound, Forbidden (`unknown_user`), Invalid (`refused`), Overloaded,
        Unavailable; after OutcomeUnknown it may have been written. With a key (one user's, for one request) it is
        written once, however often this is called: the same answer again for the same comment, Conflict while another
        call with the key is under way, Invalid (`key_reused`) for another comment."""
        if not self._is_writable:
            raise ReadOnly("comments are written by the app's own server, not by this one")
        if key is None:
            return await self._put(user_id, post_id, body, None)
        if (user_id, key) in self._keyed:
            raise key_in_flight()
        answer = self._put(user_id, post_id, body, key)
        self._keyed.add((user_id, key))
        answer.add_done_callback(lambda _answer: self._keyed.discard((user_id, key)))
        return await asyncio.shield(answer)  # the key is taken for as long as the comment is under way

    def _put(self, user_id: str, post_id: str, body: str, key: str | None) -> asyncio.Future[dict[str, Any]]:
        parsed_post, parsed_author = self._ids.posts.parse(post_id), self._ids.people.parse(user_id)
        if parsed_author is None:
            raise unknown_user()
        if parsed_post is None:
            raise NotFound("there is no such post")
        if len(self._waiting) >= self._max_waiting or self._waiting_chars >= self._max_waiting_chars:
            raise Overloaded("too many comments are waiting to be written")
        pending = _Pending(parsed_post, parsed_author, body, key)
        if parsed_post in self._held:
            self._hold([pending])
        else:
            self._waiting.append(pending)
            self._waiting_chars += len(body)
            if not self._at_work or len(self._waiting) >= _FULL_ROWS * self._at_work:
                self._begin_lane()
            else:
                self._relieve_later()
        return pending.answer

    async def close(self) -> None:
        """Waits for what is in flight; the caller lets nothing new in."""
        while self._lanes or self._slow_lanes:
            await asyncio.wait([*self._lanes, *self._slow_lanes])

    @staticmethod
    def _start(lanes: set[asyncio.Task[None]], lane: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(lane, context=contextvars.Context())  # of no one request
        lanes.add(task)
        task.add_done_callback(lanes.discard)

    def _begin_lane(self) -> None:
        if self._at_work < _LANES:
            self._at_work += 1
            self._start(self._lanes, self._run_lane())

    async def _run_lane(self) -> None:
        """As long as this lane is needed: the last one until nothing waits."""
        try:
            while self._waiting:
                await self._write_safely(self._take(), patient=False)
                if self._at_work > 1 and len(self._waiting) < _FULL_ROWS and self._patience_s() > 0:
                    break
        finally:
            self._at_work -= 1
            if self._waiting:
                self._relieve_later()

    def _patience_s(self) -> float:
        """What is left of it to the comment that has waited longest."""
        return (
            self._waiting[0].since + _PATIENCE_S - asyncio.get_running_loop().time() if self._waiting else _PATIENCE_S
        )

    def _relieve_later(self) -> None:
        if self._relief is None:
            left_s = self._patience_s()
            self._relief = asyncio.get_running_loop().call_later(left_s if left_s > 0 else _PATIENCE_S, self._relieve)

    def _relieve(self) -> None:
        self._relief = None
        if self._waiting:
            if self._patience_s() <= 0:
                self._begin_lane()
            self._relieve_later()

    async def _run_slow_lane(self) -> None:
        while self._held:
            post_id = next(iter(self._held))
            waiting = self._held.pop(post_id)
            self._held_count -= len(waiting)
            now = asyncio.get_running_loop().time()
            late = now - _SLOW_S
            _fail((one for one in waiting if one.since <= late), Unavailable("another transaction holds this post"))
            alive = [one for one in waiting if one.since > late]
            for start in range(0, len(alive), _MAX_BATCH_ROWS):
                if not await self._write_safely(alive[start : start + _MAX_BATCH_ROWS], patient=True):
                    await asyncio.sleep(_HELD_PAUSE_S)

    def _take(self) -> list[_Pending]:
        batch: list[_Pending] = []
        chars = 0
        free_lanes = _LANES - self._at_work + 1
        rows = min(max(len(self._waiting) // free_lanes, _FULL_ROWS), _MAX_BATCH_ROWS)
        while self._waiting and len(batch) < rows and chars < _MAX_BATCH_CHARS:
            batch.append(self._waiting.popleft())
            chars += len(batch[-1].body)
        self._waiting_chars -= chars
        return batch

    async def _write_safely(self, batch: list[_Pending], *, patient: bool) -> bool:
        """A lane never dies: whatever goes wrong is the answer of this batch alone. False where it has to wait."""
        try:
            return await self._write(batch, patient=patient)
        except NotifyError as error:
            _fail(batch, error)
        except Exception:
            log.exception("comment_batch_failed")
            _fail(batch, NotifyError("something went wrong here"))
        return True

    async def _write(self, batch: list[_Pending], *, patient: bool) -> bool:
        try:
            await self._write_again(batch, patient=patient)
        except DatabaseConflict:
            return await self._write_by_post(batch, patient=patient)
        except DatabaseError as error:
            if error.retryable:
                raise
            if len(batch) == 1:
                if not isinstance(error, DatabaseRefused):
                    raise
                log.info("comment_refused", extra={"request": batch[0].request, "sqlstate": error.sqlstate})
                raise refused() from error
            half = len(batch) // 2
            await self._write_safely(batch[:half], patient=patient)
            await self._write_safely(batch[half:], patient=patient)
        return True

    async def _write_again(self, batch: list[_Pending], *, patient: bool) -> None:
        """Once more after a deadlock, which says nothing about whose row it is; and where what a row refers to is gone,
        because its post may have been deleted at that moment: then there is no such post."""
        for attempt in range(_ATTEMPTS):
            try:
                await self._write_once(batch, patient=patient)
                return
            except DatabaseRefused as refusal:
                if refusal.sqlstate != "23503" or attempt > 0:
                    raise
            except DatabaseConflict as conflict:
                if conflict.sqlstate == "55P03" or attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(random.uniform(0, 0.02) * (attempt + 1))  # noqa: S311

    async def _write_by_post(self, batch: list[_Pending], *, patient: bool) -> bool:
        by_post: dict[str, list[_Pending]] = {}
        for pending in batch:
            by_post.setdefault(pending.post_id, []).append(pending)
        if len(by_post) == 1:
            self._hold(batch)
            return False
        locked = 0
        for group in by_post.values():
            if locked >= _MAX_LOCKED_POSTS:
                self._hold(group)
            elif not await self._write_safely(group, patient=patient):
                locked += 1
        return True

    async def _write_once(self, batch: list[_Pending], *, patient: bool) -> None:
        batch_id = str(uuid.uuid4())
        rows = [_row(n, pending) for n, pending in enumerate(batch)]
        try:
            answer = decode(
                await self._db.value(
                    _sql.post_comments, batch=orjson.dumps(rows).decode(), batch_id=batch_id, patient=patient
                )
            )
        except DatabaseLost as lost:
            await self._look_up(batch, batch_id, lost)
            return
        self.commits += 1
        hit("after_commit")
        self._meters.batch_rows.add(len(batch))
        self._told(changes_from_json(answer["changes"], Cause("post", time.monotonic())))
        if answer["answers_failed"]:
            log.error(
                "own_answer_failed", extra={"sqlstate": answer["answers_failed"], "details": "notify-server doctor"}
            )
        hit("before_reply")
        for outcome in answer["outcomes"]:
            self._answer(batch[outcome["n"]], outcome["status"], outcome.get("comment"))

    def _answer(self, pending: _Pending, status: str, comment: dict[str, Any] | None) -> None:
        match status:
            case "created":
                pending.succeed(comment or {})
            case "no_post":
                pending.fail(NotFound("there is no such post"))
            case "unknown_user":
                pending.fail(unknown_user())
            case "refused":
                pending.fail(refused())
            case "in_flight":
                pending.fail(key_in_flight())
            case "key_reused":
                pending.fail(key_reused())
            case "blocked":
                self._hold([pending])

    def _hold(self, waiting: Iterable[_Pending]) -> None:
        """To the slow lane, all of them of one post."""
        for pending in waiting:
            if self._held_count >= self._slow_waiting:
                pending.fail(Overloaded("another transaction holds this post, and too many wait for it"))
            else:
                self._held.setdefault(pending.post_id, []).append(pending)
                self._held_count += 1
        if self._held and len(self._slow_lanes) < _SLOW_LANES:
            self._start(self._slow_lanes, self._run_slow_lane())

    async def _look_up(self, batch: list[_Pending], batch_id: str, lost: DatabaseLost) -> None:
        """Nobody is told "no" for what was written, nor "yes" for what was not. The feed finds the notifications by
        itself."""
        deadline = asyncio.get_running_loop().time() + _LOOK_UP_S
        while True:
            try:
                found = orjson.loads(await self._db.value(_sql.learn_batch, batch_id=batch_id))
                break
            except NotifyError as error:
                if not error.retryable or asyncio.get_running_loop().time() > deadline:
                    log.warning("comment_outcome_unknown", extra={"rows": len(batch)})
                    raise OutcomeUnknown(
                        "the database went away, and whether the comment was written is not known"
                    ) from error
                await asyncio.sleep(0.1)
        log.info("comment_outcome_learnt", extra={"rows": len(batch), "committed": found["committed"]})
        for outcome in found["outcomes"]:
            batch[outcome["n"]].succeed(outcome["comment"])
        _fail(batch, lost)  # those that have no answer yet were not written


def _row(n: int, pending: _Pending) -> dict[str, Any]:
    row = {"n": n, "post_id": pending.post_id, "author_id": pending.author_id, "body": pending.body}
    if pending.key is not None:
        row["key"] = pending.key
        row["fingerprint"] = fingerprint("comment", pending.post_id, pending.body)
    return row


def _fail(batch: Iterable[_Pending], error: NotifyError) -> None:
    for pending in batch:
        pending.fail(error)
