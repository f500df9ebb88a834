"""Each invariant, broken by hand in a log of a few lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.checker import check
from tests.faults.logs import CLIENTS_LOG, DUMP, REQUESTS, Appender, Comment, Counts, Dump, Logs, Request, Row

ADA, GRACE = "1", "2"


def posted(n: int, status: int | None = 200, code: str | None = None, key: str | None = None) -> Request:
    """Grace's n-th comment on Ada's post."""
    return Request(9 + n, 0.01, GRACE, "1", f"body {n}", key, status, code, str(n) if status == 200 else None)


def told(n: int, at: float | None = None, life: int = 1, **changes: Any) -> dict[str, Any]:
    record = {"at": 10.1 + n if at is None else at, "life": life, "event": "notification",
              "payload": {"commentId": n, "postId": 1}, "offset": f"{n}.tag"}  # fmt: skip
    return {**record, **changes}


def opened(life: int, user: str, at: float = 5, version: str = "4.8") -> list[dict[str, Any]]:
    return [
        {"at": at, "life": life, "event": "open", "user": user, "version": version, "transport": "default"},
        {"at": at, "life": life, "event": "connect", "sid": "s", "pid": "p", "recovered": False},
    ]


def changed(unread: int, unseen: int) -> dict[str, Any]:
    return {"at": 20, "life": 1, "event": "changed", "counts": {"unread": unread, "unseen": unseen}}


@dataclasses.dataclass
class Case:
    """Three comments of Grace's on Ada's post, shown on Ada's one tab. Nothing is broken yet."""

    clients: list[dict[str, Any]] = dataclasses.field(
        default_factory=lambda: [*opened(1, ADA), told(1), told(2), told(3), changed(3, 3)]
    )
    requests: list[Request] = dataclasses.field(default_factory=lambda: [posted(1), posted(2), posted(3)])
    deleted: set[str] = dataclasses.field(default_factory=set)
    dump: Dump = dataclasses.field(
        default_factory=lambda: Dump(
            [Row(ADA, n, str(n), 10 + n, False, False) for n in (1, 2, 3)],
            [Comment(str(n), "1", GRACE, f"body {n}") for n in (1, 2, 3)],
            {"1": ADA, "2": GRACE},
            {ADA: Counts(3, 3)},
            [(ADA, Counts(3, 3)), (GRACE, Counts(0, 0))],
        )
    )

    @property
    def logs(self) -> Logs:
        logs = Logs(requests=self.requests, deleted=self.deleted)
        for record in self.clients:
            logs.add(record)
        return logs


Change = Callable[[Case], object]


def insert(n: int, *records: dict[str, Any]) -> Change:
    def change(case: Case) -> None:
        case.clients[n:n] = records

    return change


def without(*numbers: int) -> Change:
    def change(case: Case) -> None:
        for number in sorted(numbers, reverse=True):
            del case.clients[number]

    return change


def replaced(n: int, **changes: Any) -> Change:
    def change(case: Case) -> None:
        case.clients[n] = {**case.clients[n], **changes}

    return change


def request(number: int | None, *requests: Request) -> Change:
    """In the place of one, or besides."""

    def change(case: Case) -> None:
        if number is not None:
            del case.requests[number]
        case.requests.extend(requests)

    return change


def stored(change: Callable[[Dump], object]) -> Change:
    return lambda case: change(case.dump)


BROKEN: list[tuple[int, str, Change]] = [
    (1, "an answered comment is lost", stored(lambda dump: dump.comments.pop())),
    (1, "a comment is not in its author's inbox", stored(lambda dump: dump.rows.pop())),
    (1, "a comment is in inboxes twice", stored(lambda dump: dump.rows.append(Row(ADA, 4, "3", 14, False, False)))),
    (2, "shown again", insert(5, told(3, at=14))),
    (2, "not shown to a tab that stayed", without(4)),
    (2, "not shown to a tab that stayed", without(2, 3, 4)),
    (2, "a tab that stayed is not connected", insert(5, {"at": 15, "life": 1, "event": "disconnect", "reason": "x"})),
    (2, "a good client was refused for ever",
     insert(5, {"at": 15, "life": 1, "event": "connect_error", "message": "no", "active": False})),
    (3, "order broken", lambda case: case.clients.insert(3, case.clients.pop(2))),
    (3, "a gap", without(3)),
    (3, "an offset that is not its row's", replaced(4, offset="7.tag")),
    (4, "another user's row", insert(5, *opened(2, GRACE), told(3, at=14, life=2))),
    (4, "another user's row", stored(lambda dump: dump.owners.update({"1": GRACE}))),
    (4, "a phantom: never stored", insert(5, told(9, at=14))),
    (4, "a phantom: shown before it was stored", replaced(2, at=10.5)),
    (5, "the inbox's counts", stored(lambda dump: dump.inboxes.update({ADA: Counts(2, 3)}))),
    (5, "the inbox's counts", stored(lambda dump: dump.inboxes.clear())),
    (5, "a tab's counts", insert(6, changed(3, 2))),
    (5, "a server's counts", stored(lambda dump: dump.told_counts.append((ADA, Counts(3, 0))))),
    (6, "a request that failed left a comment", request(2, posted(3, 503, "unavailable"))),
    (6, "one key, several comments", request(0, posted(1, key="k"), posted(1, key="k")._replace(comment_id="2"))),
    (6, "one request, several comments",
     stored(lambda dump: dump.comments.append(Comment("4", "2", GRACE, "body 1")))),
    (6, "answered 500", request(None, posted(4, 500))),
]  # fmt: skip


@pytest.mark.parametrize(("invariant", "name", "change"), BROKEN, ids=[f"{n}-{name}" for n, name, _ in BROKEN])
def test_what_is_broken_is_found(invariant: int, name: str, change: Change) -> None:
    case = Case()
    change(case)
    assert (invariant, name) in {broken[:2] for broken in check(case.logs, case.dump)}


def deleted(case: Case) -> None:
    """The last comment, after it was shown."""
    case.deleted.add("3")
    case.dump.rows.pop()
    case.dump.comments.pop()
    case.dump.inboxes[ADA] = Counts(2, 2)
    case.dump.told_counts.clear()
    case.clients[5] = changed(2, 2)


def read(case: Case) -> None:
    """The last notification, on another device, before it came here."""
    case.dump.rows[2] = case.dump.rows[2]._replace(read=True)
    case.dump.inboxes[ADA] = Counts(2, 3)
    case.dump.told_counts.clear()
    case.clients[4:] = [changed(2, 3)]


def own(case: Case) -> None:
    case.dump.comments.append(Comment("4", "2", GRACE, "to myself"))


FINE: dict[str, Change] = {
    "as it was": lambda case: None,
    "deleted": deleted,
    "read elsewhere": read,
    "a comment on one's own post": own,
    "no counts told": without(5),
    "no offsets told": lambda case: [record.pop("offset", None) for record in case.clients],
    "a tab opened late sees what comes from then on": insert(5, *opened(2, ADA, at=20)),
    "a tab opened late sees the newest": insert(5, *opened(2, ADA, at=20), told(2, 20.1, 2), told(3, 20.1, 2)),
    "a tab that was closed": lambda case: case.clients.__setitem__(
        slice(4, None), [{"at": 12.5, "life": 1, "event": "close"}]
    ),
    "an old client at its second connect": lambda case: case.clients.extend(
        [*opened(2, ADA, version="4.5"), told(3, 14, 2), {"at": 15, "life": 2, "event": "disconnect", "reason": "x"},
         opened(2, ADA, at=16)[1], told(3, 16.1, 2)]
    ),
    "503 that left nothing": request(None, posted(4, 503, "unavailable")),
    "503 that nobody knows of": request(2, posted(3, 503, "outcome_unknown")),
    "an answer that was lost": request(2, posted(3, None)),
    "a key that was sent again": request(2, posted(3, 503, "unavailable", "k"), posted(3, 409, "in_flight", "k"),
                                         posted(3, 200, None, "k"), posted(3, 200, None, "k")),
}  # fmt: skip


@pytest.mark.parametrize("change", FINE.values(), ids=FINE.keys())
def test_what_is_fine_is_not_found(change: Change) -> None:
    case = Case()
    change(case)
    assert check(case.logs, case.dump) == []


def test_who_is_absent_need_not_be_connected_and_what_is_not_settled_need_not_be_found() -> None:
    case = Case()
    del case.clients[4:]
    case.clients.append({"at": 13, "life": 1, "event": "disconnect", "reason": "transport close"})
    case.dump.comments.append(Comment("4", "1", GRACE, "of another program"))
    assert check(case.logs, case.dump, absent={1}, settled=False) == []
    assert len(check(case.logs, case.dump)) == 3


def test_what_was_kept_on_disk_is_the_same(tmp_path: Path) -> None:
    case = Case()
    for name, records in ((CLIENTS_LOG, case.clients), (REQUESTS, case.requests)):
        file = Appender(tmp_path / name)
        for record in records:
            file.write(record)
        file.close()
    case.dump.save(tmp_path / DUMP)
    assert Logs.load(tmp_path) == case.logs
    assert Dump.load(tmp_path / DUMP) == case.dump
