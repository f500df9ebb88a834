"""What a client brings back to resume its session: the `pid` that CONNECT was answered with, and the offset, the last
argument of the last `notification` that it received.

Both are signed and neither is stored: every server that has the secret reads them, after a restart too. They grant
nothing: each connect authenticates anew, and both are worth something to their own user alone. With another epoch (a
restored database) they are worth nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Any

_MAC_BYTES = 15
_TAG_BYTES = 9
_PID = re.compile(r"([A-Za-z0-9_-]{12})\.(0|[1-9][0-9]{0,17})\.([A-Za-z0-9_-]{20})")
_OFFSET = re.compile(r"(0|[1-9][0-9]{0,17})\.([A-Za-z0-9_-]{12})")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a client said that holds: `pid` is its own and began at the seq `floor`; it has all up to `offset`."""

    pid: str | None = None
    floor: int = 0
    offset: int | None = None


class Recovery:
    """`secret` and `epoch` are the same on every server of a database."""

    def __init__(self, secret: str, epoch: str) -> None:
        self._key = hashlib.sha256(secret.encode()).digest()
        self.epoch = epoch

    def in_epoch(self, epoch: str) -> Recovery:
        other = Recovery.__new__(Recovery)
        other._key, other.epoch = self._key, epoch
        return other

    def tag(self, user_id: str) -> str:
        """Of all of a user's offsets."""
        return self._sign(_TAG_BYTES, "offset", user_id)

    def new_pid(self, user_id: str, floor: int) -> str:
        """For a session that is to get everything after the seq `floor`."""
        nonce = secrets.token_urlsafe(9)
        return f"{nonce}.{floor}.{self._sign(_MAC_BYTES, 'pid', user_id, nonce, str(floor))}"

    def read(self, user_id: str, pid: Any, offset: Any) -> Claim:
        """Whatever was sent; what is not this user's, or of another epoch, counts as not sent."""
        own_pid, floor, own_offset = None, 0, None
        if isinstance(pid, str) and (match := _PID.fullmatch(pid)):
            nonce, digits, mac = match.groups()
            if hmac.compare_digest(mac, self._sign(_MAC_BYTES, "pid", user_id, nonce, digits)):
                own_pid, floor = pid, int(digits)
        if isinstance(offset, str) and (match := _OFFSET.fullmatch(offset)):
            digits, tag = match.groups()
            if hmac.compare_digest(tag, self.tag(user_id)):
                own_offset = int(digits)
        return Claim(own_pid, floor, own_offset)

    def _sign(self, size: int, *parts: str) -> str:
        text = repr((*parts, self.epoch))  # which keeps the parts apart, whatever is in them
        digest = hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")
        return base64.urlsafe_b64encode(digest[:size]).decode()
