"""A user's inbox: what the feeds read of it, and what people do with it.

Everything that changes an inbox is told once, as a `Change`, by whoever changed it; `told` hands it on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from notify_server.db import Database
from notify_server.errors import Invalid
from notify_server.gathering import Gathering
from notify_server.sql import Query, array, queries

log = logging.getLogger(__name__)

_sql = queries("inbox")

_AT_ONCE = 500  # inboxes whose state is asked in one query
_PULLS_AT_ONCE = 20  # each may give a whole stretch
_STRETCH_BYTES = 128_000  # of payloads, or one row where that is larger
_STEP_ROWS = 1000
_MAX_MUTES = 1000


@dataclass(frozen=True, slots=True)
class Notification:
    """`entry` is what the inbox shows of it: {seq, type, topic, actor, payload, createdAt, seenAt,
    readAt}."""

    user_id: str
    seq: int
    entry: dict[str, Any]

    @property
    def event(self) -> dict[str, Any]:
        """The first argument of the wire's event `notification`: {type, ...payload}."""
        return {**self.entry["payload"], "type": self.entry["type"]}


@dataclass(frozen=True, slots=True)
class Cause:
    """`source` as in `Meters`; `at` on the monotonic clock."""

    source: str
    at: float


@dataclass(frozen=True, slots=True)
class Change:
    """One step of an inbox from the version `since` to `to`. `body` is what clients are told of it, as
    `notifications:changed`: {from, to, unread, unseen} and one of {added: [entry]}, {removed: [seq]},
    {markedSeen: {upTo, at}}, {markedRead: {seqs, at}}, {markedUnread: {seqs}}. `cause` is who committed it, and when
    what it tells of happened."""

    user_id: str
    since: int
    to: int
    body: dict[str, Any]
    cause: Cause | None = None

    @property
    def added(self) -> list[Notification]:
        return [Notification(self.user_id, entry["seq"], entry) for entry in self.body.get("added", ())]


Told = Callable[[list[Change]], None]


@dataclass(frozen=True, slots=True)
class State:
    """An inbox at one moment. `floor` is where a client begins that knows nothing: behind what arrived, and behind all
    but the newest few."""

    last_seq: int
    version: int
    unread: int
    unseen: int
    pruned_upto: int
    floor: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """A user's unread notifications behind some seq, in order, in one snapshot, together with the inbox's state. It
    tells all there was up to the seq `upto`; `complete` where that is the inbox's end. `altered` is the version of the
    last change that was no delivery."""

    notifications: list[Notification]
    upto: int
    complete: bool
    version: int = 0
    altered: int = 0
    unread: int = 0
    unseen: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """`next_seq` is the cursor of the next page, None at the end. The counts are of the whole inbox, in the same
    snapshot."""

    entries: list[dict[str, Any]]
    next_seq: int | None
    counts: Counts


@dataclass(frozen=True, slots=True)
class Counts:
    unread: int = 0
    unseen: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class ReplayBounds:
    """What a client gets that does not know where it was: at most the newest `rows`, none older than `age_s`."""

    rows: int = 10
    age_s: float = 7 * 86400


def decode(text: str) -> Any:
    """JSON as PostgreSQL wrote it. orjson refuses numbers beyond a double's range, which jsonb keeps: they come as
    infinity, and reach no browser as such. Raises ValueError for what is nested too deeply."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(text, parse_int=_whole_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _whole_number(digits: str) -> int | float:
    """A whole one where orjson can write it."""
    return int(digits) if len(digits) < 19 else float(digits)


def changes_from_json(changes: list[dict[str, Any]], cause: Cause | None = None) -> list[Change]:
    """What notify.change_json_v1 wrote."""
    return [Change(one["user"], one["change"]["from"], one["change"]["to"], one["change"], cause) for one in changes]


class Inbox:
    """Questions about inboxes, many users' in one query."""

    def __init__(self, db: Database, bounds: ReplayBounds | None = None) -> None:
        self._db = db
        self._bounds = bounds or ReplayBounds()
        self._states: Gathering[str, State] = Gathering(self._ask_states, at_once=_AT_ONCE)
        self._stretches: dict[int, Gathering[tuple[str, int], Stretch]] = {}

    async def state(self, user_id: str) -> State:
        return await self._states(user_id)

    async def after(self, user_id: str, seq: int, max_rows: int) -> Stretch:
        gathering = self._stretches.get(max_rows)
        if gathering is None:

            async def ask(questions: list[tuple[str, int]]) -> list[Stretch]:
                return await self._ask_stretches(questions, max_rows)

            gathering = self._stretches[max_rows] = Gathering(ask, at_once=_PULLS_AT_ONCE)
        return await gathering((user_id, seq))

    async def count_after(self, user_id: str, seq: int, max_rows: int) -> int:
        """How many unread ones there are behind a seq; max_rows where there are that many or more."""
        found: int = await self._db.value(_sql.count_after, user_id=user_id, seq=seq, max_rows=max_rows)
        return found

    async def altered(self, versions: Mapping[str, int]) -> list[tuple[str, int]]:
        """Of these users' inboxes those that have another version, with it."""
        rows = await self._db.fetch(_sql.altered, user_ids=array(versions), versions=array(map(str, versions.values())))
        return [(user_id, version) for user_id, version in rows]

    async def arrived(self, seqs: Mapping[str, int]) -> None:
        """Notes for each user the seq up to which everything has arrived."""
        await self._db.fetch(_sql.arrived, user_ids=array(seqs), seqs=array(map(str, seqs.values())))

    async def epoch(self) -> str:
        return (await self.moment())[0]

    async def moment(self) -> tuple[str, str]:
        """The epoch, and what no two moments have in common between which anything was committed."""
        epoch, moment = (await self._db.fetch(_sql.moment))[0]
        return epoch, moment

    async def secret(self) -> str:
        found: str = await self._db.value(_sql.secret)
        return found

    async def new_epoch(self) -> int:
        found: int = await self._db.value(_sql.new_epoch)
        return found

    async def _ask_states(self, user_ids: list[str]) -> list[State]:
        rows = await self._db.fetch(
            _sql.state, user_ids=array(user_ids), max_rows=self._bounds.rows, max_age_s=self._bounds.age_s
        )
        return [State(*row[1:]) for row in rows]

    async def _ask_stretches(self, questions: list[tuple[str, int]], max_rows: int) -> list[Stretch]:
        rows = await self._db.fetch(
            _sql.after, user_ids=array(user_id for user_id, _ in questions),
            seqs=array(str(seq) for _, seq in questions),
            max_rows=max_rows, max_bytes=_STRETCH_BYTES,
        )  # fmt: skip
        by_question: list[list[Any]] = [[] for _ in questions]
        for row in rows:
            by_question[row[0] - 1].append(row[1:])
        return [_stretch(user_id, own) for (user_id, _), own in zip(questions, by_question, strict=True)]


def _stretch(user_id: str, rows: list[tuple[Any, ...]]) -> Stretch:
    more, last_seq, version, altered, unread, unseen = rows[-1][2:]
    complete = not more
    found = [Notification(user_id, seq, entry) for seq, entry in _entries(rows)]
    return Stretch(found, last_seq if complete else rows[-1][0], complete, version, altered, unread, unseen)


def _entries(rows: list[tuple[Any, ...]]) -> list[tuple[int, dict[str, Any]]]:
    """[seq or NULL, entry, …]; one that no browser could read is left out, and blocks no other."""
    found = []
    for row in rows:
        if row[0] is not None:
            try:
                entry = decode(row[1])
                orjson.dumps(entry)  # which takes less than loads gives: 254 levels
                found.append((row[0], entry))
            except (ValueError, TypeError, RecursionError):
                log.exception("notification_not_readable", extra={"seq": row[0]})
    return found


@dataclass(slots=True)
class InboxKeeper:
    """What a user does with his own inbox. Marks are idempotent; seqs that he does not have are ignored. Large ones go
    in steps, so that no transaction is long."""

    db: Database
    told: Told
    step_rows: int = field(default=_STEP_ROWS)

    async def page(
        self, user_id: str, *, before: int | None = None, unread_only: bool = False, type: str | None = None,  # noqa: A002
        topic: str | None = None, max_rows: int = 50,
    ) -> Page:  # fmt: skip
        """Newest first, below the seq `before`."""
        rows = await self.db.fetch(
            _sql.list, user_id=user_id, before=before, unread_only=unread_only, type=type, topic=topic,
            max_rows=max_rows + 1,
        )  # fmt: skip
        more = len(rows) > max_rows
        shown = rows[:max_rows]
        return Page([entry for _, entry in _entries(shown)], shown[-1][0] if more else None, Counts(*rows[0][2:]))

    async def counts(self, user_id: str) -> Counts:
        rows = await self.db.fetch(_sql.counts, user_id=user_id)
        return Counts(*rows[0]) if rows else Counts()

    async def mark_seen(self, user_id: str, upto: int) -> Counts:
        """Everything at or below the seq `upto`; what has just arrived above it stays."""
        return await self._in_steps(_sql.mark_seen, user_id, upto)

    async def mark_read(
        self, user_id: str, *, seqs: Sequence[int] | None = None, upto: int | None = None, topic: str | None = None
    ) -> Counts:
        """These seqs, or all up to one, or all of a topic that are there now. What is read is seen."""
        return await self._in_steps(_sql.mark_read, user_id, upto, seqs=None if seqs is None else [*seqs], topic=topic)

    async def mark_unread(self, user_id: str, seqs: Sequence[int]) -> Counts:
        return self._marked(await self._ask(_sql.mark_unread, user_id=user_id, seqs=[*seqs]))

    async def delete(self, user_id: str, seqs: Sequence[int]) -> Counts:
        return self._marked(await self._ask(_sql.delete, user_id=user_id, seqs=[*seqs]))

    async def mute(self, user_id: str, topic: str) -> None:
        """From now on nothing of `post:<id>`, or caused by `user:<id>`, enters the inbox. Raises Invalid."""
        if not await self.db.value(_sql.mute, user_id=user_id, topic=topic, max_mutes=_MAX_MUTES):
            raise Invalid(f"at most {_MAX_MUTES} topics can be muted", field="topic", code="too_many_mutes")

    async def unmute(self, user_id: str, topic: str) -> None:
        await self.db.fetch(_sql.unmute, user_id=user_id, topic=topic)

    async def mutes(self, user_id: str) -> list[dict[str, Any]]:
        """[{topic, createdAt}], newest first."""
        return [orjson.loads(text) for (text,) in await self.db.fetch(_sql.mutes, user_id=user_id)]

    async def _in_steps(self, query: Query, user_id: str, upto: int | None, **values: Any) -> Counts:
        while True:
            answer = await self._ask(query, user_id=user_id, upto=upto, max_rows=self.step_rows, **values)
            counts = self._marked(answer)
            upto = answer["upto"]
            if upto is None:
                return counts

    async def _ask(self, query: Query, **values: Any) -> dict[str, Any]:
        answer: dict[str, Any] = orjson.loads(await self.db.value(query, **values))
        return answer

    def _marked(self, answer: dict[str, Any]) -> Counts:
        self.told(changes_from_json(answer["changes"]))
        return Counts(answer["unread"], answer["unseen"], answer["version"])
