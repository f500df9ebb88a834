"""Which web origins may speak to us with a user's credentials. Rules: the README, "Origins"."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?P<port>:[0-9]{1,5})?")
_PATTERN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:(?P<star>\*)\.)?(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?P<port>:[0-9]{1,5})?"
)
_DEFAULT_PORT = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}


def _parts(match: re.Match[str]) -> tuple[str, str, str]:
    scheme, port = match["scheme"], match["port"] or ""
    return scheme, match["host"], "" if port == _DEFAULT_PORT.get(scheme) else port


@dataclass(frozen=True, slots=True)
class OriginPattern:
    """`https://app.example.com`, or with one wildcard label, `https://*.preview.example.com`."""

    scheme: str
    host: str
    port: str
    wildcard: bool

    @classmethod
    def parse(cls, text: str) -> OriginPattern:
        """Raises ValueError for what is no origin; a path, a query or `*` is none."""
        match = _PATTERN.fullmatch(text.strip().rstrip("/").lower())
        if match is None or (match["star"] and "." not in match["host"]):
            raise ValueError(f"{text.strip()!r} is no origin such as https://app.example.com")
        scheme, host, port = _parts(match)
        return cls(scheme, host, port, match["star"] is not None)

    def matches(self, origin: str) -> bool:
        match = _ORIGIN.fullmatch(origin.lower())
        if match is None:
            return False
        scheme, host, port = _parts(match)
        if (scheme, port) != (self.scheme, self.port):
            return False
        if not self.wildcard:
            return host == self.host
        label, _, rest = host.partition(".")
        return bool(label) and rest == self.host

    def __str__(self) -> str:
        return f"{self.scheme}://{'*.' if self.wildcard else ''}{self.host}{self.port}"


def same_host(origin: str, host: str) -> bool:
    """Whether an Origin is that of the Host which the request names; schemes are not compared: TLS may end before."""
    match = _ORIGIN.fullmatch(origin.lower())
    if match is None or match["scheme"] not in ("http", "https"):
        return False
    scheme, name, port = _parts(match)
    return name + port == host.lower().removesuffix(_DEFAULT_PORT[scheme])


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    patterns: tuple[OriginPattern, ...]

    @classmethod
    def of(cls, patterns: Iterable[OriginPattern]) -> OriginPolicy:
        return cls(tuple(patterns))

    def allows(self, origin: str, host: str) -> bool:
        """Same origin always; others by `CLIENT_URL`."""
        return same_host(origin, host) or any(pattern.matches(origin) for pattern in self.patterns)

    def allows_cookie(self, *, origin: str | None, fetch_site: str | None, host: str, writes: bool) -> bool:
        """Whether a cookie may speak for the user in a request with these headers. A browser that sends no Origin tells
        by Sec-Fetch-Site where it comes from; a request with neither is no browser's, and may read but not write."""
        if origin is not None:
            return self.allows(origin, host)
        if fetch_site is not None:
            return fetch_site.lower() in ("same-origin", "none")
        return not writes
