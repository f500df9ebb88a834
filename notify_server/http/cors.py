"""Cross-origin requests, with credentials: preflight, and the headers of every answer."""

from __future__ import annotations

from aiohttp import hdrs, web

from notify_server.gate import origin_not_allowed
from notify_server.http.keys import GATE
from notify_server.http.routes import Handler

_MAX_AGE_S = 600
_METHODS = "GET, HEAD, PUT, PATCH, POST, DELETE"


def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.add(hdrs.VARY, "Origin")
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and request.app[GATE].allows_origin(request):
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "Link, Retry-After, X-Request-Id"


@web.middleware
async def preflight_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers every OPTIONS. Raises Forbidden for an origin that is not allowed."""
    if request.method != hdrs.METH_OPTIONS:
        return await handler(request)
    if not request.app[GATE].allows_origin(request):
        raise origin_not_allowed()
    headers = {hdrs.VARY: "Access-Control-Request-Headers"}
    if hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
        headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = _METHODS
        headers[hdrs.ACCESS_CONTROL_MAX_AGE] = str(_MAX_AGE_S)
        if asked := request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS):
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = asked
    else:
        headers[hdrs.ALLOW] = _METHODS + ", OPTIONS"
    return web.Response(status=204, headers=headers)
