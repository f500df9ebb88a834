"""The real Express with express-session, connect-pg-simple and passport, in a Node process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any

from aiohttp import ClientSession, DummyCookieJar

from tests.node import EXPRESS
from web.node import node


@dataclass
class ExpressApp:
    url: str
    http: ClientSession

    async def log_in(self, name: str) -> str:
        """By passport; gives the Cookie header of that browser from then on."""
        return await self.post("/login", username=name, password=f"{name}'s")

    async def post(self, path: str, cookie: str | None = None, **body: Any) -> str:
        """Gives the Cookie header as it is afterwards."""
        headers = {"Cookie": cookie} if cookie else {}
        async with self.http.post(self.url + path, json=body, headers=headers) as response:
            assert response.status == 200, await response.text()
            await response.read()  # the last byte comes when the session is saved
            jar: SimpleCookie = SimpleCookie()
            for header in response.headers.getall("Set-Cookie", []):
                jar.load(header)
        return "; ".join(f"{name}={morsel.coded_value}" for name, morsel in jar.items()) or cookie or ""

    async def get(self, path: str, cookie: str) -> int:
        """The status."""
        async with self.http.get(self.url + path, headers={"Cookie": cookie}) as response:
            await response.read()
            return response.status


@contextlib.asynccontextmanager
async def express_app(database: str, **options: Any) -> AsyncIterator[ExpressApp]:
    """`options` as in server.mjs."""
    process = await asyncio.create_subprocess_exec(
        *node(), "server.mjs", json.dumps({"database": database, **options}), cwd=EXPRESS,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            port = int(await process.stdout.readline())
        async with ClientSession(cookie_jar=DummyCookieJar()) as http:
            yield ExpressApp(f"http://127.0.0.1:{port}", http)
    finally:
        process.stdin.close()
        await process.wait()
