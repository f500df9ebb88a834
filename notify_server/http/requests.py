"""In front of every request: its id, the way it came, what it took, and how it ended."""

from __future__ import annotations

import itertools
import re
import secrets
import time

from aiohttp import web

from notify_server.gate import REQUEST_ID
from notify_server.http.errors import answer_to
from notify_server.http.keys import GATE, METERS, TEMPLATES
from notify_server.http.routes import Handler
from notify_server.request_ids import HEADER, request_id

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_numbers = itertools.count(1)
_process = secrets.token_hex(4)


@web.middleware
async def requests_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Labels are of a bounded number: a route as it is written in the README, and `(none)` for what is none."""
    began = time.perf_counter()
    given = request.headers.get(HEADER)
    own = given if given is not None and _GIVEN.fullmatch(given) else f"{_process}-{next(_numbers)}"
    request[REQUEST_ID] = own
    request_id.set(own)
    app, method = request.app, request.method
    try:
        app[GATE].check_way(request)
        response = await handler(request)
    except Exception as error:
        response = answer_to(error, request)
    meters = app[METERS]
    resource = request.match_info.route.resource
    route = "(none)" if resource is None else app[TEMPLATES].get(resource, "(file)")
    meters.requests[method if method in _METHODS else "(other)", route, response.status] += 1
    meters.request_s[route].add(time.perf_counter() - began)
    return response
