"""The inbox as the feeds read it: a user's notifications by seq."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from notify_server.db import Database
from notify_server.sql import queries

log = logging.getLogger(__name__)

_sql = queries("inbox")


@dataclass(frozen=True, slots=True)
class Notification:
    """`event` is the one argument of the wire's event `notification`: {type, ...payload}."""

    user_id: str
    seq: int
    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A user's notifications after some seq, in order. It tells all there was up to the seq `upto`, in one snapshot;
    `complete` where that is the inbox's end."""

    notifications: list[Notification]
    upto: int
    complete: bool


def decode(text: str) -> Any:
    """JSON as PostgreSQL wrote it. orjson refuses numbers beyond a double's range, which jsonb keeps: they come as
    infinity, and reach no browser as such. Raises ValueError for what is nested too deeply."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(text, parse_int=float)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


class Inbox:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def heads(self, user_ids: Sequence[str]) -> dict[str, int]:
        """The last seq of each user, 0 for one who never got anything."""
        found: dict[str, int] = dict(await self._db.fetch(_sql.heads, user_ids=list(user_ids)))
        return {user_id: found.get(user_id, 0) for user_id in user_ids}

    async def after(self, user_id: str, seq: int, max_rows: int) -> Stretch:
        rows = await self._db.fetch(_sql.after, user_id=user_id, seq=seq, max_rows=max_rows)
        found = []
        for seq_of_row, event, _last_seq in rows:
            if seq_of_row is not None:
                try:
                    found.append(Notification(user_id, seq_of_row, decode(event)))
                except ValueError:
                    log.exception("notification_not_readable", extra={"seq": seq_of_row})
        complete = len(rows) < max_rows
        return Stretch(found, 0 if not rows else rows[-1][2 if complete else 0], complete)


def from_json(events: list[dict[str, Any]]) -> list[Notification]:
    """What notify.events_json_v1 wrote."""
    return [Notification(event["user"], event["seq"], event["event"]) for event in events]
