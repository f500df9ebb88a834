"""Credential → user. Knows what a credential says, not how it travels."""

from notify_server.auth.credential import Credential, Identity
from notify_server.auth.jwt import JwtVerifier
from notify_server.auth.trust import TrustVerifier
from notify_server.auth.verifier import Verifier, make_verifier

__all__ = ["Credential", "Identity", "JwtVerifier", "TrustVerifier", "Verifier", "make_verifier"]
