"""`notify-server demo`: tells what to do, and shows in the terminal what a browser would get."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import click
import socketio

from notify_server.settings import Settings

_AUTHOR, _COMMENTER = "1", "2"  # the seed's Ada, who wrote post 1, and Grace


class Demo:
    """Listens as the author of the first post, with a real Socket.IO client over the real port."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._listening: asyncio.Task[None] | None = None

    def started(self, port: int) -> None:
        address = f"http://127.0.0.1:{port}"
        click.echo(
            f"""
  notify-server is at {address}   (Ctrl-C stops it; its data stays in {self._settings.embedded_dir})

  Comment on Ada's post as Grace, from another terminal:

    curl {address}/posts/1/comments -H 'Authorization: User {_COMMENTER}' \\
         -H 'Content-Type: application/json' -d '{{"body": "Hello, Ada!"}}'

  This terminal listens as Ada, as her browser would with:

    io('{address}', {{ auth: {{ userId: {_AUTHOR} }} }}).on('notification', (data) => toast(data.message))
"""
        )
        self._listening = asyncio.create_task(self._listen(address))

    async def _listen(self, address: str) -> None:
        client = socketio.AsyncClient(handle_sigint=False)  # Ctrl-C is the server's

        @client.on("notification")  # type: ignore[untyped-decorator]
        async def show(data: dict[str, Any], *_offset: str) -> None:
            click.echo(f"  → Ada gets: {data['message']}   {data}")

        with contextlib.suppress(asyncio.CancelledError, socketio.exceptions.ConnectionError):
            await client.connect(
                address, auth={"userId": _AUTHOR}, socketio_path=self._settings.socket_path.strip("/"), retry=True
            )
            await client.wait()
