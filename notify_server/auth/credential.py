from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request or a handshake brought, unverified. `scheme` says what it is: `bearer` a token (of `auth.token`,
    a header or a cookie), `session` the cookie of express-session, `headers` the request's own for AUTH_URL, `user` a
    plain id."""

    scheme: Literal["bearer", "session", "headers", "user"]
    value: str
    source: Literal["auth", "header", "cookie"]
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Credential({self.scheme!r}, …, {self.source!r})"


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified user. `valid_until` is when the credential itself ends, `expires_at` when it ends for a socket (Unix
    times; None is never). `proof` is what a watching verifier is asked about while a socket is open."""

    user_id: str
    expires_at: float | None = None
    valid_until: float | None = None
    proof: Hashable | None = None
