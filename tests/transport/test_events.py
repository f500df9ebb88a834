"""Socket.IO's events: plain and binary, with and without an ack, to a room."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.transport.raw import PollingSession, RawWebSocket
from tests.transport.servers import Peer, joined, polling_socket


@pytest.mark.parametrize("args", ['1,"2",{"3":[true]}', '""', "null,1.5,-3", '"h€llo 🎉"', "[],{}", '"a\\"b\\\\c"'])
@pytest.mark.parametrize(("namespace", "prefix"), [("/", ""), ("/custom", "/custom,")], ids=["main", "custom"])
async def test_an_event_reaches_its_handler_and_comes_back(
    server: Peer, namespace: str, prefix: str, args: str
) -> None:
    ws = await server.socket(namespace)
    await ws.send(f'42{prefix}["message",{args}]')
    back = str(await ws.message())
    assert back.startswith(f"42{prefix}[")
    assert json.loads(back.removeprefix(f"42{prefix}")) == json.loads(f'["message-back",{args}]')


async def test_an_event_needs_no_arguments(server: Peer) -> None:
    ws = await server.socket()
    await ws.send('42["message"]')
    assert await ws.message() == '42["message-back"]'


async def test_events_that_nobody_handles_do_no_harm(server: Peer) -> None:
    ws = await server.socket()
    await ws.send('42["unheard of",1]', '421["unheard of",1]', '42["message",1]')
    while (found := await ws.message()) != '42["message-back",1]':
        assert str(found).startswith("431[")


PLACEHOLDERS = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'


@pytest.mark.parametrize("prefix", ["", "/custom,"], ids=["main", "custom"])
async def test_a_binary_event_comes_back_with_its_attachments(server: Peer, prefix: str) -> None:
    ws = await server.socket("/custom" if prefix else "/")
    await ws.send(f'452-{prefix}["message",{PLACEHOLDERS}]', b"\x01\x02\x03", b"\x04\x05\x06")
    assert await ws.messages(3) == [
        f'452-{prefix}["message-back",{PLACEHOLDERS}]', b"\x01\x02\x03", b"\x04\x05\x06",
    ]  # fmt: skip


async def test_attachments_may_be_nested_and_empty(server: Peer) -> None:
    ws = await server.socket()
    args = '{"a":[{"_placeholder":true,"num":0}]},[{"b":{"_placeholder":true,"num":1}}]'
    await ws.send(f'452-["message",{args}]', b"\x01", b"")
    assert await ws.messages(3) == [f'452-["message-back",{args}]', b"\x01", b""]


async def test_ten_attachments_are_not_too_many(server: Peer) -> None:
    ws = await server.socket()
    args = ",".join(f'{{"_placeholder":true,"num":{n}}}' for n in range(10))
    await ws.send(f'4510-["message",{args}]', *(bytes([n]) for n in range(10)))
    assert await ws.messages(11) == [f'4510-["message-back",{args}]', *(bytes([n]) for n in range(10))]


async def test_polling_carries_attachments_as_base64(server: Peer) -> None:
    session = await polling_socket(server)
    await session.send(f'452-["message",{PLACEHOLDERS}]', "bAQID", "bBAUG")
    assert await session.receive(3) == [f'452-["message-back",{PLACEHOLDERS}]', "bAQID", "bBAUG"]


async def test_attachments_may_come_in_a_post_of_their_own(server: Peer) -> None:
    session = await polling_socket(server)
    for packet in (f'452-["message",{PLACEHOLDERS}]', "bAQID", "bBAUG"):
        await session.send(packet)
    assert await session.receive(3) == [f'452-["message-back",{PLACEHOLDERS}]', "bAQID", "bBAUG"]


@pytest.mark.parametrize("ack_id", [0, 1, 456, 2**31, 2**53 - 1])
@pytest.mark.parametrize("prefix", ["", "/custom,"], ids=["main", "custom"])
async def test_an_ack_has_the_id_and_the_arguments(server: Peer, prefix: str, ack_id: int) -> None:
    ws = await server.socket("/custom" if prefix else "/")
    await ws.send(f'42{prefix}{ack_id}["message-with-ack",1,"2",{{"3":[false]}}]')
    assert await ws.message() == f'43{prefix}{ack_id}[1,"2",{{"3":[false]}}]'


async def test_an_ack_may_have_no_arguments(server: Peer) -> None:
    ws = await server.socket()
    await ws.send('427["message-with-ack"]', '428["join","room"]')
    assert await ws.messages(2) == ["437[]", "438[]"]


async def test_an_ack_may_be_binary(server: Peer) -> None:
    ws = await server.socket()
    await ws.send(f'452-789["message-with-ack",{PLACEHOLDERS}]', b"\x01\x02\x03", b"\x04\x05\x06")
    assert await ws.messages(3) == [f"462-789[{PLACEHOLDERS}]", b"\x01\x02\x03", b"\x04\x05\x06"]


@pytest.mark.parametrize("packet", ["430[]", '4312["hello"]', "432147483648[]", '43["hello"]', "431"])
async def test_an_ack_that_nobody_waits_for_is_ignored(server: Peer, packet: str) -> None:
    ws = await server.socket()
    await ws.send(packet, '42["message",1]')
    assert await ws.message() == '42["message-back",1]'


async def test_a_binary_ack_that_nobody_waits_for_is_ignored(server: Peer) -> None:
    ws = await server.socket()
    await ws.send('461-3[{"_placeholder":true,"num":0}]', b"\x01", '42["message",1]')
    assert await ws.message() == '42["message-back",1]'


async def test_attachments_that_are_announced_and_never_come_do_no_harm(server: Peer) -> None:
    ws, other = await server.socket(), await server.socket()
    await ws.send('451-["message",{"_placeholder":true,"num":0}]')
    await other.send('42["message",1]')
    assert await other.message() == '42["message-back",1]'
    ws.abort()
    other.abort()
    observed = await server.empty()
    assert observed.of("event") == [["message", [1]]]


async def test_many_events_are_handled_in_order(server: Peer) -> None:
    ws = await server.socket()
    await ws.send(*(f'42["message",{n}]' for n in range(500)))
    assert await ws.messages(500) == [f'42["message-back",{n}]' for n in range(500)]
    assert (await server.observed()).of("event") == [["message", [n]] for n in range(500)]


@pytest.mark.not_as_node
async def test_an_event_waits_until_the_one_before_it_is_handled(server: Peer) -> None:
    ws = await server.socket()
    waits = [0.2, 0.1, 0.05, 0]
    await ws.send(*(f'42["wait",{wait_s}]' for wait_s in waits))
    assert await ws.messages(len(waits)) == [f'42["waited",{wait_s}]' for wait_s in waits]


@pytest.mark.not_as_node
async def test_the_events_of_one_socket_do_not_hold_up_another(server: Peer) -> None:
    slow, fast = await server.socket(), await server.socket()
    await slow.send('42["wait",0.5]')
    await server.until(lambda observed: len(observed.of("event")) == 1)
    await fast.send('42["message",1]')
    assert await fast.message(timeout_s=0.3) == '42["message-back",1]'
    assert await slow.message() == '42["waited",0.5]'


async def members(server: Peer) -> tuple[RawWebSocket, PollingSession, RawWebSocket]:
    """Of one room: a WebSocket, a polling session, and one that has moved from polling to a WebSocket."""
    ws, polling, moving = await server.socket(), await polling_socket(server), await polling_socket(server)
    await ws.send('420["join","room"]')
    assert await ws.message() == "430[]"
    await polling.send('420["join","room"]')
    assert await polling.receive(1) == ["430[]"]
    await moving.send('420["join","room"]')
    assert await moving.receive(1) == ["430[]"]
    moved = await server.websocket("/socket.io/", sid=moving.sid)
    await moved.send("2probe")
    assert await moved.message() == "3probe"
    await moved.send("5", '42["message","moved"]')
    assert await moved.message() == '42["message-back","moved"]'
    return ws, polling, moved


async def test_each_member_of_a_room_gets_all_in_order(server: Peer) -> None:
    ws, polling, moved = await members(server)
    outside = await server.socket()
    count = 50
    await outside.send(*(f'42["to-room","room",{n}]' for n in range(count)))
    expected = [f'42["room-event",{n}]' for n in range(count)]
    assert await ws.messages(count) == expected
    assert await moved.messages(count) == expected
    assert await polling.receive(count) == expected
    await outside.nothing(0.1)


async def test_each_member_of_a_room_gets_text_and_binary(server: Peer) -> None:
    ws, polling, moved = await members(server)
    outside = await server.socket()
    placeholder = '{"_placeholder":true,"num":0}'
    await outside.send(
        '42["to-room","room","first"]', f'451-["to-room","room",{placeholder}]', b"\x01\x02\x03",
        '42["to-room","room","last"]',
    )  # fmt: skip
    head, tail = '42["room-event","first"]', '42["room-event","last"]'
    binary = f'451-["room-event",{placeholder}]'
    assert await ws.messages(4) == [head, binary, b"\x01\x02\x03", tail]
    assert await moved.messages(4) == [head, binary, b"\x01\x02\x03", tail]
    assert await polling.receive(4) == [head, binary, "bAQID", tail]


async def test_a_room_is_one_namespaces_alone(server: Peer) -> None:
    ws = await joined(await server.socket(), "/custom")
    await ws.send('420["join","room"]')
    assert await ws.message() == "430[]"
    await ws.send('42/custom,["to-room","room",1]', '42["to-room","room",2]')
    assert await ws.message() == '42["room-event",2]'
    await ws.nothing(0.1)


async def test_a_member_that_is_gone_holds_nobody_up(server: Peer) -> None:
    ws, polling, moved = await members(server)
    moved.abort()
    poll = asyncio.create_task(polling.poll())
    await asyncio.sleep(0.05)
    poll.cancel()
    await server.until(lambda observed: observed.clients == 1)
    await ws.send('42["to-room","room",1]')
    assert await ws.message() == '42["room-event",1]'
