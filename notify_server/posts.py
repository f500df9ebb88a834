"""Posts, people and comments as REST reads them, and the two small writes beside the comment.

Rows come as JSON that PostgreSQL has written; ids come and go as text.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import orjson

from notify_server.db import Database
from notify_server.errors import ConfigError, DatabaseLost, Forbidden, Invalid, NotFound, OutcomeUnknown, ReadOnly
from notify_server.idempotency import fingerprint, key_in_flight, key_reused
from notify_server.ids import IdColumn, IdColumns
from notify_server.sql import Query, queries

_sql = queries("posts")
_comments_sql = queries("comments")


def unknown_user() -> Forbidden:
    return Forbidden("nobody by that id is known here", code="unknown_user")


@dataclass(frozen=True, slots=True)
class Page:
    """`next_cursor` is for the next page; None at the end."""

    items: list[orjson.Fragment]
    next_cursor: str | None


async def load_id_columns(db: Database) -> IdColumns:
    """Raises ConfigError where row-level security would hide the app's rows from us."""
    if hidden := await db.value(_sql.hidden_tables):
        raise ConfigError(
            f"row-level security hides rows of {hidden} from the role of DATABASE_URL: connect as the table's owner "
            "(without FORCE ROW LEVEL SECURITY) or as a role with BYPASSRLS"
        )
    types: dict[str, str] = dict(await db.fetch(_sql.column_types))
    return IdColumns(**{name: IdColumn(types[name]) for name in ("people", "posts", "comments")})


class Posts:
    """Raises NotFound for an id that names nothing, or cannot."""

    def __init__(self, db: Database, ids: IdColumns, *, is_writable: bool = True) -> None:
        self._db = db
        self._ids = ids
        self._is_writable = is_writable

    async def person(self, user_id: str) -> orjson.Fragment:
        """Raises Forbidden (`unknown_user`)."""
        parsed = self._ids.people.parse(user_id)
        found = None if parsed is None else await self._db.value(_sql.person, id=parsed)
        if found is None:
            raise unknown_user()
        return orjson.Fragment(found)

    async def list_people(self) -> list[orjson.Fragment]:
        """A few, for the demo to choose from."""
        return [orjson.Fragment(row[0]) for row in await self._db.fetch(_sql.list_people)]

    async def list_posts(self, before: str | None, max_rows: int) -> Page:
        cursor = _cursor(self._ids.posts, "before", before)
        return _page(await self._db.fetch(_sql.list_posts, before=cursor, max_rows=max_rows + 1), max_rows)

    async def get_post(self, post_id: str) -> orjson.Fragment:
        found = await self._db.value(_sql.get_post, id=self._post_id(post_id))
        if found is None:
            raise NotFound("there is no such post")
        return orjson.Fragment(found)

    async def create_post(self, user_id: str, title: str, body: str, key: str | None = None) -> dict[str, Any]:
        """Raises ReadOnly, Forbidden (`unknown_user`), DatabaseRefused, OutcomeUnknown; with a key as
        `CommentWriter.write`."""
        if not self._is_writable:
            raise ReadOnly("posts are written by the app's own server, not by this one")
        author_id = self._ids.people.parse(user_id)
        if author_id is None:
            raise unknown_user()
        answer = await self._write(
            _sql.create_post, author_id=author_id, title=title, body=body, key=key,
            fingerprint=fingerprint("post", title, body),
        )  # fmt: skip
        found: dict[str, Any] = orjson.loads(answer)
        match found["status"]:
            case "unknown_user":
                raise unknown_user()
            case "in_flight":
                raise key_in_flight()
            case "key_reused":
                raise key_reused()
        post: dict[str, Any] = found["post"]
        return post

    async def list_comments(self, post_id: str, after: str | None, max_rows: int) -> Page:
        after_time, after_id = _comment_cursor(self._ids.comments, after)
        rows = await self._db.fetch(
            _sql.list_comments, post_id=self._post_id(post_id), after_time=after_time, after_id=after_id,
            max_rows=max_rows + 1,
        )  # fmt: skip
        if not rows:
            raise NotFound("there is no such post")
        return _page([row for row in rows if row[0] is not None], max_rows)

    async def delete_comment(self, user_id: str, comment_id: str) -> None:
        """One's own; another's is as unknown as one that does not exist."""
        parsed, author_id = self._ids.comments.parse(comment_id), self._ids.people.parse(user_id)
        deleted = False
        if parsed is not None and author_id is not None:
            deleted = await self._write(_comments_sql.delete_comment, id=parsed, author_id=author_id)
        if not deleted:
            raise NotFound("there is no such comment of yours")

    async def _write(self, query: Query, **values: Any) -> Any:
        """Raises OutcomeUnknown where the connection broke: the write may have been committed."""
        try:
            return await self._db.value(query, **values)
        except DatabaseLost as lost:
            raise OutcomeUnknown("the database went away, and whether this was written is not known") from lost

    def _post_id(self, text: str) -> str:
        parsed = self._ids.posts.parse(text)
        if parsed is None:
            raise NotFound("there is no such post")
        return parsed


def _cursor(column: IdColumn, field: str, text: str | None) -> str | None:
    if text is None:
        return None
    parsed = column.parse(text)
    if parsed is None:
        raise Invalid(f"{field} must be a cursor that an earlier page gave", field=field)
    return parsed


def _comment_cursor(column: IdColumn, text: str | None) -> tuple[str | None, str | None]:
    """`<created_at>~<id>`: it holds its place also when its comment is deleted. Raises Invalid."""
    if text is None:
        return None, None
    moment, _, comment_id = text.partition("~")
    try:
        datetime.datetime.fromisoformat(moment)
    except ValueError:
        comment_id = ""
    return moment, _cursor(column, "after", comment_id)


def _page(rows: list[tuple[str, str]] | list[tuple[object, ...]], max_rows: int) -> Page:
    """`rows` has one more than a page where there is a next one."""
    shown = rows[:max_rows]
    return Page([orjson.Fragment(str(row[1])) for row in shown], str(shown[-1][0]) if len(rows) > max_rows else None)
