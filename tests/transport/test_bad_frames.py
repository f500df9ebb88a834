"""Frames that RFC 6455 forbids: the connection is closed with the code that `ws` sends, the session is gone, and the
app hears of it once."""

from __future__ import annotations

import struct

import pytest

from tests.transport.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, text
from tests.transport.servers import MAX_PAYLOAD, Peer

PROTOCOL, NOT_UTF_8, TOO_BIG = 1002, 1007, 1009


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack(">H", code) + reason)


FORBIDDEN = {
    "a frame that is not masked": frame(TEXT, b"4hello", masked=False),
    "an empty frame that is not masked": frame(BINARY, masked=False),
    "a ping that is not masked": frame(PING, masked=False),
    "reserved bit 1 without an extension": frame(TEXT, b"4hello", reserved=4),
    "reserved bit 2": frame(TEXT, b"4hello", reserved=2),
    "reserved bit 3": frame(TEXT, b"4hello", reserved=1),
    "reserved bit 1 on a ping": frame(PING, reserved=4),
    "reserved bit 1 on a continuation": frame(TEXT, b"4", fin=False) + frame(CONTINUATION, b"x", reserved=4),
    "opcode 3": frame(0x3, b"4hello"),
    "opcode 7": frame(0x7, b"4hello"),
    "opcode 11": frame(0xB, b"4hello"),
    "opcode 15": frame(0xF),
    "a continuation of nothing": frame(CONTINUATION, b"4hello"),
    "a continuation after the end": frame(TEXT, b"3", fin=False) + frame(CONTINUATION) + frame(CONTINUATION),
    "a message inside a message": frame(TEXT, b"40", fin=False) + text("4hello"),
    "a message inside one whose first fragment was empty": frame(TEXT, b"", fin=False) + text("4hello"),
    "a fragment that starts inside a message": frame(BINARY, b"a", fin=False) + frame(BINARY, b"b", fin=False),
    "a ping in fragments": frame(PING, b"a", fin=False),
    "a close frame in fragments": frame(CLOSE, b"\x03\xe8", fin=False),
    "a ping of 126 bytes": frame(PING, bytes(126)),
    "a pong of 126 bytes": frame(PONG, bytes(126)),
    "a close frame of 126 bytes": frame(CLOSE, b"\x03\xe8" + b"x" * 124),
    "a close frame of one byte": frame(CLOSE, b"\x03"),
    "close code 0": closing(0),
    "close code 999": closing(999),
    "close code 1004": closing(1004),
    "close code 1005": closing(1005),
    "close code 1006": closing(1006),
    "close code 1015": closing(1015),
    "close code 2999": closing(2999),
    "close code 5000": closing(5000),
}


@pytest.mark.parametrize("data", FORBIDDEN.values(), ids=FORBIDDEN.keys())
async def test_a_forbidden_frame_closes_with_1002(server: Peer, data: bytes) -> None:
    await closes(server, data, PROTOCOL)


GARBLED = {
    "a message": frame(TEXT, b"4\xff\xfe"),
    "a message cut inside a character": frame(TEXT, b"4\xe2\x82"),
    "a surrogate": frame(TEXT, b"4\xed\xa0\x80"),
    "an overlong form": frame(TEXT, b"4\xc0\xaf"),
    "in fragments": frame(TEXT, b"4\xe2", fin=False) + frame(CONTINUATION, b"\x82", fin=False) + frame(CONTINUATION),
    "in fragments around a ping": frame(TEXT, b"4\xe2", fin=False) + frame(PING) + frame(CONTINUATION, b"x"),
    "a closing reason": closing(1000, b"\xff"),
}


@pytest.mark.parametrize("data", GARBLED.values(), ids=GARBLED.keys())
async def test_text_that_is_not_utf_8_closes_with_1007(server: Peer, data: bytes) -> None:
    await closes(server, data, NOT_UTF_8)


HALF = bytes(MAX_PAYLOAD // 2)
OVERSIZE = {
    "one frame": frame(BINARY, bytes(MAX_PAYLOAD + 1)),
    "a header alone": frame(BINARY, b"", length=MAX_PAYLOAD + 1),
    "a header of 4 GiB": frame(TEXT, b"", length=2**32),
    "a header of 2^62 bytes": frame(TEXT, b"", length=2**62),
    "a header with the highest bit": frame(TEXT, b"", length=2**63),
    "fragments": frame(BINARY, HALF, fin=False) + frame(CONTINUATION, HALF, fin=False) + frame(CONTINUATION, b"x"),
    "a continuation's header": frame(BINARY, b"x", fin=False) + frame(CONTINUATION, b"", length=MAX_PAYLOAD),
}


@pytest.mark.parametrize("data", OVERSIZE.values(), ids=OVERSIZE.keys())
async def test_a_message_over_the_limit_closes_with_1009(server: Peer, data: bytes) -> None:
    await closes(server, data, TOO_BIG)


@pytest.mark.parametrize("data", [FORBIDDEN["opcode 3"], GARBLED["a message"]], ids=["opcode", "text"])
async def test_a_bad_frame_in_single_bytes_closes_too(server: Peer, data: bytes) -> None:
    ws = await server.socket()
    await ws.write(*(data[n : n + 1] for n in range(len(data))), pause_s=0.001)
    assert await ws.closed_in_silence() in (PROTOCOL, NOT_UTF_8)
    assert len((await server.empty()).of("disconnect")) == 1


async def test_what_comes_before_a_bad_frame_is_handled_and_nothing_after_it(server: Peer) -> None:
    ws = await server.socket()
    await ws.write(text('42["message",1]') + frame(0x3) + text('42["message",2]'))
    assert await ws.closed() == PROTOCOL
    observed = await server.empty()
    assert observed.of("event") in ([["message", [1]]], [])  # closing may overtake what is not dispatched yet
    assert len(observed.of("disconnect")) == 1


async def test_a_bad_frame_of_a_session_that_never_connected_leaves_nothing(server: Peer) -> None:
    ws = await server.websocket("/socket.io/")
    await ws.write(frame(TEXT, b"40", masked=False))
    assert await ws.closed_in_silence() == PROTOCOL
    observed = await server.empty()
    assert observed.events == []


async def test_a_client_that_never_answers_the_close_frame_leaves_nothing(server: Peer) -> None:
    ws = await server.socket()
    await ws.write(frame(0x3))
    observed = await server.empty()
    assert len(observed.of("disconnect")) == 1


async def test_fifty_bad_frames_leave_no_ghosts(server: Peer) -> None:
    for ws in [await server.socket() for _ in range(50)]:
        await ws.write(frame(0x3))
    observed = await server.empty()
    assert len(observed.of("disconnect")) == 50


async def closes(server: Peer, data: bytes, code: int) -> None:
    ws = await server.socket()
    await ws.write(data)
    found = await ws.next()
    while found is not None and found.opcode == PONG:
        found = await ws.next()
    assert found is not None, "the connection ended without a close frame"
    assert (found.opcode, found.payload) == (CLOSE, code)
    await ws.write(frame(CLOSE, struct.pack(">H", code)))
    observed = await server.empty()
    assert len(observed.of("disconnect")) == 1
    assert observed.of("event") == []
    assert await ws.next() is None
