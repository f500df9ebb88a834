"""Beside the old server, before the switch: counts what would have been sent, so that an adopter can compare."""

from __future__ import annotations

import asyncio
import collections
import logging

from notify_server.inbox import Change

log = logging.getLogger(__name__)

_EVERY_S = 60.0


class Shadow:
    """Tells each minute what it counted in it, and what since the start."""

    def __init__(self, every_s: float = _EVERY_S) -> None:
        self._every_s = every_s
        self._total: collections.Counter[str] = collections.Counter()
        self._new: collections.Counter[str] = collections.Counter()
        self._users: set[str] = set()

    def count(self, changes: list[Change]) -> None:
        for change in changes:
            for notification in change.added:
                self._new[notification.entry["type"]] += 1
                self._users.add(change.user_id)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            self._total += self._new
            log.info(
                "shadow",
                extra={"notifications": dict(self._new), "users": len(self._users), "since_start": dict(self._total)},
            )
            self._new.clear()
            self._users.clear()
