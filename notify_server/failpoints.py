"""Places at which a test may have this process die, as a crash would: FAILPOINTS=after_commit:3 kills it the third time
that it passes there."""

from __future__ import annotations

import os
import signal

NAMES = ("after_commit", "before_reply", "after_emit")

_left: dict[str, int] = {}


def arm(points: dict[str, int]) -> None:
    _left.update(points)


def hit(name: str) -> None:
    if _left and name in _left:
        _left[name] -= 1
        if _left[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
