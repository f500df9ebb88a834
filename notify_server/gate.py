"""Who may speak to us: a request's origin, the way it came, and its credential. REST and Socket.IO both ask here."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web

from notify_server.auth import Credential, Identity, Verifier
from notify_server.errors import Forbidden, NoCredential, Unauthorized
from notify_server.origins import OriginPolicy, same_host
from notify_server.settings import Settings

_FORWARDING = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via",
               "CF-Connecting-IP", "True-Client-IP", "Fly-Client-IP")  # fmt: skip
_READING = ("GET", "HEAD", "OPTIONS")


def _is_loopback(host: str) -> bool:
    """`host` as in the Host header, with or without a port."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Gate:
    def __init__(self, settings: Settings, verifier: Verifier) -> None:
        self._verifier = verifier
        self._policy = OriginPolicy.of(settings.client_url or ())
        self._development = settings.trust_user_id
        # an app's development tokens mean nothing here, where no key was given
        self._ids_alone = settings.trust_user_id and not (settings.jwt_secret or settings.jwt_public_key)
        self._cookie = settings.jwt_cookie
        self._grace_s = settings.socket_token_grace

    def allows_origin(self, request: web.BaseRequest) -> bool:
        """True for a request without one."""
        origin = request.headers.get("Origin")
        return origin is None or self._policy.allows(origin, request.headers.get("Host", ""))

    def may_bring_a_cookie_later(self, request: web.BaseRequest) -> bool:
        """A browser on another origin of the same site keeps its cookies back from polling, and sends them with the
        WebSocket upgrade."""
        origin = request.headers.get("Origin")
        return origin is not None and not same_host(origin, request.headers.get("Host", ""))

    def check_way(self, request: web.BaseRequest) -> None:
        """Where ids are believed at their word, nothing but this machine may say them. Raises Forbidden."""
        if not self._development:
            return
        if any(name in request.headers for name in _FORWARDING):
            raise Forbidden("TRUST_USER_ID is for development: no request through a proxy", code="development_only")
        if not _is_loopback(request.headers.get("Host", "")):
            raise Forbidden("TRUST_USER_ID is for development: localhost alone", code="development_only")

    def check_origin(self, request: web.BaseRequest) -> None:
        """For Socket.IO, where a socket once open needs no further credential. Raises Forbidden."""
        if not self.allows_origin(request):
            raise origin_not_allowed()

    async def identify(self, request: web.BaseRequest) -> Identity:
        """Raises Unauthorized; Forbidden where a cookie speaks from an origin that may not."""
        credential = self._credential(request)
        if credential.source == "cookie":
            self._check_cookie(request)
        return await self._verifier.verify(credential, grace_s=0)

    async def identify_socket(self, request: web.BaseRequest, token: str | None, claimed_id: str | None) -> Identity:
        """`token` and `claimed_id` are the handshake's `auth.token` and `auth.userId`. Same errors."""
        if self._ids_alone and claimed_id is not None:
            credential = Credential("user", claimed_id, "auth")
        elif token is not None:
            credential = Credential("bearer", token, "auth")
        elif self._development and claimed_id is not None:
            credential = Credential("user", claimed_id, "auth")
        else:
            credential = self._credential(request)
        if credential.source == "cookie":
            self._check_cookie(request)
        identity = await self._verifier.verify(credential, grace_s=self._grace_s)
        if claimed_id is not None and claimed_id != identity.user_id:
            raise Unauthorized("auth.userId is somebody else than the credential says", code="user_mismatch")
        return identity

    def _credential(self, request: web.BaseRequest) -> Credential:
        header = request.headers.get("Authorization")
        if header is not None:
            scheme, _, value = header.strip().partition(" ")
            return (
                Credential(scheme.lower(), value.strip(), "header") if value else Credential("bearer", scheme, "header")
            )
        cookie = request.cookies.get(self._cookie)
        if cookie:
            return Credential("bearer", cookie, "cookie")
        raise NoCredential("a credential is needed")

    def _check_cookie(self, request: web.BaseRequest) -> None:
        if not self._policy.allows_cookie(
            origin=request.headers.get("Origin"),
            fetch_site=request.headers.get("Sec-Fetch-Site"),
            host=request.headers.get("Host", ""),
            writes=request.method not in _READING,
        ):
            raise origin_not_allowed()


def origin_not_allowed() -> Forbidden:
    return Forbidden("this origin is not allowed: set CLIENT_URL to your front end's", code="origin_not_allowed")
