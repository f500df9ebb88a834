"""What no Socket.IO client sends: the transport is closed, and the app hears of that once, and of nothing else."""

from __future__ import annotations

import pytest

from tests.transport.servers import Peer, joined, polling_socket

DEEP = "[" * 200_000
RESERVED = ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]

BROKEN: dict[str, list[str | bytes]] = {
    "an empty message": ["4"],
    "a letter as type": ["4abc"],
    "type 7": ["47"],
    "type 9": ['49["message",1]'],
    "a digit of another script as type": ['4٢["message",1]'],
    "a superscript as type": ['4²["message",1]'],
    "an object as event": ["42{}"],
    "a string as event": ['42"message"'],
    "an empty array": ["42[]"],
    "true as name": ["42[true]"],
    "null as name": ["42[null]"],
    "an object as name": ['42[{"a":1}]'],
    "an array as name": ['42[["message"]]'],
    "JSON that ends early": ['42["a"'],
    "JSON with more behind it": ['42["message",1]x'],
    "JSON in single quotes": ["42['message']"],
    "JSON that is 200,000 deep": [f"4{DEEP}"],
    "an event that is 200,000 deep": [f'42["message",{DEEP}'],
    "NaN": ['42["message",NaN]'],
    "Infinity": ['42["message",-Infinity]'],
    "CONNECT with an array": ["40/custom,[]"],
    "CONNECT with a string": ['40/custom,"token"'],
    "CONNECT with a number as payload": ["40/custom,null"],
    "CONNECT once more": ["40"],
    "CONNECT once more with a payload": ['40{"token":"123"}'],
    "DISCONNECT with a payload": ['41{"a":1}'],
    "CONNECT_ERROR": ['44{"message":"no"}'],
    "CONNECT_ERROR without data": ["44"],
    "an ack with an object": ["430{}"],
    "an ack with a string": ['430"hello"'],
    "an ack with broken JSON": ["430[1"],
    "an event of a namespace that is not connected": ['42/custom,["message",1]'],
    "an ack of a namespace that is not connected": ["43/custom,1[]"],
    "DISCONNECT of a namespace that is not connected": ["41/custom,"],
    "an event of a namespace that does not exist": ['42/random,["message",1]'],
    "no attachments announced": ['450-["message",1]'],
    "attachments without a number": ['45-["message",1]'],
    "attachments without a dash": ['451["message",{"_placeholder":true,"num":0}]'],
    "a negative number of attachments": ['45-1-["message",1]'],
    "half an attachment": ['451.5-["message",1]'],
    "a binary event without anything": ["45"],
    "eleven attachments": ['4511-["message",{"_placeholder":true,"num":0}]'],
    "a million attachments": ['451000000-["message",{"_placeholder":true,"num":0}]'],
    "a binary event with a reserved name": ['451-["disconnect",{"_placeholder":true,"num":0}]'],
    "a binary event with an object": ['451-{"_placeholder":true,"num":0}'],
    "a binary ack with an object": ['461-0{"_placeholder":true,"num":0}'],
    "binary that was not announced": [b"\x01\x02\x03"],
    "empty binary that was not announced": [b""],
    "text where an attachment is awaited": ['451-["message",{"_placeholder":true,"num":0}]', '42["message",1]'],
    "one attachment more than announced": ['451-["unheard",{"_placeholder":true,"num":0}]', b"\x01", b"\x02"],
    "a placeholder beyond the attachments": ['451-["message",{"_placeholder":true,"num":1}]', b"\x01"],
    "a placeholder with a negative number": ['451-["message",{"_placeholder":true,"num":-1}]', b"\x01"],
    "a placeholder without a number": ['451-["message",{"_placeholder":true}]', b"\x01"],
    "a placeholder with a string as number": ['451-["message",{"_placeholder":true,"num":"0"}]', b"\x01"],
}


@pytest.mark.parametrize("packets", BROKEN.values(), ids=BROKEN.keys())
async def test_a_packet_that_breaks_the_protocol_closes(server: Peer, packets: list[str | bytes]) -> None:
    ws = await server.socket()
    await ws.send(*packets)
    await ws.closed_in_silence()
    observed = await server.empty()
    assert observed.of("connect") == [["/"]]
    assert len(observed.of("disconnect")) == 1
    assert [event for event in observed.of("event") if event[0] != "unheard"] == []


@pytest.mark.parametrize("ack", ["", "1"], ids=["plain", "with an ack"])
@pytest.mark.parametrize("name", RESERVED)
async def test_a_reserved_name_closes_and_reaches_no_handler(server: Peer, name: str, ack: str) -> None:
    ws = await server.socket()
    await ws.send(f'42{ack}["{name}","client namespace disconnect",{{"token":"123"}}]')
    await ws.closed_in_silence()
    observed = await server.empty()
    assert [event[:2] for event in observed.events] == [["connect", "/"], ["disconnect", "/"]]


@pytest.mark.not_as_node
async def test_a_whole_event_that_is_200_000_deep_closes(server: Peer) -> None:
    """Node parses it, and dies of it once it is sent on."""
    ws = await server.socket()
    await ws.send(f'42["message",{DEEP}{"]" * 200_000}]')
    await ws.closed_in_silence()
    observed = await server.empty()
    assert observed.of("event") == []


async def test_an_event_without_data_is_no_event(server: Peer) -> None:
    """Node ignores it."""
    ws = await server.socket()
    await ws.send("42", '42["message",1]')
    assert await ws.message() == '42["message-back",1]'


FIRST: dict[str, str | bytes] = {
    "garbage": "4abc", "an event": '42["message",1]', "an event with an ack": '421["message",1]', "an ack": "431[]",
    "DISCONNECT": "41", "CONNECT_ERROR": '44{"message":"no"}', "binary": b"\x01", "CONNECT with an array": "40[]",
    "CONNECT with a string": '40"token"', "CONNECT with broken JSON": '40{"token"', "an empty message": "4",
    "CONNECT with NaN": '40{"a":NaN}', "CONNECT that is 200,000 deep": "40" + '{"a":' * 200_000,
    "an event of another namespace": '42/custom,["message",1]', "a reserved name": '42["connect",{}]',
}  # fmt: skip


@pytest.mark.parametrize("packet", FIRST.values(), ids=FIRST.keys())
async def test_anything_but_connect_comes_too_early(server: Peer, packet: str | bytes) -> None:
    ws = await server.websocket("/socket.io/")
    await ws.send(packet)
    await ws.closed_in_silence()
    assert (await server.empty()).events == []


@pytest.mark.parametrize("packet", ["4abc", '42["connect"]', "40", '450-["message"]', "bAQID"])
async def test_polling_is_closed_too(server: Peer, packet: str) -> None:
    session = await polling_socket(server)
    answer = await session.post(packet)
    assert answer.status < 500
    answer = await session.poll()
    assert answer.status == 400 or answer.packets[-1] == "1", answer
    observed = await server.empty()
    assert len(observed.of("disconnect")) == 1
    assert observed.of("event") == []


async def test_closing_takes_all_namespaces_with_it(server: Peer) -> None:
    ws = await joined(await server.socket(), "/custom")
    await ws.send("42[]")
    await ws.closed_in_silence()
    observed = await server.empty()
    assert sorted(event[0] for event in observed.of("disconnect")) == ["/", "/custom"]


async def test_fifty_that_break_the_protocol_disturb_nobody(server: Peer) -> None:
    good = await server.socket()
    for ws in [await server.socket() for _ in range(50)]:
        await ws.send('42["connect"]')
        await ws.closed_in_silence()
    await good.send('42["message",1]')
    assert await good.message() == '42["message-back",1]'
    observed = await server.until(lambda found: found.clients == found.sessions == 1)
    assert len(observed.of("disconnect")) == 50
