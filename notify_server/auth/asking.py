"""What verifiers ask another server by, without knowing how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


class Get(Protocol):
    """An HTTP GET that follows no redirect, bounded in time and size."""

    async def __call__(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Raises Unavailable: not reached, too slow, too large, too many at once."""
