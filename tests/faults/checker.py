"""Which invariants broke: a pure function of the logs and of the database as it was once things were calm.

    1  a comment that was answered 200 exists, and is in the inbox of the post's author; in the end every comment is
    2  each row is shown at most once in a life; to a life that stays, exactly once from its floor on
    3  a life sees strictly rising seq, and misses none between two that it saw
    4  nobody sees another user's row, nor what is in no inbox and never was
    5  unread and unseen, in the inbox, on the tabs and when asked, are the rows' number
    6  a request that failed left nothing, one key made one comment, and every answer is one of the contract

A *life* is one `io()`. Its floor is the first row that it was shown, or that came after its first CONNECT.
`python -m tests.faults.checker FOLDER` checks what a run kept.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.faults.logs import DUMP, Comment, Dump, Life, Logs, Request, Row

_CLOCK_S = 0.05  # two processes' clocks, one of them in milliseconds
_STATUSES = {200, 409, 429, 503, None}


class Broken(NamedTuple):
    """`name` tells apart what breaks the same invariant; `count` how often it did."""

    invariant: int
    name: str
    evidence: str
    times: int = 1


@dataclass(frozen=True)
class _Known:
    logs: Logs
    rows: dict[str, list[Row]]  # by user, in order of seq
    by_comment: dict[str, list[Row]]
    comments: dict[str, Comment]
    by_body: dict[str, list[Comment]]
    owners: dict[str, str]

    def notifies(self, comment: Comment) -> bool:
        return comment.id not in self.logs.deleted and self.owners.get(comment.post) != comment.author

    def row_of(self, user: str, comment_id: str) -> Row | None:
        return next((row for row in self.by_comment[comment_id] if row.user == user), None)


def check(logs: Logs, dump: Dump, *, absent: Set[int] = frozenset(), settled: bool = True) -> list[Broken]:
    """`absent` are lives that cannot be connected now; `settled` says that comments which our triggers could not note
    down have had the time to be found."""
    rows, by_comment, by_body = defaultdict(list), defaultdict(list), defaultdict(list)
    for row in sorted(dump.rows, key=lambda row: row.seq):
        rows[row.user].append(row)
        by_comment[row.comment_id].append(row)
    for comment in dump.comments:
        by_body[comment.body].append(comment)
    known = _Known(logs, rows, by_comment, {one.id: one for one in dump.comments}, by_body, dump.owners)
    return [
        *_written(known, settled),
        *(broken for life in logs.lives.values() for broken in _life(known, life, stays=life.id not in absent)),
        *_counts(logs, dump, absent),
        *_answers(known),
    ]


def summary(found: list[Broken]) -> list[Broken]:
    """One of each name, with the number of all."""
    counts = Counter[str]()
    first: dict[str, Broken] = {}
    for broken in found:
        counts[broken.name] += broken.times
        first.setdefault(broken.name, broken)
    return sorted(broken._replace(times=counts[name]) for name, broken in first.items())


# --- 1: what was written --------------------------------------------------------------------------------------------


def _written(known: _Known, settled: bool) -> Iterator[Broken]:
    answered = set()
    for request in known.logs.requests:
        if request.status != 200 or request.comment_id in known.logs.deleted:
            continue
        comment = known.comments.get(str(request.comment_id))
        if comment is None or comment.body != request.body:
            yield Broken(1, "an answered comment is lost", f"{request}, stored: {comment}")
        else:
            answered.add(comment.id)
    for comment in known.comments.values():
        if (
            (settled or comment.id in answered)
            and known.notifies(comment)
            and known.row_of(known.owners[comment.post], comment.id) is None
        ):
            yield Broken(1, "a comment is not in its author's inbox", f"{comment}, answered: {comment.id in answered}")
    for comment_id, found in known.by_comment.items():
        if len(found) > 1:
            yield Broken(1, "a comment is in inboxes twice", f"comment {comment_id}: {found}")


# --- 2, 3, 4: what was shown ----------------------------------------------------------------------------------------


def _life(known: _Known, life: Life, *, stays: bool) -> Iterator[Broken]:
    who = f"life {life.id} of user {life.user} ({life.version} {life.transport})"
    if life.refused is not None:
        yield Broken(2, "a good client was refused for ever", f"{who}: {life.refused}")
    yield from _shown_wrongly(known, life, who)
    yield from _shown_again(life, who)
    yield from _order(known, life, who)
    yield from _missing(known, life, who, stays=stays and not life.closed)


def _shown_wrongly(known: _Known, life: Life, who: str) -> Iterator[Broken]:
    for shown in life.shown:
        row = known.row_of(life.user, shown.comment_id)
        if known.owners.get(shown.post_id) != life.user or (known.by_comment.get(shown.comment_id) and row is None):
            yield Broken(4, "another user's row", f"{who}: {shown}")
        elif row is None:
            if shown.comment_id not in known.logs.deleted:
                yield Broken(4, "a phantom: never stored", f"{who}: {shown}")
        elif shown.at < row.created_at - _CLOCK_S:
            yield Broken(4, "a phantom: shown before it was stored", f"{who}: {shown}, {row}")
        elif shown.seq is not None and shown.seq != row.seq:
            yield Broken(3, "an offset that is not its row's", f"{who}: {shown}, {row}")


def _shown_again(life: Life, who: str) -> Iterator[Broken]:
    """An old client is a new one at each connect, and may be shown again what it had not been known to have."""
    groups = [life.shown]
    if not life.recovers:
        groups = [
            [shown for shown in life.shown if one.at <= shown.at < (one.until or float("inf"))]
            for one in life.connections
        ]
    for group in groups:
        for comment_id, times in Counter(shown.comment_id for shown in group).items():
            if times > 1:
                yield Broken(2, "shown again", f"{who}: comment {comment_id} {times} times", times - 1)


def _order(known: _Known, life: Life, who: str) -> Iterator[Broken]:
    if not life.recovers:
        return
    seqs = []
    for shown in life.shown:
        row = known.row_of(life.user, shown.comment_id)
        seq = shown.seq if shown.seq is not None or row is None else row.seq
        if seq is not None:
            seqs.append(seq)
    for before, after in pairwise(seqs):
        if after < before:  # the same once more is told elsewhere
            yield Broken(3, "order broken", f"{who}: seq {after} after {before}")


def _missing(known: _Known, life: Life, who: str, *, stays: bool) -> Iterator[Broken]:
    """A life that was closed, or cannot be connected now, need not have the end of it."""
    if not life.recovers or not life.connections:
        return
    got = {shown.comment_id for shown in life.shown}
    seen = [row.seq for shown in life.shown if (row := known.row_of(life.user, shown.comment_id)) is not None]
    first, last = min(seen, default=None), max(seen, default=0)
    since = life.connections[0].at
    gaps, lost = [], []
    for row in known.rows[life.user]:
        if row.read or row.comment_id in got or not (row.created_at > since or (first is not None and row.seq > first)):
            continue
        if row.seq < last:
            gaps.append(row.seq)
        elif stays:
            lost.append(row.seq)
    if gaps:
        yield Broken(3, "a gap", f"{who}: {_some(gaps)}, shown {first} to {last}", len(gaps))
    if lost:
        yield Broken(2, "not shown to a tab that stayed", f"{who}: {_some(lost)}, {life.connections[-1]}", len(lost))
    if stays and not life.connected:
        yield Broken(2, "a tab that stayed is not connected", f"{who}: {life.connections[-1]}")


def _some(seqs: list[int]) -> str:
    return f"seq {', '.join(map(str, seqs[:5]))}{'…' if len(seqs) > 5 else ''} ({len(seqs)})"


# --- 5: counts ------------------------------------------------------------------------------------------------------


def _counts(logs: Logs, dump: Dump, absent: Set[int]) -> Iterator[Broken]:
    unread, unseen = Counter[str](), Counter[str]()
    for row in dump.rows:
        unread[row.user] += not row.read
        unseen[row.user] += not row.seen
    for user in {*dump.inboxes, *unread}:
        stored = dump.inboxes.get(user)
        if stored != (unread[user], unseen[user]):
            yield Broken(5, "the inbox's counts", f"user {user}: {stored}, rows: {unread[user]}, {unseen[user]}")
    for user, told_counts in dump.told_counts:
        if told_counts != (unread[user], unseen[user]):
            yield Broken(5, "a server's counts", f"user {user}: {told_counts}, rows: {unread[user]}, {unseen[user]}")
    for life in logs.lives.values():
        if life.counts is not None and life.connected and life.id not in absent:
            told = life.counts.get("unread"), life.counts.get("unseen")
            if told != (unread[life.user], unseen[life.user]):
                yield Broken(5, "a tab's counts", f"life {life.id} of user {life.user}: {life.counts}, "
                                f"rows: {unread[life.user]}, {unseen[life.user]}")  # fmt: skip


# --- 6: answers -----------------------------------------------------------------------------------------------------


def _answers(known: _Known) -> Iterator[Broken]:
    by_body: dict[str, list[Request]] = defaultdict(list)
    for request in known.logs.requests:
        by_body[request.body].append(request)
        if request.status not in _STATUSES:
            yield Broken(6, f"answered {request.status}", str(request))
    for body, requests in by_body.items():
        stored = known.by_body.get(body, [])
        if all(one.status in (409, 429, 503) and one.code != "outcome_unknown" for one in requests) and stored:
            yield Broken(6, "a request that failed left a comment", f"{requests}, stored: {stored}")
        ids = {one.comment_id for one in requests if one.status == 200}
        if requests[0].key is not None and (len(stored) > 1 or len(ids) > 1):
            yield Broken(6, "one key, several comments", f"{requests}, stored: {stored}")
        elif len(stored) > 1:
            yield Broken(6, "one request, several comments", f"{requests}, stored: {stored}")


if __name__ == "__main__":
    _folder = Path(sys.argv[1])
    _found = check(Logs.load(_folder), Dump.load(_folder / DUMP))
    for _broken in _found:
        print(*_broken)
    sys.exit(1 if _found else 0)
