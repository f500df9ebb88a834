from __future__ import annotations

from notify_server.auth.credential import Credential, Identity
from notify_server.errors import Unauthorized
from notify_server.ids import is_text_id


class TrustVerifier:
    """Development only: `User <id>` is who it says. Nothing but loopback reaches it (settings, http, realtime)."""

    async def verify(self, credential: Credential, *, for_socket: bool) -> Identity:
        if credential.source == "cookie" or not is_text_id(credential.value):
            raise Unauthorized("say who you are: Authorization: User <id>")
        return Identity(credential.value)
