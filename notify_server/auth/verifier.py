from __future__ import annotations

from typing import Protocol

from notify_server.auth.credential import Credential, Identity
from notify_server.auth.jwt import JwtVerifier
from notify_server.auth.trust import TrustVerifier
from notify_server.errors import Unauthorized
from notify_server.settings import Settings


class Verifier(Protocol):
    async def verify(self, credential: Credential, *, grace_s: float) -> Identity:
        """Raises Unauthorized. `grace_s`: how long ago it may have expired."""


class _FirstOf:
    """Development: tokens as well as plain ids."""

    def __init__(self, trust: TrustVerifier, jwt: JwtVerifier) -> None:
        self._trust, self._jwt = trust, jwt

    async def verify(self, credential: Credential, *, grace_s: float) -> Identity:
        try:
            return await self._trust.verify(credential, grace_s=grace_s)
        except Unauthorized:
            return await self._jwt.verify(credential, grace_s=grace_s)


def make_verifier(settings: Settings) -> Verifier:
    """Raises ConfigError for a key that cannot be read."""
    if not settings.trust_user_id:
        return JwtVerifier(settings)
    if settings.jwt_secret or settings.jwt_public_key:
        return _FirstOf(TrustVerifier(), JwtVerifier(settings))
    return TrustVerifier()
