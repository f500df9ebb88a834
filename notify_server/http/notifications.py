"""One's own inbox and mutes: what `InboxRequests` does, by method and path."""

from __future__ import annotations

from aiohttp import web

from notify_server.http.body import read_object
from notify_server.http.routes import Handler, current_user, inbox_user, json_response, services


def _of_body(name: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        user_id = await inbox_user(request)
        operation = services(request).inbox.operation(name)
        return json_response(await operation(user_id, await read_object(request)))

    return handle


def _of_query(name: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        user_id = await current_user(request)
        return json_response(await services(request).inbox.operation(name)(user_id, dict(request.query)))

    return handle


def _of_topic(name: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        user_id = await inbox_user(request)
        values = {"topic": request.match_info["topic"]}
        return json_response(await services(request).inbox.operation(name)(user_id, values))

    return handle


ROUTES = (
    ("GET", "/notifications", _of_query("notifications:list")),
    ("GET", "/notifications/counts", _of_query("notifications:counts")),
    ("POST", "/notifications/seen", _of_body("notifications:seen")),
    ("POST", "/notifications/read", _of_body("notifications:read")),
    ("POST", "/notifications/unread", _of_body("notifications:unread")),
    ("POST", "/notifications/delete", _of_body("notifications:delete")),
    ("GET", "/mutes", _of_query("mutes:list")),
    ("PUT", "/mutes/{topic}", _of_topic("mutes:add")),
    ("DELETE", "/mutes/{topic}", _of_topic("mutes:remove")),
)
