"""Engine.IO packets over a WebSocket, and unusual frames that are fine."""

from __future__ import annotations

import asyncio
import struct

import pytest

from tests.transport.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Received, frame, text
from tests.transport.servers import MAX_PAYLOAD, Peer


@pytest.mark.parametrize(
    "message", ["4hello", "4", "4h€llo 🎉", "4\x00\x1e", b"\x01\x02\x03\x04", b"", b"4hello", b"\xff\xfe"]
)
async def test_a_message_comes_back_as_it_was_sent(server: Peer, message: str | bytes) -> None:
    ws = await server.websocket()
    await ws.send(message)
    assert await ws.message() == message


async def test_text_and_binary_keep_their_order(server: Peer) -> None:
    ws = await server.websocket()
    sent = [f"4{n}" if n % 3 else n.to_bytes(2) for n in range(300)]
    await ws.send(*sent)
    assert await ws.messages(300) == sent


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 300_000, MAX_PAYLOAD])
async def test_frames_of_every_form_of_length_come_back(server: Peer, size: int) -> None:
    ws = await server.websocket()
    sent = bytes(range(256)) * (size // 256 + 1)
    await ws.send(sent[:size])
    assert await ws.message() == sent[:size]


async def test_text_of_exactly_the_limit_comes_back(server: Peer) -> None:
    ws = await server.websocket()
    await ws.send("4" + "x" * (MAX_PAYLOAD - 1))
    assert await ws.message() == "4" + "x" * (MAX_PAYLOAD - 1)


async def test_a_length_may_have_a_longer_form_than_it_needs(server: Peer) -> None:
    ws = await server.websocket()
    key = b"\0\0\0\0"
    await ws.write(b"\x81\xfe" + struct.pack(">H", 6) + key + b"4hello")
    await ws.write(b"\x81\xff" + struct.pack(">Q", 6) + key + b"4again")
    assert await ws.messages(2) == ["4hello", "4again"]


async def test_a_frame_may_come_one_byte_at_a_time(server: Peer) -> None:
    ws = await server.websocket()
    data = text("4hello") + frame(BINARY, b"x" * 200)
    await ws.write(*(data[n : n + 1] for n in range(len(data))), pause_s=0.001)
    assert await ws.messages(2) == ["4hello", b"x" * 200]


async def test_the_first_frame_may_come_with_the_handshake(server: Peer) -> None:
    ws = await server.websocket(early=text("4early"))
    assert await ws.message() == "4early"


async def test_many_frames_in_one_segment_are_read_in_order(server: Peer) -> None:
    ws = await server.websocket()
    await ws.write(b"".join(text(f"4{n}") for n in range(1000)) + text("4la")[:3])
    assert await ws.messages(1000) == [f"4{n}" for n in range(1000)]


async def test_a_message_in_many_fragments_with_a_ping_between_comes_back_once(server: Peer) -> None:
    ws = await server.websocket()
    euro = "€".encode()
    await ws.write(
        frame(TEXT, b"4he" + euro[:1], fin=False), frame(CONTINUATION, euro[1:], fin=False), frame(PING, b"are you?"),
        frame(CONTINUATION, b"", fin=False), frame(CONTINUATION, b"llo", fin=False), frame(CONTINUATION, b""),
    )  # fmt: skip
    assert await ws.next() == Received(PONG, b"are you?")
    assert await ws.message() == "4he€llo"
    await ws.nothing(0.1)


async def test_a_message_may_begin_with_an_empty_fragment(server: Peer) -> None:
    ws = await server.websocket()
    await ws.write(frame(BINARY, b"", fin=False), frame(CONTINUATION, b"abc", fin=False), frame(CONTINUATION, b"d"))
    assert await ws.message() == b"abcd"
    await ws.write(frame(TEXT, b"", fin=False), frame(CONTINUATION, b"4hello"))
    assert await ws.message() == "4hello"


async def test_a_thousand_fragments_are_one_message(server: Peer) -> None:
    ws = await server.websocket()
    middle = b"".join(frame(CONTINUATION, b"x", fin=False) for _ in range(1000))
    await ws.write(frame(TEXT, b"4", fin=False) + middle + frame(CONTINUATION, b"y"))
    assert await ws.message() == "4" + "x" * 1000 + "y"


@pytest.mark.parametrize("payload", [b"", b"hello", bytes(125)], ids=["empty", "short", "longest"])
async def test_a_ping_frame_is_answered_with_its_payload(server: Peer, payload: bytes) -> None:
    ws = await server.websocket()
    await ws.write(frame(PING, payload))
    assert await ws.next() == Received(PONG, payload)


async def test_a_pong_frame_that_nobody_asked_for_is_ignored(server: Peer) -> None:
    ws = await server.websocket()
    await ws.write(frame(PONG, b"here I am"), text("4hello"))
    assert await ws.message() == "4hello"


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
async def test_a_close_frame_is_answered_with_one_and_ends_the_session(server: Peer, code: int) -> None:
    ws = await server.socket()
    await ws.write(frame(CLOSE, struct.pack(">H", code) + b"bye"))
    assert await ws.next() == Received(CLOSE, code)
    assert await ws.next() is None
    assert len((await server.empty()).of("disconnect")) == 1


async def test_a_close_frame_without_a_code_is_answered_too(server: Peer) -> None:
    ws = await server.websocket()
    await ws.write(frame(CLOSE))
    assert await ws.closed() is not None
    await server.empty()


async def test_what_comes_after_a_close_frame_is_not_read(server: Peer) -> None:
    ws = await server.socket()
    await ws.write(frame(CLOSE, struct.pack(">H", 1000)) + text('42["message","too late"]'))
    assert await ws.closed_in_silence() == 1000
    assert (await server.empty()).of("event") == []


async def test_what_comes_before_a_close_frame_is_read(server: Peer) -> None:
    ws = await server.socket()
    await ws.write(text('42["message","in time"]') + frame(CLOSE, struct.pack(">H", 1000)))
    await server.until(lambda observed: observed.of("event") == [["message", ["in time"]]])
    await server.empty()


@pytest.mark.parametrize("how", ["abort", "eof"])
async def test_a_connection_that_ends_without_a_close_frame_ends_the_session(server: Peer, how: str) -> None:
    ws = await server.socket()
    if how == "abort":
        ws.abort()
    else:
        ws.writer.write_eof()
    assert len((await server.empty()).of("disconnect")) == 1


BROKEN = {
    "garbage": "abc", "nothing": "", "an unknown digit": "9", "a digit of another script": "٤hello",
    "a ping, which is the server's": "2", "a probe outside an upgrade": "2probe",
}  # fmt: skip


@pytest.mark.parametrize("packet", BROKEN.values(), ids=BROKEN.keys())
async def test_a_packet_that_breaks_the_protocol_closes(server: Peer, packet: str) -> None:
    ws = await server.socket()
    await ws.send(packet)
    await ws.closed_in_silence()
    assert len((await server.empty()).of("disconnect")) == 1


async def test_a_client_that_says_close_is_gone(quick: Peer) -> None:
    """Node ignores the packet and waits for the ping's timeout."""
    ws = await quick.websocket()
    await ws.send("1")
    await ws.closed()
    await quick.empty()


@pytest.mark.not_as_node
async def test_a_client_that_says_close_is_gone_at_once(server: Peer) -> None:
    ws = await server.websocket()
    await ws.send("1")
    await ws.closed_in_silence()
    await server.empty()


async def test_a_hundred_websockets_echo_at_once(server: Peer) -> None:
    sockets = await asyncio.gather(*(server.websocket() for _ in range(100)))
    await asyncio.gather(*(ws.send(f"4{n}", f"4{n} again") for n, ws in enumerate(sockets)))
    for n, ws in enumerate(sockets):
        assert await ws.messages(2) == [f"4{n}", f"4{n} again"]
    for ws in sockets:
        ws.abort()
    await server.empty()
