from __future__ import annotations

from aiohttp import web

from notify_server.http.body import read_object, text_field
from notify_server.http.routes import (
    current_user,
    idempotency_key,
    json_response,
    page_limit,
    page_response,
    services,
    writing_user,
)

MAX_TITLE_CHARS = 300
MAX_POST_CHARS = 10_000


async def list_all(request: web.Request) -> web.Response:
    await current_user(request)
    page = await services(request).posts.list_posts(request.query.get("before"), page_limit(request))
    return page_response(request, page, "before")


async def get(request: web.Request) -> web.Response:
    await current_user(request)
    return json_response(await services(request).posts.get_post(request.match_info["postId"]))


async def create(request: web.Request) -> web.Response:
    user_id = await writing_user(request)
    posts = services(request).posts
    key = idempotency_key(request)
    body = await read_object(request)
    title, text = text_field(body, "title", MAX_TITLE_CHARS), text_field(body, "body", MAX_POST_CHARS)
    return json_response(await posts.create_post(user_id, title, text, key))


async def me(request: web.Request) -> web.Response:
    return json_response(await services(request).posts.person(await current_user(request)))
