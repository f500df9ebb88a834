"""Who may speak to us: a request's origin, the way it came, and its credential. REST and Socket.IO both ask here."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Collection, Hashable
from typing import Literal
from urllib.parse import unquote, urlsplit

from aiohttp import web

from notify_server.auth import Credential, Identity, Verifiers
from notify_server.errors import Forbidden, NoCredential, Unauthorized
from notify_server.origins import OriginPolicy, same_host
from notify_server.settings import Settings

_FORWARDING = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via",
               "CF-Connecting-IP", "True-Client-IP", "Fly-Client-IP")  # fmt: skip
REQUEST_ID = web.RequestKey("request_id", str)
"""The request's own, for those who answer it in another task."""
_READING = ("GET", "HEAD", "OPTIONS")
_ORIGINS_KEPT = 256


def _is_loopback(host: str) -> bool:
    """`host` as in the Host header, with or without a port."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _cookie(request: web.BaseRequest, name: str) -> str | None:
    """The first of that name, as Express takes it: of several, browsers send the one of the longest path first."""
    for pair in request.headers.get("Cookie", "").split(";"):
        found, equals, value = pair.partition("=")
        if equals and found.strip() == name:
            value = value.strip().removeprefix('"').removesuffix('"')
            try:
                return unquote(value, errors="strict")
            except UnicodeDecodeError:
                return value
    return None


def _authorization(request: web.BaseRequest) -> tuple[str, str]:
    """(the scheme in lower case, what follows it); one word alone is a token."""
    scheme, _, value = request.headers.get("Authorization", "").strip().partition(" ")
    return (scheme.lower(), value.strip()) if value or not scheme else ("bearer", scheme)


class Gate:
    def __init__(self, settings: Settings, verifier: Verifiers) -> None:
        self._verifier = verifier
        self._policy = OriginPolicy.of(settings.client_url or ())
        self._allows = functools.lru_cache(_ORIGINS_KEPT)(self._policy.allows)
        self._development = settings.trust_user_id
        # an app's development tokens mean nothing here, where no key was given
        self._ids_alone = settings.trust_user_id and not settings.proves
        self._asks_the_app = settings.auth_url is not None
        self._token_header = settings.jwt_header
        self._token_cookie = settings.jwt_cookie if settings.takes_tokens else None
        self._session_cookie = settings.session_cookie if settings.session_secret else None

    def allows_origin(self, request: web.BaseRequest) -> bool:
        """True for a request without one."""
        origin = request.headers.get("Origin")
        return origin is None or self._allows(origin, request.headers.get("Host", ""))

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
        """Raises Unauthorized; Forbidden where a cookie speaks from an origin that may not; what is retryable where it
        cannot be told now."""
        return await self._verified(request, self._credential(request), for_socket=False)

    async def identify_socket(self, request: web.BaseRequest, token: str | None, claimed_id: str | None) -> Identity:
        """`token` and `claimed_id` are the handshake's `auth.token` and `auth.userId`. Same errors."""
        if claimed_id is not None and (self._ids_alone or (self._development and token is None)):
            credential = Credential("user", claimed_id, "auth")
        else:
            credential = self._credential(request, token)
        identity = await self._verified(request, credential, for_socket=True)
        if claimed_id is not None and claimed_id != identity.user_id:
            raise Unauthorized("auth.userId is somebody else than the credential says", code="user_mismatch")
        return identity

    async def identify_again(self, token: str) -> Identity:
        """By a token that an open socket brings, which must be good for REST as well. Raises as `identify`."""
        headers = (("Authorization", f"Bearer {token}"),) if self._asks_the_app else ()
        credential = Credential("headers" if headers else "bearer", token, "auth", headers)
        return await self._verifier.verify(credential, for_socket=False)

    async def ended(self, proofs: Collection[Hashable]) -> Collection[Hashable]:
        """`Verifiers.ended`."""
        return await self._verifier.ended(proofs)

    async def _verified(self, request: web.BaseRequest, credential: Credential, *, for_socket: bool) -> Identity:
        if credential.source == "cookie" and not self._allows_cookie(request):
            raise origin_not_allowed()
        return await self._verifier.verify(credential, for_socket=for_socket)

    def _credential(self, request: web.BaseRequest, token: str | None = None) -> Credential:
        """What says most plainly who it is: `auth.token`, JWT_HEADER, Authorization, a cookie."""
        scheme, value = _authorization(request)
        if scheme == "user" and token is None and self._development:
            return Credential("user", value, "header")
        if self._asks_the_app:
            return self._for_the_app(request, token)
        if token is not None:
            return Credential("bearer", token, "auth")
        if self._token_header is not None and (given := request.headers.get(self._token_header)):
            return Credential("bearer", given.strip().removeprefix("Bearer ").strip(), "header")
        if scheme == "bearer":
            return Credential("bearer", value, "header")
        if scheme not in ("", "basic"):  # the latter is for a proxy in front of a site which is not public yet
            raise Unauthorized("Authorization takes Bearer and a token")
        if self._session_cookie is not None and (cookie := _cookie(request, self._session_cookie)):
            return Credential("session", cookie, "cookie")
        if self._token_cookie is not None and (cookie := _cookie(request, self._token_cookie)):
            return Credential("bearer", cookie.removeprefix("Bearer "), "cookie")
        raise NoCredential("a credential is needed")

    def _for_the_app(self, request: web.BaseRequest, token: str | None) -> Credential:
        """What AUTH_URL is asked with: nothing of the request but what may say who it is. A cookie from an origin for
        which it must not speak stays here, where a token speaks beside it."""
        headers = []
        authorization = request.headers.get("Authorization") if token is None else f"Bearer {token}"
        if authorization:
            headers.append(("Authorization", authorization))
        if self._token_header is not None and self._token_header.lower() not in ("authorization", "cookie"):
            headers += [(self._token_header, value)] if (value := request.headers.get(self._token_header)) else []
        cookie = request.headers.get("Cookie")
        source: Literal["header", "cookie"] = "header" if headers else "cookie"
        if cookie and (source == "cookie" or self._allows_cookie(request)):
            headers.append(("Cookie", cookie))
        if not headers:
            raise NoCredential("a credential is needed")
        return Credential("headers", "", source, tuple(headers))

    def _allows_cookie(self, request: web.BaseRequest) -> bool:
        return self._policy.allows_cookie(
            origin=request.headers.get("Origin"),
            fetch_site=request.headers.get("Sec-Fetch-Site"),
            host=request.headers.get("Host", ""),
            writes=request.method not in _READING,
        )


def origin_not_allowed() -> Forbidden:
    return Forbidden("this origin is not allowed: set CLIENT_URL to your front end's", code="origin_not_allowed")
