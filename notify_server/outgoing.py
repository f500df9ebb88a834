"""Requests of ours to other servers."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from notify_server.auth.asking import Answer
from notify_server.errors import Unavailable

_TIMEOUT_S = 3.0  # waiting for a free connection included
_MAX_BYTES = 256 * 1024
_CONNECTIONS = 16


class Outgoing:
    """`auth.asking.Get`. Keeps no cookies: one person's must not go with another's request."""

    def __init__(self) -> None:
        self._session: ClientSession | None = None
        self._closed = False

    async def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        if self._closed:
            raise Unavailable("the server is stopping", code="not_ready")
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=_CONNECTIONS), cookie_jar=DummyCookieJar(), auto_decompress=False,
                timeout=ClientTimeout(total=_TIMEOUT_S),
            )  # fmt: skip
        asked = {"User-Agent": "notify-server", "Accept-Encoding": "identity", **headers}
        try:
            async with self._session.get(url, headers=asked, allow_redirects=False) as response:
                body = b""
                async for chunk in response.content.iter_chunked(65_536):
                    body += chunk
                    if len(body) > _MAX_BYTES:
                        raise Unavailable("another server answered too much", code="upstream_unavailable")
                return Answer(response.status, body)
        except (ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            reason = f"another server could not be asked: {type(error).__name__}"
            raise Unavailable(reason, code="upstream_unavailable") from error

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()
