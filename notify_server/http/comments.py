from __future__ import annotations

from aiohttp import web

from notify_server.http.body import read_object, text_field
from notify_server.http.keys import BODY_FIELD
from notify_server.http.routes import current_user, idempotency_key, json_response, page_limit, page_response, services

MAX_COMMENT_CHARS = 10_000


async def create(request: web.Request) -> web.Response:
    user_id = await current_user(request)
    writer = services(request).comments
    key = idempotency_key(request)
    body = text_field(await read_object(request), request.app[BODY_FIELD], MAX_COMMENT_CHARS)
    return json_response(await writer.write(user_id, request.match_info["postId"], body, key))


async def list_of_post(request: web.Request) -> web.Response:
    await current_user(request)
    page = await services(request).posts.list_comments(
        request.match_info["postId"], request.query.get("after"), page_limit(request)
    )
    return page_response(request, page, "after")


async def delete(request: web.Request) -> web.Response:
    user_id = await current_user(request)
    await services(request).posts.delete_comment(user_id, request.match_info["commentId"])
    return web.Response(status=204)
