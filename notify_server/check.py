"""Before the tables are connected: what would be, and what stands in the way. Reads, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from notify_server.attachment import Catalogue, Options, Spec, choose, read_catalogue
from notify_server.attachment.catalogue import Column
from notify_server.db import Database, listening
from notify_server.errors import ConfigError
from notify_server.findings import Finding, note, ok, problem
from notify_server.sql import queries

_sql = queries("catalogue")

_OLDEST = 150_000
_CONNECT_S = 5


async def check(db: Database, options: Options) -> list[Finding]:
    """Raises the database's errors."""
    version, shown = (await db.fetch(_sql.server_version))[0]
    findings = [
        ok("database", f"PostgreSQL {shown}")
        if version >= _OLDEST
        else problem("database", f"PostgreSQL {shown}", "15 or later is needed")
    ]
    if await is_pooled(db.dsn):
        findings.append(
            note("database", "DATABASE_URL leads to a pooler such as PgBouncer", "set LISTEN_URL to PostgreSQL itself")
        )
    catalogue = await read_catalogue(db)
    if not catalogue.may_create:
        findings.append(
            problem(
                "rights", f"{catalogue.role} may not make the schema notify",
                f"GRANT CREATE ON DATABASE {catalogue.database} TO {catalogue.role}",
            )
        )  # fmt: skip
    try:
        spec = await choose(db, catalogue, options)
    except ConfigError as error:
        return [*findings, problem("tables", error.message)]
    return [*findings, *_tables(catalogue, spec), *_routes(spec)]


async def is_pooled(dsn: str) -> bool:
    """Whether somebody between PostgreSQL and us lends its connections out. Raises the database's errors."""
    async with listening(dsn, "notify_check", _CONNECT_S, even_if_pooled=False) as listener:
        return listener.pooled


def _tables(catalogue: Catalogue, spec: Spec) -> Iterator[Finding]:
    yield from (ok(subject, text) for subject, text in described(spec))
    for part in (spec.people, spec.posts, spec.comments):
        table = part.table
        others = [trigger.name for trigger in table.triggers if not trigger.is_ours]
        if others:
            yield note("triggers", f"{table} has its own: {', '.join(others)}", "they go on as before")
        if not table.is_owned:
            yield note(
                "rights", f"{catalogue.role} does not own {table}",
                "it may attach, having the right TRIGGER; only the owner can detach",
            )  # fmt: skip


def _routes(spec: Spec) -> Iterator[Finding]:
    if spec.unwritable:
        for reason in spec.unwritable:
            yield note("POST route", reason)
        yield note(
            "POST route", "comments stay with your server, and are noticed by the trigger",
            "docs/SWITCH.md, the first way: nothing else is needed for it",
        )  # fmt: skip
    else:
        yield ok("POST route", "could be taken over as well")


def described(spec: Spec) -> Iterator[tuple[str, str]]:
    """What was taken for what."""
    people, posts, comments = spec.people, spec.posts, spec.comments
    yield (
        "users",
        f"{people.table}.{people.id.name} ({people.id.sql_type}), named by "
        + " ".join(name.name for name in people.names)
        + _soft(people.deleted),
    )
    yield (
        "posts",
        (
            f"{posts.table}.{posts.id.name} ({posts.id.sql_type}), by {posts.author.name} →"
            f" {people.table}.{people.id.name}" + _soft(posts.deleted)
        ),
    )
    yield (
        "comments",
        (
            f"{comments.table}.{comments.id.name} ({comments.id.sql_type}), on {comments.post.name} →"
            f" {posts.table}.{posts.id.name}, by {comments.author.name} → {people.table}.{people.id.name},"
            f" text in {comments.body.name}, written at {comments.created.name}" + _soft(comments.deleted)
        ),
    )


def _soft(deleted: Column | None) -> str:
    return "" if deleted is None else f", softly deleted by {deleted.name}"
