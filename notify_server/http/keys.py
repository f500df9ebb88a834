"""What the handlers find on the application."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web

from notify_server.comments import CommentWriter
from notify_server.gate import Gate
from notify_server.inbox_requests import InboxRequests
from notify_server.posts import Posts


@dataclass(slots=True)
class Readiness:
    """`services` is None until the database is migrated and read; `draining` once the server is told to stop.
    `missing_triggers` are those of ours that are gone or disabled, [schema, table, name] each."""

    services: Services | None = None
    draining: bool = False
    missing_triggers: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Services:
    posts: Posts
    comments: CommentWriter
    inbox: InboxRequests


GATE = web.AppKey("gate", Gate)
READINESS = web.AppKey("readiness", Readiness)
BODY_FIELD = web.AppKey("body_field", str)
