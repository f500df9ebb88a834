from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from notify_server.errors import Invalid
from notify_server.http.body import read_object, text_field
from notify_server.http.keys import COMMENT_WIRE, CommentWire
from notify_server.http.routes import (
    current_user,
    idempotency_key,
    json_response,
    page_limit,
    page_response,
    services,
    writing_user,
)

MAX_COMMENT_CHARS = 10_000


async def create(request: web.Request) -> web.Response:
    user_id = await writing_user(request)
    writer = services(request).comments
    key = idempotency_key(request)
    wire = request.app[COMMENT_WIRE]
    sent = await read_object(request)
    post_id = _post_id(request, wire, sent)
    body = text_field(sent, wire.body_field, MAX_COMMENT_CHARS)
    return json_response(await writer.write(user_id, post_id, body, key), status=wire.status)


async def list_of_post(request: web.Request) -> web.Response:
    await current_user(request)
    post_id = _post_id(request, request.app[COMMENT_WIRE], request.query)
    page = await services(request).posts.list_comments(post_id, request.query.get("after"), page_limit(request))
    return page_response(request, page, "after")


async def delete(request: web.Request) -> web.Response:
    user_id = await writing_user(request)
    await services(request).posts.delete_comment(user_id, request.match_info["commentId"])
    return web.Response(status=204)


def _post_id(request: web.Request, wire: CommentWire, sent: Mapping[str, Any]) -> str:
    """Of the path, or of what was sent. Raises Invalid."""
    if wire.post_in_path:
        return request.match_info["postId"]
    name = wire.post_field
    value = sent.get(name)
    if value is None:
        raise Invalid(f"{name} is missing", field=name)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Invalid(f"{name} must be a whole number or text", field=name)
    return str(value)
