"""`notify-server demo`: tells where to look, and shows in the terminal what a browser would get."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import click
import socketio

from notify_server.http.page import is_built
from notify_server.settings import Settings

_AUTHOR, _COMMENTER = "1", "2"  # the seed's Ada, who wrote post 1, and Grace


def _where(address: str) -> str:
    if not is_built():
        return f"""\
  notify-server is at {address}/

  Its page is not built yet: run `make web` in the checkout, then open that address."""
    page, plain = f"{address}/", f"{address}/plain/"
    return f"""\
  Open  {page:<{len(plain)}}  two people side by side: comment in one window, see it arrive in the other
        {plain}  the same with the hook of an Express app, unchanged"""


class Demo:
    """Listens as the author of the first post, with a real Socket.IO client over the real port."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._listening: asyncio.Task[None] | None = None

    def started(self, port: int) -> None:
        address = f"http://127.0.0.1:{port}"
        click.echo(
            f"""
{_where(address)}

  Or comment on Ada's post as Grace from another terminal:

    curl {address}/posts/1/comments -H 'Authorization: User {_COMMENTER}' \\
         -H 'Content-Type: application/json' -d '{{"body": "Hello, Ada!"}}'

  This terminal listens as Ada, and shows what her browser gets.
  Ctrl-C stops it; its data stays in {self._settings.embedded_dir}
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
