"""What one client does, from its first byte to its end."""

from __future__ import annotations

import base64
from random import Random

from tests.transport.hostile.actions import ENDS, Action, Drop, Frame, Http, Pause, Scenario, Send, Upgrade
from tests.transport.hostile.frames import MAX_BYTES, control, frames, send
from tests.transport.hostile.packets import AUTHS, Packet, packets, text
from tests.transport.raw import SEPARATOR, TEXT

POLL = "EIO=4&transport=polling&sid={sid}"
_OTHER_QUERIES = (
    "EIO=4&transport=polling", "EIO=4&transport=polling&j=0&sid={sid}", "EIO=3&transport=polling&sid={sid}",
    "EIO=3&transport=polling", "EIO=&transport=polling&sid={sid}", "transport=polling&sid={sid}", "sid={sid}&EIO=4",
    "EIO=4&transport=websocket&sid={sid}", "EIO=4&transport=flash&sid={sid}", "EIO=4&transport=polling&sid=unknown",
    "EIO=4&transport=polling&sid=%00%ff", "EIO=4&transport=websocket", "", "%ff%fe=1&transport=polling&EIO=4",
    "EIO=4&EIO=3&transport=polling&transport=websocket&sid={sid}&sid=x", "EIO=4&transport=polling&b64=1&t=x&sid={sid}",
    "EIO=%D9%A4&transport=polling", "EIO=4&transport=polling&sid=" + "x" * 3000,
)  # fmt: skip
_METHODS = ("PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW", "GET", "POST", "get")
_HEADERS = (
    "Content-Type: application/octet-stream", "Content-Type: text/plain;charset=utf-16", "Content-Type: \x80;;=",
    "Content-Encoding: gzip", "Content-Encoding: deflate", "Expect: 100-continue", "Expect: nothing",
    "Connection: close", "Origin: null", "Accept-Encoding: gzip", "Connection: Upgrade", "Upgrade: websocket",
    "X-Long: " + "x" * 9000, "Content-Length: -1", "Transfer-Encoding: gzip, chunked", "X-Latin: \xff\xfe",
    "Cookie: io=\x80; =; a", "No colon",
    "Sec-WebSocket-Version: 12", "X-Empty:", "Range: bytes=0-",
)  # fmt: skip
_FRAMINGS = ("chunked", "bad chunks", "short", "long", "none")
_ODD_BODIES = (
    b"", b"\xff\xfe", b"4\xe2\x82", SEPARATOR.encode(), b"d=4%22", b"x" * (MAX_BYTES + 1),
    b"4" + b"x" * (MAX_BYTES - 1),
    b"3\x1e" * 9000, b"\0", b"bAQID" * 10, "4٢".encode(),
)  # fmt: skip


def body(r: Random, messages: list[Packet]) -> bytes:
    if r.randrange(12) == 11:
        return r.choice(_ODD_BODIES)
    parts = (part if isinstance(part, str) else "b" + base64.b64encode(part).decode() for part in messages)
    return SEPARATOR.join(parts).encode() + (text(r).encode() if r.randrange(20) == 19 else b"")


def post(r: Random, messages: list[Packet]) -> Http:
    framing = r.choice(_FRAMINGS) if r.randrange(10) == 9 else "length"
    cut = r.randrange(1, 300) if r.randrange(3) == 2 else None
    return Http("POST", POLL, body=body(r, messages), framing=framing, cut=cut, wait=r.randrange(4) != 3)


def poll(r: Random) -> Http:
    return Http("GET", POLL, framing="none", wait=r.randrange(3) == 0)


def request(r: Random) -> Http:
    """Any, mostly none that the protocol has."""
    query = POLL if r.randrange(3) == 0 else r.choice(_OTHER_QUERIES)
    headers = tuple(r.choice(_HEADERS) for _ in range(r.randrange(4)))
    found = post(r, packets(r)) if r.randrange(2) else poll(r)
    method = found.method if r.randrange(3) else r.choice(_METHODS)
    return Http(method, query, headers, found.body, found.framing, found.cut, found.wait)


def upgrade(r: Random) -> Upgrade:
    whole = Upgrade()
    early = frames(r, ["2probe"], 0) if r.randrange(4) == 3 else ()
    headers = whole.headers
    if r.randrange(6) == 5:
        left_out = r.randrange(len(headers))
        headers = (*headers[:left_out], *headers[left_out + 1 :], *(r.choice(_HEADERS) for _ in range(r.randrange(2))))
    return Upgrade(r.choice(_OTHER_QUERIES) if r.randrange(12) == 11 else whole.query, headers, early)


def upgrading(r: Random) -> list[Action]:
    """The stages of an upgrade, each of which may fail, be left out or be the last."""
    probe, seal = send(r, ["2probe"], 12), send(r, ["5"], 12)
    stages: list[Action] = [poll(r), upgrade(r), probe, poll(r), seal, send(r, packets(r))]
    kept = [stage for stage in stages if r.randrange(8) != 7]
    if r.randrange(3) == 2:
        kept.insert(r.randrange(len(kept) + 1), action(r))
    return kept[: r.randrange(1, len(kept) + 1)] if kept and r.randrange(3) == 2 else kept


def action(r: Random) -> Action:
    match r.randrange(12):
        case 0 | 1 | 2:
            return send(r, packets(r))
        case 3 | 4:
            return post(r, packets(r))
        case 5 | 6:
            return poll(r)
        case 7:
            return request(r)
        case 8:
            return Pause(r.choice((1, 10, 50)))
        case 9:
            return Send((control(r), Frame(TEXT, b"3")))
        case 10:
            return upgrade(r)
        case _:
            return Drop(r.choice(ENDS[:4]))


def scenario(r: Random) -> Scenario:
    begins = r.choice(("nothing", "websocket", "websocket", "polling", "polling"))
    actions: list[Action] = []
    if begins != "nothing" and r.randrange(5):
        connect: list[Packet] = [f"40{r.choice(AUTHS)}", *(("40/custom,",) if r.randrange(2) else ())]
        actions.append(send(r, connect, 0) if begins == "websocket" else post(r, connect))
    if begins == "polling" and r.randrange(2):
        actions += upgrading(r)
    actions += [action(r) for _ in range(r.randrange(5))]
    if r.randrange(8) == 7:
        announced: list[Packet] = ['452-["echo",{"_placeholder":true,"num":1}]', b"one of two"]
        part = announced[: r.randrange(1, 3)]
        actions.append(send(r, part, 0) if begins == "websocket" else post(r, part))
    if r.randrange(2):
        actions.append(Pause(30))
    return Scenario(begins, tuple(actions), r.choice(ENDS))
