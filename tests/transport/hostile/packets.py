"""Engine.IO and Socket.IO packets, good and otherwise."""

from __future__ import annotations

from random import Random

from tests.transport.raw import SEPARATOR

Packet = str | bytes

_TEXTS = (
    "", "4", "40", "2", "2probe", "٤", "²", "𝟜", "b", "b=", "bAQID", "/custom", ",", "-", "\0", "€", "💥", "\u2028",
    '"', "\\", SEPARATOR, "0" * 101, "Ω" * 50, "x" * 3000, "9" * 400,
)  # fmt: skip
_VALUES = (
    "1", '"a"', "null", "true", "{}", "[]", '{"a":[1,{"b":null}]}', '{"_placeholder":true,"num":0}', '"€\\u0000"',
    "-0.0", "1e308", "12345678901234567890123", "9" * 400, '{"__proto__":1}', '{"_placeholder":true,"num":9}',
    '{"_placeholder":true,"num":-1}', '{"_placeholder":true,"num":true}', '{"_placeholder":true}', "NaN", "-Infinity",
    "1e999", '"\\ud800"', '"open', "'a'", "[1,]", "", "[" * 9000, '{"a":' * 3000, "[" * 1000 + "]" * 1000,
    "[" * 5000 + "]" * 5000,
)  # fmt: skip
_NAMES = (
    '"echo"', '"join"', '"leave"', '"wait"', '"ask"', '"burst"', '"*"', '""', "1", "1.5", "-0", '"\\u0000"',
    '"__disconnect_final"', '"to-room"', '"connect"', '"disconnect"', '"connect_error"', '"newListener"',
    "true", "null", "{}", "[]", "NaN",
)  # fmt: skip
AUTHS = (
    "", "", "", "", "{}", '{"token":"x"}', '{"slow":0.02}', '{"refuse":true}', '{"fail":true}', '{"slow":9}', "[]",
    '"x"', "null",
)  # fmt: skip
_NAMESPACES = ("", "", "", "", "/custom,", "/custom,", "/custom?a=b,", "/,", "/nowhere,", "/custom", "/")
_ACK_IDS = ("", "", "", "1", "2", "0", "007", "2147483648", "9" * 100, "9" * 101, "٣", "-1", "1.5")
_ATTACHMENTS = ("1-", "1-", "2-", "10-", "0-", "11-", "999-", "", "-1-", "1.5-", "١-")


def text(r: Random) -> str:
    return "".join(r.choice(_TEXTS) for _ in range(r.randrange(1, 4)))


def often(r: Random, good: str, bad: tuple[str, ...]) -> str:
    return r.choice(bad) if r.randrange(4) == 3 else good


def socketio(r: Random) -> list[Packet]:
    """A packet with its attachments, both more or less as the protocol has them."""
    kind = often(r, r.choice("2220315"), ("6", "4", "7", "9", "٢", ""))
    namespace, ack_id, attachments = r.choice(_NAMESPACES), r.choice(_ACK_IDS), often(r, "", _ATTACHMENTS)
    values = [often(r, "1", _VALUES) for _ in range(r.randrange(3))]
    match kind:
        case "0":
            data = r.choice(AUTHS)
        case "1":
            data = often(r, "", _VALUES)
        case "3" | "6":
            data = often(r, f"[{','.join(values)}]", _VALUES)
        case _:
            data = often(r, f"[{','.join([often(r, r.choice(_NAMES[:6]), _NAMES), *values])}]", _VALUES)
    if kind in "56":
        attachments = often(r, "1-", _ATTACHMENTS)
        data = often(r, data.replace("1]", '{"_placeholder":true,"num":0}]'), _VALUES)
        binary = [bytes([n]) * r.choice((0, 1, 5, 3000)) for n in range(r.choice((1, 1, 1, 2, 0)))]
    else:
        binary = []
    return [kind + attachments + namespace + ack_id + data, *binary]


def engineio(r: Random) -> list[Packet]:
    match r.randrange(10):
        case 9:
            return [r.choice("0123456789b") + text(r)]
        case 8:
            return [text(r)]
        case 7:
            return [r.choice(("3", "3probe", "6", "5", "0", "1", "2", "2probe", ""))]
        case 6:
            return [b"\x04" * r.choice((0, 1, 100))]
        case _:
            first, *binary = socketio(r)
            return [f"4{first!s}", *binary]


GOOD: tuple[tuple[Packet, ...], ...] = (
    ('42["echo",1]',), ('421["echo",{"a":"€"}]',), ("40/custom,{}",), ('42/custom,7["echo"]',), ('42["ask"]',),
    ("431[1]",), ('451-["echo",{"_placeholder":true,"num":0}]', b"\1\2"), ('42["join","r"]', '42["to-room","r"]'),
    ("3",), ('42["wait"]',) * 3, ('42["burst"]',), ('42["echo"]',) * 80, ('42["leave"]', '42["leave"]'),
)  # fmt: skip


def packets(r: Random) -> list[Packet]:
    """Good ones, and among them at most one that may not be, so that it meets a session that is alive."""
    found = [list(r.choice(GOOD)) for _ in range(r.randrange(1, 5))]
    if r.randrange(3) == 2:
        found.insert(r.randrange(len(found) + 1), engineio(r))
    return [packet for several in found for packet in several]
