"""What PostgreSQL says of the app's tables, in names as they stand there."""

from __future__ import annotations

from dataclasses import dataclass, field

from notify_server.db import Database
from notify_server.sql import queries

_sql = queries("catalogue")


@dataclass(frozen=True, slots=True)
class Column:
    """`sql_type` as SQL writes it, without a length; of a domain, the type below it. `default` is the expression, None
    where there is none."""

    name: str
    sql_type: str
    is_required: bool
    default: str | None
    is_generated: bool


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Of one column: `column` → `to_column` of the table `to`."""

    column: str
    to: int
    to_column: str


@dataclass(frozen=True, slots=True)
class Trigger:
    name: str
    is_ours: bool
    is_enabled: bool


@dataclass(slots=True)
class Table:
    """`kind` is pg_class.relkind: r table, p partitioned, v view, m materialised view, f foreign table."""

    oid: int
    schema: str
    name: str
    kind: str
    may_read: bool
    may_trigger: bool
    may_insert: bool
    may_lock_rows: bool
    is_owned: bool
    hides_rows: bool
    has_children: bool
    columns: dict[str, Column] = field(default_factory=dict)
    primary_key: tuple[str, ...] = ()
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)

    def __str__(self) -> str:
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Catalogue:
    tables: dict[int, Table]
    may_create: bool
    role: str
    database: str
    schema: str
    """Where a name without a schema leads, and new tables go."""

    def named(self, name: str) -> list[Table]:
        """By its name, or by `schema.name`."""
        return [table for table in self.tables.values() if name in (table.name, f"{table.schema}.{table.name}")]


async def read_catalogue(db: Database) -> Catalogue:
    tables = {row[0]: Table(*row) for row in await db.fetch(_sql.relations)}
    for oid, *column in await db.fetch(_sql.columns):
        if oid in tables:
            tables[oid].columns[column[0]] = Column(*column)
    for oid, kind, columns, to, to_column in await db.fetch(_sql.keys):
        if oid not in tables:
            continue
        if kind == "p":
            tables[oid].primary_key = tuple(columns)
        elif to in tables:
            tables[oid].foreign_keys.append(ForeignKey(columns[0], to, to_column))
    for oid, name, is_ours, is_enabled in await db.fetch(_sql.triggers):
        if oid in tables:
            tables[oid].triggers.append(Trigger(name, is_ours, is_enabled))
    ((may_create, role, database, schema),) = await db.fetch(_sql.may_create)
    return Catalogue(tables, may_create, role, database, schema)
