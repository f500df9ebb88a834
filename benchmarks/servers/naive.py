"""The server that notify-server replaces, ported line by line: python-socketio, aiohttp and aiopg as they come."""

from __future__ import annotations

import asyncio
import gc
import os
import platform
from datetime import UTC
from importlib.metadata import version
from typing import Any

import aiopg
import jwt
import socketio
from aiohttp import web

from benchmarks.servers.control import Control

SECRET = os.environ["JWT_SECRET"]
CLIENT_URL = os.environ["CLIENT_URL"]

sio = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins=[CLIENT_URL])
online: dict[str, str] = {}
pool: Any = None


def verify(token: str) -> dict[str, Any]:
    return jwt.decode(token, SECRET, algorithms=["HS256"])


@sio.event  # type: ignore[untyped-decorator]
async def connect(sid: str, _environ: Any, auth: dict[str, str]) -> None:
    online[verify(auth["token"])["sub"]] = sid


@sio.event  # type: ignore[untyped-decorator]
async def disconnect(sid: str, _reason: str) -> None:
    for user, its_sid in list(online.items()):
        if its_sid == sid:
            del online[user]


@web.middleware
async def cors(request: web.Request, handler: Any) -> web.StreamResponse:
    response: web.StreamResponse = await handler(request)
    response.headers["Access-Control-Allow-Origin"] = CLIENT_URL
    response.headers["Access-Control-Allow-Credentials"] = "true"
    return response


async def create(request: web.Request) -> web.Response:
    user = verify(request.headers["Authorization"].removeprefix("Bearer "))
    post_id, body = int(request.match_info["postId"]), (await request.json())["body"]
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(
            "INSERT INTO comments (post_id, author_id, body) VALUES (%s, %s, %s) RETURNING id, created_at",
            (post_id, user["sub"], body),
        )
        comment_id, created_at = await cursor.fetchone()
        await cursor.execute("SELECT author_id FROM posts WHERE id = %s", (post_id,))
        author = str((await cursor.fetchone())[0])
    if author != user["sub"] and author in online:
        event = {
            "type": "comment",
            "postId": post_id,
            "commentId": comment_id,
            "fromUser": user["name"],
            "message": f"{user['name']} commented on your post",
        }
        await sio.emit("notification", event, room=online[author])
    created = created_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return web.json_response(
        {"id": comment_id, "postId": post_id, "authorId": int(user["sub"]), "body": body, "createdAt": created}
    )


async def main() -> None:
    global pool
    pool = await aiopg.create_pool(os.environ["DATABASE_URL"], minsize=10, maxsize=10)
    app = web.Application(middlewares=[cors])
    app.router.add_post("/posts/{postId}/comments", create)
    sio.attach(app)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    gc.collect()
    name = f"python-socketio {version('python-socketio')}, aiohttp, aiopg, Python {platform.python_version()}"
    await Control(sio, online.get).obey({"port": runner.addresses[0][1], "version": name})


if __name__ == "__main__":
    asyncio.run(main())
