"""Every error as the wire has it: {"error": a sentence, "code": for programs, "field": where one is meant}."""

from __future__ import annotations

import logging

from aiohttp import web

from notify_server.errors import NotifyError
from notify_server.http.routes import Handler, json_response

log = logging.getLogger(__name__)

_HTTP_CODES = {
    404: ("not_found", "there is nothing at this path"),
    405: ("method_not_allowed", "this path does not take this method"),
    413: ("too_large", "the body is too large"),
}


def error_response(error: NotifyError) -> web.Response:
    status = error.status
    body = {"error": error.shown, "code": error.code}
    if error.field is not None:
        body["field"] = error.field
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s is not None else {}
    if status == 405:
        headers["Allow"] = "GET, HEAD"
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return json_response(body, status=status, headers=headers)


@web.middleware
async def errors_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except NotifyError as error:
        if error.status >= 500 and not error.retryable:
            log.exception("request_failed", extra={"method": request.method, "path": request.path})
        return error_response(error)
    except web.HTTPException as error:
        code, message = _HTTP_CODES.get(error.status, ("http_error", error.reason))
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return json_response({"error": message, "code": code}, status=error.status, headers=headers)
    except Exception:
        log.exception("request_failed", extra={"method": request.method, "path": request.path})
        return json_response({"error": "something went wrong here", "code": "internal"}, status=500)
