"""Every error as the wire has it: {"error": a sentence, "code": for programs, "field": where one is meant}."""

from __future__ import annotations

import logging

from aiohttp import web

from notify_server.errors import NotifyError
from notify_server.http.routes import json_response

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


def answer_to(error: Exception, request: web.Request) -> web.Response:
    """What is not for the client goes into the log."""
    if isinstance(error, NotifyError):
        if error.status >= 500 and not error.retryable:
            log.error("request_failed", exc_info=error, extra={"method": request.method, "path": request.path})
        return error_response(error)
    if isinstance(error, web.HTTPException):
        code, message = _HTTP_CODES.get(error.status, ("http_error", error.reason))
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return json_response({"error": message, "code": code}, status=error.status, headers=headers)
    log.error("request_failed", exc_info=error, extra={"method": request.method, "path": request.path})
    return json_response({"error": "something went wrong here", "code": "internal"}, status=500)
