"""Who is who: tokens, the development mode, and the handshake."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from notify_server.auth import Credential, make_verifier
from notify_server.errors import ConfigError, Unauthorized
from notify_server.settings import load
from tests.clients import NodeClients
from tests.conftest import SECRET, Running, StartServer

DAY = 86_400
NOW = time.time()


def verify(token: str, grace_s: float = 0, **settings: Any) -> str:
    verifier = make_verifier(load(None, **({"jwt_secret": SECRET} | settings)))
    return asyncio.run(verifier.verify(Credential("bearer", token, "header"), grace_s=grace_s)).user_id


def sign(claims: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256", **headers: Any) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers or None)


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> str:
    text: str = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return text


def test_ids_come_as_text_whatever_the_claim_holds() -> None:
    assert verify(sign({"sub": "7", "exp": NOW + 7200})) == "7"
    assert verify(sign({"sub": 7, "exp": NOW + 7200})) == "7"
    assert verify(sign({"id": "u-1", "exp": NOW + 7200}), jwt_user_claim="id") == "u-1"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_secret_takes_its_family(algorithm: str) -> None:
    secret = SECRET * 2
    assert verify(sign({"sub": "7", "exp": NOW + 7200}, secret, algorithm), jwt_secret=secret) == "7"


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS256"), (RSA, "PS512"), (EC, "ES256"), (ED, "EdDSA")],
    ids=lambda value: str(value)[:5],
)
def test_a_public_key_takes_its_family(key: Any, algorithm: str) -> None:
    token = sign({"sub": "7", "exp": NOW + 7200}, key, algorithm)
    assert verify(token, jwt_secret=None, jwt_public_key=pem(key)) == "7"
    one_line = pem(key).replace("\n", "\\n")  # as platforms' dashboards keep it
    assert verify(token, jwt_secret=None, jwt_public_key=one_line) == "7"


def test_a_short_secret_works_as_it_did_in_express() -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        token = sign({"sub": "7", "exp": NOW + 7200}, "secret")
    assert verify(token, jwt_secret="secret") == "7"


FORGED: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "garbage": lambda: "x.y.z",
    "two parts": lambda: sign({"sub": "7", "exp": NOW + 7200}).rsplit(".", 1)[0],
    "no signature": lambda: sign({"sub": "7", "exp": NOW + 7200}).rsplit(".", 1)[0] + ".",
    "algorithm none": lambda: f"{part({'alg': 'none', 'typ': 'JWT'})}.{part({'sub': '7', 'exp': NOW + 7200})}.",
    "algorithm None": lambda: f"{part({'alg': 'None', 'typ': 'JWT'})}.{part({'sub': '7', 'exp': NOW + 7200})}.",
    "another secret": lambda: sign({"sub": "7", "exp": NOW + 7200}, SECRET + "x"),
    "an empty secret": lambda: (
        f"{part({'alg': 'HS256'})}.{part({'sub': '7', 'exp': NOW + 7200})}."
        + base64.urlsafe_b64encode(hmac.new(b"", b"x", hashlib.sha256).digest()).decode()
    ),
    "another family": lambda: sign({"sub": "7", "exp": NOW + 7200}, RSA, "RS256"),
    "expired": lambda: sign({"sub": "7", "exp": NOW - 1}),
    "expired long ago": lambda: sign({"sub": "7", "exp": 0}),
    "not yet": lambda: sign({"sub": "7", "exp": NOW + 7200, "nbf": NOW + 3600}),
    "no expiry": lambda: sign({"sub": "7"}),
    "expiry of text": lambda: sign({"sub": "7", "exp": "tomorrow"}),
    "expiry null": lambda: sign({"sub": "7", "exp": None}),
    "no user": lambda: sign({"exp": NOW + 7200}),
    "user null": lambda: sign({"sub": None, "exp": NOW + 7200}),
    "user empty": lambda: sign({"sub": "", "exp": NOW + 7200}),
    "user a list": lambda: sign({"sub": ["7"], "exp": NOW + 7200}),
    "user an object": lambda: sign({"sub": {"id": 7}, "exp": NOW + 7200}),
    "user true": lambda: sign({"sub": True, "exp": NOW + 7200}),
    "user a fraction": lambda: sign({"sub": 7.5, "exp": NOW + 7200}),
    "user with NUL": lambda: sign({"sub": "7\0", "exp": NOW + 7200}),
    "user oversize": lambda: sign({"sub": "7" * 300, "exp": NOW + 7200}),
    "for an audience": lambda: sign({"sub": "7", "exp": NOW + 7200, "aud": "other"}),
    "oversize": lambda: sign({"sub": "7", "exp": NOW + 7200, "x": "y" * 9000}),
    "unknown critical header": lambda: sign({"sub": "7", "exp": NOW + 7200}, crit=["b64"], b64=False),
}


@pytest.mark.parametrize("forgery", FORGED)
def test_forged_tokens_are_refused(forgery: str) -> None:
    with pytest.raises(Unauthorized):
        verify(FORGED[forgery]())


def test_the_public_key_as_an_hmac_secret_is_refused() -> None:
    public = pem(RSA).encode()
    head, body = part({"alg": "HS256", "typ": "JWT"}), part({"sub": "7", "exp": NOW + 7200})
    mac = base64.urlsafe_b64encode(hmac.new(public, f"{head}.{body}".encode(), hashlib.sha256).digest()).rstrip(b"=")
    with pytest.raises(Unauthorized):
        verify(f"{head}.{body}.{mac.decode()}", jwt_secret=None, jwt_public_key=pem(RSA))


def test_an_issuer_whose_clock_is_a_little_ahead_is_believed() -> None:
    assert verify(sign({"sub": "7", "exp": NOW + 600, "iat": NOW + 20, "nbf": NOW + 20})) == "7"
    assert verify(sign({"sub": "7", "exp": NOW + 600, "iat": NOW + 300})) == "7"  # jsonwebtoken does not look at it


def test_issuer_and_audience_must_fit_where_they_are_set() -> None:
    fits = sign({"sub": "7", "exp": NOW + 7200, "aud": "app", "iss": "me"})
    assert verify(fits, jwt_audience="app", jwt_issuer="me") == "7"
    wrong: list[dict[str, Any]] = [
        {"jwt_audience": "other", "jwt_issuer": "me"},
        {"jwt_audience": "app", "jwt_issuer": "you"},
    ]
    for settings in wrong:
        with pytest.raises(Unauthorized):
            verify(fits, **settings)
    with pytest.raises(Unauthorized):
        verify(sign({"sub": "7", "exp": NOW + 7200}), jwt_audience="app")


def test_a_token_may_do_without_an_expiry_where_that_is_allowed() -> None:
    assert verify(sign({"sub": "7"}), jwt_require_exp=False) == "7"
    with pytest.raises(Unauthorized):
        verify(sign({"sub": "7", "exp": NOW - 1}), jwt_require_exp=False)


def test_grace_is_for_the_expiry_alone() -> None:
    assert verify(sign({"sub": "7", "exp": NOW - 3600}), grace_s=DAY) == "7"
    with pytest.raises(Unauthorized):
        verify(sign({"sub": "7", "exp": NOW - 2 * DAY}), grace_s=DAY)
    with pytest.raises(Unauthorized):
        verify(sign({"sub": "7", "exp": NOW + 7200, "nbf": NOW + 600}), grace_s=DAY)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"jwt_public_key": "no key"}, "JWT_PUBLIC_KEY"),
        ({"jwt_public_key": pem(RSA), "jwt_algorithm": "ES256"}, "JWT_ALGORITHM"),
        ({"jwt_public_key": pem(EC), "jwt_algorithm": "RS256"}, "JWT_ALGORITHM"),
    ],
)
def test_a_key_that_does_not_fit_stops_the_start(settings: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        make_verifier(load(None, **settings))


# --- the handshake ------------------------------------------------------------------------------------------------


def token_for(user: int | str, lifetime_s: float = 60) -> str:
    return sign({"sub": str(user), "exp": time.time() + lifetime_s})


@pytest.fixture
async def with_tokens(start_server: StartServer) -> Running:
    return await start_server(jwt_secret=SECRET)


ACCEPTED: dict[str, dict[str, Any]] = {
    "auth.token": {"auth": {"token": token_for(1)}},
    "auth.token with Bearer": {"auth": {"token": f"Bearer {token_for(1)}"}},
    "auth.token and auth.userId": {"auth": {"token": token_for(1), "userId": 1}},
    "auth.userId as text": {"auth": {"token": token_for(1), "userId": "1"}},
    "query.userId": {"auth": {"token": token_for(1)}, "query": {"userId": "1"}},
    "header": {"headers": {"Authorization": f"Bearer {token_for(1)}"}},
    "cookie": {"headers": {"Cookie": f"a=b; token={token_for(1)}"}, "auth": {"userId": 1}},
    "expired within the grace": {"auth": {"token": token_for(1, -3600)}},
}
TURNED_AWAY: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "unauthorized"),
    "auth.userId alone": ({"auth": {"userId": 1}}, "unauthorized"),
    "a bad token": ({"auth": {"token": "x"}}, "token_invalid"),
    "another's id": ({"auth": {"token": token_for(1), "userId": 2}}, "user_mismatch"),
    "another's id in the query": ({"auth": {"token": token_for(1)}, "query": {"userId": "2"}}, "user_mismatch"),
    "two different ids": ({"auth": {"token": token_for(1), "userId": 1}, "query": {"userId": "2"}}, "user_mismatch"),
    "another spelling": ({"auth": {"token": token_for(1), "userId": "01"}}, "user_mismatch"),
    "expired past the grace": ({"auth": {"token": token_for(1, -2 * DAY)}}, "token_expired"),
    "a plain id in the header": ({"headers": {"Authorization": "User 1"}}, "unauthorized"),
    "token of another type": ({"auth": {"token": {"a": 1}}}, "bad_auth"),
    "id of another type": ({"auth": {"token": token_for(1), "userId": True}}, "bad_auth"),
}


@pytest.mark.parametrize("case", ACCEPTED)
@pytest.mark.parametrize("transports", [None, ["websocket"]], ids=["default", "websocket"])
async def test_a_proven_user_gets_in(
    with_tokens: Running, nodes: NodeClients, case: str, transports: list[str] | None
) -> None:
    client = await nodes.open(with_tokens.url, transports=transports, **ACCEPTED[case]).connected()
    async with with_tokens.http.post(
        f"{with_tokens.url}/posts/1/comments", json={"body": "a"}, headers={"Authorization": f"Bearer {token_for(2)}"}
    ) as response:
        assert response.status == 200
    assert len(await client.notified()) == 1


@pytest.mark.parametrize("case", TURNED_AWAY)
async def test_who_proves_nothing_is_refused_for_good(with_tokens: Running, nodes: NodeClients, case: str) -> None:
    options, code = TURNED_AWAY[case]
    client = nodes.open(with_tokens.url, **options)
    await client.until(lambda: len(client.named("connect_error")) == 1)
    ((message, data),) = client.named("connect_error")
    assert isinstance(message, str)
    assert message
    assert data == {"code": code}
    await asyncio.sleep(0.3)
    assert with_tokens.realtime.server.manager.rooms.get("/", {}) == {}
    assert with_tokens.realtime.feeds._feeds == {}


COOKIE_ON_THE_UPGRADE = {
    "polling": {"extraHeaders": {"Origin": "https://app.example.com"}},
    "websocket": {"extraHeaders": {"Origin": "https://app.example.com", "Cookie": f"token={token_for(1)}"}},
}


async def test_another_origin_of_the_same_site_is_known_by_the_cookie_of_its_upgrade(
    start_server: StartServer, nodes: NodeClients
) -> None:
    """What Chromium sends without `withCredentials`: no cookie with cross-origin polling, one with the WebSocket."""
    server = await start_server(jwt_secret=SECRET, client_url="https://app.example.com")
    client = await nodes.open(server.url, {"userId": 1}, transportOptions=COOKIE_ON_THE_UPGRADE).connected()
    assert client.named("open") == [["polling"]]
    wrong = nodes.open(server.url, {"userId": 2}, transportOptions=COOKIE_ON_THE_UPGRADE)
    await wrong.until(lambda: bool(wrong.named("connect_error")))
    assert wrong.named("connect_error")[0][1] == {"code": "user_mismatch"}
    without = {**COOKIE_ON_THE_UPGRADE, "websocket": COOKIE_ON_THE_UPGRADE["polling"]}
    nobody = nodes.open(server.url, {"userId": 1}, transportOptions=without)
    await nobody.until(lambda: bool(nobody.named("connect_error")))
    assert nobody.named("connect_error")[0][1] == {"code": "unauthorized"}


async def test_without_an_upgrade_the_post_is_answered_at_once_and_the_transport_is_closed(
    start_server: StartServer, nodes: NodeClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify_server.realtime._UPGRADE_S", 0.5)
    monkeypatch.setattr("notify_server.transport.connecting._HOLD_S", (0.1, 0.2))
    server = await start_server(jwt_secret=SECRET, client_url="https://app.example.com")
    url, headers = f"{server.url}/socket.io/?EIO=4&transport=polling", {"Origin": "https://app.example.com"}
    async with server.http.get(url, headers=headers) as response:
        sid = json.loads((await response.text())[1:])["sid"]
    started = time.monotonic()
    async with server.http.post(f"{url}&sid={sid}", data='40{"userId":1}', headers=headers) as response:
        assert response.status == 200
    assert time.monotonic() - started < 0.3
    client = nodes.open(server.url, {"userId": 1}, transports=["polling"], headers=headers)
    await client.until(lambda: len(client.named("open")) >= 2)  # it came back by itself
    assert all(data is None for _, data in client.named("connect_error"))  # the transport's own, none of ours
    async with server.http.get(f"{url}&sid={sid}", headers=headers) as response:
        assert response.status == 400


async def test_a_socket_ends_with_its_token(start_server: StartServer, nodes: NodeClients) -> None:
    server = await start_server(jwt_secret=SECRET, socket_token_grace=0)
    client = await nodes.open(server.url, {"token": token_for(1, 2)}).connected()
    await client.until(lambda: client.named("disconnect") == [["transport close"]], timeout_s=5)
    await client.until(lambda: bool(client.named("connect_error")))
    assert client.named("connect_error")[0][1] == {"code": "token_expired"}


async def test_development_believes_ids_but_only_on_this_machine(start_server: StartServer, nodes: NodeClients) -> None:
    server = await start_server()
    await nodes.open(server.url, {"userId": "anybody at all"}).connected()
    await nodes.open(server.url, {"userId": 1, "token": "the app's own, which nobody can check here"}).connected()
    for headers in (
        {"X-Forwarded-For": "1.2.3.4"}, {"Forwarded": "for=1.2.3.4"}, {"X-Real-IP": "1.2.3.4"}, {"Via": "1.1 proxy"},
        {"Host": "example.com"}, {"Host": "192.168.1.2:8000"}, {"Host": "localhost.evil.com"},
        {"Host": "127.0.0.1.evil.com:80"},
        {"X-Forwarded-Host": "localhost"}, {"X-Forwarded-Proto": "https"},
    ):  # fmt: skip
        for path in ("/posts", "/socket.io/?EIO=4&transport=polling"):
            async with server.http.get(server.url + path, headers={"Authorization": "User 1", **headers}) as response:
                assert response.status == 403
                assert (await response.json())["code"] == "development_only"
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:8000", "127.5.5.5", "[::1]:8000", "[::1]"):
        async with server.http.get(
            server.url + "/posts", headers={"Authorization": "User 1", "Host": host}
        ) as response:
            assert response.status == 200


async def test_a_token_works_in_development_too_where_a_secret_is_set(
    start_server: StartServer, nodes: NodeClients
) -> None:
    server = await start_server(jwt_secret=SECRET, trust_user_id=True)
    await nodes.open(server.url, {"token": token_for(1)}).connected()
    await nodes.open(server.url, {"userId": 1}).connected()
