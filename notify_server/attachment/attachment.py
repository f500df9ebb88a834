"""Connects an app's tables, keeps them connected, and lets go of them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from notify_server.attachment.catalogue import Catalogue, read_catalogue
from notify_server.attachment.script import attach_script, fill, identifier
from notify_server.attachment.spec import VERSION, Options, Spec, resolve
from notify_server.db import Database
from notify_server.errors import ConfigError, DatabaseConflict, DatabaseError, DatabaseRefused
from notify_server.migrate import PROLOGUE, migrate
from notify_server.sql import queries, script

log = logging.getLogger(__name__)

_sql = queries("attachment")

_TIMEOUT_S = 60
_BASELINE_TIMEOUT_S = 600
_ATTEMPTS = 10
_PAUSE_S = 0.5
# The tables that are made where there are none, and taken without being asked where they are there.
_OURS = Options(
    comments="comments", post_column="post_id", author_column="author_id", body_column="body",
    created_column="created_at", posts="posts", post_author="author_id", post_title="title", post_body="body",
    users="users", user_name="name",
)  # fmt: skip

_OUR_COLUMNS = {
    "users": ("id", "name"),
    "posts": ("id", "author_id", "title", "body"),
    "comments": ("id", "post_id", "author_id", "body", "created_at"),
}


@dataclass(frozen=True, slots=True)
class Attached:
    """`options` name what is connected. `unwritable` and `posts_unwritable` say why rows cannot be written here."""

    version: int
    options: Options
    unwritable: tuple[str, ...]
    posts_unwritable: tuple[str, ...]


def _read(spec: dict[str, Any]) -> Attached:
    return Attached(
        spec["version"], Options(**spec["options"]), tuple(spec["unwritable"]), tuple(spec["posts_unwritable"])
    )


async def attached(db: Database) -> Attached | None:
    """None where nothing is connected."""
    found = await db.fetch(_sql.spec)
    if not found or found[0][0] is None:
        return None
    spec = orjson.loads(found[0][0])
    return _read(spec) if "options" in spec else None


async def proposed(db: Database, options: Options) -> Spec:
    """What `attach` would connect. Raises ConfigError."""
    return await choose(db, await read_catalogue(db), options)


async def choose(db: Database, catalogue: Catalogue, options: Options) -> Spec:
    """By the options; with none, what is connected, or was before it was taken back, where that still fits. Raises
    ConfigError."""
    if options == Options() and await db.value(queries("migrate").is_installed):
        for (known,) in await db.fetch(_sql.options):
            with contextlib.suppress(ConfigError):
                return resolve(catalogue, Options(**orjson.loads(known or "{}")))
    return resolve(catalogue, options)


async def attach(
    db: Database, spec: Spec, *, drafts: str | None = None, answers: str | None = None,
    waiting: Callable[[], object] = lambda: None,
) -> None:  # fmt: skip
    """In one transaction, on a migrated database. `drafts` and `answers` are the app's own queries in place of ours;
    what it has put there before stays. `waiting` is called when a table is held by others. Raises ConfigError for
    what does not fit."""
    if drafts is None:
        drafts = await db.value(_sql.own_drafts)
    if answers is None:
        answers = await db.value(_sql.own_answers)
    for oid, name in await db.fetch(_sql.comments):
        if oid != spec.comments.table.oid:
            raise ConfigError(f"the inboxes tell of comments in {name}: `notify-server detach --purge` empties them")
    text = attach_script(spec, _without_semicolon(drafts), _without_semicolon(answers))
    await _run(db, text, "the tables cannot be connected", waiting)
    await finish(db)


async def detach(db: Database, *, purge: bool = False, waiting: Callable[[], object] = lambda: None) -> None:
    """Takes triggers and views away; inboxes stay, but for `purge`. Raises ConfigError."""
    if not await db.value(queries("migrate").is_installed):
        raise ConfigError("there is nothing of notify-server in this database")
    await migrate(db)
    text = script("detach") + ("\n" + script("purge") if purge else "")
    await _run(db, text, "the tables cannot be let go", waiting)


async def has_views(db: Database) -> bool:
    """Whether those by which we see the tables are there: DROP TABLE … CASCADE takes them along."""
    found: bool = await db.value(_sql.has_views)
    return found


async def missing_triggers(db: Database) -> list[list[str]]:
    """[schema, table, name] of each that is gone or disabled."""
    found: list[list[str]] = orjson.loads(await db.value(_sql.missing_triggers))
    return found


async def finish(db: Database) -> None:
    """What was there before counts as considered. Also where an attaching ended before that."""
    await db.value(_sql.baseline, _BASELINE_TIMEOUT_S)


async def prepare(db: Database) -> Attached:
    """What a server needs: this version's schema, and the tables connected. Raises ConfigError, and the database's
    errors while it is away."""
    await migrate(db)
    return await connect_tables(db)


async def connect_tables(db: Database) -> Attached:
    """For a server that starts: what is connected stays, by this version's script; an empty database gets tables of
    ours. Raises ConfigError where there are tables that nobody has connected."""
    rows = await db.fetch(_sql.spec)
    found = await attached(db)
    if rows and rows[0][0] is None:
        raise ConfigError("the app's tables are detached: `notify-server attach` connects them again")
    if found is None or found.version < VERSION or not await has_views(db):
        catalogue = await read_catalogue(db)
        options = await _our_tables(db, catalogue) if found is None else found.options
        try:
            spec = resolve(await read_catalogue(db), options)
        except ConfigError as error:
            raise ConfigError(
                f"the app's tables are not as expected, `notify-server attach` connects them by their own names: "
                f"{error.message}"
            ) from error
        await attach(db, spec)
        return _read(spec.to_json())
    await finish(db)
    return found


async def _our_tables(db: Database, catalogue: Catalogue) -> Options:
    """Those that there are by our names, and those that are missing, made. Raises ConfigError for an app's own."""
    schema = catalogue.schema
    options = dataclasses.replace(
        _OURS, comments=f"{schema}.comments", posts=f"{schema}.posts", users=f"{schema}.users"
    )
    ours = {table.name: table for table in catalogue.tables.values()
            if table.schema == schema and table.name in ("users", "posts", "comments")}  # fmt: skip
    if len(ours) < 3:
        if len(ours) < len(catalogue.tables):
            raise ConfigError(
                f"the database {catalogue.database} has tables of an app: `notify-server attach` connects them, "
                "`notify-server check` tells before what it would connect"
            )
        for name, table in ours.items():
            for column in _OUR_COLUMNS[name]:
                if column not in table.columns:
                    raise ConfigError(
                        f"table {table} has no column {column}: `notify-server attach` connects them by their own names"
                    )
        types = {name: table.columns["id"].sql_type for name, table in ours.items()}
        made = fill(
            "tables", schema=identifier(schema), person_id=types.get("users", "integer"),
            post_id=types.get("posts", "integer"),
        )  # fmt: skip
        await _run(db, made, "the tables cannot be made", lambda: None)
    return options


def _without_semicolon(query: str | None) -> str | None:
    return None if query is None else query.strip().rstrip(";").rstrip()


async def _run(db: Database, text: str, what: str, waiting: Callable[[], object]) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            await db.script(PROLOGUE + text, _TIMEOUT_S)
            return
        except DatabaseConflict as error:
            if attempt == _ATTEMPTS - 1:
                raise ConfigError(f"{what}: others hold a table too long; nothing was changed") from error
            waiting()
            await asyncio.sleep(_PAUSE_S)
        except DatabaseError as error:
            if error.retryable and not isinstance(error, DatabaseRefused):
                raise
            raise ConfigError(f"{what}, and nothing was changed: {error.message}") from error
