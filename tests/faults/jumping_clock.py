"""The server with a clock that jumps: the seconds in the file `clock` of its folder are added to the time."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from notify_server.__main__ import main

_LOOK_S = 0.05
_FILE = Path("clock")
_real_time = time.time
_offset_s = 0.0
_looked_at = -_LOOK_S


def _time() -> float:
    global _offset_s, _looked_at
    now = time.monotonic()
    if now - _looked_at >= _LOOK_S:
        _looked_at = now
        with contextlib.suppress(OSError, ValueError):  # another fault leaves no file to open
            _offset_s = float(_FILE.read_text()) if _FILE.exists() else 0.0
    return _real_time() + _offset_s


if __name__ == "__main__":
    time.time = _time
    main()
