"""Socket.IO packets (socket.io-protocol, revision 5), read as strictly as the reference server reads them."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson
from socketio import packet

RESERVED_EVENTS = {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}

_MAX_ATTACHMENTS = 10
_HEAD = re.compile(r"([0-6])(?:([0-9]{1,3})-)?(?:(/[^,]*)(?:,|$))?([0-9]{1,100}(?![0-9]))?", re.ASCII)


class StrictJson:
    """orjson behind the standard library's names: refuses NaN, which no browser can parse."""

    JSONDecodeError = orjson.JSONDecodeError

    @staticmethod
    def dumps(value: Any, **_options: Any) -> str:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()

    @staticmethod
    def dump_bytes(value: Any) -> bytes:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)

    @staticmethod
    def loads(text: str | bytes, **_options: Any) -> Any:
        return orjson.loads(text)


class Packet(packet.Packet):  # type: ignore[misc]
    """`socketio.packet.Packet`, with JSON of its own where python-socketio sets it for the whole process."""

    json = StrictJson
    data: Any

    def decode(self, encoded_packet: str | bytes) -> int:
        """The number of attachments that follow. Raises ValueError for what no client may send."""
        head = _HEAD.match(encoded_packet) if isinstance(encoded_packet, str) else None
        if head is None:
            raise ValueError("no packet")
        kind, attachments, namespace, ack_id = head.groups()
        self.packet_type = int(kind)
        self.namespace = None if namespace is None else namespace.partition("?")[0]
        self.id = None if ack_id is None else int(ack_id)
        text = encoded_packet[head.end() :]
        try:
            self.data = self._load(text) if text else None
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        is_binary = self.packet_type in (packet.BINARY_EVENT, packet.BINARY_ACK)
        if is_binary != (attachments is not None) or (is_binary and not 1 <= int(attachments) <= _MAX_ATTACHMENTS):
            raise ValueError("attachments")
        if not _VALID[self.packet_type](self.data, bool(text)):
            raise ValueError("payload")
        return int(attachments) if attachments else 0

    def _load(self, text: Any) -> Any:
        """Half a character (a lone surrogate), which JavaScript can send, is a syntax error to orjson. In an event's
        arguments it is a value, left to whoever takes the event. Raises ValueError."""
        try:
            return self.json.loads(text)
        except ValueError:
            if self.packet_type not in (packet.EVENT, packet.BINARY_EVENT) or "\\u" not in text:
                raise
        data = json.loads(text, parse_constant=_refuse_constant)
        if isinstance(data, list) and data and isinstance(data[0], str):
            data[0].encode()  # a name goes into logs: UnicodeEncodeError is a ValueError
        return data

    @classmethod
    def _reconstruct_binary_internal(cls, data: Any, attachments: list[bytes]) -> Any:
        """Raises ValueError for a placeholder of nothing."""
        if isinstance(data, list):
            return [cls._reconstruct_binary_internal(item, attachments) for item in data]
        if not isinstance(data, dict):
            return data
        if data.get("_placeholder") is not True:
            return {key: cls._reconstruct_binary_internal(value, attachments) for key, value in data.items()}
        number = data.get("num")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(attachments):
            raise ValueError("illegal attachments")
        return attachments[number]


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _is_event(data: Any, given: bool) -> bool:
    """The name may be a number, and there may be nothing at all, as the reference server has it."""
    return not given or (
        isinstance(data, list) and bool(data) and isinstance(data[0], str | int | float)
        and not isinstance(data[0], bool) and data[0] not in RESERVED_EVENTS
    )  # fmt: skip


def _is_list(data: Any, given: bool) -> bool:
    return not given or isinstance(data, list)


_VALID = {
    packet.CONNECT: lambda data, given: isinstance(data, dict) or not given,
    packet.DISCONNECT: lambda _data, given: not given,
    packet.EVENT: _is_event,
    packet.ACK: _is_list,
    packet.CONNECT_ERROR: lambda _data, _given: False,  # a server's alone
    packet.BINARY_EVENT: _is_event,
    packet.BINARY_ACK: _is_list,
}
