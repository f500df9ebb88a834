"""The server pings, the client pongs, and a client that does not is gone."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.transport.raw import ask
from tests.transport.servers import Peer, joined

INTERVAL_S = 0.3
LATE_S = 1  # a machine that has other things to do


async def test_a_poll_brings_a_ping_each_time_the_last_was_answered(quick: Peer) -> None:
    session = await quick.polling()
    for _ in range(3):
        answer = await session.poll()
        assert (answer.status, answer.text) == (200, "2")
        await session.send("3")


async def test_a_websocket_brings_a_ping_each_time_the_last_was_answered(quick: Peer) -> None:
    ws = await quick.websocket()
    for _ in range(3):
        assert await ws.message() == "2"
        await ws.send("3")


async def test_the_next_ping_comes_an_interval_after_the_pong(quick: Peer) -> None:
    ws = await quick.websocket()
    assert await ws.message() == "2"
    await asyncio.sleep(0.1)
    await ws.send("3")
    ponged = time.monotonic()
    assert await ws.message() == "2"
    assert INTERVAL_S - 0.03 <= time.monotonic() - ponged <= INTERVAL_S + LATE_S


async def test_messages_do_not_put_the_ping_off(quick: Peer) -> None:
    ws = await quick.websocket()
    opened = time.monotonic()
    seen: list[str | bytes] = []
    while "2" not in seen:
        await ws.send("4hello")
        seen.append(await ws.message())
        await asyncio.sleep(0.01)
    assert time.monotonic() - opened <= INTERVAL_S + LATE_S


async def test_a_polling_session_that_does_not_answer_is_gone(quick: Peer) -> None:
    session = await quick.polling()
    assert (await session.poll()).text == "2"
    await quick.empty()
    for method in ("GET", "POST"):
        assert (await ask(quick.http, method, session.url)).error == (1, "Session ID unknown")


async def test_a_polling_session_that_never_polls_is_gone(quick: Peer) -> None:
    session = await quick.polling()
    await quick.empty()
    assert (await session.post("3")).error == (1, "Session ID unknown")


async def test_a_poll_that_waits_is_answered_when_the_ping_is_not(quick: Peer) -> None:
    session = await quick.polling()
    assert (await session.poll()).text == "2"
    answer = await session.poll()
    assert (answer.status, answer.text) == (200, "1")
    await quick.empty()


async def test_a_websocket_that_does_not_answer_is_closed(quick: Peer) -> None:
    ws = await quick.websocket()
    assert await ws.message() == "2"
    await ws.closed()
    await quick.empty()


async def test_a_websocket_that_does_not_even_read_is_gone(quick: Peer) -> None:
    await quick.websocket()
    await quick.empty()


@pytest.mark.parametrize("namespace", ["/", "/custom"])
async def test_the_app_hears_why_a_silent_socket_is_gone(quick: Peer, namespace: str) -> None:
    ws = await joined(await quick.websocket("/socket.io/"), namespace)
    await ws.closed()
    observed = await quick.empty()
    assert observed.of("disconnect") == [[namespace, "ping timeout"]]


async def test_sockets_that_answer_live_on_beside_those_that_do_not(quick: Peer) -> None:
    lively, silent = await quick.websocket(), await quick.websocket()
    for _ in range(4):
        assert await lively.message() == "2"
        await lively.send("3")
    await silent.closed()
    await lively.send("4hello")
    assert await lively.message() == "4hello"
    assert (await quick.observed()).sessions == 1
