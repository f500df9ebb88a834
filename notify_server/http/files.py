"""Files as browsers like them: the right type, compressed where they lie there so, kept for as long as may be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aiohttp import hdrs, web

from notify_server.errors import NotFound

FOR_GOOD = "public, max-age=31536000, immutable"
ASKED_AGAIN = "no-cache"
# By ourselves: what the mimetypes of a machine say of .js may be anything, and under nosniff it matters.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
    ".xml": "application/xml",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".ico": "image/x-icon",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".ttf": "font/ttf",
    ".otf": "font/otf",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".pdf": "application/pdf",
    ".wasm": "application/wasm",
}


def file_response(path: Path, caching: str, headers: Mapping[str, str]) -> web.FileResponse:
    """aiohttp picks the compressed one (`.br`, `.gz`) that the browser takes, and answers conditions and ranges.
    Raises NotFound."""
    if not path.is_file():
        raise NotFound("there is nothing at this path")
    return web.FileResponse(
        path,
        headers={
            **headers,
            hdrs.CONTENT_TYPE: _TYPES.get(path.suffix.lower(), "application/octet-stream"),
            hdrs.CACHE_CONTROL: caching,
            hdrs.VARY: hdrs.ACCEPT_ENCODING,
        },
    )
