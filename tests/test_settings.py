"""Wrong settings stop the start with one line that names the variable and what it takes."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from notify_server.errors import ConfigError
from notify_server.settings import Settings, load, normalise_database_url

SECRET = {"JWT_SECRET": "x" * 32}


def from_environment(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load(None)


WRONG = [
    ("PORT", "abc"), ("PORT", "65536"), ("PORT", "-1"), ("PORT", ""), ("PORT", "80.5"),
    ("HOST", ""),
    ("LOG_LEVEL", "loud"), ("LOG_FORMAT", "xml"),
    ("DRAIN_S", "0"), ("DRAIN_S", "nan"), ("DRAIN_S", "inf"), ("DRAIN_S", "soon"),
    ("DATABASE_URL", ""), ("DATABASE_URL", "mysql://localhost/x"), ("DATABASE_URL", "localhost:5432/x"),
    ("DATABASE_URL", "postgresql://a,b/x"), ("DATABASE_URL", "postgresql://host:port/x"),
    ("DATABASE_URL", "postgresql://host:99999/x"), ("DATABASE_URL", "postgresql://host/x?colour=blue"),
    ("DATABASE_URL", "postgresql://"), ("DATABASE_URL", "postgres://u:xxx#x@h/x"),
    ("DATABASE_URL", "postgres://u:x%zz@h/x"),
    ("PGPORT", "x"), ("PGSSLMODE", "no-verify"),
    ("DB_POOL_SIZE", "1"), ("DB_POOL_SIZE", "many"), ("DB_TIMEOUT_S", "0"), ("DB_WAIT_S", "-1"),
    ("DB_CONNECT_TIMEOUT_S", ""),
    ("CLIENT_URL", "*"), ("CLIENT_URL", ""), ("CLIENT_URL", "app.example.com"), ("CLIENT_URL", "https://app.example.com/x"),
    ("CLIENT_URL", "https://a.com,*"), ("CLIENT_URL", "https://a.com,"), ("CLIENT_URL", "https://*"),
    ("JWT_SECRET", ""), ("JWT_SECRET", "  "), ("JWT_ALGORITHM", "none"), ("JWT_ALGORITHM", "RS256"),
    ("JWT_AUDIENCE", ""), ("JWT_ISSUER", ""), ("JWT_USER_CLAIM", ""), ("JWT_REQUIRE_EXP", "perhaps"),
    ("JWT_COOKIE", "a b"), ("JWT_COOKIE", ""), ("JWT_PUBLIC_KEY", "x"),
    ("JWT_HEADER", "a b"), ("JWT_HEADER", ""), ("JWT_HEADER", "x:"),
    ("JWT_JWKS_URL", ""), ("JWT_JWKS_URL", "login.example.com"), ("JWT_JWKS_URL", "http://login.example.com/jwks"),
    ("JWT_JWKS_URL", "http://10.0.0.1/jwks"), ("JWT_JWKS_URL", "ftp://localhost/jwks"),
    ("JWT_JWKS_URL", "https://u:p@login.example.com/jwks"), ("JWT_JWKS_URL", "https://login.example.com/jwks#a"),
    ("JWT_JWKS_URL", "https://localhost:port/"), ("JWT_JWKS_URL", "http://localhost.evil.com/"),
    ("SESSION_SECRET", ""), ("SESSION_SECRET", "[]"), ("SESSION_SECRET", '["a", ""]'), ("SESSION_SECRET", "[a]"),
    ("SESSION_SECRET", "[1]"),
    ("SESSION_COOKIE", "a b"), ("SESSION_COOKIE", ""), ("SESSION_TABLE", ""), ("SESSION_TABLE", "x" * 64),
    ("SESSION_SCHEMA", ""), ("SESSION_USER", ""), ("SESSION_USER", "a..b"), ("SESSION_USER", "a."),
    ("SESSION_TTL", "-1"), ("SESSION_TTL", "nan"),
    ("AUTH_URL", ""), ("AUTH_URL", "localhost:3000/me"), ("AUTH_URL", "http://"), ("AUTH_URL", "http://u:p@app/me"),
    ("AUTH_URL", "http://app/m e"),
    ("AUTH_USER", ""), ("AUTH_USER", ".id"), ("AUTH_CACHE_S", "-1"), ("AUTH_CACHE_S", "301"),
    ("SOCKET_TOKEN_GRACE", "-1"), ("SOCKET_TOKEN_GRACE", "day"),
    ("TRUST_USER_ID", "maybe"),
    ("SOCKET_PATH", ""), ("SOCKET_PATH", "socket.io"), ("SOCKET_PATH", "/"), ("SOCKET_PATH", "/a?b"),
    ("SOCKET_PATH", "/a//b"),
    ("MAX_SOCKETS", "0"), ("MAX_SOCKETS", "many"), ("MAX_SOCKETS_PER_USER", "0"), ("MAX_SOCKETS_PER_ADDRESS", "-1"),
    ("TRUSTED_PROXIES", ""), ("TRUSTED_PROXIES", "nginx"), ("TRUSTED_PROXIES", "10.0.0.1/8"),
    ("TRUSTED_PROXIES", "none,heroku"), ("MAX_EVENTS_PER_S", "0"), ("MAX_PAYLOAD_BYTES", "999"),
    ("RATE_LIMIT_USER", ""), ("RATE_LIMIT_USER", "120"), ("RATE_LIMIT_USER", "0/minute"),
    ("RATE_LIMIT_INBOX", "1/year"), ("RATE_LIMIT_ADDRESS", "many"), ("RATE_LIMIT_USER", "1/s,5/m"),
    ("RATE_LIMIT_USER", "-1/s"),
    ("METRICS_PORT", ""), ("METRICS_PORT", "8000"), ("METRICS_PORT", "x"), ("METRICS_HOST", ""),
    ("API_PREFIX", "api"), ("API_PREFIX", "/"), ("API_PREFIX", ""), ("BODY_FIELD", "a b"), ("BODY_FIELD", ""),
    ("POST_FIELD", "1"), ("COMMENT_STATUS", "202"), ("COMMENT_STATUS", "ok"),
    ("COMMENT_ROUTE", ""), ("COMMENT_ROUTE", "/"), ("COMMENT_ROUTE", "posts/:id"), ("COMMENT_ROUTE", "/posts/:id/x/:y"),
    ("COMMENT_ROUTE", "/posts/{id}"), ("COMMENT_ROUTE", "/posts/:"), ("COMMENT_ROUTE", "/posts/:id(\\d+)"),
    ("COMMENT_ROUTE", "/a//b"),
]  # fmt: skip


@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_a_wrong_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    with pytest.raises(ConfigError) as raised:
        from_environment(monkeypatch, {**SECRET, variable: value})
    message = raised.value.message
    assert "\n" not in message
    assert re.search(rf"\b{variable}\b", message)
    assert "x" * 32 not in message


@pytest.mark.parametrize("url", ["postgres://u:canary#x@h/x", "postgres://u:canary%zz@h/x", "postgres://u:ca/nary:x@h/x",
                                 "mysql://u:canary@h/x", "postgres://u:canary@h/x?y=canary",
                                 "postgres://u:canary@a,b/x"])  # fmt: skip
def test_no_part_of_a_password_is_in_the_complaint(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        from_environment(monkeypatch, {**SECRET, "DATABASE_URL": url})
    assert "canary" not in raised.value.message
    assert "nary" not in raised.value.message


def test_every_setting_says_what_it_takes() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_port_database_and_secret_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = from_environment(monkeypatch, {**SECRET, "PORT": "5000", "DATABASE_URL": "postgres://u:p@h/x"})
    assert (settings.port, settings.listen_host) == (5000, None)
    assert settings.database == ("postgresql://u:p@h/x", [])


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"JWT_SECRET": "a", "JWT_JWKS_URL": "https://a.com/"}, ["JWT_SECRET", "JWT_JWKS_URL"]),
        ({"JWT_PUBLIC_KEY": "a", "JWT_JWKS_URL": "https://a.com/"}, ["JWT_PUBLIC_KEY", "JWT_JWKS_URL"]),
        ({"JWT_JWKS_URL": "https://a.com/", "JWT_ALGORITHM": "HS256"}, ["JWT_ALGORITHM", "JWT_JWKS_URL"]),
        ({"JWT_SECRET": "a", "AUTH_URL": "http://a.com/"}, ["JWT_SECRET", "AUTH_URL"]),
        ({"JWT_JWKS_URL": "https://a.com/", "AUTH_URL": "http://a.com/"}, ["JWT_JWKS_URL", "AUTH_URL"]),
        ({"SESSION_SECRET": "a", "AUTH_URL": "http://a.com/"}, ["SESSION_SECRET", "AUTH_URL"]),
        ({}, ["JWT_SECRET", "JWT_PUBLIC_KEY", "JWT_JWKS_URL", "SESSION_SECRET", "AUTH_URL"]),
    ],
)  # fmt: skip
def test_ways_to_log_in_that_contradict_each_other_are_refused_by_their_names(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: list[str]
) -> None:
    with pytest.raises(ConfigError) as raised:
        from_environment(monkeypatch, variables)
    assert "\n" not in raised.value.message
    assert [name for name in named if name not in raised.value.message] == []


@pytest.mark.parametrize(
    "variables",
    [
        {"JWT_JWKS_URL": "https://login.example.com/.well-known/jwks.json?a=1", "JWT_ALGORITHM": "ES256"},
        {"JWT_JWKS_URL": "http://127.0.0.1:8080/jwks"}, {"JWT_JWKS_URL": "http://[::1]/jwks"},
        {"JWT_JWKS_URL": "http://localhost:8080/jwks"},
        {"JWT_SECRET": "a", "SESSION_SECRET": "b"}, {"SESSION_SECRET": "b"}, {"AUTH_URL": "http://app:3000/api/me"},
        {"AUTH_URL": "http://localhost/", "TRUST_USER_ID": "1"},
    ],
)  # fmt: skip
def test_what_goes_together_is_taken(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    assert from_environment(monkeypatch, variables)


@pytest.mark.parametrize(
    ("text", "secrets"),
    [("one, with a comma", ["one, with a comma"]), ('["new", "old, older"]', ["new", "old, older"])],
)
def test_several_session_secrets_are_a_json_array(
    monkeypatch: pytest.MonkeyPatch, text: str, secrets: list[str]
) -> None:
    assert from_environment(monkeypatch, {"SESSION_SECRET": text}).session_secrets == secrets


@pytest.mark.parametrize(
    "variables",
    [{}, {"JWT_SECRET": "a", "JWT_PUBLIC_KEY": "b"}, {"TRUST_USER_ID": "true", "HOST": "0.0.0.0"},
     {"TRUST_USER_ID": "1", "HOST": "192.168.1.2"}, {"TRUST_USER_ID": "1", "HOST": "::"}],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"JWT_SECRET|TRUST_USER_ID"):
        from_environment(monkeypatch, variables)


def test_development_listens_on_loopback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_environment(monkeypatch, {"TRUST_USER_ID": "true"}).listen_host == "127.0.0.1"


@pytest.mark.parametrize(
    ("url", "taken", "notes"),
    [
        ("postgres://u:p@h:1/x", "postgresql://u:p@h:1/x", 0),
        ("postgresql://h/x?schema=public&connection_limit=5&pool_timeout=2&pgbouncer=true", "postgresql://h/x", 4),
        ("postgresql://h/x?ssl=1", "postgresql://h/x?sslmode=require", 1),
        ("postgresql://h/x?ssl=true&options=a%20b", "postgresql://h/x?sslmode=require&options=a%20b", 1),
        ("postgresql://h/x?ssl=false", "postgresql://h/x?sslmode=disable", 1),
        ("postgresql://h/x?sslmode=no-verify&uselibpqcompat=true", "postgresql://h/x?sslmode=require", 2),
        ("postgresql:///x?host=/var/run/postgresql", "postgresql:///x?host=%2Fvar%2Frun%2Fpostgresql", 0),
        ("postgresql://u:p%40ss@h/x", "postgresql://u:p%40ss@h/x", 0),
        ("postgresql://u@[::1]:5432/x", "postgresql://u@[::1]:5432/x", 0),
    ],
)  # fmt: skip
def test_what_other_tools_write_into_urls_is_normalised(url: str, taken: str, notes: int) -> None:
    import psycopg2.extensions

    normalised, said = normalise_database_url(url)
    assert normalised == taken
    assert len(said) == notes
    assert psycopg2.extensions.parse_dsn(normalised)  # libpq takes it


def test_pg_variables_name_a_database_too(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {**SECRET, "PGHOST": "h", "PGPORT": "5433", "PGUSER": "u", "PGPASSWORD": "it's \\ a", "PGDATABASE": "x"}
    settings = from_environment(monkeypatch, variables)
    import psycopg2.extensions

    assert settings.database is not None
    assert psycopg2.extensions.parse_dsn(settings.database[0]) == {
        "host": "h", "port": "5433", "user": "u", "password": "it's \\ a", "dbname": "x",
    }  # fmt: skip


def test_secrets_may_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file of 32 bytes or more …\n")
    (tmp_path / "url").write_text("postgresql://h/x\n")
    settings = from_environment(
        monkeypatch, {"JWT_SECRET_FILE": str(tmp_path / "secret"), "DATABASE_URL_FILE": str(tmp_path / "url")}
    )
    assert settings.jwt_secret is not None
    assert settings.jwt_secret.get_secret_value() == "from a file of 32 bytes or more …"
    assert settings.database == ("postgresql://h/x", [])
    monkeypatch.setenv("JWT_SECRET_FILE", str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="JWT_SECRET_FILE names a file that cannot be read"):
        load(None)


def test_dot_env_is_read_and_the_environment_goes_before_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        'PORT=1234\nJWT_SECRET="from .env"\nCLIENT_URL=https://a.com, https://*.b.com\nOTHER=1\n'
    )
    monkeypatch.chdir(tmp_path)
    settings = load()
    assert (settings.port, [str(origin) for origin in settings.client_url or ()]) == (
        1234,
        ["https://a.com", "https://*.b.com"],
    )
    monkeypatch.setenv("PORT", "4321")
    assert load().port == 4321


def test_secrets_are_hidden_wherever_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = from_environment(
        monkeypatch,
        {
            "JWT_SECRET": "canary-1" * 4,
            "DATABASE_URL": "postgresql://u:canary-2@h/x?password=canary-3",
            "PGPASSWORD": "canary-4",
            "SESSION_SECRET": '["canary-5", "canary-6"]',
        },
    )
    shown = f"{settings.shown()} {settings!r} {settings}"
    shown += str(load(None, jwt_secret=None, session_secret=None, auth_url="http://a/me?key=canary-7").shown())
    assert "canary" not in shown
    assert settings.shown()["DATABASE_URL"] == "postgresql://u:***@h:5432/x"
    assert set(settings.shown()) == {name.upper() for name in Settings.model_fields}


def test_the_readme_and_the_example_list_every_setting() -> None:
    root = Path(__file__).parent.parent
    for name in Settings.model_fields:
        if not name.startswith("pg"):
            assert f"`{name.upper()}`" in (root / "README.md").read_text(), name
            assert f"{name.upper()}=" in (root / ".env.example").read_text(), name


def test_the_example_works_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(str(Path(__file__).parent.parent / ".env.example"))


@pytest.mark.parametrize("sign", ["DYNO", "RENDER", "FLY_APP_NAME"])
async def test_a_platform_whose_disk_vanishes_needs_a_database(monkeypatch: pytest.MonkeyPatch, sign: str) -> None:
    from notify_server.app import make_database, opened

    settings = from_environment(monkeypatch, {**SECRET, sign: "1"})
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        async with opened(make_database(settings), settings):
            pass


def test_as_root_the_embedded_data_is_below_no_private_home(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(None, trust_user_id=True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert settings.embedded_dir == Path("/var/lib/notify-server")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert settings.embedded_dir == Path(".notify-server")


def test_nothing_else_reads_the_environment() -> None:
    package: Any = Path(__file__).parent.parent / "notify_server"
    for path in package.rglob("*.py"):
        if path.name not in ("settings.py", "__main__.py"):
            for reading in ("os.environ", "import environ", "getenv"):
                assert reading not in path.read_text(), path
    assert stat.S_ISDIR(package.stat().st_mode)
