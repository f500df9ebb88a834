"""What clients, posters and the database say happened: JSON lines on disk, and the same read back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

CLIENTS_LOG, REQUESTS, DELETIONS, DUMP = "clients.jsonl", "requests.jsonl", "deletions.jsonl", "dump.json"

Record = dict[str, Any]


class Shown(NamedTuple):
    """A notification that a hook was given; `seq` as its offset says, None where it had none."""

    at: float
    comment_id: str
    post_id: str
    seq: int | None


@dataclass
class Connection:
    at: float
    sid: str
    pid: str | None
    recovered: bool
    until: float | None = None


@dataclass
class Life:
    """One `io()`, from its opening to its closing."""

    id: int
    user: str
    version: str
    transport: str
    connections: list[Connection] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    offset: str | None = None
    counts: Record | None = None  # of the last `notifications:changed`
    refused: str | None = None  # a CONNECT_ERROR, after which a client never comes back
    closed: bool = False

    @property
    def recovers(self) -> bool:
        return tuple(map(int, self.version.split("."))) >= (4, 6)

    @property
    def connected(self) -> bool:
        return not self.closed and bool(self.connections) and self.connections[-1].until is None


class Request(NamedTuple):
    """One POST of a comment; `status` None where no answer came. `body` is of this comment alone."""

    at: float
    took_s: float
    user: str
    post: str
    body: str
    key: str | None
    status: int | None
    code: str | None
    comment_id: str | None


class Row(NamedTuple):
    """notify.notification."""

    user: str
    seq: int
    comment_id: str
    created_at: float
    read: bool
    seen: bool


class Comment(NamedTuple):
    id: str
    post: str
    author: str
    body: str


class Counts(NamedTuple):
    unread: int
    unseen: int


@dataclass
class Dump:
    """The database, once things are calm."""

    rows: list[Row] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)  # post → user
    inboxes: dict[str, Counts] = field(default_factory=dict)
    told_counts: list[tuple[str, Counts]] = field(default_factory=list)  # by servers, when asked

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Dump:
        found = json.loads(path.read_text())
        return cls(
            [Row(*row) for row in found["rows"]], [Comment(*comment) for comment in found["comments"]],
            found["owners"], {user: Counts(*counts) for user, counts in found["inboxes"].items()},
            [(user, Counts(*counts)) for user, counts in found["told_counts"]],
        )  # fmt: skip


@dataclass
class Logs:
    lives: dict[int, Life] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)  # ids of comments that were to be deleted

    def add(self, record: Record) -> None:
        """One record of a client."""
        number, at = record["life"], record["at"]
        match record["event"]:
            case "open":
                self.lives[number] = Life(number, record["user"], record["version"], record["transport"])
            case "connect":
                self.lives[number].connections.append(
                    Connection(at, record["sid"], record.get("pid"), record["recovered"])
                )
            case "disconnect" if self.lives[number].connections:
                self.lives[number].connections[-1].until = at
            case "connect_error" if not record["active"]:
                self.lives[number].refused = record["message"]
            case "notification":
                payload, offset = record["payload"], record.get("offset")
                seq = int(offset.partition(".")[0]) if isinstance(offset, str) else None
                self.lives[number].offset = offset
                self.lives[number].shown.append(Shown(at, str(payload["commentId"]), str(payload["postId"]), seq))
            case "changed":
                self.lives[number].counts = record["counts"]
            case "close":
                self.lives[number].closed = True

    @classmethod
    def load(cls, folder: Path) -> Logs:
        logs = cls(
            requests=[Request(*record) for record in read_lines(folder / REQUESTS)],
            deleted={id_ for ids in read_lines(folder / DELETIONS) for id_ in ids},
        )
        for record in read_lines(folder / CLIENTS_LOG):
            logs.add(record)
        return logs


def read_lines(path: Path) -> Iterator[Any]:
    if path.exists():
        with path.open() as lines:
            yield from map(json.loads, lines)


class Tail:
    """A file that somebody else appends lines to, read as far as it goes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open()
        self._part = ""

    def read(self) -> Iterator[Any]:
        *lines, self._part = (self._part + self._file.read()).split("\n")
        yield from map(json.loads, lines)

    def close(self) -> None:
        self._file.close()


class Appender:
    """Writes JSON lines; a reader sees them at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def write(self, record: object) -> None:
        self._file.write(json.dumps(record) + "\n")

    def close(self) -> None:
        self._file.close()
