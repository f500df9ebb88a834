from __future__ import annotations

import contextlib
import logging
import time
import warnings
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.warnings import InsecureKeyLengthWarning

from notify_server.auth.credential import Credential, Identity
from notify_server.errors import ConfigError, Unauthorized
from notify_server.ids import is_text_id
from notify_server.settings import Settings

log = logging.getLogger(__name__)

_MAX_TOKEN_CHARS = 8192
_CLOCK_SKEW_S = 30  # for `nbf`: an issuer whose clock is ahead
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


def _public_key(pem: str) -> tuple[Any, list[str]]:
    """(key, the algorithms that it can be for)."""
    try:
        key = load_pem_public_key(pem.replace("\\n", "\n").encode())
    except ValueError as error:
        raise ConfigError("JWT_PUBLIC_KEY takes a public key in PEM (-----BEGIN PUBLIC KEY----- …)") from error
    if isinstance(key, RSAPublicKey):
        return key, ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key, [_CURVES[key.curve.name]]
    if isinstance(key, Ed25519PublicKey | Ed448PublicKey):
        return key, ["EdDSA"]
    raise ConfigError("JWT_PUBLIC_KEY takes a key of RSA, of a P-256, P-384 or P-521 curve, or of Ed25519")


class JwtVerifier:
    """One key, one family of algorithms."""

    def __init__(self, settings: Settings) -> None:
        self._short = False
        if settings.jwt_secret:
            self._key: Any = settings.jwt_secret.get_secret_value()
            algorithms = ["HS256", "HS384", "HS512"]
            self._short = len(self._key.encode()) < 32
            if self._short:
                log.warning("jwt_secret_short", extra={"advice": "32 bytes or more: a shorter one can be guessed"})
        elif settings.jwt_public_key:
            self._key, algorithms = _public_key(settings.jwt_public_key.get_secret_value())
        else:
            raise ConfigError("JWT_SECRET or JWT_PUBLIC_KEY is needed")
        if settings.jwt_algorithm:
            if settings.jwt_algorithm not in algorithms:
                raise ConfigError(
                    f"JWT_ALGORITHM={settings.jwt_algorithm} does not fit the key: {', '.join(algorithms)}"
                )
            algorithms = [settings.jwt_algorithm]
        self._algorithms = algorithms
        self._audience, self._issuer = settings.jwt_audience, settings.jwt_issuer
        self._user_claim = settings.jwt_user_claim
        self._required = [self._user_claim, *(["exp"] if settings.jwt_require_exp else [])]
        self._socket_grace_s = settings.socket_token_grace

    async def verify(self, credential: Credential, *, grace_s: float) -> Identity:
        if credential.scheme != "bearer" or not 0 < len(credential.value) <= _MAX_TOKEN_CHARS:
            raise Unauthorized("a token is needed")
        try:
            claims = self._decode(credential.value, grace_s)
        except jwt.ExpiredSignatureError as error:
            raise Unauthorized("the token has expired", code="token_expired") from error
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError) as error:
            raise Unauthorized("the token is not valid", code="token_invalid") from error
        user_id = claims[self._user_claim]
        if isinstance(user_id, bool) or not isinstance(user_id, str | int) or not is_text_id(str(user_id)):
            raise Unauthorized("the token names no user", code="token_invalid")
        expiry = claims.get("exp")
        return Identity(str(user_id), None if expiry is None else int(expiry) + self._socket_grace_s)

    def _decode(self, token: str, grace_s: float) -> dict[str, Any]:
        # PyJWT's leeway would let tokens in a day before their time, too, so it leaves the expiry to us.
        with warnings.catch_warnings() if self._short else contextlib.nullcontext():
            if self._short:
                warnings.simplefilter("ignore", InsecureKeyLengthWarning)  # said once, at the start
            claims: dict[str, Any] = jwt.decode(
                token, self._key, algorithms=self._algorithms, audience=self._audience, issuer=self._issuer,
                leeway=_CLOCK_SKEW_S,
                options={"require": self._required, "verify_sub": False, "verify_exp": False, "verify_iat": False},
            )  # fmt: skip
        expiry = claims.get("exp")
        if expiry is not None and int(expiry) <= time.time() - grace_s:
            raise jwt.ExpiredSignatureError
        return claims
