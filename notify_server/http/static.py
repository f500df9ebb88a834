"""STATIC_DIR: the app's own front end, as its build leaves it, with its pages made by the browser.

asked for                                  answered
a route, by fetch()                        the route, as without STATIC_DIR
anything, by going there in a browser      the file, else index.html, whose script knows what to show
a file                                     the file
what is not there, in a folder of files    404, so that a page of old never gets HTML for a script
"""

from __future__ import annotations

import re
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from notify_server.http.files import ASKED_AGAIN, FOR_GOOD, file_response
from notify_server.http.routes import Handler
from notify_server.settings import Settings

_INDEX = "index.html"
# A hash of the content, as Vite (-DqwXe3xY.js), webpack (.3f2c91ab.chunk.js) and others put it into names.
_HASHED = re.compile(r"[.-](?=[A-Za-z0-9_-]*[0-9A-Z])[A-Za-z0-9_-]{8,}(\.chunk)?\.[a-z0-9]+$")
# No policy of ours for what is the app's own page: its scripts and frames are its business.
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Frame-Options": "SAMEORIGIN",
}


class StaticFiles:
    """`folder` holds an index.html."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def find(self, path: str) -> Path | None:
        """The file at a decoded path of a URL, None for what is not there or not to be had: outside of the folder, also
        by a link, and what begins with a dot, but for .well-known."""
        parts = [part for part in path.split("/") if part]
        if any((part.startswith(".") and part != ".well-known") or "\0" in part or "\\" in part for part in parts):
            return None
        try:
            found = self._folder.joinpath(*parts).resolve()
            if found.is_dir():
                found = found / _INDEX
            return found if found.is_relative_to(self._folder) and found.is_file() else None
        except (OSError, ValueError):  # a name that is too long, or links in a circle
            return None

    def is_in_folder_of_files(self, path: str) -> bool:
        first = path.strip("/").partition("/")[0]
        return bool(first) and not first.startswith(".") and "\0" not in first and (self._folder / first).is_dir()

    def response(self, path: Path) -> web.FileResponse:
        caching = FOR_GOOD if _HASHED.search(path.name) and path.suffix != ".html" else ASKED_AGAIN
        return file_response(path, caching, _HEADERS)

    @property
    def page(self) -> web.FileResponse:
        return self.response(self._folder / _INDEX)


def static_middleware(files: StaticFiles, settings: Settings) -> Middleware:
    own = (settings.socket_path, "/livez", "/readyz", *((settings.api_prefix,) if settings.api_prefix else ()))

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path
        if request.method not in ("GET", "HEAD") or any(path == each or path.startswith(each + "/") for each in own):
            return await handler(request)
        goes_there = _goes_there(request)
        if goes_there or request.match_info.http_exception is not None:
            if (found := files.find(path)) is not None:
                return files.response(found)
            if goes_there and not files.is_in_folder_of_files(path):
                return files.page
        return await handler(request)

    return middleware


def _goes_there(request: web.Request) -> bool:
    """Whether somebody opens this as a page, in place of a script that asks for data."""
    mode = request.headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return mode == "navigate"
    return request.headers.get(hdrs.ACCEPT, "").lstrip().startswith("text/html")
