"""What people do with their inbox, as clients ask for it: the same operations over HTTP and over a socket. Values from
outside become typed here, or are refused by the field's name."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from notify_server.errors import Invalid
from notify_server.ids import IdColumns, is_text_id
from notify_server.inbox import Counts, InboxKeeper

_MAX_SEQ = 2**63 - 1
_MAX_SEQS = 1000


def _from_query(value: object) -> object:
    """A query string has digits where JSON has a number."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value) else value


def _plain(value: str) -> str:
    if not is_text_id(value):
        raise ValueError("not empty, at most 255 characters, without control characters")
    return value


Seq = Annotated[int, Field(ge=-_MAX_SEQ, le=_MAX_SEQ)]  # history lies below 1
Seqs = Annotated[list[Seq], Field(max_length=_MAX_SEQS)]
Plain = Annotated[str, AfterValidator(_plain)]


class _Request(BaseModel):
    """Fields that are not known are ignored: a later client may send more."""

    model_config = ConfigDict(strict=True, extra="ignore")


class ListRequest(_Request):
    status: Literal["all", "unread"] = "all"
    type: Plain | None = None
    topic: Plain | None = None
    before: Annotated[Seq, BeforeValidator(_from_query)] | None = None
    limit: Annotated[int, BeforeValidator(_from_query), Field(ge=1, le=100)] = 50


class SeenRequest(_Request):
    upTo: Seq  # noqa: N815 - the wire's name


class ReadRequest(_Request):
    seqs: Seqs | None = None
    upTo: Seq | None = None  # noqa: N815
    topic: Plain | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("seqs", "upTo", "topic") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("one of seqs, upTo and topic")
        return self


class SeqsRequest(_Request):
    seqs: Seqs


class MuteRequest(_Request):
    topic: Plain


R = TypeVar("R", bound=_Request)


def _parse(kind: type[R], values: object) -> R:
    """Raises Invalid, naming the field."""
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise Invalid("send an object")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            raise Invalid(f"needed: {message}", field="seqs") from None
        name = str(first["loc"][0])
        raise Invalid(f"{name} is not valid: {message}", field=name) from None


Operation = Callable[[str, object], Awaitable[dict[str, Any]]]


class InboxRequests:
    """Each operation takes the user and what he sent, and gives the answer's fields. Raises Invalid and the database's
    errors."""

    OPERATIONS: ClassVar = {
        "notifications:list": "page", "notifications:counts": "counts", "notifications:seen": "seen",
        "notifications:read": "read", "notifications:unread": "unread", "notifications:delete": "delete",
        "mutes:list": "mutes", "mutes:add": "mute", "mutes:remove": "unmute",
    }  # fmt: skip

    READING: ClassVar = frozenset({"notifications:list", "notifications:counts", "mutes:list"})

    def __init__(self, keeper: InboxKeeper, ids: IdColumns) -> None:
        self._keeper = keeper
        self._topics = {"post": ids.posts, "user": ids.people}

    def operation(self, name: str) -> Operation:
        """By the name of its event."""
        found: Operation = getattr(self, self.OPERATIONS[name])
        return found

    async def page(self, user_id: str, values: object) -> dict[str, Any]:
        asked = _parse(ListRequest, values)
        page = await self._keeper.page(
            user_id, before=asked.before, unread_only=asked.status == "unread", type=asked.type, topic=asked.topic,
            max_rows=asked.limit,
        )  # fmt: skip
        return {"notifications": page.entries, "next": page.next_seq, **_shown(page.counts)}

    async def counts(self, user_id: str, _values: object = None) -> dict[str, Any]:
        return _shown(await self._keeper.counts(user_id))

    async def seen(self, user_id: str, values: object) -> dict[str, Any]:
        return _shown(await self._keeper.mark_seen(user_id, _parse(SeenRequest, values).upTo))

    async def read(self, user_id: str, values: object) -> dict[str, Any]:
        asked = _parse(ReadRequest, values)
        return _shown(await self._keeper.mark_read(user_id, seqs=asked.seqs, upto=asked.upTo, topic=asked.topic))

    async def unread(self, user_id: str, values: object) -> dict[str, Any]:
        return _shown(await self._keeper.mark_unread(user_id, _parse(SeqsRequest, values).seqs))

    async def delete(self, user_id: str, values: object) -> dict[str, Any]:
        return _shown(await self._keeper.delete(user_id, _parse(SeqsRequest, values).seqs))

    async def mutes(self, user_id: str, _values: object = None) -> dict[str, Any]:
        return {"mutes": await self._keeper.mutes(user_id)}

    async def mute(self, user_id: str, values: object) -> dict[str, Any]:
        topic = self._topic(values)
        await self._keeper.mute(user_id, topic)
        return {"topic": topic, "muted": True}

    async def unmute(self, user_id: str, values: object) -> dict[str, Any]:
        topic = self._topic(values)
        await self._keeper.unmute(user_id, topic)
        return {"topic": topic, "muted": False}

    def _topic(self, values: object) -> str:
        """`post:<id>` or `user:<id>`, with the id as PostgreSQL writes it; whether there is one is not told."""
        kind, _, text = _parse(MuteRequest, values).topic.partition(":")
        column = self._topics.get(kind)
        parsed = None if column is None else column.parse(text)
        if parsed is None:
            raise Invalid("topic is not valid: post:<id> or user:<id>", field="topic")
        return f"{kind}:{parsed}"


def _shown(counts: Counts) -> dict[str, Any]:
    return asdict(counts)
