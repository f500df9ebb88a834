"""Credential → user. Knows what a credential says, not how it travels."""

from notify_server.auth.credential import Credential, Identity
from notify_server.auth.verifier import Verifiers, make_verifier

__all__ = ["Credential", "Identity", "Verifiers", "make_verifier"]
