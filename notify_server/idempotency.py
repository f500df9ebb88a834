"""The Idempotency-Key of a request: a user's name for one thing that he wants done once."""

from __future__ import annotations

import hashlib

from notify_server.errors import Conflict, Invalid


def fingerprint(*parts: str) -> str:
    """Of what a request asks for, so that a key which comes with something else is told."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def key_in_flight() -> Conflict:
    return Conflict("a request with this key is under way", field="Idempotency-Key", code="key_in_flight")


def key_reused() -> Invalid:
    return Invalid("this key came with another request", field="Idempotency-Key", code="key_reused")
