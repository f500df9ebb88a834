"""Environment and `.env` → one typed object. Nothing else reads the environment."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from notify_server import failpoints
from notify_server.addresses import TrustedProxies
from notify_server.errors import ConfigError
from notify_server.origins import OriginPattern
from notify_server.paths import DEFAULT_COMMENT_ROUTE, CommentRoute
from notify_server.rates import Rate

_PG_VARIABLES = ("pghost", "pgport", "pguser", "pgpassword", "pgdatabase", "pgsslmode", "pgservice")
_FROM_FILES = (
    "database_url", "listen_url", "pgpassword", "jwt_secret", "jwt_public_key", "session_secret", "recovery_secret",
)  # fmt: skip
_FOREIGN_PARAMETERS = {
    "schema",
    "pgbouncer",
    "connection_limit",
    "pool_timeout",
    "uselibpqcompat",
    "statement_cache_size",
}
_LIBPQ_PARAMETERS = {
    "host", "hostaddr", "port", "dbname", "user", "password", "passfile", "channel_binding", "connect_timeout",
    "client_encoding", "options", "application_name", "fallback_application_name", "keepalives", "keepalives_idle",
    "keepalives_interval", "keepalives_count", "tcp_user_timeout", "sslmode", "requiressl", "sslcompression", "sslcert",
    "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslcrldir", "sslsni", "requirepeer", "gssencmode", "krbsrvname",
    "gsslib", "service", "target_session_attrs", "require_auth", "sslcertmode", "sslnegotiation",
}  # fmt: skip
_HMAC = ("HS256", "HS384", "HS512")
_ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_NAME = r"^[A-Za-z0-9_.!#$%&'*+^`|~-]+$"  # what names a header or a cookie (RFC 9110, section 5.6.2)
_VANISHING_DISK = ("DYNO", "RENDER", "FLY_APP_NAME")


def _listed(value: object) -> object:
    """A comma-separated variable → its parts."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return value


def _origin(value: object) -> object:
    return OriginPattern.parse(value) if isinstance(value, str) else value


def _proxies(value: object) -> object:
    return TrustedProxies.parse(_listed(value)) if isinstance(value, str) else value  # type: ignore[arg-type]


def _rate(value: object) -> object:
    return Rate.parse(value) if isinstance(value, str) else value


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _comment_route(value: object) -> object:
    return CommentRoute.parse(value) if isinstance(value, str) else value


def _path(value: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", value):
        raise ValueError("no path")
    return "/" + value.strip("/")


def _built(value: Path) -> Path:
    if not (value / "index.html").is_file():
        raise ValueError("not built")
    return value


def _failpoints(value: object) -> object:
    """`after_commit:3,before_reply:1` → how often each is passed before it strikes."""
    if not isinstance(value, str):
        return value
    points = dict(part.strip().split(":") for part in value.split(","))
    if not points.keys() <= set(failpoints.NAMES):
        raise ValueError("unknown")
    return {name: int(count) for name, count in points.items()}


def _not_empty(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().strip():
        raise ValueError("empty")
    return value


def _session_secrets(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text.startswith("["):
        listed = json.loads(text)
        if not listed or not all(isinstance(one, str) and one.strip() for one in listed):
            raise ValueError("no list of secrets")
    return secret


def _dotted(value: str) -> str:
    if not all(value.split(".")):
        raise ValueError("a name is empty")
    return value


def _http_url(value: str) -> str:
    """No user in it, which logs and error pages of others would show."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or "#" in value:
        raise ValueError("no URL")
    if "@" in parts.netloc or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("not this URL")
    return value


def _https_url(value: str) -> str:
    """Plain HTTP within this machine alone: what comes from there says who everybody is."""
    parts = urlsplit(_http_url(value))
    local = parts.hostname == "localhost" or (
        parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    )
    if parts.scheme != "https" and not local:
        raise ValueError("not https")
    return value


Origins = Annotated[
    tuple[Annotated[OriginPattern, BeforeValidator(_origin)], ...], BeforeValidator(_listed), Field(min_length=1)
]
Proxies = Annotated[TrustedProxies, BeforeValidator(_proxies)]
WriteRate = Annotated[Rate, BeforeValidator(_rate)]
StaticDir = Annotated[Path, AfterValidator(_built)]
UrlPath = Annotated[str, AfterValidator(_path)]
JsonField = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Failpoints = Annotated[dict[str, int], BeforeValidator(_failpoints)]
Secret = Annotated[SecretStr, AfterValidator(_not_empty)]
Secrets = Annotated[Secret, AfterValidator(_session_secrets)]
DottedPath = Annotated[str, Field(max_length=200), AfterValidator(_dotted)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
HttpsUrl = Annotated[str, AfterValidator(_https_url)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


def normalise_database_url(url: str) -> tuple[str, list[str]]:
    """A URL as other tools write it → (one that libpq takes, what was changed). Raises ValueError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # whose words would quote a part of the password
        raise ValueError("the port is no number up to 65535, or a character of the password is not %-encoded") from None
    if "#" in url or re.search(r"%(?![0-9A-Fa-f]{2})", url):
        raise ValueError("a # or a % in the password must be written as %23 or %25")
    if parts.scheme not in ("postgres", "postgresql"):
        raise ValueError("the scheme is not postgresql")
    if "," in parts.netloc:
        raise ValueError("several hosts are not supported: name the primary, or a proxy that finds it")
    if port == 0 or (not parts.path.strip("/") and not parts.hostname and not parts.query):
        raise ValueError("it names no host and no database")
    kept, notes = [], []
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _FOREIGN_PARAMETERS:
            notes.append(f"{name} was left out: another tool's, not PostgreSQL's")
        elif name == "ssl":
            mode = "require" if value.lower() in ("1", "true", "require", "") else "disable"
            kept.append(("sslmode", mode))
            notes.append(f"ssl={value} was taken as sslmode={mode}")
        elif name == "sslmode" and value == "no-verify":
            kept.append(("sslmode", "require"))
            notes.append("sslmode=no-verify was taken as sslmode=require")
        elif name in _LIBPQ_PARAMETERS:
            kept.append((name, value))
        else:
            raise ValueError(f"the parameter {name!r} is not PostgreSQL's")
    query = urlencode(kept, quote_via=quote)
    return f"postgresql://{parts.netloc}{parts.path}" + (f"?{query}" if query else ""), notes


class _SecretFiles(PydanticBaseSettingsSource):
    """`NAME_FILE` → the content of that file, for every secret `NAME` that is not set itself."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        raise AssertionError("__call__ reads all of them at once")  # abstract in the base class

    def __call__(self) -> dict[str, Any]:
        environ = {**dotenv_values(_env_file(self.config)), **os.environ}
        found = {}
        for name in _FROM_FILES:
            path = environ.get(f"{name.upper()}_FILE")
            if path:
                try:
                    found[name] = Path(path).read_text("utf-8").rstrip("\r\n")
                except (OSError, UnicodeDecodeError) as error:
                    reason = getattr(error, "strerror", None) or "it is not UTF-8"
                    raise ConfigError(f"{name.upper()}_FILE names a file that cannot be read: {reason}") from error
        return found


def _env_file(config: Mapping[str, Any]) -> str:
    return config.get("env_file") or os.devnull


class Settings(BaseSettings):
    """Each field's description is what the variable takes: it ends the sentence "PORT takes …"."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, hide_input_in_errors=True,
        enable_decoding=False,
    )  # fmt: skip

    host: str | None = Field(None, min_length=1, description="an address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="a port number, 0 to 65535")
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(lambda v: v.lower() if isinstance(v, str) else v)
    ] = Field("info", description="debug, info, warning or error")
    log_format: Literal["text", "json"] | None = Field(None, description="text or json")
    metrics_port: int | None = Field(None, ge=0, le=65535, description="a port number, 0 to 65535")
    metrics_host: str = Field("127.0.0.1", min_length=1, description="an address to listen on")
    drain_s: Seconds = Field(8, description="seconds to stop in, above 0")

    database_url: Secret | None = Field(None, description="a URL such as postgresql://user:password@host:5432/name")
    pghost: str | None = Field(None, description="a host or a socket directory")
    pgport: int | None = Field(None, ge=1, le=65535, description="a port number")
    pguser: str | None = Field(None, description="a user of the database")
    pgpassword: SecretStr | None = Field(None, description="a password")
    pgdatabase: str | None = Field(None, description="the name of a database")
    pgsslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = Field(
        None, description="disable, allow, prefer, require, verify-ca or verify-full"
    )
    pgservice: str | None = Field(None, description="the name of a service in pg_service.conf")
    listen_url: Secret | None = Field(None, description="a URL such as postgresql://user:password@host:5432/name")
    data_dir: Path | None = Field(None, description="a folder for the embedded PostgreSQL")
    db_pool_size: int = Field(10, ge=2, le=200, description="a number of connections, 2 to 200")
    db_timeout_s: Seconds = Field(4, description="seconds that a query may take, above 0")
    db_wait_s: Seconds = Field(2, description="seconds to wait for a free connection, above 0")
    db_connect_timeout_s: Seconds = Field(3, description="seconds that connecting may take, above 0")

    client_url: Origins | None = Field(
        None, description="origins such as https://app.example.com, comma-separated; * is not accepted"
    )
    jwt_secret: Secret | None = Field(None, description="the secret that signs your tokens (HS256, HS384, HS512)")
    jwt_public_key: Secret | None = Field(None, description="the public key of your tokens, in PEM")
    jwt_algorithm: Literal[_HMAC + _ASYMMETRIC] | None = Field(  # type: ignore[valid-type]
        None, description="one of " + ", ".join(_HMAC + _ASYMMETRIC)
    )
    jwt_audience: str | None = Field(None, min_length=1, description="the audience that a token must name")
    jwt_issuer: str | None = Field(None, min_length=1, description="the issuer that a token must name")
    jwt_jwks_url: HttpsUrl | None = Field(
        None, description="an https URL where your tokens' public keys are (plain http on this machine alone)"
    )
    jwt_user_claim: str = Field("sub", min_length=1, max_length=200, description="the claim that holds the user's id")
    jwt_require_exp: bool = Field(True, description="true or false: whether a token must expire")
    jwt_header: str | None = Field(None, pattern=_NAME, description="the name of a header that may hold the token")
    jwt_cookie: str = Field("token", pattern=_NAME, description="the name of the cookie that may hold the token")
    socket_token_grace: float = Field(
        86400, ge=0, le=31_536_000, allow_inf_nan=False,
        description="seconds after its expiry for which a token still opens sockets, 0 or more",
    )  # fmt: skip
    session_secret: Secrets | None = Field(
        None, description='the secret of express-session, or several as JSON: ["new", "old"]'
    )
    session_cookie: str = Field("connect.sid", pattern=_NAME, description="the name of the session's cookie")
    session_schema: str | None = Field(
        None, min_length=1, max_length=63, description="the schema of the sessions' table"
    )
    session_table: str = Field("session", min_length=1, max_length=63, description="the name of the sessions' table")
    session_user: DottedPath = Field(
        "passport.user", description="where a session holds the user's id, such as passport.user.id"
    )
    session_ttl: float = Field(
        86_400, ge=0, le=315_360_000, allow_inf_nan=False,
        description="seconds that a session without maxAge lasts after its last use, 0 where nothing prolongs one",
    )  # fmt: skip
    auth_url: HttpUrl | None = Field(
        None, description="a URL of your app that answers with the user, such as http://localhost:3000/api/me"
    )
    auth_user: DottedPath = Field("id", description="where the answer of AUTH_URL holds the user's id, such as user.id")
    auth_cache_s: float = Field(
        5, ge=0, le=300, allow_inf_nan=False, description="seconds for which an answer of AUTH_URL is good, 0 to 300"
    )
    trust_user_id: bool = Field(False, description="true or false: development only, believes whatever id it is told")

    recovery: bool = Field(True, description="true or false: whether a client that comes back gets what it missed")
    recovery_secret: Secret | None = Field(None, description="a secret that signs sessions, 16 characters or more")
    recovery_max: int = Field(10_000, ge=1, description="a number of notifications, 1 or more")
    replay_max: int = Field(10, ge=0, le=1000, description="a number of notifications, 0 to 1000")
    replay_max_age: float = Field(604_800, ge=0, allow_inf_nan=False, description="seconds, 0 or more")
    shadow: bool = Field(
        False,
        description="true or false: whether notifications are only counted, beside a server that still sends them",
    )
    retention_days: int = Field(90, ge=1, le=36_500, description="a number of days, 1 to 36500")

    max_sockets: int | None = Field(None, ge=1, description="a number of sockets, 1 or more")
    max_sockets_per_user: int = Field(64, ge=1, description="a number of sockets, 1 or more")
    max_sockets_per_address: int = Field(1000, ge=1, description="a number of sockets, 1 or more")
    trusted_proxies: Proxies | None = Field(
        None, description="heroku, render, fly, cloudflare, none, or networks such as 10.0.0.0/8, comma-separated"
    )
    max_events_per_s: int = Field(100, ge=1, description="a number of events, 1 or more")
    max_payload_bytes: int = Field(1_000_000, ge=1000, le=100_000_000, description="a size in bytes, 1000 to 100000000")
    rate_limit_user: WriteRate = Field(Rate("120/minute"), description="a rate such as 120/minute, or off")
    rate_limit_inbox: WriteRate = Field(Rate("600/minute"), description="a rate such as 600/minute, or off")
    rate_limit_address: WriteRate = Field(Rate("3000/minute"), description="a rate such as 3000/minute, or off")

    static_dir: StaticDir | None = Field(None, description="a folder with an index.html")
    socket_path: UrlPath = Field("/socket.io", description="a path such as /socket.io/")
    sid_prefix: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]{1,32}$", description="a name of 1 to 32 letters, digits, - and _"
    )
    api_prefix: UrlPath | None = Field(None, description="a path such as /api")
    failpoints: Failpoints = Field(
        {}, description="for tests, under TRUST_USER_ID alone: " + ", ".join(f"{name}:3" for name in failpoints.NAMES)
    )
    comment_route: Annotated[CommentRoute, BeforeValidator(_comment_route)] = Field(
        DEFAULT_COMMENT_ROUTE, description="a path such as /articles/:articleId/comments, with at most one parameter"
    )
    comment_status: Annotated[Literal[200, 201], BeforeValidator(_whole)] = Field(200, description="200 or 201")
    body_field: JsonField = Field("body", description="the name of a JSON field")
    post_field: JsonField = Field("postId", description="the name of a JSON field")

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        return init_settings, env_settings, dotenv_settings, _SecretFiles(settings_cls)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """What no single field can tell. The messages name their variables themselves."""
        keys = [name for name in ("jwt_secret", "jwt_public_key", "jwt_jwks_url") if getattr(self, name)]
        if len(keys) > 1:
            raise ConfigError(f"{keys[0].upper()} and {keys[1].upper()} are both set: choose one")
        if self.jwt_algorithm in _ASYMMETRIC and self.jwt_secret:
            raise ConfigError(f"JWT_ALGORITHM={self.jwt_algorithm} needs JWT_PUBLIC_KEY, not JWT_SECRET")
        if self.jwt_algorithm in _HMAC and keys and not self.jwt_secret:
            raise ConfigError(f"JWT_ALGORITHM={self.jwt_algorithm} needs JWT_SECRET, not {keys[0].upper()}")
        if self.auth_url and (keys or self.session_secret):
            other = keys[0].upper() if keys else "SESSION_SECRET"
            raise ConfigError(f"AUTH_URL and {other} are both set: AUTH_URL answers for every way of logging in")
        if self.trust_user_id and self.host not in (None, "127.0.0.1", "::1", "localhost"):
            raise ConfigError(f"HOST={self.host} is refused under TRUST_USER_ID, which listens on 127.0.0.1 alone")
        if not (self.proves or self.trust_user_id):
            raise ConfigError(
                "JWT_SECRET takes the secret that signs your tokens (or set JWT_PUBLIC_KEY, JWT_JWKS_URL, "
                "SESSION_SECRET or AUTH_URL; for development alone, TRUST_USER_ID=true)"
            )
        if self.metrics_port and self.metrics_port == self.port:
            raise ConfigError(f"METRICS_PORT={self.metrics_port} is PORT as well: metrics have a port of their own")
        if self.failpoints and not self.trust_user_id:
            raise ConfigError("FAILPOINTS is for tests, under TRUST_USER_ID alone")
        if self.recovery_secret and len(self.recovery_secret.get_secret_value()) < 16:
            raise ConfigError("RECOVERY_SECRET takes a secret of 16 characters or more")
        for name, url in (("DATABASE_URL", self.database_url), ("LISTEN_URL", self.listen_url)):
            try:
                if url:
                    normalise_database_url(url.get_secret_value())
            except ValueError as error:
                raise ConfigError(
                    f"{name} takes a URL such as postgresql://user:password@host:5432/name; {error}"
                ) from None
        return self

    @property
    def takes_tokens(self) -> bool:
        """Whether a JWT says who somebody is."""
        return bool(self.jwt_secret or self.jwt_public_key or self.jwt_jwks_url)

    @property
    def proves(self) -> bool:
        """Whether there is any way to prove who one is."""
        return self.takes_tokens or bool(self.session_secret or self.auth_url)

    @property
    def session_secrets(self) -> list[str]:
        """The first is the one that signs today; any of them is believed. One that is no JSON array is taken whole,
        commas included, as Express takes it."""
        text = self.session_secret.get_secret_value() if self.session_secret else ""
        secrets: list[str] = json.loads(text) if text.startswith("[") else [text]
        return secrets

    @property
    def listen_host(self) -> str | None:
        """None is all interfaces."""
        return self.host or ("127.0.0.1" if self.trust_user_id else None)

    @property
    def database(self) -> tuple[str, list[str]] | None:
        """(what libpq connects with, what was changed in it), or None for the embedded PostgreSQL."""
        if self.database_url:
            return normalise_database_url(self.database_url.get_secret_value())
        if not any(getattr(self, name) is not None for name in _PG_VARIABLES):
            return None
        values = {
            "host": self.pghost, "port": self.pgport, "user": self.pguser, "dbname": self.pgdatabase,
            "sslmode": self.pgsslmode, "service": self.pgservice,
            "password": self.pgpassword.get_secret_value() if self.pgpassword else None,
        }  # fmt: skip
        return " ".join(f"{name}={_libpq_quote(value)}" for name, value in values.items() if value is not None), []

    @property
    def listen_dsn(self) -> str | None:
        """What LISTEN connects with, None where it is the database's own."""
        return normalise_database_url(self.listen_url.get_secret_value())[0] if self.listen_url else None

    @property
    def embedded_dir(self) -> Path:
        """As root below /var/lib, because the embedded PostgreSQL then opens every folder above its data to others."""
        if self.data_dir is not None:
            return self.data_dir
        return (
            Path("/var/lib/notify-server") if hasattr(os, "geteuid") and os.geteuid() == 0 else Path(".notify-server")
        )

    def shown(self) -> dict[str, str]:
        """VARIABLE → effective value, secrets hidden."""
        values: dict[str, str] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                values[name.upper()] = "(set, hidden)"
            elif isinstance(value, dict):
                values[name.upper()] = ",".join(f"{key}:{count}" for key, count in value.items())
            elif isinstance(value, tuple):
                values[name.upper()] = ",".join(str(part) for part in value)
            else:
                values[name.upper()] = (
                    "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
                )
        values["HOST"] = self.listen_host or "(all interfaces)"
        values["DATA_DIR"] = str(self.embedded_dir)
        for name, secret in (("DATABASE_URL", self.database_url), ("LISTEN_URL", self.listen_url)):
            if secret:
                url = urlsplit(secret.get_secret_value())
                values[name] = (
                    f"{url.scheme}://{unquote(url.username or '')}:***@{url.hostname}:{url.port or 5432}{url.path}"
                )
        for name in ("JWT_JWKS_URL", "AUTH_URL"):  # a query may hold a key
            if "?" in values[name]:
                values[name] = values[name].split("?")[0] + "?***"
        return values


def _libpq_quote(value: object) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def vanishing_disk() -> str | None:
    """The variable by which a platform whose disk does not last is known, where we run on one."""
    return next((name for name in _VANISHING_DISK if os.environ.get(name)), None)


def load(env_file: str | None = ".env", **values: Any) -> Settings:
    """`values` go before the environment. Raises ConfigError, one line that names the variable and what it takes."""
    try:
        return Settings(_env_file=env_file, **values)
    except ValidationError as invalid:
        error = invalid.errors(include_input=False)[0]
        name = str(error["loc"][0])
        raise ConfigError(f"{name.upper()} takes {Settings.model_fields[name].description}") from None
