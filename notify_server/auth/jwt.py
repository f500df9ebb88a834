from __future__ import annotations

import contextlib
import hashlib
import logging
import time
import warnings
from typing import Any

import jwt
from jwt.warnings import InsecureKeyLengthWarning

from notify_server.auth.claims import find, id_text
from notify_server.auth.credential import Credential, Identity
from notify_server.auth.keys import Key, Keys, OneKey
from notify_server.errors import Unauthorized
from notify_server.settings import Settings

log = logging.getLogger(__name__)

_MAX_TOKEN_CHARS = 8192
_CLOCK_SKEW_S = 30  # for `nbf`: an issuer whose clock is ahead
_REMEMBERED_S = 60  # so that a key which was withdrawn does not live on for long
_MAX_REMEMBERED = 10_000


class JwtVerifier:
    """One family of algorithms. A token that was verified is remembered by its digest, for a minute at most and never
    past its expiry; one that was refused is not."""

    def __init__(self, settings: Settings, keys: Keys) -> None:
        self._keys = keys
        self._short = isinstance(keys, OneKey) and keys.short
        if self._short:
            log.warning("jwt_secret_short", extra={"advice": "32 bytes or more: a shorter one can be guessed"})
        self._audience, self._issuer = settings.jwt_audience, settings.jwt_issuer
        self._user_claim = settings.jwt_user_claim
        self._required = ["exp"] if settings.jwt_require_exp else []
        self._grace_s = settings.socket_token_grace
        self._remembered: dict[bytes, tuple[Identity, float]] = {}  # and until when

    async def verify(self, credential: Credential, *, for_socket: bool) -> Identity:
        """A socket's token may have expired up to SOCKET_TOKEN_GRACE ago."""
        token = credential.value
        if not 0 < len(token) <= _MAX_TOKEN_CHARS:
            raise Unauthorized("a token is needed")
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        identity, until = self._remembered.get(digest, (None, 0.0))
        if identity is not None and time.time() < until:
            return identity
        try:
            key = self._keys.known(token) or await self._keys.look_for(token)
            identity = self._identity(self._decode(token, key))
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError) as error:
            raise Unauthorized("the token is not valid", code="token_invalid") from error
        now, ends = time.time(), identity.valid_until
        if ends is not None and ends <= now - (self._grace_s if for_socket else 0):
            raise Unauthorized("the token has expired", code="token_expired")
        if ends is None or ends > now:
            self._remember(digest, identity, min(now + _REMEMBERED_S, ends or now + _REMEMBERED_S))
        return identity

    def _identity(self, claims: dict[str, Any]) -> Identity:
        user_id = id_text(find(claims, self._user_claim))
        if user_id is None:
            raise Unauthorized("the token names no user", code="token_invalid")
        expiry = claims.get("exp")
        if expiry is None:
            return Identity(user_id)
        return Identity(user_id, expires_at=int(expiry) + self._grace_s, valid_until=int(expiry))

    def _decode(self, token: str, key: Key) -> dict[str, Any]:
        # PyJWT's leeway would let tokens in a day before their time, too, so it leaves the expiry to us.
        with warnings.catch_warnings() if self._short else contextlib.nullcontext():
            if self._short:
                warnings.simplefilter("ignore", InsecureKeyLengthWarning)  # said once, at the start
            claims: dict[str, Any] = jwt.decode(
                token, key.material, algorithms=key.algorithms, audience=self._audience, issuer=self._issuer,
                leeway=_CLOCK_SKEW_S,
                options={"require": self._required, "verify_sub": False, "verify_exp": False, "verify_iat": False},
            )  # fmt: skip
        return claims

    def _remember(self, digest: bytes, identity: Identity, until: float) -> None:
        if len(self._remembered) >= _MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[digest] = (identity, until)
