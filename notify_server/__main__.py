"""The command line."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click
import jwt

from notify_server import __version__, attachment
from notify_server.app import make_database, opened
from notify_server.db import Database
from notify_server.demo import Demo
from notify_server.errors import ConfigError, NotifyError
from notify_server.http.page import STATIC
from notify_server.inbox import Inbox
from notify_server.logs import configure
from notify_server.migrate import migrate as apply_migrations
from notify_server.migrate import pending
from notify_server.paths import DEFAULT_COMMENT_ROUTE
from notify_server.retention import Retention
from notify_server.seed import seed as seed_database
from notify_server.serve import run
from notify_server.settings import Settings, load
from notify_server.switch import add_commands


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    """What somebody can mend is one line and exit status 1; anything else is ours, and a traceback."""
    try:
        yield
    except NotifyError as error:
        click.echo(f"notify-server: {error.message}", err=True)
        sys.exit(1)


def _command(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        with _one_line_errors():
            function(*args, **kwargs)

    return wrapped


def _settings(**values: Any) -> Settings:
    settings = load(**values)
    configure(settings.log_level, settings.log_format)
    return settings


def _database_settings() -> Settings:
    """For commands that only need the database: no way to log in has to be set up for them."""
    try:
        return _settings()
    except ConfigError as error:
        if not error.message.startswith("JWT_SECRET takes"):
            raise
        return _settings(trust_user_id=True, host="127.0.0.1")


async def _with_database(settings: Settings, work: Callable[[Database], Any]) -> Any:
    db = make_database(settings)
    async with opened(db, settings):
        return await work(db)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="notify-server")
def main() -> None:
    """Self-hosted in-app notifications: replaces an Express + Socket.IO server without a change to the React apps in
    front of it.

    Settings come from the environment and from a file .env; `notify-server config` shows them. To look around:
    `notify-server demo`.
    """


@main.command()
@_command
def serve() -> None:
    """Migrate the database, then serve until SIGTERM or Ctrl-C."""
    run(_settings())


@main.command()
@click.option("--check", is_flag=True, help="Only tell what is pending; exit status 1 where something is.")
@_command
def migrate(check: bool) -> None:
    """Bring the database to this version's schema."""

    async def work(db: Database) -> None:
        found = await (pending(db) if check else apply_migrations(db))
        for migration in found:
            click.echo(f"{'pending' if check else 'applied'}  {migration.version:04}_{migration.name}")
        if not found:
            click.echo("the database is up to date")
        elif check:
            sys.exit(1)
        if not check:
            try:
                await attachment.connect_tables(db)
            except ConfigError as error:
                click.echo(f"no tables are connected yet: {error.message}")

    asyncio.run(_with_database(_database_settings(), work))


def _run(work: Callable[[Database, Settings], Any]) -> Any:
    settings = _database_settings()

    async def with_settings(db: Database) -> Any:
        return await work(db, settings)

    with _one_line_errors():
        return asyncio.run(_with_database(settings, with_settings))


add_commands(main, _run)


@main.command()
@_command
def seed() -> None:
    """Migrate, then fill an empty database with a few people, posts and comments."""

    async def work(db: Database) -> None:
        await attachment.prepare(db)
        click.echo("seeded" if await seed_database(db) else "there are people already: nothing done")

    asyncio.run(_with_database(_database_settings(), work))


@main.command()
@_command
def demo() -> None:
    """Try it: an embedded PostgreSQL, a few people and posts, and no log-in (this machine only)."""
    # The embedded database, whatever the environment names: a demo writes to nobody's own.
    ignored = [name for name in os.environ if name in _DATABASE_VARIABLES]
    settings = _settings(
        trust_user_id=True, host="127.0.0.1", log_format="text", static_dir=None, comment_route=DEFAULT_COMMENT_ROUTE,
        **{name.lower(): None for name in _DATABASE_VARIABLES},
    )  # fmt: skip
    if ignored:
        click.echo(f"(not used by the demo: {', '.join(ignored)})", err=True)
    run(settings, fill=seed_database, page=STATIC, started=Demo(settings).started)


_DATABASE_VARIABLES = (
    "DATABASE_URL",
    "PGHOST",
    "PGPORT",
    "PGUSER",
    "PGPASSWORD",
    "PGDATABASE",
    "PGSSLMODE",
    "PGSERVICE",
)


@main.command()
@click.argument("user_id")
@click.option("--hours", default=24.0, show_default=True, help="How long it is valid.")
@_command
def token(user_id: str, hours: float) -> None:
    """Print a JWT for a user, signed with JWT_SECRET, to try things with."""
    settings = _settings()
    if settings.jwt_secret is None:
        raise ConfigError("JWT_SECRET is needed to sign a token (with JWT_PUBLIC_KEY, only your app can)")
    now = int(time.time())
    claims = {settings.jwt_user_claim: user_id, "iat": now, "exp": now + int(hours * 3600)}
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience
    if settings.jwt_issuer:
        claims["iss"] = settings.jwt_issuer
    algorithm: str = settings.jwt_algorithm or "HS256"
    click.echo(jwt.encode(claims, settings.jwt_secret.get_secret_value(), algorithm=algorithm))


@main.command()
@_command
def prune() -> None:
    """Delete the notifications that are older than RETENTION_DAYS, in small steps; a server does it once an hour."""
    settings = _database_settings()

    async def work(db: Database) -> None:
        await apply_migrations(db)
        shown = sys.stdout.isatty()

        def progress(count: int) -> None:
            if shown:
                click.echo(f"\rdeleted {count}", nl=False)

        pruned = await Retention(db, settings.retention_days).prune(progress)
        if pruned is None:
            raise ConfigError("another server is pruning at this moment")
        click.echo(
            f"{chr(13) if shown else ''}deleted {pruned} notifications older than {settings.retention_days} days"
        )

    asyncio.run(_with_database(settings, work))


@main.command()
@_command
def new_epoch() -> None:
    """After a copy of the database's disk was put back: have no client resume what only the other past had.

    (A restore by pg_dump, or to a point in time, is noticed without it.)
    """

    async def work(db: Database) -> None:
        await apply_migrations(db)
        await Inbox(db).new_epoch()
        click.echo("a new epoch: connected clients begin anew within a second, the others when they come back")

    asyncio.run(_with_database(_database_settings(), work))


@main.command()
@_command
def config() -> None:
    """Print the effective settings, secrets hidden."""
    for name, value in _settings().shown().items():
        click.echo(f"{name}={value}")


if __name__ == "__main__":
    main()
