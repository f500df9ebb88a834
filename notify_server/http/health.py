"""/livez: the process answers. /readyz: it can serve, so a load balancer may send it requests."""

from __future__ import annotations

from aiohttp import web

from notify_server.db import Database
from notify_server.errors import NotifyError
from notify_server.http.keys import READINESS
from notify_server.http.routes import json_response
from notify_server.sql import Query

DATABASE = web.AppKey("database", Database)

_PING = Query("health.ping", "SELECT 1")


async def livez(_request: web.Request) -> web.Response:
    return json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    readiness = request.app[READINESS]
    if readiness.draining:
        return json_response({"status": "draining"}, status=503)
    if readiness.services is None:
        return json_response({"status": "starting"}, status=503)
    try:
        await request.app[DATABASE].value(_PING, timeout_s=1)
    except NotifyError:
        return json_response({"status": "database away"}, status=503)
    if readiness.missing_triggers:  # comments of other programs are found all the same, only later
        return json_response({"status": "ok", "missingTriggers": readiness.missing_triggers})
    return json_response({"status": "ok"})
