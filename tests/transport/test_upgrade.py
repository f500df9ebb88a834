"""From polling to a WebSocket, and every way in which that can go wrong."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest

from tests.transport.conftest import Serve
from tests.transport.own import serving
from tests.transport.raw import CLOSE, PollingSession, RawWebSocket, ask, frame, text
from tests.transport.servers import Peer
from tests.waiting import eventually


async def probed(server: Peer, session: PollingSession, path: str = "/engine.io/") -> RawWebSocket:
    """A WebSocket beside a polling session, which goes on polling."""
    ws = await server.websocket(path, sid=session.sid)
    assert ws.head.status == 101
    await ws.send("2probe")
    assert await ws.message() == "3probe"
    return ws


async def upgraded(server: Peer, path: str = "/engine.io/") -> tuple[PollingSession, RawWebSocket]:
    """A session that has moved, with nothing in it."""
    session = await server.polling(path)
    ws = await probed(server, session, path)
    await ws.send("5")
    await server_knows(server, session)
    return session, ws


async def server_knows(server: Peer, session: PollingSession) -> None:
    """Polls end with a noop until the server has read the upgrade packet. Node ends the last with a close."""
    async with asyncio.timeout(5):
        while (answer := await session.poll()).status == 200:
            assert answer.text in ("6", "1")
    assert answer.error == (3, "Bad request")


async def echoes(session: PollingSession, packet: str = "4still polling") -> None:
    await session.send(packet)
    assert await session.receive(1) == [packet]


async def test_a_session_moves_to_a_websocket(server: Peer) -> None:
    session = await server.polling()
    poll = asyncio.create_task(session.poll())
    ws = await probed(server, session)
    assert ((await poll).status, (await poll).text) == (200, "6")
    await ws.send("5", "4hello")
    assert await ws.message() == "4hello"
    await ws.send("4again", b"\x01")
    assert await ws.messages(2) == ["4again", b"\x01"]
    assert (await server.observed()).sessions == 1


async def test_a_poll_that_comes_after_the_probe_is_ended_too(server: Peer) -> None:
    session = await server.polling()
    ws = await probed(server, session)
    for _ in range(2):
        assert (await session.poll()).text == "6"
    await ws.send("5", "4hello")
    assert await ws.message() == "4hello"


async def test_probe_and_upgrade_may_come_in_one_segment(server: Peer) -> None:
    session = await server.polling()
    ws = await server.websocket(sid=session.sid)
    await ws.send("2probe", "5", "4hello")
    assert await ws.messages(2) == ["3probe", "4hello"]
    assert (await session.poll()).error == (3, "Bad request")


async def test_what_was_sent_before_the_probe_is_polled(server: Peer) -> None:
    session = await server.polling()
    await session.send("4a", "4b")
    ws = await probed(server, session)
    assert await session.receive(2) == ["4a", "4b"]
    await ws.send("5", "4c")
    assert await ws.message() == "4c"


async def test_what_was_sent_while_upgrading_and_never_polled_comes_by_the_websocket(server: Peer) -> None:
    session = await server.polling()
    await session.send("4a")
    ws = await probed(server, session)
    await session.send("4b", "bAQ==", "4c")
    await ws.send("5", "4d")
    assert await ws.messages(5) == ["4a", "4b", b"\x01", "4c", "4d"]
    await ws.nothing(0.1)


async def test_nothing_is_lost_doubled_or_out_of_order_between_the_two(server: Peer) -> None:
    session = await server.polling()
    polled: list[str] = []

    async def poll() -> None:
        while (answer := await session.poll()).status == 200:
            polled.extend(packet for packet in answer.packets if packet not in ("6", "1"))

    polling = asyncio.create_task(poll())
    for n in range(20):
        await session.send(f"4{n}")
    ws = await probed(server, session)
    for n in range(20, 40):
        await session.send(f"4{n}")
    await ws.send("5", *(f"4{n}" for n in range(40, 60)))
    await polling
    moved = await ws.messages(60 - len(polled))
    assert [*polled, *moved] == [f"4{n}" for n in range(60)]
    await ws.nothing(0.1)


async def test_after_the_upgrade_polling_is_refused_and_the_session_lives_on(server: Peer) -> None:
    session, ws = await upgraded(server)
    for method in ("GET", "POST"):
        assert (await ask(server.http, method, session.url, data=b"4hello")).error == (3, "Bad request")
    await ws.send("4hello")
    assert await ws.message() == "4hello"
    assert (await server.observed()).sessions == 1


async def test_after_the_upgrade_the_pings_come_by_the_websocket(quick: Peer) -> None:
    _session, ws = await upgraded(quick)
    for _ in range(3):
        assert await ws.message() == "2"
        await ws.send("3")
    await ws.closed()
    await quick.empty()


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_an_upgraded_session_ends_with_its_websocket(server: Peer, how: str) -> None:
    session = await server.polling("/socket.io/")
    await session.send("40")
    await session.receive(2)
    ws = await probed(server, session, "/socket.io/")
    await ws.send("5", '42["message",1]')
    assert await ws.message() == '42["message-back",1]'
    if how == "abort":
        ws.abort()
    else:
        await ws.write(frame(CLOSE, struct.pack(">H", 1000)))
        assert await ws.closed_in_silence() == 1000
    assert len((await server.empty()).of("disconnect")) == 1


async def test_a_second_websocket_of_an_upgraded_session_is_closed(server: Peer) -> None:
    session, ws = await upgraded(server)
    second = await server.websocket(sid=session.sid)
    assert second.head.status == 101
    await second.closed_in_silence()
    await ws.send("4hello")
    assert await ws.message() == "4hello"


async def test_a_second_websocket_while_one_is_upgrading_is_closed(server: Peer) -> None:
    session = await server.polling()
    ws = await probed(server, session)
    second = await server.websocket(sid=session.sid)
    assert second.head.status == 101
    await second.closed_in_silence()
    await ws.send("5", "4hello")
    assert await ws.message() == "4hello"


@pytest.mark.parametrize("packet", ["2wrong", "2", "4hello", "3probe", "9", "abc", "", b"\x01"])
async def test_a_wrong_probe_is_closed_and_polling_goes_on(server: Peer, packet: str | bytes) -> None:
    session = await server.polling()
    ws = await server.websocket(sid=session.sid)
    await ws.send(packet)
    await ws.closed_in_silence()
    await echoes(session)
    again = await probed(server, session)
    await again.send("5", "4moved")
    assert await again.message() == "4moved"


async def test_a_wrong_packet_after_the_probe_is_closed_and_polling_goes_on(server: Peer) -> None:
    session = await server.polling()
    ws = await probed(server, session)
    await ws.send("4hello")
    await ws.closed_in_silence()
    await echoes(session)


async def test_a_bad_frame_instead_of_a_probe_is_closed_and_polling_goes_on(server: Peer) -> None:
    session = await server.polling()
    ws = await server.websocket(sid=session.sid)
    await ws.write(frame(1, b"2probe", masked=False))
    assert await ws.closed_in_silence() == 1002
    await echoes(session)


@pytest.mark.parametrize("stage", ["before the probe", "after the probe"])
@pytest.mark.parametrize("how", ["abort", "close"])
async def test_a_websocket_that_dies_while_upgrading_leaves_polling_as_it_was(
    server: Peer, stage: str, how: str
) -> None:
    session = await server.polling()
    if stage == "before the probe":
        ws = await server.websocket(sid=session.sid)
    else:
        ws = await probed(server, session)
        await session.send("4a")
    if how == "abort":
        ws.abort()
    else:
        await ws.write(frame(CLOSE, struct.pack(">H", 1001)))
        await ws.closed_in_silence()
    await session.send("4b", "4c")
    expected = ["4b", "4c"] if stage == "before the probe" else ["4a", "4b", "4c"]
    assert await session.receive(len(expected)) == expected
    again = await retried(server, session)
    await again.send("5", "4moved")
    assert await again.message() == "4moved"


async def retried(server: Peer, session: PollingSession) -> RawWebSocket:
    """Until the server has seen that the WebSocket before it is dead."""
    async with asyncio.timeout(5):
        while True:
            ws = await server.websocket(sid=session.sid)
            await ws.send("2probe")
            found = await ws.next()
            if found is not None and found.payload == "3probe":
                return ws


@pytest.mark.parametrize("stage", ["before the probe", "after the probe"])
async def test_an_upgrade_that_hangs_is_closed_in_time_and_polling_works_all_the_while(
    serve: Serve, stage: str
) -> None:
    server = await serve(upgrade_timeout_s=0.4)
    session = await server.polling()
    ws = await server.websocket(sid=session.sid) if stage == "before the probe" else await probed(server, session)
    await echoes(session, "4while it hangs")
    await ws.closed_in_silence()
    await echoes(session)
    assert (await server.observed()).sessions == 1


async def test_an_upgrade_in_time_is_not_closed(serve: Serve) -> None:
    server = await serve(upgrade_timeout_s=0.3)
    _session, ws = await upgraded(server)
    await ws.nothing(0.5)
    await ws.send("4hello")
    assert await ws.message() == "4hello"


async def test_a_session_that_closes_while_upgrading_takes_the_websocket_with_it(server: Peer) -> None:
    session = await server.polling()
    ws = await probed(server, session)
    await session.send("1")
    await ws.closed_in_silence()
    await server.empty()


async def test_a_client_that_no_longer_polls_learns_of_the_end_when_it_has_moved(server_class: Any) -> None:
    """Were its WebSocket closed before, the real client would wait for pings, on no transport at all."""
    sio = server_class(async_mode="aiohttp")
    async with serving(sio) as peer:
        session = await peer.polling("/socket.io/")
        poll = asyncio.create_task(session.poll())
        ws = await probed(peer, session, "/socket.io/")
        assert (await poll).text == "6"
        await sio.eio.disconnect()
        await ws.nothing(0.3)
        await ws.send("5")
        await ws.closed_in_silence()
        ws.abort()
        await eventually(lambda: not sio.eio.lingering)


async def test_a_client_that_polls_learns_of_the_end_by_its_poll(server_class: Any) -> None:
    sio = server_class(async_mode="aiohttp")
    async with serving(sio) as peer:
        session = await peer.polling("/socket.io/")
        ws = await probed(peer, session, "/socket.io/")
        await sio.eio.disconnect()
        assert (await session.poll()).error == (1, "Session ID unknown")
        await ws.closed_in_silence()  # in the end, whatever the client does


async def test_a_session_that_times_out_while_upgrading_takes_the_websocket_with_it(quick: Peer) -> None:
    session = await quick.polling()
    ws = await probed(quick, session)
    await ws.closed_in_silence()
    await quick.empty()


async def test_the_first_message_may_come_with_the_upgrade_request(server: Peer) -> None:
    session = await server.polling()
    ws = await server.websocket(sid=session.sid, early=text("2probe"))
    assert await ws.message() == "3probe"
