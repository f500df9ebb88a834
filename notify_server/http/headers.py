"""What every answer tells browsers: not to guess, not to embed, and not to keep what is somebody's own.

HSTS is not ours to say: TLS ends before us. What may be fetched from where is in `cors.py`; the page's files bring
their own rules (`page.py`).
"""

from __future__ import annotations

from aiohttp import hdrs, web

from notify_server.gate import REQUEST_ID
from notify_server.http.cors import add_cors_headers
from notify_server.request_ids import HEADER

_OF_ANSWERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",  # for <img> and <script>; what fetch() may read, CORS says
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    hdrs.CACHE_CONTROL: "no-store",
}


async def headers_signal(request: web.Request, response: web.StreamResponse) -> None:
    """Of the application, so that WebSocket upgrades and errors get them as well."""
    add_headers(request, response)


def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """What a handler has set stays."""
    add_cors_headers(request, response)
    headers = response.headers
    headers.popall(hdrs.SERVER, None)  # names and versions of what runs here
    if (own := request.get(REQUEST_ID)) is not None:  # none where not even a middleware ran
        headers[HEADER] = own
    if not isinstance(response, web.FileResponse):
        for name, value in _OF_ANSWERS.items():
            headers.setdefault(name, value)
