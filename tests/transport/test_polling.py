"""HTTP long-polling: what a POST brings comes back by a GET, and what ends the session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.transport.conftest import Serve
from tests.transport.raw import PollingSession, ask, open_post, read_head
from tests.transport.servers import MAX_PAYLOAD, Peer, at

SECOND = b"4second half"


async def test_a_post_is_answered_ok(server: Peer) -> None:
    session = await server.polling()
    async with server.http.post(session.url, data="4hello") as response:
        assert (response.status, await response.text()) == (200, "ok")
        assert response.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "packets",
    [
        ["4hello"], ["4test1", "4test2", "4test3"], ["bAQIDBA=="], ["4hello", "bAQIDBA==", "4h€llo 🎉"], ["4"],
        ["4a", "bAA==", "4", "b/+8="],
    ],
    ids=["one", "several", "binary", "mixed", "empty", "much mixed"],
)  # fmt: skip
async def test_packets_come_back_as_they_were_sent(server: Peer, packets: list[str]) -> None:
    session = await server.polling()
    await session.send(*packets)
    assert await session.receive(len(packets)) == packets


async def test_what_is_sent_while_a_poll_waits_ends_that_poll(server: Peer) -> None:
    session = await server.polling()
    poll = asyncio.create_task(session.poll())
    await asyncio.sleep(0.05)
    assert not poll.done()
    await session.send("4hello")
    assert (await poll).text == "4hello"


async def test_polls_one_after_the_other_miss_nothing(server: Peer) -> None:
    session = await server.polling()
    got = asyncio.create_task(session.receive(100))
    for n in range(100):
        await session.send(f"4{n}")
    assert await got == [f"4{n}" for n in range(100)]


async def test_a_body_in_two_segments_arrives_whole(server: Peer) -> None:
    session = await server.polling()
    body = b"4first half\x1e" + SECOND
    reader, writer = await open_post(session.url, {"Content-Length": str(len(body))})
    writer.write(body[: -len(SECOND)])
    await asyncio.sleep(0.1)
    writer.write(SECOND)
    assert (await read_head(reader)).status == 200
    assert await session.receive(2) == ["4first half", "4second half"]
    writer.close()


async def test_a_chunked_body_arrives_whole(server: Peer) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"4fi", b"rst\x1e4\xe2\x82", b"\xac", b"\x1e4third"):
            yield chunk
            await asyncio.sleep(0.01)

    session = await server.polling()
    answer = await session.post(chunks())
    assert (answer.status, answer.text) == (200, "ok")
    assert await session.receive(3) == ["4first", "4€", "4third"]


async def test_500_packets_in_one_post_arrive_in_order(server: Peer) -> None:
    session = await server.polling()
    packets = [f"4{n}" for n in range(500)]
    await session.send(*packets)
    assert await session.receive(500) == packets


async def test_a_body_of_exactly_the_limit_arrives(server: Peer) -> None:
    session = await server.polling()
    packet = "4" + "x" * (MAX_PAYLOAD - 1)
    await session.send(packet)
    assert await session.receive(1) == [packet]


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
async def test_a_larger_body_is_too_large(server: Peer, chunked: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_PAYLOAD // 50_000 + 1):
            yield b"4" * 50_000

    session = await server.polling()
    answer = await session.post(chunks() if chunked else b"4" * (MAX_PAYLOAD + 1))
    assert answer.status == 413


BROKEN = {
    "empty": b"", "garbage": b"abc", "an unknown digit": b"9x", "a digit of another script": "٤hello".encode(),
    "garbage after a message": b"4fine\x1eabc", "an empty packet": b"4fine\x1e\x1e4fine", "a ping": b"2",
}  # fmt: skip


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
async def test_a_body_that_breaks_the_protocol_ends_the_session(server: Peer, body: bytes) -> None:
    session = await server.polling()
    assert (await session.post(body)).status < 500
    await gone(server, session)


@pytest.mark.not_as_node
async def test_a_body_that_is_not_utf_8_ends_the_session(server: Peer) -> None:
    """Node reads replacement characters."""
    session = await server.polling()
    assert (await session.post(b"4\xff\xfe")).status < 500
    await gone(server, session)


async def test_a_raw_binary_body_is_refused(server: Peer) -> None:
    session = await server.polling()
    answer = await session.post(b"4hello", "application/octet-stream")
    assert answer.status == 400
    await gone(server, session)


async def test_of_two_polls_at_once_the_first_is_told_to_close(server: Peer) -> None:
    session = await server.polling()
    first = asyncio.create_task(session.poll())
    await asyncio.sleep(0.05)
    second = await session.poll()
    assert second.status == 400
    assert ((await first).status, (await first).text) == (200, "1")
    await gone(server, session)


async def test_two_posts_at_once_end_the_session(server: Peer) -> None:
    session = await server.polling()
    _reader, writer = await open_post(session.url, {"Content-Length": "6"})
    writer.write(b"4he")
    await asyncio.sleep(0.05)
    assert (await session.post("4hello")).status == 400
    await gone(server, session)
    writer.transport.abort()


async def test_a_client_that_closes_gets_its_poll_and_its_post_answered(server: Peer) -> None:
    session = await server.polling()
    poll = asyncio.create_task(session.poll())
    await asyncio.sleep(0.05)
    closing = await session.post("1")
    assert (closing.status, closing.text) == (200, "ok")
    assert ((await poll).status, (await poll).text) == (200, "6")
    await gone(server, session)


async def test_a_client_can_close_while_no_poll_waits(server: Peer) -> None:
    session = await server.polling()
    await session.send("1")
    await gone(server, session)


@pytest.mark.parametrize("path", ["/engine.io/", "/socket.io/"], ids=["engine", "socket"])
async def test_a_poll_that_the_client_aborts_ends_the_session_at_once(server: Peer, path: str) -> None:
    session = await server.polling(path)
    if path == "/socket.io/":
        await session.send("40")
        await session.receive(2)
    poll = asyncio.create_task(session.poll())
    await asyncio.sleep(0.1)
    poll.cancel()
    await server.empty(timeout_s=2)


async def test_a_post_that_the_client_aborts_ends_the_session_at_once(server: Peer) -> None:
    session = await server.polling()
    _reader, writer = await open_post(session.url, {"Content-Length": "6"})
    writer.write(b"4he")
    await asyncio.sleep(0.1)
    writer.transport.abort()
    await gone(server, session)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods_do_nothing_to_a_session(server: Peer, method: str) -> None:
    """Node answers 500, for which there is no reason."""
    session = await server.polling()
    status = (await ask(server.http, method, session.url, data="4hello")).status
    assert status == (400 if server.sio is not None else 500)  # the reference says 500, where it is the client's fault
    await session.send("4hello")
    assert await session.receive(1) == ["4hello"]


async def test_a_large_answer_is_compressed_for_who_accepts_it(server: Peer) -> None:
    session = await server.polling()
    packet = "4" + "hello " * 1000
    await session.send(packet)
    async with server.http.get(session.url, headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert await response.text() == packet


async def test_any_origin_that_is_allowed_is_told_so(serve: Serve) -> None:
    server = await serve()
    headers = {"Origin": "http://app.example"}
    async with server.http.get(server.url + at("/socket.io/"), headers=headers) as response:
        assert response.headers["Access-Control-Allow-Origin"] in ("*", "http://app.example")


async def gone(server: Peer, session: PollingSession) -> None:
    await server.empty()
    for method in ("GET", "POST"):
        answer = await ask(server.http, method, session.url)
        assert answer.error == (1, "Session ID unknown")


async def test_a_body_needs_no_content_type(server: Peer) -> None:
    session = await server.polling()
    reader, writer = await open_post(session.url, {"Content-Type": "", "Content-Length": "6"})
    writer.write(b"4hello")
    assert (await read_head(reader)).status == 200
    writer.close()
    assert await session.receive(1) == ["4hello"]
