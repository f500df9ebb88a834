"""What is measured, and what it should be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`target` is a ratio to the Express server's, or where `alone`, the value itself. `missed` is the reason, where
    one is known."""

    title: str
    unit: str
    target: float | None = None
    more_is_better: bool = False
    alone: bool = False
    missed: str = ""

    def met(self, found: float) -> bool | None:
        if self.target is None:
            return None
        return found >= self.target if self.more_is_better else found <= self.target

    def full_title(self) -> str:
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def target_text(self) -> str:
        if self.target is None:
            return ""
        return f"{'≥' if self.more_is_better else '≤'} {self.target:g}{f' {self.unit}' if self.alone else ''}"


_PER_S = "a second"
_POSTGRES = (
    "PostgreSQL is the limit, on one core with the load: beside the comment it writes the notification, its five index"
    " entries, its place in the inbox and the counts, which Express does not"
)
_ALONE = (
    "a comment alone costs PostgreSQL about twice what Express's INSERT and SELECT do, because the notification and the"
    " inbox are written with it"
)
_HALF = (
    "half of it is the loop, the parser and the kernel's calls for one request; the rest is the token, the rates, the"
    " JSON and a share of the batch"
)
_ASKED = (
    "each asks PostgreSQL where its user's inbox stands and is given a place to come back to; Express's asks nothing"
)
_TAIL = (
    "it is near the target and from round to round on either side of it; the disk is not why (the same with"
    " synchronous_commit off): few come together at this rate, and each is written with all that belongs to it"
)
_IDLE = (
    "0.7 of it is there without a single socket, since the outbox is looked at ten times a second so that a row of"
    " another program is seen soon; the rest is in proportion to the sockets, more than a third of it the kernel's"
)
_KERNEL = "of the 9 µs that an emit to one socket takes, the kernel's write() takes 6, on Node as here"

FIGURES = {
    "http-64-cpu": Figure("server CPU of a comment, 64 connections", "µs", 0.3, missed=_HALF),
    "http-64": Figure("comments over HTTP, 64 connections", _PER_S, 3.5, more_is_better=True, missed=_POSTGRES),
    "delivery-most": Figure(
        "comments until the event is in the client, at the most", _PER_S, 3.5, more_is_better=True, missed=_POSTGRES
    ),
    "http-1": Figure("comments over HTTP, one connection", _PER_S, 1.2, more_is_better=True, missed=_ALONE),
    "delivery-200-p50": Figure("POST to event at 200 a second, p50", "ms", 1.0, missed=_ALONE),
    "delivery-200-p99": Figure("POST to event at 200 a second, p99", "ms", 0.5, missed=_TAIL),
    "delivery-1000-p50": Figure("POST to event at 1,000 a second, p50", "ms", 1.0, missed=_ALONE),
    "delivery-1000-p99": Figure("POST to event at 1,000 a second, p99", "ms", 0.5),
    "delivery-2000-p50": Figure("POST to event at 2,000 a second, p50", "ms", 1.0),
    "delivery-2000-p99": Figure("POST to event at 2,000 a second, p99", "ms", 0.5),
    "foreign-p99": Figure("an INSERT of another program, at 200 a second: commit to event, p99", "ms", 250, alone=True),
    "trigger": Figure("what the trigger adds to that INSERT, in a transaction", "µs", 100, alone=True),
    "trigger-commit": Figure("what it adds to INSERT and commit", "µs", 100, alone=True),
    "rss": Figure("memory of an idle socket, of 10,000", "KB", 0.6),
    "idle": Figure("CPU while 10,000 are idle", "% of a core", 0.3, missed=_IDLE),
    "connects": Figure("connects, WebSocket", _PER_S, 1.1, more_is_better=True, missed=_ASKED),
    "fanout": Figure("one emit to 5,000, until the last has it", "ms", 0.8, missed=_KERNEL),
    "single": Figure("emits to rooms of one", _PER_S, 1.5, more_is_better=True, missed=_KERNEL),
    "http-16": Figure("comments over HTTP, 16 connections", _PER_S),
    "http-256": Figure("comments over HTTP, 256 connections", _PER_S),
    "http-1-p50": Figure("one connection, p50", "ms"),
    "http-1-p99": Figure("one connection, p99", "ms"),
    "http-16-p50": Figure("16 connections, p50", "ms"),
    "http-16-p99": Figure("16 connections, p99", "ms"),
    "http-64-p50": Figure("64 connections, p50", "ms"),
    "http-64-p99": Figure("64 connections, p99", "ms"),
    "http-256-p50": Figure("256 connections, p50", "ms"),
    "http-256-p99": Figure("256 connections, p99", "ms"),
    "http-1-cpu": Figure("server CPU of a comment, one connection", "µs"),
    "http-16-cpu": Figure("server CPU of a comment, 16 connections", "µs"),
    "http-256-cpu": Figure("server CPU of a comment, 256 connections", "µs"),
    "late-200-p99": Figure("the load's own lateness at 200 a second, p99", "ms"),
    "late-1000-p99": Figure("the load's own lateness at 1,000 a second, p99", "ms"),
    "late-2000-p99": Figure("the load's own lateness at 2,000 a second, p99", "ms"),
    "connects-polling": Figure("connects, long polling with upgrade", _PER_S),
    "back": Figure("10,000 back after a restart, until the last has caught up", "s"),
    "back-queries": Figure("transactions per reconnect meanwhile", ""),
    "replay": Figure("1,000 clients that missed 100 each, until the last has them", "s"),
    "foreign-p50": Figure("an INSERT of another program: commit to event, p50", "ms"),
    "trigger-with": Figure("that INSERT in a transaction, with the trigger", "µs"),
    "trigger-without": Figure("and without", "µs"),
    "trigger-commit-with": Figure("that INSERT with its commit, with the trigger", "µs"),
    "trigger-commit-without": Figure("and without", "µs"),
    "limit-rows-1": Figure("PostgreSQL alone: comments with all that notify-server writes, one by one", _PER_S),
    "limit-rows-16": Figure("in batches of 16", _PER_S),
    "limit-rows-200": Figure("in batches of 200", _PER_S),
    "limit-inserts-1": Figure("PostgreSQL alone: the rows of the comments and nothing else, one by one", _PER_S),
    "limit-inserts-16": Figure("those in batches of 16", _PER_S),
    "limit-inserts-200": Figure("those in batches of 200", _PER_S),
    "limit-frames": Figure("the kernel alone: frames of 250 bytes to 1,000 sockets in turn", _PER_S),
}

# by the operation: p99 beside ten million notifications to p99 beside ten thousand
INBOX_TARGET = 2.0
INBOX = {
    "inbox-list": "the newest 50",
    "inbox-list-unread": "the newest 50 unread",
    "inbox-list-old": "10 from among the oldest",
    "inbox-counts": "counts",
    "inbox-mark": "mark unread and read",
    "inbox-replay": "come back, having missed 50",
}
