from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Protocol

from notify_server.auth.ask import AskVerifier
from notify_server.auth.asking import Get
from notify_server.auth.credential import Credential, Identity
from notify_server.auth.jwks import Jwks
from notify_server.auth.jwt import JwtVerifier
from notify_server.auth.keys import Keys, of_pem, of_secret
from notify_server.auth.session import SessionVerifier
from notify_server.auth.trust import TrustVerifier
from notify_server.db import Database
from notify_server.errors import Unauthorized
from notify_server.settings import Settings


class Verifier(Protocol):
    async def verify(self, credential: Credential, *, for_socket: bool) -> Identity:
        """Raises Unauthorized for what is refused for good, what is retryable for what cannot be told now."""


class Watching(Verifier, Protocol):
    """One whose credentials may end at any time."""

    async def ended(self, proofs: Collection[Hashable]) -> Collection[Hashable]:
        """Called about once a second with the proofs of all open sockets: of these, those that hold no longer. Raises
        what passes, upon which nobody is cut."""


class Verifiers:
    """Each kind of credential to its own verifier."""

    def __init__(self, by_scheme: Mapping[str, Verifier], watching: Watching | None = None) -> None:
        self._by_scheme = by_scheme
        self._watching = watching

    async def verify(self, credential: Credential, *, for_socket: bool) -> Identity:
        verifier = self._by_scheme.get(credential.scheme)
        if verifier is None:
            raise Unauthorized(f"this server takes {' or '.join(_WORDS[scheme] for scheme in self._by_scheme)}")
        return await verifier.verify(credential, for_socket=for_socket)

    async def ended(self, proofs: Collection[Hashable]) -> Collection[Hashable]:
        return await self._watching.ended(proofs) if self._watching is not None and proofs else ()


_WORDS = {
    "user": "plain ids, for development (Authorization: User <id>)", "bearer": "a token",
    "session": "a session's cookie", "headers": "what its app takes",
}  # fmt: skip


def make_verifier(settings: Settings, db: Database, get: Get) -> Verifiers:
    """Raises ConfigError for a key that cannot be read."""
    by_scheme: dict[str, Verifier] = {}
    watching: Watching | None = None
    if settings.trust_user_id:
        by_scheme["user"] = TrustVerifier()
    if settings.takes_tokens:
        by_scheme["bearer"] = JwtVerifier(settings, _keys(settings, get))
    if settings.session_secret:
        by_scheme["session"] = watching = SessionVerifier(settings, db)
    if settings.auth_url:
        by_scheme["headers"] = watching = AskVerifier(
            settings.auth_url, get, user_path=settings.auth_user, cache_s=settings.auth_cache_s
        )
    return Verifiers(by_scheme, watching)


def _keys(settings: Settings, get: Get) -> Keys:
    if settings.jwt_secret:
        return of_secret(settings.jwt_secret.get_secret_value(), settings.jwt_algorithm)
    if settings.jwt_public_key:
        return of_pem(settings.jwt_public_key.get_secret_value(), settings.jwt_algorithm)
    return Jwks(settings.jwt_jwks_url or "", get, settings.jwt_algorithm)
