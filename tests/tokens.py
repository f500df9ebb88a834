"""Tokens, and forged ones that PyJWT refuses to make."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def hs256(secret: bytes, claims: Any, **header: Any) -> str:
    """Signed by whatever secret, a public key too."""
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT', **header})}.{part(claims)}"
    mac = hmac.digest(secret, signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def unsigned(claims: Any, **header: Any) -> str:
    return f"{part({'alg': 'none', 'typ': 'JWT', **header})}.{part(claims)}."
