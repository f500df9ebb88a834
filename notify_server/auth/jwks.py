"""The public keys of an identity provider, as its JWKS URL gives them (RFC 7517).

Invariants:
  * at most one fetch at a time, and one in `_PAUSE_S`, whatever tokens come: who needs it shares it;
  * only keys that were fetched less than `_KEPT_S` ago are believed; older than `_FRESH_S`, they are fetched anew
    beside the requests;
  * a token is refused for its `kid` only by keys that were fetched after it came; else it is told to come back, because
    a client that is refused does not.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import jwt

from notify_server.auth.asking import Get
from notify_server.auth.keys import Key, algorithms_of
from notify_server.auth.sharing import Shared
from notify_server.errors import Unauthorized, Unavailable

log = logging.getLogger(__name__)

_PAUSE_S = 5.0
_FRESH_S = 600.0
_KEPT_S = 86_400.0
_MAX_KEYS = 100

ByKid = dict[str | None, Key]


class Jwks:
    def __init__(
        self, url: str, get: Get, algorithm: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`algorithm` alone is taken, where one is named; else all keys must be of one family."""
        self._url, self._get, self._algorithm, self._clock = url, get, algorithm, clock
        self._keys: ByKid = {}
        self._fetched_at = self._tried_at = -_KEPT_S + clock()
        self._fetching: Shared[None] = Shared()

    def known(self, token: str) -> Key | None:
        key = self._key_of(token)  # first of all, because what is no token shall cause no fetch
        age_s = self._clock() - self._fetched_at
        if _FRESH_S <= age_s < _KEPT_S and self._may_fetch():
            self._fetching.start(None, self._fetch)
        return key if age_s < _KEPT_S else None

    async def look_for(self, token: str) -> Key:
        asked_at = self._clock()
        if None in self._fetching or self._may_fetch():
            await self._fetching(None, self._fetch)
        key = self._key_of(token) if self._clock() - self._fetched_at < _KEPT_S else None
        if key is not None:
            return key
        if self._fetched_at < asked_at:
            raise Unavailable("the keys of the tokens cannot be had at the moment", code="keys_unavailable")
        raise Unauthorized("the token's key is not known", code="token_invalid")

    def _may_fetch(self) -> bool:
        return self._clock() - self._tried_at >= _PAUSE_S

    def _key_of(self, token: str) -> Key | None:
        kid = jwt.get_unverified_header(token).get("kid")
        found = self._keys.get(kid)
        if found is None and len(self._keys) == 1:
            ((own, only),) = self._keys.items()
            if kid is None or own is None:
                return only
        return found

    async def _fetch(self) -> None:
        self._tried_at = self._clock()
        try:
            answer = await self._get(self._url, {"Accept": "application/json"})
            if answer.status != 200:
                raise ValueError(f"it answered {answer.status}")
            self._keys = parse(answer.body, self._algorithm)
        except (Unavailable, ValueError, RecursionError) as error:
            log.warning("jwks_not_fetched", extra={"reason": str(error)})
            return
        self._fetched_at = self._clock()


def parse(body: bytes, algorithm: str | None) -> ByKid:
    """A JWK Set → its usable keys by `kid`. Raises ValueError; RecursionError."""
    document = json.loads(body)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is no JWK Set")
    found: ByKid = {}
    for jwk in listed[:_MAX_KEYS]:
        key = _key(jwk, algorithm) if isinstance(jwk, dict) else None
        kid = jwk.get("kid") if key is not None else None
        if key is not None and (kid is None or isinstance(kid, str)):
            found.setdefault(kid, key)
    if not found:
        raise ValueError("it has no key for signatures" + (f" by {algorithm}" if algorithm else ""))
    if len({key.algorithms[0][:2].replace("PS", "RS") for key in found.values()}) > 1:
        raise ValueError("its keys are of several families: name one by JWT_ALGORITHM")
    return found


def _key(jwk: dict[str, Any], algorithm: str | None) -> Key | None:
    """None for a key that verifies nothing here: a secret, a private one, one for encryption, an unknown kind."""
    if jwk.get("kty") not in ("RSA", "EC", "OKP") or "d" in jwk or jwk.get("use", "sig") != "sig":
        return None
    try:
        material = jwt.PyJWK(jwk).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    named = jwk.get("alg")
    algorithms = [
        each for each in algorithms_of(material) if named in (None, each) and algorithm in (None, each)
    ]  # fmt: skip
    return Key(material, algorithms) if algorithms else None
