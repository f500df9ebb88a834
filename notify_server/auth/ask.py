"""The app itself says who somebody is: AUTH_URL, asked as nginx's auth_request asks.

Invariants:
  * equal headers that are asked about at the same time are asked about once; a yes is good for AUTH_CACHE_S, a no is
    never kept;
  * only 401, 403 and a null in place of the user are a no. Whatever else the app says, or does not say, is "not now";
  * an open socket's headers are asked about anew every `_AGAIN_S`, few at a time, so that requests do not wait for
    them; while the app says nothing it is kept, `_UNHEARD_S` at most.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
import time
from collections.abc import Collection, Hashable
from dataclasses import dataclass, field

from notify_server.auth.asking import Answer, Get
from notify_server.auth.claims import MISSING, find, id_text
from notify_server.auth.credential import Credential, Identity
from notify_server.auth.sharing import Shared
from notify_server.errors import NotifyError, Overloaded, Unauthorized, Unavailable

log = logging.getLogger(__name__)

_MAX_HEADERS_CHARS = 16_384
_MAX_RUNNING = 1000
_MAX_KEPT = 10_000
_AGAIN_S = (30.0, 60.0)
_AGAIN_UNHEARD_S = 10.0
_UNHEARD_S = 600.0
_RECHECKS_AT_ONCE = 4
_SAID_EVERY_S = 60.0

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What an open socket was let in by."""

    digest: bytes
    user_id: str
    headers: Headers = field(compare=False, repr=False)


@dataclass(slots=True)
class _Watched:
    due_at: float
    heard_at: float


class AskVerifier:
    def __init__(self, url: str, get: Get, *, user_path: str, cache_s: float) -> None:
        self._url, self._get, self._user_path, self._cache_s = url, get, user_path, cache_s
        self._kept: dict[bytes, tuple[str, float]] = {}  # the user, and until when
        self._asking: Shared[str] = Shared()
        self._watched: dict[Hashable, _Watched] = {}
        self._rechecks = asyncio.Semaphore(_RECHECKS_AT_ONCE)
        self._said_at = -_SAID_EVERY_S

    async def verify(self, credential: Credential, *, for_socket: bool) -> Identity:
        """Raises Unavailable where the app cannot be asked, or says something else than a user or a no."""
        headers = credential.headers
        if not all(value.isprintable() for _, value in headers):
            raise Unauthorized("the credential holds a control character")
        if sum(len(value) for _, value in headers) > _MAX_HEADERS_CHARS:
            raise Unauthorized("the credential is too long")
        digest = hashlib.sha256("\n".join(f"{name}:{value}" for name, value in headers).encode()).digest()
        user_id, until = self._kept.get(digest, ("", 0.0))
        if time.monotonic() >= until:
            user_id = await self._ask(digest, headers)
        return Identity(user_id, proof=Asked(digest, user_id, headers))

    async def ended(self, proofs: Collection[Hashable]) -> Collection[Hashable]:
        """Of these, those that were due and of which the app does not say the same any more."""
        now = time.monotonic()
        self._watched = {
            proof: self._watched.get(proof) or _Watched(now + random.uniform(*_AGAIN_S), now)  # noqa: S311
            for proof in proofs
        }
        due = [proof for proof, watched in self._watched.items() if watched.due_at <= now and isinstance(proof, Asked)]
        holding = await asyncio.gather(*(self._still_holds(proof) for proof in due))
        return [proof for proof, holds in zip(due, holding, strict=True) if not holds]

    async def _still_holds(self, proof: Asked) -> bool:
        watched = self._watched[proof]
        try:
            async with self._rechecks:
                user_id = await self._ask(proof.digest, proof.headers)
        except Unauthorized:
            return False
        except NotifyError:
            now = time.monotonic()
            watched.due_at = now + _AGAIN_UNHEARD_S
            return now - watched.heard_at < _UNHEARD_S
        now = time.monotonic()
        watched.due_at, watched.heard_at = now + random.uniform(*_AGAIN_S), now  # noqa: S311
        return user_id == proof.user_id

    async def _ask(self, digest: bytes, headers: Headers) -> str:
        if digest not in self._asking and len(self._asking) >= _MAX_RUNNING:
            raise Overloaded("too many log-ins are being checked")
        return await self._asking(digest, lambda: self._ask_now(digest, headers))

    async def _ask_now(self, digest: bytes, headers: Headers) -> str:
        self._kept.pop(digest, None)
        try:
            answer = await self._get(self._url, {"Accept": "application/json", **dict(headers)})
        except Unavailable as error:
            raise self._unusable(error.message) from error
        user_id = self._read(answer)
        if self._cache_s:
            if len(self._kept) >= _MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[digest] = (user_id, time.monotonic() + self._cache_s)
        return user_id

    def _read(self, answer: Answer) -> str:
        if answer.status in (401, 403):
            raise Unauthorized("the app does not know this log-in", code="not_logged_in")
        if not 200 <= answer.status < 300:
            raise self._unusable(f"it answered {answer.status}")
        try:
            found = find(json.loads(answer.body), self._user_path)
        except (ValueError, RecursionError):
            raise self._unusable("its answer is no JSON") from None
        if found is None:
            raise Unauthorized("nobody is logged in", code="not_logged_in")
        user_id = None if found is MISSING else id_text(found)
        if user_id is None:
            raise self._unusable("its answer has no id where AUTH_USER says")
        return user_id

    def _unusable(self, reason: str) -> Unavailable:
        if time.monotonic() - self._said_at >= _SAID_EVERY_S:
            self._said_at = time.monotonic()
            log.error("auth_url_unusable", extra={"reason": reason})
        return Unavailable("the app cannot say at the moment who this is", code="auth_unavailable")
