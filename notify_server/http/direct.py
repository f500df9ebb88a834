"""The shorter way of the requests that come most often: a comment's POST.

They get the same handler, the same checks and the same headers as by aiohttp's own way, and leave out its router, the
wrappers of its middlewares, its signals and its writer of streams, which are half of what aiohttp does for a request.
What is not plain (HTTP/1.0, a connection about to close, `Expect`) takes aiohttp's way.
"""

from __future__ import annotations

from typing import Any

from aiohttp import hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import HttpVersion11
from aiohttp.http_writer import _serialize_headers
from aiohttp.web_protocol import RequestHandler

from notify_server.http.headers import add_headers
from notify_server.http.requests import requests_middleware

ROUTES: web.AppKey[list[web.AbstractRoute]] = web.AppKey("direct_routes")


class Runner(web.AppRunner):
    """aiohttp's, for an application that names its direct ROUTES."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(self.app, made)


class _Server(web.Server):
    def __init__(self, app: web.Application, like: web.Server) -> None:
        super().__init__(
            like.request_handler, request_factory=like.request_factory,
            handler_cancellation=like.handler_cancellation, loop=like._loop, **like._kwargs,
        )  # fmt: skip
        self._app = app

    def __call__(self) -> RequestHandler:
        return _Connection(self._app, self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    __slots__ = ("_app",)

    def __init__(self, app: web.Application, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._app = app

    async def _handle_request(
        self, request: web.BaseRequest, start_time: float | None, request_handler: Any
    ) -> tuple[web.StreamResponse, bool]:
        if not (isinstance(request, web.Request) and self._matches(request)):
            return await super()._handle_request(request, start_time, request_handler)
        self._request_in_progress = True
        try:
            self._current_request = request
            try:
                response = await requests_middleware(request, request.match_info.handler)
            finally:
                self._current_request = None
            if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
                return await self.finish_response(request, response, start_time)
            return response, not await self._write(request, response, response.body)
        finally:
            self._request_in_progress = False
            if self._handler_waiter is not None:
                self._handler_waiter.set_result(None)

    def _matches(self, request: web.Request) -> bool:
        """And then says so to the request, as aiohttp's router does."""
        message = request._message
        if message.method != hdrs.METH_POST or message.should_close or message.upgrade:
            return False
        if message.version != HttpVersion11 or hdrs.EXPECT in message.headers:
            return False
        path = request.rel_url.raw_path
        for route in self._app[ROUTES]:
            found = route.resource._match(path) if isinstance(route.resource, web.Resource) else None
            if found is not None:
                match_info = web.UrlMappingMatchInfo(found, route)
                match_info.add_app(self._app)
                match_info.freeze()
                request._match_info = match_info
                return True
        return False

    async def _write(self, request: web.Request, response: web.Response, body: bytes) -> bool:
        """Head and body at once. False where nobody is there any more."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        add_headers(request, response)
        headers = response.headers
        headers[hdrs.CONTENT_LENGTH] = str(len(body))
        headers[hdrs.DATE] = rfc822_formatted_time()
        transport.write(_serialize_headers(f"HTTP/1.1 {response.status} {response.reason}", headers) + body)
        response._keep_alive = True
        if self._paused:
            await self._drain_helper()
        return True
