from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request or a handshake brought, unverified. `scheme` is the word before the value in `Authorization`,
    in lower case; a token of `auth.token` or of a cookie has the scheme bearer."""

    scheme: str
    value: str
    source: Literal["auth", "header", "cookie"]

    def __repr__(self) -> str:
        return f"Credential({self.scheme!r}, …, {self.source!r})"


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified user. `expires_at` is when the credential ends for a socket (Unix time; None is never)."""

    user_id: str
    expires_at: float | None = None
