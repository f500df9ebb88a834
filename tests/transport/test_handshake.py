"""How an Engine.IO session opens, and what is refused."""

from __future__ import annotations

import asyncio

import pytest

from tests.transport.conftest import Serve
from tests.transport.raw import ask
from tests.transport.servers import Peer, at

KEYS = {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
UNKNOWN_TRANSPORT = (0, "Transport unknown")
UNKNOWN_SID = (1, "Session ID unknown")
BAD_METHOD = (2, "Bad handshake method")
BAD_REQUEST = (3, "Bad request")
BAD_VERSION = (5, "Unsupported protocol version")
TIMES = [(0.3, 0.2, 300, 200), (25, 20, 25_000, 20_000), (1.5, 1, 1500, 1000)]

by_path = pytest.mark.parametrize("path", ["/engine.io/", "/socket.io/"], ids=["engine", "socket"])


@pytest.mark.parametrize(("interval_s", "timeout_s", "interval_ms", "timeout_ms"), TIMES)
@by_path
async def test_polling_opens_with_the_times_in_milliseconds_and_offers_the_upgrade(
    serve: Serve, path: str, interval_s: float, timeout_s: float, interval_ms: int, timeout_ms: int
) -> None:
    server = await serve(ping_interval_s=interval_s, ping_timeout_s=timeout_s)
    handshake = (await server.polling(path)).handshake
    assert handshake.keys() == KEYS
    assert handshake["sid"]
    assert handshake["upgrades"] == ["websocket"]
    assert handshake["maxPayload"] == 1_000_000
    for name, value in [("pingInterval", interval_ms), ("pingTimeout", timeout_ms)]:
        assert (handshake[name], type(handshake[name])) == (value, int)


@pytest.mark.parametrize(("interval_s", "timeout_s", "interval_ms", "timeout_ms"), TIMES)
@by_path
async def test_a_websocket_opens_with_the_same_and_no_upgrades(
    serve: Serve, path: str, interval_s: float, timeout_s: float, interval_ms: int, timeout_ms: int
) -> None:
    server = await serve(ping_interval_s=interval_s, ping_timeout_s=timeout_s)
    handshake = (await server.websocket(path)).handshake
    assert handshake.pop("sid")
    assert handshake == {
        "upgrades": [], "pingInterval": interval_ms, "pingTimeout": timeout_ms, "maxPayload": 1_000_000,
    }  # fmt: skip


async def test_sessions_have_different_ids(server: Peer) -> None:
    polling = [(await server.polling()).sid for _ in range(3)]
    websocket = [(await server.websocket()).handshake["sid"] for _ in range(3)]
    assert len({*polling, *websocket}) == 6


async def test_polls_are_answered_as_plain_text_in_utf_8(server: Peer) -> None:
    async with server.http.get(server.url + at("/engine.io/")) as response:
        assert response.headers["Content-Type"] == "text/plain; charset=UTF-8"
        assert response.headers.getall("Content-Length") == [str(len(await response.read()))]
    session = await server.polling()
    await session.send("4h€llo")
    async with server.http.get(session.url) as response:
        assert response.headers["Content-Type"] == "text/plain; charset=UTF-8"
        assert await response.read() == "4h€llo".encode()


@pytest.mark.parametrize("transport_name", [None, "abc", "", "Polling", "constructor"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_transport_is_refused(server: Peer, method: str, transport_name: str | None) -> None:
    answer = await ask(server.http, method, server.url + at("/engine.io/", transport=transport_name))
    assert answer.error == UNKNOWN_TRANSPORT


async def test_a_websocket_of_an_unknown_transport_is_refused(server: Peer) -> None:
    for name in (None, "abc"):
        ws = await server.websocket(target=at("/engine.io/", transport=name))
        assert ws.head.status == 400
        await ws.refused(UNKNOWN_TRANSPORT[1])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("sid", ["unknown", "constructor", "__proto__"])
@by_path
async def test_an_unknown_sid_is_refused(server: Peer, path: str, method: str, sid: str) -> None:
    answer = await ask(server.http, method, server.url + at(path, sid=sid))
    assert answer.error == UNKNOWN_SID


@by_path
async def test_a_websocket_of_an_unknown_sid_is_refused_before_it_is_one(server: Peer, path: str) -> None:
    ws = await server.websocket(path, sid="unknown")
    assert ws.head.status == 400
    await ws.refused(UNKNOWN_SID[1])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@by_path
async def test_only_get_opens_a_session(server: Peer, path: str, method: str) -> None:
    answer = await ask(server.http, method, server.url + at(path))
    assert answer.error == BAD_METHOD
    assert (await server.observed()).sessions == 0


async def test_a_websocket_without_an_upgrade_is_refused(server: Peer) -> None:
    answer = await ask(server.http, "GET", server.url + at("/engine.io/", transport="websocket"))
    assert answer.error == BAD_REQUEST
    assert (await server.observed()).sessions == 0


@pytest.mark.parametrize("version", ["3", None, "abc", "5", "04", "4.0"])
async def test_polling_with_another_protocol_version_is_refused(server: Peer, version: str | None) -> None:
    answer = await ask(server.http, "GET", server.url + at("/engine.io/", eio=version))
    assert answer.error == BAD_VERSION
    assert (await server.observed()).sessions == 0


@pytest.mark.parametrize("version", ["3", None, "abc"])
async def test_a_websocket_with_another_protocol_version_is_refused(server: Peer, version: str | None) -> None:
    ws = await server.websocket(target=at("/engine.io/", transport="websocket", eio=version, sid=""))
    await ws.refused(BAD_VERSION[1])
    assert (await server.observed()).sessions == 0


@pytest.mark.parametrize("version", ["3", None])
async def test_a_session_cannot_change_its_protocol_version(server: Peer, version: str | None) -> None:
    session = await server.polling()
    for method in ("GET", "POST"):
        answer = await ask(server.http, method, server.url + at("/engine.io/", eio=version, sid=session.sid))
        assert answer.error == BAD_REQUEST
    await session.send("4still here")
    assert await session.receive(1) == ["4still here"]


async def test_a_polling_session_is_not_asked_for_as_a_websocket_without_an_upgrade(server: Peer) -> None:
    session = await server.polling()
    for method in ("GET", "POST"):
        url = server.url + at("/engine.io/", transport="websocket", sid=session.sid)
        assert (await ask(server.http, method, url)).error == BAD_REQUEST
    await session.send("4still here")
    assert await session.receive(1) == ["4still here"]


async def test_a_websocket_session_does_not_answer_polls(server: Peer) -> None:
    ws = await server.websocket()
    for method in ("GET", "POST"):
        url = server.url + at("/engine.io/", sid=ws.handshake["sid"])
        assert (await ask(server.http, method, url)).error == BAD_REQUEST
    await ws.send("4still here")
    assert await ws.message() == "4still here"


async def test_polling_with_an_upgrade_header_is_no_session(server: Peer) -> None:
    ws = await server.websocket(target=at("/engine.io/"))
    if ws.head.status == 101:
        await ws.closed_in_silence()
    else:
        assert ws.head.status == 400
    assert (await server.observed()).sessions == 0


@by_path
async def test_compression_that_is_offered_is_not_accepted(server: Peer, path: str) -> None:
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    ws = await server.websocket(path, headers=offer)
    assert ws.head.status == 101
    assert "sec-websocket-extensions" not in ws.head.headers


async def test_many_sessions_open_at_once(server: Peer) -> None:
    sessions = await asyncio.gather(*(server.polling() for _ in range(50)))
    await asyncio.gather(*(session.send(f"4{n}") for n, session in enumerate(sessions)))
    assert [await session.receive(1) for session in sessions] == [[f"4{n}"] for n in range(50)]
    assert (await server.observed()).sessions == 50
