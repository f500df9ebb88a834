"""In front of every request: what it took, and how it ended."""

from __future__ import annotations

import time

from aiohttp import web

from notify_server.http.keys import METERS, TEMPLATES
from notify_server.http.routes import Handler

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


@web.middleware
async def requests_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Labels are of a bounded number: a route as it is written in the README, and `(none)` for what is none."""
    began = time.perf_counter()
    response = await handler(request)
    app, method = request.app, request.method
    meters = app[METERS]
    resource = request.match_info.route.resource
    route = "(none)" if resource is None else app[TEMPLATES].get(resource, "(file)")
    meters.requests[method if method in _METHODS else "(other)", route, response.status] += 1
    meters.request_s[route].add(time.perf_counter() - began)
    return response
