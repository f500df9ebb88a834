"""Who is who: tokens, the development mode, and the handshake."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from notify_server.app import make_database
from notify_server.auth import Credential, Verifiers, make_verifier
from notify_server.auth.asking import Answer
from notify_server.auth.jwt import JwtVerifier
from notify_server.auth.keys import of_secret
from notify_server.errors import ConfigError, Unauthorized
from notify_server.settings import load
from tests.clients import NodeClients
from tests.conftest import SECRET, Running, StartServer
from tests.tokens import hs256, unsigned

DAY = 86_400
NOW = time.time()


async def no_server(url: str, headers: Mapping[str, str]) -> Answer:
    raise AssertionError(url)


def make(**values: Any) -> Verifiers:
    settings = load(None, **({"jwt_secret": SECRET} | values))
    return make_verifier(settings, make_database(settings), no_server)


def verify(token: str, *, for_socket: bool = False, **settings: Any) -> str:
    """Twice, because a token that was verified is remembered."""
    verifier, credential = make(**settings), Credential("bearer", token, "header")
    first, second = (asyncio.run(verifier.verify(credential, for_socket=for_socket)) for _ in range(2))
    assert first == second
    return first.user_id


def sign(claims: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256", **headers: Any) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers or None)


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


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("user.id", {"user": {"id": 7}}),
        ("user.id", {"user.id": "7", "user": {"id": 8}}),
        ("a.b.c", {"a": {"b": {"c": "7"}}}),
        ("https://example.com/id", {"https://example.com/id": 7}),
        ("https://example.com/user.id", {"https://example.com/user": {"id": 7}}),
        ("https://example.com/user.id", {"https://example": {"com/user": {"id": 8}}, "https://example.com/user.id": 7}),
    ],
)
def test_the_id_may_be_in_any_claim(claim: str, claims: dict[str, Any]) -> None:
    assert verify(sign({**claims, "exp": NOW + 7200}), jwt_user_claim=claim) == "7"


@pytest.mark.parametrize(
    "claims",
    [{}, {"user": 7}, {"user": {}}, {"user": None}, {"user": {"id": None}}, {"user": ["7"]}, {"user": {"id": {"a": 1}}},
     {"user.id": None, "user": {"id": 7}}, {"id": 7}, {"user": {"id": 10**300}}],
)  # fmt: skip
def test_where_the_claim_holds_no_id_nobody_is_logged_in(claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthorized):
        verify(sign({**claims, "exp": NOW + 7200}), jwt_user_claim="user.id")


def test_what_is_remembered_of_a_token_ends_with_it_and_refusals_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier, token = make(socket_token_grace=10), sign({"sub": "7", "exp": int(NOW) + 30, "nbf": int(NOW) - 5})

    def user(moment: float, *, for_socket: bool = False) -> str | None:
        monkeypatch.setattr("time.time", lambda: moment)
        try:
            found = asyncio.run(verifier.verify(Credential("bearer", token, "header"), for_socket=for_socket))
        except Unauthorized:
            return None
        return found.user_id

    start = int(NOW)
    assert [user(start), user(start + 29), user(start + 30), user(start + 29)] == ["7", "7", None, "7"]
    assert [user(start + 39, for_socket=True), user(start + 39), user(start + 40, for_socket=True)] == ["7", None, None]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify_server.auth.jwt._MAX_REMEMBERED", 10)
    settings = load(None, jwt_secret=SECRET)
    verifier = JwtVerifier(settings, of_secret(SECRET, None))
    for n in range(50):
        token = sign({"sub": str(n), "exp": NOW + 7200})
        assert asyncio.run(verifier.verify(Credential("bearer", token, "header"), for_socket=False)).user_id == str(n)
    assert len(verifier._remembered) == 10


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
    "algorithm none": lambda: unsigned({"sub": "7", "exp": NOW + 7200}),
    "algorithm None": lambda: unsigned({"sub": "7", "exp": NOW + 7200}, alg="None"),
    "another secret": lambda: sign({"sub": "7", "exp": NOW + 7200}, SECRET + "x"),
    "an empty secret": lambda: hs256(b"", {"sub": "7", "exp": NOW + 7200}),
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
    with pytest.raises(Unauthorized):
        verify(hs256(pem(RSA).encode(), {"sub": "7", "exp": NOW + 7200}), jwt_secret=None, jwt_public_key=pem(RSA))


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
    assert verify(sign({"sub": "7", "exp": NOW - 3600}), for_socket=True) == "7"
    with pytest.raises(Unauthorized):
        verify(sign({"sub": "7", "exp": NOW - 2 * DAY}), for_socket=True)
    with pytest.raises(Unauthorized):
        verify(sign({"sub": "7", "exp": NOW - 60}), for_socket=True, socket_token_grace=0)
    with pytest.raises(Unauthorized):
        verify(sign({"sub": "7", "exp": NOW + 7200, "nbf": NOW + 600}), for_socket=True)


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
        make(**{"jwt_secret": None, **settings})


# --- the handshake ------------------------------------------------------------------------------------------------


def token_for(user: int | str, lifetime_s: float = 60) -> str:
    return sign({"sub": str(user), "exp": time.time() + lifetime_s})


@pytest.fixture
async def with_tokens(start_server: StartServer) -> Running:
    return await start_server(jwt_secret=SECRET, jwt_header="x-access-token")


ACCEPTED: dict[str, dict[str, Any]] = {
    "auth.token": {"auth": {"token": token_for(1)}},
    "auth.token with Bearer": {"auth": {"token": f"Bearer {token_for(1)}"}},
    "auth.token and auth.userId": {"auth": {"token": token_for(1), "userId": 1}},
    "auth.userId as text": {"auth": {"token": token_for(1), "userId": "1"}},
    "query.userId": {"auth": {"token": token_for(1)}, "query": {"userId": "1"}},
    "header": {"headers": {"Authorization": f"Bearer {token_for(1)}"}},
    "cookie": {"headers": {"Cookie": f"a=b; token={token_for(1)}"}, "auth": {"userId": 1}},
    "header without Bearer": {"headers": {"Authorization": token_for(1)}},
    "a named header": {"headers": {"X-Access-Token": token_for(1)}},
    "a named header with Bearer": {"headers": {"x-access-token": f"Bearer {token_for(1)}"}},
    "a named header beside a proxy's log-in": {
        "headers": {"X-Access-Token": token_for(1), "Authorization": "Basic dTpw"}
    },
    "cookie beside a proxy's log-in": {"headers": {"Cookie": f"token={token_for(1)}", "Authorization": "Basic dTpw"}},
    "cookie, encoded": {"headers": {"Cookie": f'token="Bearer%20{token_for(1)}"'}},
    "the first of two cookies, as in Express": {"headers": {"Cookie": f"token={token_for(1)}; token={token_for(2)}"}},
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


# --- a token that ends while its socket is open -------------------------------------------------------------------


def exp_of(token: str) -> str:
    moment = jwt.decode(token, options={"verify_signature": False})["exp"]
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(int(moment)))


async def test_a_socket_is_told_before_its_token_ends_or_at_once_where_that_is_past(
    with_tokens: Running, nodes: NodeClients
) -> None:
    soon, past, later = token_for(1, 62), token_for(1, -3600), token_for(1, 600)
    clients = {text: nodes.open(with_tokens.url, {"token": text}) for text in (soon, past, later)}
    for text in (soon, past):
        await clients[text].until(lambda text=text: bool(clients[text].named("auth:expiring")), timeout_s=5)  # type: ignore[misc]
        ((told,),) = clients[text].named("auth:expiring")
        assert told["expiresAt"] == exp_of(text)
        assert told["closesAt"] > told["expiresAt"]
    await asyncio.sleep(1.2)
    assert [len(clients[text].named("auth:expiring")) for text in (soon, past, later)] == [1, 1, 0]


async def test_the_old_wire_is_not_told(start_server: StartServer, nodes: NodeClients) -> None:
    server = await start_server(jwt_secret=SECRET, recovery=False)
    client = await nodes.open(server.url, {"token": token_for(1, -60)}).connected()
    await asyncio.sleep(1.5)
    assert client.named("auth:expiring") == []


async def test_another_token_keeps_a_socket(start_server: StartServer, nodes: NodeClients) -> None:
    server = await start_server(jwt_secret=SECRET, socket_token_grace=0)
    client = await nodes.open(server.url, {"token": token_for(1, 3)}).connected()
    fresh = token_for(1, 600)
    assert await client.ask("auth:refresh", {"token": f"Bearer {fresh}"}) == {"ok": True, "expiresAt": exp_of(fresh)}
    await asyncio.sleep(4)
    assert client.named("disconnect") == []
    assert server.realtime.logins._due.keys() == server.realtime.logins._identities.keys()
    client.close()
    async with asyncio.timeout(5):
        while server.realtime.logins._identities:
            await asyncio.sleep(0.01)
    assert server.realtime.logins._due == {}


BAD_REFRESHES: dict[str, tuple[Any, str]] = {
    "nothing": (None, "invalid"),
    "no token": ({}, "invalid"),
    "an empty one": ({"token": ""}, "invalid"),
    "a list": ([token_for(1, 7200)], "invalid"),
    "text": (token_for(1, 7200), "invalid"),
    "another type": ({"token": 7}, "bad_auth"),
    "oversize": ({"token": "x" * 9000}, "bad_auth"),
    "garbage": ({"token": "x"}, "token_invalid"),
    "somebody else's": ({"token": token_for(2, 7200)}, "user_mismatch"),
    "expired, within the grace": ({"token": token_for(1, -5)}, "token_expired"),
    "an id": ({"userId": 1}, "invalid"),
}


async def test_a_bad_refresh_is_answered_and_changes_nothing(start_server: StartServer, nodes: NodeClients) -> None:
    server = await start_server(jwt_secret=SECRET, socket_token_grace=6)
    client = await nodes.open(server.url, {"token": token_for(1, 0)}).connected()
    for case, (sent, code) in BAD_REFRESHES.items():
        answer = await client.ask("auth:refresh", *(() if sent is None else (sent,)))
        assert answer["code"] == code, case
        assert answer["error"], case
        assert "ok" not in answer, case
    client.emit("auth:refresh", {"token": token_for(2)})  # without asking for an answer
    assert (await client.ask("notifications:counts"))["ok"]  # still who it was, and there
    assert client.named("disconnect") == []
    await client.until(lambda: client.named("disconnect") == [["transport close"]], timeout_s=9)


async def test_a_token_without_expiry_is_a_good_refresh_and_no_socket_of_it_ends(
    start_server: StartServer, nodes: NodeClients
) -> None:
    server = await start_server(jwt_secret=SECRET, socket_token_grace=0, jwt_require_exp=False)
    client = await nodes.open(server.url, {"token": token_for(1, 2)}).connected()
    answer = await client.ask("auth:refresh", {"token": sign({"sub": "1"})})
    assert answer == {"ok": True, "expiresAt": None}
    await asyncio.sleep(3)
    assert client.named("disconnect") == []


async def test_an_app_may_not_take_our_events(start_server: StartServer) -> None:
    def extend(sio: Any) -> None:
        sio.on("auth:refresh", lambda sid: None)

    with pytest.raises(ConfigError, match="auth:refresh"):
        await start_server(extend, jwt_secret=SECRET)
