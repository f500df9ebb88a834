"""The SQL that connects tables: `sql/attach.sql` with the names filled in, each quoted."""

from __future__ import annotations

import re

import orjson

from notify_server.attachment.catalogue import Column, Table
from notify_server.attachment.spec import GENERATORS, Spec
from notify_server.sql import script

_HOLE = re.compile(r"\{\{(\w+)\}\}")


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'" if "\\" in text else f"'{escaped}'"


def fill(template: str, **values: str) -> str:
    """Every `{{name}}` of the file `sql/<template>.sql`. Raises KeyError for one that has no value."""
    return _HOLE.sub(lambda hole: values[hole[1]], script(template))


def attach_script(spec: Spec, own_drafts: str | None, own_answers: str | None) -> str:
    """`own_drafts` and `own_answers` are queries of the app's, without a semicolon."""
    people, posts, comments = spec.people, spec.posts, spec.comments
    filled = {f"filled_{n}": column for n, column in enumerate(comments.filled)}
    names = [f"t.{identifier(column.name)}::text" for column in people.names]
    return fill(
        "attach",
        people=qualified(people.table), posts=qualified(posts.table), comments=qualified(comments.table),
        people_name=literal(qualified(people.table)), posts_name=literal(qualified(posts.table)),
        comments_name=literal(qualified(comments.table)),
        person_id=identifier(people.id.name), person_id_type=people.id.sql_type,
        person_name=names[0] if len(names) == 1 else f"nullif(concat_ws(' ', {', '.join(names)}), '')",
        person_is_there=_is_there("t", people.deleted), person_was_there=_is_there("OLD", people.deleted),
        person_stays=_is_there("NEW", people.deleted),
        post_id=identifier(posts.id.name), post_id_type=posts.id.sql_type, post_author=identifier(posts.author.name),
        post_title=_optional(posts.title), post_body=_optional(posts.body),
        post_is_there=_is_there("t", posts.deleted), post_was_there=_is_there("OLD", posts.deleted),
        post_stays=_is_there("NEW", posts.deleted),
        comment_id=identifier(comments.id.name), comment_id_type=comments.id.sql_type,
        comment_post=identifier(comments.post.name), comment_author=identifier(comments.author.name),
        comment_body=identifier(comments.body.name), comment_created=_moment(comments.created),
        comment_is_there=_is_there("t", comments.deleted), comment_was_there=_is_there("OLD", comments.deleted),
        comment_stays=_is_there("NEW", comments.deleted),
        filled_columns="".join(f", t.{identifier(column.name)} AS {name}" for name, column in filled.items()),
        filled_defaults="".join(
            f"ALTER VIEW notify.comments ALTER COLUMN {name} SET DEFAULT {_now(column)};\n"
            for name, column in filled.items()
        ),
        new_comment_id=_new_id(spec), remove_comment=_removal(spec),
        spec=literal(orjson.dumps(spec.to_json()).decode()),
        own_drafts="" if own_drafts is None else f"CREATE OR REPLACE VIEW notify.drafts AS\n{own_drafts};\n",
        own_answers="" if own_answers is None else (
            f"CREATE VIEW notify.answers AS\n{own_answers};\nSELECT notify.make_comment_answers_v1();\n"
        ),
    )  # fmt: skip


def qualified(table: Table) -> str:
    return f"{identifier(table.schema)}.{identifier(table.name)}"


def _optional(column: Column | None) -> str:
    return "NULL::text" if column is None else f"t.{identifier(column.name)}"


def _is_there(row: str, deleted: Column | None) -> str:
    """Whether a row is not softly deleted."""
    if deleted is None:
        return "true"
    return f"{row}.{identifier(deleted.name)} IS {'NOT TRUE' if deleted.sql_type == 'boolean' else 'NULL'}"


def _moment(column: Column) -> str:
    """As a timestamptz; one without a zone is UTC, as Prisma and TypeORM write it."""
    name = f"t.{identifier(column.name)}"
    if column.sql_type == "timestamp with time zone":
        return name
    return f"{name}{'::timestamp' if column.sql_type == 'date' else ''} AT TIME ZONE 'UTC'"


def _now(column: Column) -> str:
    return "now()" if column.sql_type == "timestamp with time zone" else "(now() AT TIME ZONE 'UTC')"


def _new_id(spec: Spec) -> str:
    if spec.id_generator is not None:
        return GENERATORS.get(spec.id_generator, spec.id_generator)
    return spec.comments.id.default or "NULL"


def _removal(spec: Spec) -> str:
    comments = spec.comments
    if comments.deleted is None:
        return fill("remove")
    return fill(
        "remove_softly", comments=qualified(comments.table), comment_id=identifier(comments.id.name),
        comment_author=identifier(comments.author.name), deleted=identifier(comments.deleted.name),
        moment="true" if comments.deleted.sql_type == "boolean" else _now(comments.deleted),
        comment_is_there=_is_there("t", comments.deleted),
    )  # fmt: skip
