"""Tokens whose keys an identity provider gives out."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from notify_server.app import make_database
from notify_server.auth import Credential, make_verifier
from notify_server.auth.jwks import Jwks, parse
from notify_server.auth.keys import Key
from notify_server.errors import Unauthorized, Unavailable
from notify_server.outgoing import Outgoing
from notify_server.settings import load
from tests.clients import NodeClients
from tests.conftest import StartServer
from tests.tokens import hs256, unsigned
from tests.upstream import Upstream, upstream

RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    kinds = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256", ed25519.Ed25519PrivateKey: "EdDSA"}
    algorithm = next(name for kind, name in kinds.items() if isinstance(key, kind))
    public = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**public, **({} if kid is None else {"kid": kid}), **more}


def token(key: Any, kid: str | None, algorithm: str = "RS256", user: str = "1", lifetime_s: float = 600) -> str:
    claims = {"sub": user, "exp": time.time() + lifetime_s}
    return jwt.encode(claims, key, algorithm=algorithm, headers=None if kid is None else {"kid": kid})


@dataclass
class Provider:
    """`keys` as they are given out at this moment."""

    server: Upstream
    keys: list[dict[str, Any]]
    now: float = 1000.0
    outgoing: Outgoing = field(default_factory=Outgoing)

    async def answer(self, _request: web.Request) -> web.Response:
        return web.json_response({"keys": self.keys})

    def jwks(self, algorithm: str | None = None) -> Jwks:
        """By the clock `now`."""
        return Jwks(f"{self.server.url}/jwks", self.outgoing.get, algorithm, clock=lambda: self.now)

    @property
    def fetches(self) -> int:
        return len(self.server.asked)


async def never(_request: web.Request) -> web.Response:
    await asyncio.sleep(60)
    raise AssertionError


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with upstream(never) as server:
        found = Provider(server, [jwk(RSA, "a")])
        server.answer = found.answer
        yield found
        await found.outgoing.close()


async def looked_up(jwks: Jwks, text: str) -> Key:
    return jwks.known(text) or await jwks.look_for(text)


async def test_a_key_is_fetched_once_and_then_known_at_once(provider: Provider) -> None:
    jwks, one = provider.jwks(), token(RSA, "a")
    assert jwks.known(one) is None
    await asyncio.gather(*(jwks.look_for(one) for _ in range(50)))
    assert jwks.known(one) is not None
    assert provider.fetches == 1


async def test_a_new_key_is_fetched_when_a_token_names_it_and_an_old_one_goes(provider: Provider) -> None:
    jwks, old, new = provider.jwks(), token(RSA, "a"), token(OTHER_RSA, "b")
    await jwks.look_for(old)
    provider.keys = [jwk(OTHER_RSA, "b")]
    provider.now += 60
    assert jwks.known(new) is None
    assert (await jwks.look_for(new)).algorithms
    assert provider.fetches == 2
    assert jwks.known(old) is None
    provider.now += 60
    with pytest.raises(Unauthorized):
        await jwks.look_for(old)


async def test_a_flood_of_made_up_kids_makes_one_fetch_in_five_seconds_and_says_come_back(provider: Provider) -> None:
    jwks = provider.jwks()
    await jwks.look_for(token(RSA, "a"))
    outcomes = []
    for second in range(10):
        for n in range(100):
            provider.now = 1100.0 + second + n / 1000
            try:
                await looked_up(jwks, token(EC, f"made up {second} {n}", "ES256"))
            except (Unauthorized, Unavailable) as error:
                outcomes.append(type(error))
    assert len(outcomes) == 1000
    assert provider.fetches == 1 + 2
    assert outcomes.count(Unauthorized) == 2  # by keys that came after them; the others may be of a newer one
    assert jwks.known(token(RSA, "a")) is not None  # whom the flood does not concern


async def test_what_is_no_token_causes_no_fetch(provider: Provider) -> None:
    jwks = provider.jwks()
    for text in ("x", "a.b.c", "", "é", token(RSA, "a")[10:]):
        with pytest.raises((jwt.PyJWTError, ValueError)):
            await looked_up(jwks, text)
    assert provider.fetches == 0


async def refused(_request: web.Request) -> web.Response:
    return web.Response(status=500)


async def huge(_request: web.Request) -> web.Response:
    return web.Response(body=b" " * 300_000 + json.dumps({"keys": [jwk(RSA, "a")]}).encode())


async def redirects(request: web.Request) -> web.Response:
    if request.path == "/elsewhere":
        return web.json_response({"keys": [jwk(RSA, "a")]})
    raise web.HTTPFound("/elsewhere")


async def bomb(_request: web.Request) -> web.Response:
    body = gzip.compress(json.dumps({"keys": [jwk(RSA, "a")], "x": " " * 10_000_000}).encode())
    return web.Response(body=body, headers={"Content-Encoding": "gzip"})


def says(text: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=text)

    return answer


NO_KEYS = {
    "down": refused, "slow": never, "huge": huge, "elsewhere": redirects, "compressed": bomb,
    "garbage": says("<html>"), "a list": says("[]"), "no keys": says('{"keys": []}'), "empty": says(""),
    "deep": says("[" * 100_000), "keys of text": says('{"keys": ["a"]}'), "keys an object": says('{"keys": {"a": 1}}'),
    "a secret": says('{"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0", "alg": "HS256"}]}'),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_KEYS)
async def test_known_keys_outlive_a_provider_that_is_away_for_a_day_and_new_ones_say_come_back(
    provider: Provider, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify_server.outgoing._TIMEOUT_S", 0.3)
    jwks, known = provider.jwks(), token(RSA, "a")
    await jwks.look_for(known)
    provider.server.answer = NO_KEYS[case]
    for away_s in (60.0, 3600.0, 86_000.0):
        provider.now = 1000.0 + away_s
        assert jwks.known(known) is not None
        with pytest.raises(Unavailable) as raised:
            await jwks.look_for(token(OTHER_RSA, "b"))
        assert raised.value.retryable
    provider.now = 1000.0 + 86_400.0
    assert jwks.known(known) is None
    with pytest.raises(Unavailable):
        await jwks.look_for(known)
    provider.server.answer = provider.answer
    provider.now += 5
    await jwks.look_for(known)


async def test_keys_are_fetched_anew_beside_the_requests_so_that_a_withdrawn_one_goes(provider: Provider) -> None:
    jwks, one = provider.jwks(), token(RSA, "a")
    await jwks.look_for(one)
    provider.keys = [jwk(OTHER_RSA, "b")]
    provider.now += 599
    assert jwks.known(one) is not None
    assert provider.fetches == 1
    provider.now += 1
    assert jwks.known(one) is not None  # nobody waits for it
    async with asyncio.timeout(5):
        while jwks.known(one) is not None:
            await asyncio.sleep(0.01)
    assert provider.fetches == 2


def keys_of(*jwks: dict[str, Any], algorithm: str | None = None) -> dict[str | None, list[str]]:
    found = parse(json.dumps({"keys": jwks}).encode(), algorithm)
    return {kid: list(key.algorithms) for kid, key in found.items()}


def test_only_public_keys_for_signatures_are_taken() -> None:
    secret = {"kty": "oct", "kid": "s", "k": "c2VjcmV0", "alg": "HS256"}
    private = {**jwt.get_algorithm_by_name("RS256").to_jwk(OTHER_RSA, as_dict=True), "kid": "p"}
    broken = {"kty": "RSA", "kid": "b", "n": "AQAB"}
    strange = {"kty": "EC", "crv": "secp256k1", "kid": "k", "x": "AA", "y": "AA"}
    encrypts, wraps = jwk(OTHER_RSA, "e", use="enc"), jwk(OTHER_RSA, "w", alg="RSA-OAEP")
    assert keys_of(secret, private, broken, strange, encrypts, wraps, jwk(RSA, "a", use="sig", alg="RS256")) == {
        "a": ["RS256"]
    }
    assert keys_of(jwk(RSA, "a"))["a"] == ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
    with pytest.raises(ValueError, match="no key for signatures"):
        keys_of(secret)


def test_keys_of_several_families_need_an_algorithm_named() -> None:
    mixed = jwk(RSA, "a"), jwk(EC, "b"), jwk(ED, "c")
    with pytest.raises(ValueError, match="JWT_ALGORITHM"):
        keys_of(*mixed)
    assert keys_of(*mixed, algorithm="ES256") == {"b": ["ES256"]}
    assert keys_of(*mixed, algorithm="PS256") == {"a": ["PS256"]}
    assert keys_of(jwk(RSA, "a", alg="RS256"), jwk(OTHER_RSA, "b", alg="PS256")) == {"a": ["RS256"], "b": ["PS256"]}


async def test_a_token_without_kid_is_taken_where_there_is_one_key_alone(provider: Provider) -> None:
    assert await looked_up(provider.jwks(), token(RSA, None))
    provider.keys = [jwk(RSA, None)]
    assert await looked_up(provider.jwks(), token(RSA, "anything"))
    provider.keys = [jwk(RSA, "a"), jwk(OTHER_RSA, "b")]
    with pytest.raises(Unauthorized):
        await looked_up(provider.jwks(), token(RSA, None))


def self_signed(folder: Path) -> ssl.SSLContext:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(EC.public_key()).serial_number(1)
        .not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1)).sign(EC, hashes.SHA256())
    )  # fmt: skip
    key = EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "both.pem").write_bytes(key + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


async def test_keys_of_a_server_that_nobody_vouches_for_are_not_taken(provider: Provider, tmp_path: Path) -> None:
    async with upstream(provider.answer, self_signed(tmp_path)) as stranger:
        jwks = Jwks(f"{stranger.url}/jwks", provider.outgoing.get)
        with pytest.raises(Unavailable):
            await jwks.look_for(token(RSA, "a"))
        assert stranger.asked == []


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS384"), (EC, "ES256"), (ED, "EdDSA")])
async def test_each_family_logs_in(provider: Provider, key: Any, algorithm: str) -> None:
    provider.keys = [jwk(key, "k")]
    settings = load(None, jwt_jwks_url=f"{provider.server.url}/jwks")
    verifier = make_verifier(settings, make_database(settings), provider.outgoing.get)

    async def user(text: str) -> str:
        return (await verifier.verify(Credential("bearer", text, "header"), for_socket=False)).user_id

    assert await user(token(key, "k", algorithm)) == "1"
    stranger = {"RS": OTHER_RSA, "PS": OTHER_RSA, "ES": ec.generate_private_key(ec.SECP256R1()),
                "Ed": ed25519.Ed25519PrivateKey.generate()}[algorithm[:2]]  # fmt: skip
    claims = {"sub": "1", "exp": time.time() + 60}
    for forged in (
        token(stranger, "k", algorithm),
        hs256(json.dumps(jwk(key, "k")).encode(), claims, kid="k"),
        unsigned(claims, kid="k"),
        token(key, "k", algorithm, lifetime_s=-1),
    ):
        with pytest.raises(Unauthorized):
            await user(forged)


async def test_a_socket_waits_out_a_provider_that_is_away(
    start_server: StartServer, nodes: NodeClients, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify_server.transport.connecting._HOLD_S", (0.1, 0.2))
    monkeypatch.setattr("notify_server.auth.jwks._PAUSE_S", 0.5)
    provider.server.answer = refused
    server = await start_server(jwt_jwks_url=f"{provider.server.url}/jwks")
    async with server.http.get(f"{server.url}/me", headers={"Authorization": f"Bearer {token(RSA, 'a')}"}) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert (await response.json())["code"] == "keys_unavailable"
    client = nodes.open(server.url, {"token": token(RSA, "a")})
    await client.until(lambda: len(client.named("open")) >= 2)  # it comes back by itself
    assert all(data is None for _, data in client.named("connect_error"))  # the transport's own, no CONNECT_ERROR
    provider.server.answer = provider.answer
    await client.connected()
    stranger = nodes.open(server.url, {"token": token(OTHER_RSA, "a")})
    await stranger.until(lambda: bool(stranger.named("connect_error")))
    assert stranger.named("connect_error")[0][1] == {"code": "token_invalid"}
