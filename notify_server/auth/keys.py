"""The key of a token, and the algorithms that it can be for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from notify_server.errors import ConfigError

_HMAC = ("HS256", "HS384", "HS512")
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


@dataclass(frozen=True, slots=True)
class Key:
    material: Any
    algorithms: Sequence[str]


class Keys(Protocol):
    def known(self, token: str) -> Key | None:
        """At once; None where it must be looked for. Raises jwt.PyJWTError for what is no token."""

    async def look_for(self, token: str) -> Key:
        """Raises Unauthorized where there is no such key, Unavailable where that cannot be told now."""


class OneKey:
    """Of a setting, for every token. `secret` is None for a public key."""

    def __init__(self, key: Key, secret: str | None = None) -> None:
        self._key = key
        self.short = secret is not None and len(secret.encode()) < 32

    def known(self, token: str) -> Key:
        return self._key

    async def look_for(self, token: str) -> Key:
        return self._key


def of_secret(secret: str, algorithm: str | None) -> OneKey:
    return OneKey(Key(secret, _chosen(_HMAC, algorithm)), secret)


def of_pem(pem: str, algorithm: str | None) -> OneKey:
    """Raises ConfigError."""
    try:
        material = load_pem_public_key(pem.replace("\\n", "\n").encode())
    except ValueError as error:
        raise ConfigError("JWT_PUBLIC_KEY takes a public key in PEM (-----BEGIN PUBLIC KEY----- …)") from error
    algorithms = algorithms_of(material)
    if not algorithms:
        raise ConfigError("JWT_PUBLIC_KEY takes a key of RSA, of a P-256, P-384 or P-521 curve, or of Ed25519")
    return OneKey(Key(material, _chosen(algorithms, algorithm)))


def algorithms_of(material: object) -> Sequence[str]:
    """What a public key can be for, one family; nothing for what is none."""
    if isinstance(material, RSAPublicKey):
        return _RSA
    if isinstance(material, EllipticCurvePublicKey) and material.curve.name in _CURVES:
        return (_CURVES[material.curve.name],)
    if isinstance(material, Ed25519PublicKey | Ed448PublicKey):
        return ("EdDSA",)
    return ()


def _chosen(algorithms: Sequence[str], algorithm: str | None) -> Sequence[str]:
    if algorithm is None:
        return algorithms
    if algorithm not in algorithms:
        raise ConfigError(f"JWT_ALGORITHM={algorithm} does not fit the key: {', '.join(algorithms)}")
    return (algorithm,)
