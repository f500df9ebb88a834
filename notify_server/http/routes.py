"""Paths, and the one way from a request to a user and the services."""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from notify_server.errors import Invalid, Unavailable
from notify_server.http.keys import ADDRESS_OF, GATE, RATES, READINESS, TEMPLATES, Services
from notify_server.ids import is_text_id
from notify_server.posts import Page

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_DEFAULT_LIMIT = 50
_MAX_LIMIT = 100


def add_route(app: web.Application, method: str, path: str, handler: Handler) -> web.AbstractRoute:
    """`/posts/{postId}/comments`, in any case and with a trailing slash or without. GET answers HEAD as well."""
    parts = [part for part in path.split("/") if part]
    pattern = "".join(
        f"/{part}" if part.startswith("{") else f"/{{_{n}:(?i:{re.escape(part)})}}" for n, part in enumerate(parts)
    )
    if method == "GET":
        add_route(app, "HEAD", path, handler)
    route = app.router.add_route(method, pattern + "{_slash:/?}", handler)
    if route.resource is not None:
        app[TEMPLATES][route.resource] = path
    return route


def meet(one: str, other: str) -> bool:
    """Whether a path can be of both, each written as for `add_route`."""
    pairs = list(itertools.zip_longest(*([part for part in path.lower().split("/") if part] for path in (one, other))))
    return all(a == b or (a and b and "{" in (a[0], b[0])) for a, b in pairs)


def services(request: web.Request) -> Services:
    """Raises Unavailable while the server starts or stops."""
    found = request.app[READINESS].services
    if found is None:
        raise Unavailable("the server is starting", code="not_ready")
    return found


async def current_user(request: web.Request) -> str:
    """Raises Unauthorized, Forbidden."""
    return (await request.app[GATE].identify(request)).user_id


async def writing_user(request: web.Request) -> str:
    """One who is about to write a comment or a post. Raises TooMany as well."""
    user_id = await _counted_user(request)
    request.app[RATES].count_write(user_id)
    return user_id


async def inbox_user(request: web.Request) -> str:
    """One who is about to change his inbox. Raises TooMany as well."""
    user_id = await _counted_user(request)
    request.app[RATES].count_inbox(user_id)
    return user_id


async def _counted_user(request: web.Request) -> str:
    """The address counts before the credential is looked at, so that guessing counts, too."""
    app = request.app
    app[RATES].count_address(app[ADDRESS_OF](request))
    return (await app[GATE].identify(request)).user_id


def idempotency_key(request: web.Request) -> str | None:
    """Raises Invalid."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (key.isascii() and is_text_id(key)):
        raise Invalid("Idempotency-Key takes 1 to 255 printable ASCII characters", field="Idempotency-Key")
    return key


def json_response(value: Any, **options: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json", charset="utf-8", **options)


def page_limit(request: web.Request) -> int:
    text = request.query.get("limit", str(_DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:6]) <= _MAX_LIMIT or len(text) > 3:
        raise Invalid(f"limit must be a number from 1 to {_MAX_LIMIT}", field="limit")
    return int(text)


def page_response(request: web.Request, page: Page, cursor_name: str) -> web.Response:
    """A plain array, as Express apps answer; the next page is in the Link header (RFC 8288)."""
    headers = {}
    if page.next_cursor is not None:
        url = request.rel_url.update_query({cursor_name: page.next_cursor})
        headers["Link"] = f'<{url}>; rel="next"'
    return json_response(page.items, headers=headers)
