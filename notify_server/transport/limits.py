"""What one socket, one address and all together may cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """None is no limit. A socket over `waiting_bytes` (what it has not taken yet) or that takes nothing for `stall_s`
    is cut. Above `high_water_bytes` the layer above is told; below `low_water_bytes`, told again. Events beyond
    `events_per_s` wait, and the socket is read no further meanwhile."""

    sockets: int | None = None
    sockets_per_address: int | None = None
    address_of: Callable[[web.Request], str | None] | None = None
    events_per_s: int | None = None
    waiting_bytes: int = 1_000_000
    high_water_bytes: int = 256_000
    low_water_bytes: int = 64_000
    stall_s: float = 10
    connect_tries: int = 3
    body_timeout_s: float = 30
