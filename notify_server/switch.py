"""The command line's part for switching over: look, connect, write the past, let go."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TextIO

import click

from notify_server import attachment
from notify_server.attachment import Options
from notify_server.attachment.script import attach_script
from notify_server.check import check as find_obstacles
from notify_server.check import described
from notify_server.db import Database
from notify_server.doctor import examine
from notify_server.errors import ConfigError
from notify_server.findings import Finding, has_problems, problem
from notify_server.migrate import migrate
from notify_server.old_server import read_old_server
from notify_server.settings import Settings, load
from notify_server.sql import script

Run = Callable[[Callable[[Database, Settings], Awaitable[Any]]], Any]
"""Runs work on the database of the settings; errors that somebody can mend become one line."""

_TABLES: tuple[tuple[str, str], ...] = (
    ("comments", "The table of comments."),
    ("post_column", "Its column with the post."),
    ("author_column", "Its column with whoever wrote the comment."),
    ("body_column", "Its column with the text."),
    ("created_column", "Its column with the time."),
    ("comments_deleted", "Its column that says that a comment is deleted; an empty text: there is none."),
    ("posts", "The table of what is commented on."),
    ("post_author", "Its column with whoever wrote the post, and hears of comments."),
    ("post_title", "Its column with the title."),
    ("post_body", "Its column with the text."),
    ("posts_deleted", "Its column that says that a post is deleted."),
    ("users", "The table of people."),
    ("user_name", "Its column with the name to show; several with commas."),
    ("users_deleted", "Its column that says that somebody is deleted."),
    ("id_generator", "For comments written here where the table gives no id: uuid, cuid, or an SQL expression."),
    ("now_columns", "Columns of comments that get the time when one is written here, with commas."),
)


def _with_tables(command: Callable[..., None]) -> Callable[..., None]:
    for name, text in reversed(_TABLES):
        command = click.option("--" + name.replace("_", "-"), metavar="NAME", help=text)(command)
    return command


def _show(findings: list[Finding]) -> None:
    for finding in findings:
        click.echo(finding)
    if has_problems(findings):
        sys.exit(1)


def _waiting() -> None:
    click.echo("somebody holds one of the tables: trying again", err=True)


def add_commands(group: click.Group, run: Run) -> None:
    @group.command()
    @_with_tables
    @click.option("--server", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="FOLDER",
                  help="The old server's source: lists what will not carry over by itself.")  # fmt: skip
    def check(server: Path | None, **names: str | None) -> None:
        """Tell which tables `attach` would connect, and what stands in the way. Changes nothing.

        Exit status 1 where something does.
        """
        findings: list[Finding] = run(lambda db, _settings: find_obstacles(db, Options(**names)))
        _show(findings + ([] if server is None else read_old_server(server)))

    @group.command()
    @_with_tables
    @click.option("--drafts", type=click.File(encoding="utf-8"),
                  help="A file with the query for who hears of a comment, in which words (notify.drafts).")  # fmt: skip
    @click.option(
        "--answer",
        type=click.File(encoding="utf-8"),
        help="A file with the query for what a POST of a comment is answered: one row for each, with its id.",
    )
    @click.option("--dry-run", is_flag=True, help="Print the SQL, and change nothing.")
    def attach(drafts: TextIO | None, answer: TextIO | None, dry_run: bool, **names: str | None) -> None:
        """Connect your own tables: by the names given, the others by the foreign keys.

        Triggers named notify_… are all that your tables get, in one transaction; `detach` takes them away again.
        """

        own = (None if drafts is None else drafts.read(), None if answer is None else answer.read())

        async def work(db: Database, _settings: Settings) -> None:
            spec = await attachment.proposed(db, Options(**names))
            if dry_run:
                click.echo(attach_script(spec, *own))
                return
            for subject, text in described(spec):
                click.echo(f"{subject}: {text}")
            await migrate(db)
            await attachment.attach(db, spec, drafts=own[0], answers=own[1], waiting=_waiting)
            click.echo("attached; `notify-server doctor` looks whether all is well")
            if spec.unwritable:
                click.echo("comments stay with your own server (docs/SWITCH.md, the first way), because:")
                for reason in spec.unwritable:
                    click.echo(f"  {reason}")

        run(work)

    @group.command()
    @click.option("--dry-run", is_flag=True, help="Print the SQL, and change nothing.")
    @click.option("--purge", is_flag=True, help="Delete the inboxes as well: the whole schema notify.")
    def detach(dry_run: bool, purge: bool) -> None:
        """Let go of your tables: no trace stays in them. Stop the servers first. Inboxes are kept for another time."""

        async def work(db: Database, _settings: Settings) -> None:
            text = script("detach") + ("\n" + script("purge") if purge else "")
            if dry_run:
                click.echo(text)
                return
            await attachment.detach(db, purge=purge, waiting=_waiting)
            click.echo("detached, inboxes deleted" if purge else "detached; the inboxes are kept")

        run(work)

    @group.command()
    @click.argument("public_url", required=False)
    def doctor(public_url: str | None) -> None:
        """Tell whether all is well, and what to do where it is not; with PUBLIC_URL also through the proxy.

        Exit status 1 where something is not.
        """

        async def work(db: Database, settings: Settings) -> list[Finding]:
            findings = []
            try:
                load()
            except ConfigError as error:  # a command for the database alone lets some pass
                findings.append(problem("settings", error.message))
                click.echo(findings[0])
            async for finding in examine(db, settings, public_url):
                click.echo(finding)
                findings.append(finding)
            return findings

        if has_problems(run(work)):
            sys.exit(1)

    @group.command()
    @click.option("--days", type=click.IntRange(1, 36_500), help="How far back; RETENTION_DAYS unless told.")
    def backfill(days: int | None) -> None:
        """Write comments from before the switch into the inboxes, as already read. Nobody is shown a toast."""
        shown = sys.stdout.isatty()

        def progress(done: int, total: int) -> None:
            if shown:
                click.echo(f"\r{done} of {total} comments", nl=False)

        async def work(db: Database, settings: Settings) -> None:
            n_days = days or settings.retention_days
            await attachment.prepare(db)
            written = await attachment.backfill(db, n_days, progress)
            click.echo(f"{chr(13) if shown else ''}wrote {written} notifications of the past {n_days} days")

        run(work)
