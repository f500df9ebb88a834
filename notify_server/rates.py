"""How fast a user, and an address, may write. Counted in this process: of several servers, each has its own count.

The algorithm is GCRA: `120/minute` is 120 at once, and from then on one every half second. What is refused does not
count; what fails later (422, 404) does. The 100,000 that wrote last are remembered, at about 350 bytes each.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from throttled import MemoryStore, RateLimiterType, Throttled
from throttled.exceptions import BaseThrottledError

from notify_server.errors import TooMany

_REMEMBERED = 100_000

Count = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rate:
    """`text` as throttled-py writes it (`120/minute`, `2/second burst 20`), or `off`."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Raises ValueError."""
        rate = cls(text.strip().lower())
        try:
            rate.counting("")
        except (BaseThrottledError, ArithmeticError) as error:
            raise ValueError(str(error)) from error
        return rate

    def counting(self, what: str) -> Count | None:
        """Counts one more of whoever is named. It raises TooMany, which says what there was too much of."""
        if self.text == "off":
            return None
        throttled = Throttled(
            using=RateLimiterType.GCRA.value, quota=self.text, store=MemoryStore(options={"MAX_SIZE": _REMEMBERED})
        )

        def count(who: str) -> None:
            result = throttled.limit(who)
            if result.limited:
                wait_s = max(1, math.ceil(result.state.retry_after))
                raise TooMany(f"too many {what} in a short time: try again in {wait_s} s", retry_after_s=wait_s)

        return count

    def __str__(self) -> str:
        return self.text


def _counted(count: Count | None, name: str, refused: Counter[str]) -> Count | None:
    if count is None:
        return None

    def counted(who: str) -> None:
        try:
            count(who)
        except TooMany:
            refused[name] += 1
            raise

    return counted


class WriteRates:
    """`writes` are a user's comments and posts, `inbox` is what he does with his inbox; an `address` counts both."""

    def __init__(self, writes: Rate, inbox: Rate, address: Rate, refused: Counter[str]) -> None:
        """`refused` counts user, inbox and address."""
        self._writes = _counted(writes.counting("comments and posts"), "user", refused)
        self._inbox = _counted(inbox.counting("requests"), "inbox", refused)
        self._address = _counted(address.counting("requests from this network"), "address", refused)

    def count_address(self, address: str | None) -> None:
        """None where it is not known. Raises TooMany."""
        if self._address is not None and address is not None:
            self._address(address)

    def count_write(self, user_id: str) -> None:
        """Raises TooMany."""
        if self._writes is not None:
            self._writes(user_id)

    def count_inbox(self, user_id: str) -> None:
        """Raises TooMany."""
        if self._inbox is not None:
            self._inbox(user_id)
