"""What is logged of clients that break the protocol: that they did, once, and nothing of what they sent."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.transport.own import nothing_left, serving
from tests.transport.raw import TEXT, ask, frame, text
from tests.transport.servers import at

CANARY = "a secret of the client's"

BAD = {
    "a frame": frame(TEXT, CANARY.encode(), masked=False),
    "UTF-8": frame(TEXT, CANARY.encode() + b"\xff"),
    "an Engine.IO packet": text(f"x{CANARY}"),
    "a Socket.IO packet": text(f'42["{CANARY}"'),
    "a reserved event": text(f'42["connect","{CANARY}"]'),
    "a close frame": frame(0x8, b"\x03" + CANARY.encode()),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
async def test_a_client_that_breaks_the_protocol_is_one_line(
    server_class: Any, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    sio = server_class(async_mode="aiohttp")
    sio.on("connect", lambda *_args: None)
    sio.on("*", lambda *_args: None)
    async with serving(sio) as peer:
        ws = await peer.websocket("/socket.io/")
        await ws.send(f'40{{"token":"{CANARY}"}}')
        await ws.message()
        with caplog.at_level(logging.DEBUG):
            await ws.write(data)
            await ws.closed()
            await nothing_left(sio)
    ours = [record for record in caplog.records if record.name.startswith(("notify_server", "engineio", "socketio"))]
    assert [record.levelname for record in ours] == ["INFO"]
    assert CANARY not in str([vars(record) for record in ours])


async def test_nothing_is_logged_of_a_body_either(server_class: Any, caplog: pytest.LogCaptureFixture) -> None:
    sio = server_class(async_mode="aiohttp")
    async with serving(sio) as peer:
        session = await peer.polling("/socket.io/")
        with caplog.at_level(logging.DEBUG):
            assert (await session.post(f"x{CANARY}")).status == 400
    ours = [record for record in caplog.records if record.name.startswith(("notify_server", "engineio", "socketio"))]
    assert len(ours) == 1
    assert CANARY not in str(vars(ours[0]))
    assert session.sid not in str(vars(ours[0]))


async def test_old_clients_are_counted_and_said_once(server_class: Any, caplog: pytest.LogCaptureFixture) -> None:
    sio = server_class(async_mode="aiohttp")
    async with serving(sio) as peer:
        for protocol in ("3", "3", None):
            assert (await ask(peer.http, "GET", peer.url + at("/socket.io/", eio=protocol))).error[0] == 5
        assert sio.eio.old_clients == 3
    assert [record.message for record in caplog.records] == ["old_client"]
