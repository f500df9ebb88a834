"""What keeps sockets in after they got in: the credentials that they came with, which end.

A token ends by the clock. Its socket is told `_NOTICE_S` before (`auth:expiring`), or at once where that is past, and
may bring another (`auth:refresh`). A session, or a log-in that the app itself keeps, may end at any time; whether it
still holds is asked about once a second. An answer that does not come cuts nobody.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Hashable
from typing import Any

from notify_server.auth import Identity
from notify_server.errors import NotifyError

log = logging.getLogger(__name__)

_NOTICE_S = 60
_EVERY_S = 1.0
_LAST_MOMENT = 253_402_300_799  # the end of the year 9999


class Logins:
    """`cut` closes a socket's transport, and counts why (`expired`, `logged_out`); `tell` sends it `auth:expiring`, or
    is None where it is not to be told; `ended` is `Verifiers.ended`."""

    def __init__(
        self, cut: Callable[[str, str], None], tell: Callable[[str, dict[str, Any]], None] | None,
        ended: Callable[[Collection[Hashable]], Awaitable[Collection[Hashable]]],
    ) -> None:  # fmt: skip
        self._cut, self._tell, self._ended = cut, tell, ended
        self._identities: dict[str, Identity] = {}  # of the sockets whose credential ends
        self._due: dict[str, float] = {}  # when something is to be done about a socket
        self._by_proof: dict[Hashable, set[str]] = {}

    def opened(self, sid: str, identity: Identity) -> None:
        if identity.expires_at is not None or identity.proof is not None:
            self._identities[sid] = identity
        if identity.expires_at is not None:
            self._due[sid] = identity.expires_at
        if identity.proof is not None:
            self._by_proof.setdefault(identity.proof, set()).add(sid)

    def joined(self, sid: str) -> None:
        """From now on it can be told."""
        identity = self._identities.get(sid)
        if identity is not None and identity.expires_at is not None and identity.valid_until is not None:
            self._due[sid] = min(identity.valid_until - _NOTICE_S, identity.expires_at)

    def renewed(self, sid: str, identity: Identity) -> None:
        """It brought another credential."""
        self.closed(sid)
        self.opened(sid, identity)
        self.joined(sid)

    def closed(self, sid: str) -> None:
        identity = self._identities.pop(sid, None)
        self._due.pop(sid, None)
        if identity is not None and identity.proof is not None:
            sids = self._by_proof[identity.proof]
            sids.discard(sid)
            if not sids:
                del self._by_proof[identity.proof]

    async def watch_clock(self) -> None:
        """Until cancelled: tells and cuts the sockets whose time has come."""
        while True:
            await asyncio.sleep(_EVERY_S)
            now = time.time()
            for count, sid in enumerate([sid for sid, due in self._due.items() if due <= now]):
                self._strike(sid, now)
                if count % 200 == 199:  # after a restart, everybody's may be due
                    await asyncio.sleep(0)

    async def watch_proofs(self) -> None:
        """Until cancelled: cuts the sockets of sessions that have ended."""
        heard = True
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                ended = await self._ended(list(self._by_proof))
            except NotifyError as error:
                if heard:
                    log.warning("logins_not_checked", extra={"code": error.code})
                heard = False
                continue
            heard = True
            gone = [sid for proof in ended for sid in self._by_proof.get(proof, ())]
            if gone:
                log.info("logged_out", extra={"sockets": len(gone)})
            for sid in gone:
                self.closed(sid)
                self._cut(sid, "logged_out")

    def _strike(self, sid: str, now: float) -> None:
        if self._due.get(sid, now + 1) > now:  # gone in the meantime, or renewed
            return
        identity = self._identities[sid]
        if identity.expires_at is None or identity.expires_at <= now:
            self.closed(sid)
            self._cut(sid, "expired")
            return
        self._due[sid] = identity.expires_at
        if self._tell is not None and identity.valid_until is not None:
            self._tell(sid, {"expiresAt": iso(identity.valid_until), "closesAt": iso(identity.expires_at)})


def iso(moment: float) -> str:
    """Unix time → `2030-01-31T12:00:00.000Z`."""
    text = datetime.datetime.fromtimestamp(min(moment, _LAST_MOMENT), datetime.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
