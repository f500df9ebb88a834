"""Every forged token that we know of, against each kind of key, over REST and over sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.clients import Client, NodeClients
from tests.conftest import SECRET, Running, StartServer
from tests.tokens import hs256, part, unsigned
from tests.upstream import upstream

RSA = rsa.generate_private_key(65537, 2048)
THEIRS = rsa.generate_private_key(65537, 2048)
PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
DER = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
JWK: dict[str, Any] = jwt.get_algorithm_by_name("RS256").to_jwk(RSA.public_key(), as_dict=True)
THEIR_JWK: dict[str, Any] = jwt.get_algorithm_by_name("RS256").to_jwk(THEIRS.public_key(), as_dict=True)

Sign = Callable[..., str]
KEYS: dict[str, Sign] = {
    "a secret": lambda claims, **headers: jwt.encode(claims, SECRET, "HS256", headers=headers or None),
    "a public key": lambda claims, **headers: jwt.encode(claims, RSA, "RS256", headers=headers or None),
    "a JWKS URL": lambda claims, **headers: jwt.encode(claims, RSA, "RS256", headers={"kid": "a", **headers}),
}


def good(**more: Any) -> dict[str, Any]:
    return {"sub": "1", "exp": int(time.time()) + 600, "aud": "app", "iss": "login", **more}


def without(claim: str) -> dict[str, Any]:
    return {name: value for name, value in good().items() if name != claim}


def forgeries(sign: Sign, theirs_url: str) -> dict[str, str]:
    """By what is wrong. `sign` makes good ones; `theirs_url` is where the forger gives out keys of his own."""
    whole = sign(good())
    head, body, signature = whole.split(".")
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    first = "A" if signature[0] != "A" else "B"
    by_them = {"kid": "a"} if "kid" in header else {}
    return {
        "garbage": "x.y.z",
        "one word": "token",
        "only dots": "..",
        "two parts": f"{head}.{body}",
        "four parts": f"{whole}.x",
        "no signature": f"{head}.{body}.",
        "a bit of the signature": f"{head}.{body}.{first}{signature[1:]}",
        "another body": f"{head}.{part(good(sub='2'))}.{signature}",
        "another head": f"{part({**header, 'typ': 'at+jwt', 'x': 1})}.{body}.{signature}",
        "none": unsigned(good(), **by_them),
        "None": unsigned(good(), alg="None", **by_them),
        "nOnE": unsigned(good(), alg="nOnE", **by_them),
        "none, with the signature": unsigned(good(), **by_them) + signature,
        "no algorithm": f"{part({'typ': 'JWT'})}.{body}.{signature}",
        "an algorithm of no text": f"{part({**header, 'alg': ['none']})}.{body}.{signature}",
        "another secret": hs256(b"another secret of 32 bytes or so", good(), **by_them),
        "an empty secret": hs256(b"", good(), **by_them),
        "the public key as a secret": hs256(PEM, good(), **by_them),
        "the public key, one line": hs256(PEM.strip(), good(), **by_them),
        "the public key, DER": hs256(DER, good(), **by_them),
        "the JWK as a secret": hs256(json.dumps(JWK).encode(), good(), **by_them),
        "the modulus as a secret": hs256(JWK["n"].encode(), good(), **by_them),
        "another key": jwt.encode(good(), THEIRS, "RS256", headers=by_them),
        "another algorithm": jwt.encode(good(), ec.generate_private_key(ec.SECP256R1()), "ES256", headers=by_them),
        "their key in the header": jwt.encode(good(), THEIRS, "RS256", headers={**by_them, "jwk": THEIR_JWK}),
        "their JWKS in the header": jwt.encode(good(), THEIRS, "RS256", headers={"kid": "theirs", "jku": theirs_url}),
        "their certificate in the header": jwt.encode(good(), THEIRS, "RS256", headers={**by_them, "x5u": theirs_url}),
        "a kid that is a path": hs256(b"", good(), kid="../../../../dev/null"),
        "a kid that is SQL": hs256(b"x", good(), kid="' UNION SELECT 'x"),
        "a kid that is no text": f"{part({**header, 'kid': {'a': 1}})}.{body}.{signature}",
        "a kid that nobody has": jwt.encode(good(), THEIRS, "RS256", headers={"kid": "b"}),
        "a critical header": sign(good(), crit=["b64"], b64=False),
        "encrypted": ".".join((part({"alg": "RSA-OAEP", "enc": "A256GCM"}), "a", "b", "c", "d")),
        "expired": sign(good(exp=int(time.time()) - 1)),
        "expired in 1970": sign(good(exp=0)),
        "expiry of text": sign(good(exp="never")),
        "expiry null": sign(good(exp=None)),
        "no expiry": sign(without("exp")),
        "expiry a list": sign(good(exp=[2**40])),
        "expiry infinite": sign(good(exp=float("inf"))),
        "not yet": sign(good(nbf=int(time.time()) + 600)),
        "another audience": sign(good(aud="other")),
        "no audience": sign(without("aud")),
        "another issuer": sign(good(iss="evil")),
        "no issuer": sign(without("iss")),
        "no user": sign(without("sub")),
        "user null": sign(good(sub=None)),
        "user empty": sign(good(sub="")),
        "user a list": sign(good(sub=["1"])),
        "user an object": sign(good(sub={"id": 1})),
        "user true": sign(good(sub=True)),
        "user a fraction": sign(good(sub=1.5)),
        "user with NUL": sign(good(sub="1\0")),
        "user oversize": sign(good(sub="1" * 300)),
        "claims a list": hs256(SECRET.encode(), [good()])
        if header["alg"] == "HS256"
        else f"{head}.{part([1])}.{signature}",
        "oversize": sign(good(x="y" * 9000)),
        "deep": f"{head}.{base64.urlsafe_b64encode(b'[' * 5000).decode()}.{signature}",
    }


@pytest.fixture
async def provider() -> AsyncIterator[str]:
    """Gives out our key at /jwks and the forger's at /theirs, which nobody must ask for."""

    async def answer(request: web.Request) -> web.Response:
        assert request.path == "/jwks"
        return web.json_response({"keys": [{**JWK, "kid": "a"}]})

    async with upstream(answer) as found:
        yield found.url


async def status(server: Running, **headers: str) -> int:
    async with server.http.get(f"{server.url}/me", headers=headers) as response:
        return response.status


async def ended(client: Client) -> bool:
    """Whether it was let in; waits for the one or the other."""
    await client.until(lambda: bool(client.named("connect")) or any(data for _, data in client.named("connect_error")))
    return bool(client.named("connect"))


@pytest.mark.parametrize("kind", KEYS)
async def test_no_forged_token_lets_anybody_in(
    start_server: StartServer, nodes: NodeClients, provider: str, kind: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("notify_server.auth.jwks._PAUSE_S", 0.0)  # else most are told to come back
    monkeypatch.setattr("notify_server.transport.connecting._HOLD_S", (0.1, 0.2))
    keys = {"a secret": {"jwt_secret": SECRET}, "a public key": {"jwt_public_key": PEM.decode()},
            "a JWKS URL": {"jwt_jwks_url": f"{provider}/jwks"}}  # fmt: skip
    server = await start_server(
        **keys[kind], jwt_audience="app", jwt_issuer="login", jwt_header="x-access-token", socket_token_grace=0
    )
    sign = KEYS[kind]
    for headers in ({"Authorization": f"Bearer {sign(good())}"}, {"Cookie": f"token={sign(good())}"}):
        assert await status(server, **headers) == 200  # so that a server which refuses everybody is not praised
    in_ = await nodes.open(server.url, {"token": sign(good())}).connected()
    in_.close()

    tried = forgeries(sign, f"{provider}/theirs")
    passed = []
    for case, token in tried.items():
        for headers in (
            {"Authorization": f"Bearer {token}"}, {"Authorization": token}, {"X-Access-Token": token},
            {"Cookie": f"token={token}"},
        ):  # fmt: skip
            refused = await status(server, **headers)
            if refused not in (401, 400):  # 400: aiohttp's, for a header that is too long
                passed.append((case, headers, refused))
    clients = {case: nodes.open(server.url, {"token": token, "userId": 1}) for case, token in tried.items()}
    for case, let_in in zip(tried, await asyncio.gather(*(ended(client) for client in clients.values())), strict=True):
        if let_in:
            passed.append((case, {}, 0))
    with capsys.disabled():
        print(f"\nforged tokens against {kind}: tried {len(tried)} over REST in 4 places each, and over sockets, "
              f"passed {len(passed)}")  # fmt: skip
    assert passed == []
    async with asyncio.timeout(5):
        while server.realtime.feeds._feeds:
            await asyncio.sleep(0.01)
