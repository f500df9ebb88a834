"""Who is believed about where a request comes from."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from notify_server.addresses import TrustedProxies

CLIENT, SPOOFED = "203.0.113.7", "198.51.100.99"
CLOUDFLARE, ROUTER = "104.22.17.40", "10.1.45.23"


def client(proxies: str, peer: str | None, *forwarded: str, **headers: str) -> str | None:
    """`forwarded` are the lines of X-Forwarded-For."""
    lines = [("X-Forwarded-For", line) for line in forwarded]
    lines += [(name.replace("_", "-"), value) for name, value in headers.items()]
    return TrustedProxies.parse(proxies.split(",")).client_of(peer, CIMultiDictProxy(CIMultiDict(lines)))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        # no proxy: nothing that anybody says is believed
        (client("none", CLIENT, SPOOFED), CLIENT),
        (client("none", "10.0.0.1", SPOOFED), "10.0.0.1"),
        # the router adds the client's address behind whatever the client sent
        (client("heroku", ROUTER, CLIENT), CLIENT),
        (client("heroku", ROUTER, f"{SPOOFED}, {CLIENT}"), CLIENT),
        (client("heroku", ROUTER, SPOOFED, CLIENT), CLIENT),
        (client("heroku", CLIENT, SPOOFED), CLIENT),
        (client("heroku", ROUTER), ROUTER),
        # Cloudflare's edge between client and router
        (client("render", ROUTER, f"{CLIENT}, {CLOUDFLARE}"), CLIENT),
        (client("render", ROUTER, f"{SPOOFED}, {CLIENT}, {CLOUDFLARE}"), CLIENT),
        (client("render", CLIENT, SPOOFED), CLIENT),
        (client("heroku,cloudflare", ROUTER, f"{SPOOFED}, {CLIENT}, {CLOUDFLARE}"), CLIENT),
        # straight behind Cloudflare, and somebody who found the server's own address
        (client("cloudflare", CLOUDFLARE, f"{SPOOFED}, {CLIENT}", CF_Connecting_IP=CLIENT), CLIENT),
        (client("cloudflare", CLIENT, SPOOFED, CF_Connecting_IP=SPOOFED), CLIENT),
        # Fly's own header, and only from its proxy
        (client("fly", "172.16.1.2", f"{SPOOFED}, 66.241.1.1", Fly_Client_IP=CLIENT), CLIENT),
        (client("fly", CLIENT, Fly_Client_IP=SPOOFED), CLIENT),
        # a network of one's own
        (client("192.0.2.0/24", "192.0.2.9", f"{SPOOFED}, {CLIENT}"), CLIENT),
        (client("192.0.2.0/24", "10.0.0.1", SPOOFED), "10.0.0.1"),
        (client("192.0.2.9", "192.0.2.9", f"{CLIENT}, 192.0.2.9"), CLIENT),
        # whatever is no address is where believing ends
        (client("heroku", ROUTER, f"{CLIENT}, unknown"), ROUTER),
        (client("heroku", ROUTER, ""), ROUTER),
        (client("heroku", ROUTER, f"{CLIENT}, "), ROUTER),
        (client("heroku", ROUTER, f"{CLIENT}:1234"), CLIENT),
        (client("heroku", ROUTER, "10.9.9.9, 10.8.8.8"), "10.9.9.9"),
        # IPv6 by what one household has
        (client("none", "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64"),
        (client("heroku", ROUTER, "[2001:db8:1:2::9]:443"), "2001:db8:1:2::/64"),
        (client("heroku", "::ffff:10.1.45.23", CLIENT), CLIENT),
        (client("none", "::ffff:203.0.113.7"), CLIENT),
        (client("none", None), None),
        (client("none", ""), None),
    ],
)
def test_the_address_is_what_the_nearest_untrusted_hop_is(found: str | None, expected: str | None) -> None:
    assert found == expected


@pytest.mark.parametrize("names", ["", "nginx", "10.0.0.0/33", "10.0.0.1/8", "none,heroku", "fly,cloudflare", "*"])
def test_a_name_that_means_nothing_is_refused(names: str) -> None:
    with pytest.raises(ValueError, match=r"network|stand alone|host bits"):
        TrustedProxies.parse(names.split(","))
