"""What the handlers find on the application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from notify_server.comments import CommentWriter
from notify_server.gate import Gate
from notify_server.inbox_requests import InboxRequests
from notify_server.meters import Meters
from notify_server.posts import Posts
from notify_server.rates import WriteRates


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


@dataclass(frozen=True, slots=True)
class CommentWire:
    """How the app's front end posts comments: the status of the answer, the fields of the body, and whether the path
    has the post's id."""

    status: int = 200
    body_field: str = "body"
    post_field: str = "postId"
    post_in_path: bool = True


GATE = web.AppKey("gate", Gate)
READINESS = web.AppKey("readiness", Readiness)
RATES = web.AppKey("rates", WriteRates)
ADDRESS_OF: web.AppKey[Callable[[web.Request], str | None]] = web.AppKey("address_of")
METERS = web.AppKey("meters", Meters)
TEMPLATES: web.AppKey[dict[web.AbstractResource, str]] = web.AppKey("templates")  # what a resource is called in metrics
COMMENT_WIRE = web.AppKey("comment_wire", CommentWire)
