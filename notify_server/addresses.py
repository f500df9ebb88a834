"""Where a request comes from, when proxies stand between: no header is believed that a trusted one has not set.

heroku      its router connects from a private address and adds the client's to X-Forwarded-For
render      the same, with Cloudflare's edge between the client and its router
cloudflare  connects from its published networks, and adds the client's to X-Forwarded-For
fly         its proxy connects from a private address, and sets Fly-Client-IP
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from multidict import MultiMapping

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*names: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(name) for name in names)


_PRIVATE = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "::1/128", "fc00::/7"
)
# As Cloudflare publishes them; they have not changed since 2021.
_CLOUDFLARE = _networks(
    "173.245.48.0/20", "103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "141.101.64.0/18", "108.162.192.0/18",
    "190.93.240.0/20", "188.114.96.0/20", "197.234.240.0/22", "198.41.128.0/17", "162.158.0.0/15", "104.16.0.0/13",
    "104.24.0.0/14", "172.64.0.0/13", "131.0.72.0/22", "2400:cb00::/32", "2606:4700::/32", "2803:f800::/32",
    "2405:b500::/32", "2405:8100::/32", "2a06:98c0::/29", "2c0f:f248::/32",
)  # fmt: skip
_PRESETS: Mapping[str, tuple[Network, ...]] = {
    "heroku": _PRIVATE, "render": _PRIVATE + _CLOUDFLARE, "cloudflare": _CLOUDFLARE, "fly": _PRIVATE, "none": (),
}  # fmt: skip


@dataclass(frozen=True)
class TrustedProxies:
    """`names` are presets and networks (`10.0.0.0/8`), as TRUSTED_PROXIES lists them; `none` alone is no proxy."""

    names: tuple[str, ...]
    networks: tuple[Network, ...]

    @classmethod
    def parse(cls, names: Iterable[str]) -> TrustedProxies:
        """Raises ValueError for a name that is neither, and for `none` or `fly` beside others."""
        names = tuple(names)
        if len(names) != 1 and {"none", "fly"} & set(names):
            raise ValueError("none and fly stand alone")
        networks: list[Network] = []
        for name in names:
            networks += _PRESETS[name] if name in _PRESETS else [ipaddress.ip_network(name)]
        return cls(names, tuple(networks))

    def __str__(self) -> str:
        return ",".join(self.names)

    def client_of(self, peer: str | None, headers: MultiMapping[str]) -> str | None:
        """The client's address, an IPv6 one as its /64, which is what one household or server has. `peer` is where the
        connection comes from; None, as on a Unix socket, gives None."""
        address = _parsed(peer or "")
        if address is None:
            return None
        for hop in self._hops(headers):
            if not self._trusts(address):
                break
            said = _parsed(hop)
            if said is None:
                break
            address = said
        if isinstance(address, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((address, 64), strict=False))
        return str(address)

    def _hops(self, headers: MultiMapping[str]) -> list[str]:
        """What the proxies say, the nearest first."""
        if self.names == ("fly",):
            return headers.getall("Fly-Client-IP", [])[-1:]
        forwarded = ",".join(headers.getall("X-Forwarded-For", []))
        return forwarded.split(",")[::-1] if forwarded else []

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self.networks if network.version == address.version)


def _parsed(text: str) -> Address | None:
    """An address, with or without a port. None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
