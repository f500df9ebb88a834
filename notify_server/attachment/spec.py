"""Which tables and columns mean people, posts and comments: as the options name them, the rest by the foreign keys.

Whatever cannot be used is refused with a sentence that names the table, the column, and the option that says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from notify_server.attachment.catalogue import Catalogue, Column, Table
from notify_server.errors import ConfigError

VERSION = 1  # of sql/attach.sql: a server that knows a later one connects the tables anew

_IDS = ("smallint", "integer", "bigint", "uuid")
_TEXTS = ("text", "character varying", "bpchar", "citext")
_MOMENTS = ("timestamp with time zone", "timestamp without time zone", "date")
_KINDS = {"p": "is partitioned", "v": "is a view", "m": "is a materialised view", "f": "is a foreign table"}

# Columns are looked for by these names, in any style: createdAt, created_at and CreatedAt are one.
_COMMENTS = re.compile(r"comment|repl(y|ies)")
_AUTHORS = ("author", "user", "owner", "creator", "createdby", "postedby", "writer", "poster", "member", "account")
_BODIES = ("body", "content", "text", "message", "comment", "description")
_TITLES = ("title", "subject", "headline", "name", "caption")
_NAMES = ("name", "displayname", "fullname", "username", "nickname", "login", "handle")
_FIRST, _LAST = ("firstname", "givenname"), ("lastname", "familyname", "surname")
_CREATED = ("createdat", "created", "createdon", "datecreated", "createddate", "createtime", "postedat", "timestamp")
_DELETED = ("deletedat", "deleted", "isdeleted", "removedat", "deletedon")

GENERATORS = {"uuid": "pg_catalog.gen_random_uuid()", "cuid": "notify.new_cuid_v1()"}


def plain(name: str) -> str:
    """A name without its style."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@dataclass(frozen=True, slots=True)
class Options:
    """What `notify-server attach` was told. None is: find it; an empty text: there is none."""

    comments: str | None = None
    post_column: str | None = None
    author_column: str | None = None
    body_column: str | None = None
    created_column: str | None = None
    comments_deleted: str | None = None
    posts: str | None = None
    post_author: str | None = None
    post_title: str | None = None
    post_body: str | None = None
    posts_deleted: str | None = None
    users: str | None = None
    user_name: str | None = None
    users_deleted: str | None = None
    id_generator: str | None = None
    now_columns: str | None = None


@dataclass(frozen=True, slots=True)
class People:
    table: Table
    id: Column
    names: tuple[Column, ...]
    deleted: Column | None


@dataclass(frozen=True, slots=True)
class Posts:
    table: Table
    id: Column
    author: Column
    title: Column | None
    body: Column | None
    deleted: Column | None


@dataclass(frozen=True, slots=True)
class Comments:
    table: Table
    id: Column
    post: Column
    author: Column
    body: Column
    created: Column
    deleted: Column | None
    filled: tuple[Column, ...]
    """Columns that get the time of the insertion."""


@dataclass(frozen=True, slots=True)
class Spec:
    people: People
    posts: Posts
    comments: Comments
    id_generator: str | None
    unwritable: tuple[str, ...] = ()
    """Why comments cannot be written here, and are left to the app; empty where they can."""
    posts_unwritable: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """What is kept in notify.attachment: names alone, to be looked up anew."""
        people, posts, comments = self.people, self.posts, self.comments
        options = Options(
            comments=_qualified(comments.table), post_column=comments.post.name, author_column=comments.author.name,
            body_column=comments.body.name, created_column=comments.created.name,
            comments_deleted=_name(comments.deleted), posts=_qualified(posts.table), post_author=posts.author.name,
            post_title=_name(posts.title), post_body=_name(posts.body), posts_deleted=_name(posts.deleted),
            users=_qualified(people.table), user_name=",".join(name.name for name in people.names),
            users_deleted=_name(people.deleted), id_generator=self.id_generator or "",
            now_columns=",".join(column.name for column in comments.filled),
        )  # fmt: skip
        return {
            "version": VERSION,
            "options": asdict(options),
            "unwritable": list(self.unwritable),
            "posts_unwritable": list(self.posts_unwritable),
            "triggers": [
                {"of": name, "schema": part.table.schema, "name": part.table.name, "trigger": trigger}
                for name, part, triggers in (
                    ("people", people, ("notify_delete", "notify_move", "notify_truncate")),
                    ("posts", posts, ("notify_delete", "notify_move", "notify_truncate")),
                    ("comments", comments, ("notify_insert", "notify_delete", "notify_move", "notify_truncate")),
                )
                for trigger in triggers
            ],
        }


def _qualified(table: Table) -> str:
    return f"{table.schema}.{table.name}"


def _name(column: Column | None) -> str:
    return "" if column is None else column.name


@dataclass(frozen=True, slots=True)
class _Link:
    """A column that refers to a row of another table by that one's `id`."""

    column: Column
    to: Table
    id: Column


def resolve(catalogue: Catalogue, options: Options) -> Spec:
    """Raises ConfigError."""
    candidates = _candidates(catalogue, options)
    if not candidates:
        raise ConfigError(_nothing_found(catalogue, options))
    best = max(rank for rank, *_ in candidates)
    found = [candidate for candidate in candidates if candidate[0] == best]
    if len(found) > 1:
        choices = "; ".join(
            f"--comments {table} --post-column {post.column.name} --author-column {author.column.name}"
            f" --posts {post.to} --post-author {owner.column.name} --users {owner.to}"
            for _, table, post, author, owner in found[:6]
        )
        raise ConfigError(f"several tables may be the comments: say which: {choices}")
    _, table, post, author, owner = found[0]
    return _spec(options, table, post, author, owner)


def _candidates(catalogue: Catalogue, options: Options) -> list[tuple[tuple[int, ...], Table, _Link, _Link, _Link]]:
    """Tables that refer to a post and a person, where the post refers to a person likewise."""
    comment_tables = [_one(catalogue, options.comments, "--comments")] if options.comments else _usable(catalogue)
    users = _one(catalogue, options.users, "--users") if options.users else None
    posts = _one(catalogue, options.posts, "--posts") if options.posts else None
    found: list[tuple[tuple[int, ...], Table, _Link, _Link, _Link]] = []
    if not options.comments:
        named = (options.post_column, options.author_column, options.body_column, options.created_column)
        comment_tables = [table for table in comment_tables if _has_all(table, named)]
    for table in comment_tables:
        body = _find(table, options.body_column, "--body-column", _BODIES, _TEXTS)
        if body is None and not options.comments:
            continue
        for post in _links(catalogue, table, options.post_column, "--post-column", posts):
            if posts is None and not _has_all(post.to, (options.post_author, options.post_title, options.post_body)):
                continue
            for owner in _links(catalogue, post.to, options.post_author, "--post-author", users):
                for author in _links(catalogue, table, options.author_column, "--author-column", owner.to):
                    if author.column is post.column or author.id is not owner.id or table is post.to:
                        continue
                    if owner.to in (table, post.to):
                        continue
                    rank = (
                        int(_COMMENTS.search(plain(table.name)) is not None),
                        -_authorship(author.column.name), -_authorship(owner.column.name),
                    )  # fmt: skip
                    found.append((rank, table, post, author, owner))
    return found


def _has_all(table: Table, names: Iterable[str | None]) -> bool:
    return all(name in table.columns for name in names if name)


def _authorship(name: str) -> int:
    """The lower, the likelier a column says who wrote something."""
    known = plain(name).removesuffix("uuid").removesuffix("id")
    return _AUTHORS.index(known) if known in _AUTHORS else len(_AUTHORS)


def _usable(catalogue: Catalogue) -> list[Table]:
    return [table for table in catalogue.tables.values() if _why_not(table) is None]


def _why_not(table: Table) -> str | None:
    """Why its triggers would not see every row; None where they do."""
    if table.kind in _KINDS:
        return f"{table} {_KINDS[table.kind]}; a plain table is needed"
    if table.has_children:
        return f"{table} has tables that inherit from it, whose rows its triggers would not see"
    return None


def _one(catalogue: Catalogue, name: str, option: str) -> Table:
    found = catalogue.named(name)
    if not found:
        alike = [str(table) for table in catalogue.tables.values() if plain(table.name) == plain(name.split(".")[-1])]
        hint = f"; there is {', '.join(alike)}" if alike else ""
        raise ConfigError(f"{option}: there is no table {name} in the database {catalogue.database}{hint}")
    if len(found) > 1:
        raise ConfigError(f"{option}: {name} is in several schemas: {', '.join(map(_qualified, found))}")
    if (reason := _why_not(found[0])) is not None:
        raise ConfigError(f"{option}: {reason}")
    return found[0]


def _links(
    catalogue: Catalogue, table: Table, column: str | None, option: str, target: Table | None
) -> Iterable[_Link]:
    """By foreign keys; where both ends were named, also without one."""
    keys = {key.column: key for key in table.foreign_keys if target is None or key.to == target.oid}
    if column is not None:
        found = _named_column(table, column, option)
        if column in keys:
            keys = {column: keys[column]}
        elif target is not None:
            yield _Link(found, target, _id_of(target))
            return
        else:
            keys = {}
    for key in keys.values():
        to = catalogue.tables[key.to]
        if _why_not(to) is None:
            yield _Link(table.columns[key.column], to, to.columns[key.to_column])


def _id_of(table: Table) -> Column:
    if len(table.primary_key) != 1:
        what = "no primary key" if not table.primary_key else "a primary key of several columns"
        raise ConfigError(f"{table} has {what}: a table whose rows have one id each is needed")
    return table.columns[table.primary_key[0]]


def _named_column(table: Table, name: str, option: str) -> Column:
    if name not in table.columns:
        alike = [column for column in table.columns if plain(column) == plain(name)]
        hint = f"there is {alike[0]}" if alike else f"it has {', '.join(table.columns)}"
        raise ConfigError(f"{option}: table {table} has no column {name}; {hint}")
    return table.columns[name]


def _find(table: Table, name: str | None, option: str, names: tuple[str, ...], types: tuple[str, ...]) -> Column | None:
    """The column that was named, or one of the usual names and types."""
    if name == "":
        return None
    if name is not None:
        found = _named_column(table, name, option)
        if not _is_one_of(found, types):
            raise ConfigError(f"{option}: {table}.{name} is of type {found.sql_type}; {', '.join(types)} is needed")
        return found
    for wanted in names:
        for column in table.columns.values():
            if plain(column.name) == wanted and _is_one_of(column, types):
                return column
    return None


def _nothing_found(catalogue: Catalogue, options: Options) -> str:
    missing = [
        option
        for option, value in (
            ("--comments", options.comments), ("--post-column", options.post_column),
            ("--author-column", options.author_column), ("--posts", options.posts),
            ("--body-column", options.body_column), ("--post-author", options.post_author), ("--users", options.users),
        ) if value is None
    ]  # fmt: skip
    if not missing:
        return "the comments' post and author, or the posts' author, refer to different tables"
    if not catalogue.tables:
        return f"there are no tables in the database {catalogue.database}, or none that {catalogue.role} may see"
    unusable = [reason for table in catalogue.tables.values()
                if _COMMENTS.search(plain(table.name)) and (reason := _why_not(table)) is not None]  # fmt: skip
    return "; ".join((
        "no table refers by foreign keys to a post and to its author, with the post referring to an author as well: "
        f"name them by {', '.join(missing)}",
        *unusable,
    ))  # fmt: skip


def _spec(options: Options, table: Table, post: _Link, author: _Link, owner: _Link) -> Spec:
    people, posts = owner.to, post.to
    for part in (people, posts, table):
        _check_table(part)
    ids = ((people, owner.id), (posts, post.id), (table, _id_of(table)))
    for part, column in ids:
        if not _is_one_of(column, (*_IDS, *_TEXTS)):
            raise ConfigError(f"{part}.{column.name} is of type {column.sql_type}; ids are integers, UUIDs or text")
    for part, link in ((table, post), (table, author), (posts, owner)):
        if _family(link.column) != _family(link.id):
            raise ConfigError(
                f"{part}.{link.column.name} is of type {link.column.sql_type}, and {link.to}.{link.id.name},"
                f" to which it refers, of type {link.id.sql_type}"
            )
    body = _find(table, options.body_column, "--body-column", _BODIES, _TEXTS)
    if body is None:
        raise ConfigError(f"--body-column: which column of {table} holds the text? It has {', '.join(table.columns)}")
    created = _find(table, options.created_column, "--created-column", _CREATED, _MOMENTS)
    if created is None:
        raise ConfigError(f"--created-column: which column of {table} tells when a comment was written?")
    comments = Comments(
        table, ids[2][1], post.column, author.column, body, created,
        _deleted(table, options.comments_deleted, "--comments-deleted"), _filled(table, options.now_columns),
    )  # fmt: skip
    found_posts = Posts(
        posts, post.id, owner.column,
        _find(posts, options.post_title, "--post-title", _TITLES, _TEXTS),
        _find(posts, options.post_body, "--post-body", _BODIES, _TEXTS),
        _deleted(posts, options.posts_deleted, "--posts-deleted"),
    )  # fmt: skip
    found_people = People(
        people, owner.id, _names(people, options.user_name), _deleted(people, options.users_deleted, "--users-deleted")
    )
    generator = options.id_generator or None
    unwritable = tuple(_why_not_written(comments, found_posts, generator))
    if unwritable and (generator or options.now_columns):
        raise ConfigError(f"comments still cannot be written by notify-server: {'; '.join(unwritable)}")
    return Spec(
        found_people, found_posts, comments, generator, unwritable, tuple(_why_posts_are_not_written(found_posts))
    )


def _check_table(table: Table) -> None:
    if not table.may_read:
        raise ConfigError(f"the role of DATABASE_URL may not read {table}: GRANT SELECT")
    if not (table.may_trigger or table.is_owned):
        raise ConfigError(f"the role of DATABASE_URL may not make triggers on {table}: GRANT TRIGGER, or use its owner")
    if table.hides_rows:
        raise ConfigError(
            f"row-level security hides rows of {table} from the role of DATABASE_URL: connect as the table's owner "
            "(without FORCE ROW LEVEL SECURITY) or as a role with BYPASSRLS"
        )
    strange = [trigger.name for trigger in table.triggers if trigger.name.startswith("notify_") and not trigger.is_ours]
    taken = {"notify_insert", "notify_delete", "notify_move", "notify_truncate"} & set(strange)
    if taken:
        raise ConfigError(f"{table} has triggers of its own named {', '.join(sorted(taken))}: rename them")


def _family(column: Column) -> str:
    if column.sql_type in ("smallint", "integer", "bigint"):
        return "integer"
    return "text" if _is_one_of(column, _TEXTS) else column.sql_type


def _is_one_of(column: Column, types: tuple[str, ...]) -> bool:
    """By the type's own name: an extension's stands in whatever schema it was made in."""
    return column.sql_type in types or column.sql_type.rpartition(".")[2] in {"citext"} & set(types)


def _deleted(table: Table, name: str | None, option: str) -> Column | None:
    return _find(table, name, option, _DELETED, (*_MOMENTS, "boolean"))


def _filled(table: Table, names: str | None) -> tuple[Column, ...]:
    found = [_named_column(table, name.strip(), "--now-columns") for name in (names or "").split(",") if name.strip()]
    for column in found:
        if column.sql_type not in _MOMENTS:
            raise ConfigError(f"--now-columns: {table}.{column.name} is of type {column.sql_type}, which holds no time")
    return tuple(found)


def _names(table: Table, names: str | None) -> tuple[Column, ...]:
    if names:
        return tuple(_named_column(table, name.strip(), "--user-name") for name in names.split(",") if name.strip())
    if (found := _find(table, None, "", _NAMES, _TEXTS)) is not None:
        return (found,)
    first, last = (_find(table, None, "", some, _TEXTS) for some in (_FIRST, _LAST))
    if first is not None and last is not None:
        return first, last
    raise ConfigError(f"--user-name: which column of {table} is the name to show? It has {', '.join(table.columns)}")


def _why_not_written(comments: Comments, posts: Posts, generator: str | None) -> Iterable[str]:
    table = comments.table
    if comments.id.default is None and generator is None:
        yield f"{table}.{comments.id.name} has no default (--id-generator uuid, cuid, or an SQL expression)"
    if comments.created.default is None and comments.created not in comments.filled:
        yield f"{table}.{comments.created.name} has no default (--now-columns {comments.created.name})"
    ours = (comments.id, comments.post, comments.author, comments.body, comments.created, *comments.filled)
    for column in table.columns.values():
        if column.is_required and column.default is None and not column.is_generated and column not in ours:
            advice = f" (--now-columns {column.name})" if column.sql_type in _MOMENTS else ""
            yield f"{table}.{column.name} must not be NULL and has no default{advice}"
    if not table.may_insert:
        yield f"the role of DATABASE_URL may not insert into {table}"
    if not posts.table.may_lock_rows:
        yield f"the role of DATABASE_URL may not lock rows of {posts.table}: GRANT UPDATE"


def _why_posts_are_not_written(posts: Posts) -> Iterable[str]:
    table = posts.table
    if posts.id.default is None:
        yield f"{table}.{posts.id.name} has no default"
    if posts.title is None or posts.body is None:
        yield f"{table} has no columns for a title and a text"
    for column in table.columns.values():
        if (
            column.is_required and column.default is None and not column.is_generated
            and column not in (posts.id, posts.author, posts.title, posts.body)
        ):  # fmt: skip
            yield f"{table}.{column.name} must not be NULL and has no default"
    if not table.may_insert:
        yield f"the role of DATABASE_URL may not insert into {table}"
