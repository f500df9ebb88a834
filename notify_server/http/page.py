"""The demo's page, as `web/` is built into `static/`, and what it asks first. `notify-server demo` alone serves it.

Each file lies there compressed as well (`.br`, `.gz`). The names in `assets/` have a hash of the content in them, so
browsers keep those for good; the html is asked for again each time, and mostly answered 304.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp import hdrs, web

from notify_server.errors import NotFound
from notify_server.http.files import ASKED_AGAIN, FOR_GOOD, file_response
from notify_server.http.routes import Handler, add_route, json_response, services
from notify_server.settings import Settings

STATIC = Path(__file__).parent.parent / "static"

_NOT_BUILT = "The page is not built: run `make web` in the checkout of notify-server, then reload.\n"
_POLICY = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def is_built(folder: Path = STATIC) -> bool:
    return (folder / "index.html").is_file()


def add_page(app: web.Application, folder: Path, settings: Settings) -> None:
    """`folder` may be empty: then `/` tells how the page is built."""

    def html(name: str) -> Handler:
        async def get(_request: web.Request) -> web.StreamResponse:
            if not is_built(folder):
                return web.Response(status=404, text=_NOT_BUILT, headers={**_POLICY, hdrs.CACHE_CONTROL: "no-store"})
            return file_response(folder / name, ASKED_AGAIN, _POLICY)

        return get

    async def icon(_request: web.Request) -> web.StreamResponse:
        return file_response(folder / "icon.svg", ASKED_AGAIN, _POLICY)

    async def asset(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name.endswith((".br", ".gz")):  # the same under another name, as bytes
            raise NotFound("there is nothing at this path")
        return file_response(folder / "assets" / name, FOR_GOOD, _POLICY)

    async def demo(request: web.Request) -> web.StreamResponse:
        return json_response(
            {
                "people": await services(request).posts.list_people(),
                "socketPath": settings.socket_path,
                "bodyField": settings.body_field,
                "apiPrefix": settings.api_prefix or "",
            },
            headers={hdrs.CACHE_CONTROL: "no-store"},
        )

    app.router.add_get("/", html("index.html"))
    add_route(app, "GET", "/plain", html("plain/index.html"))
    app.router.add_get("/icon.svg", icon)
    app.router.add_get("/assets/{name:[A-Za-z0-9_-][A-Za-z0-9_.-]*}", asset)
    add_route(app, "GET", "/demo", demo)
