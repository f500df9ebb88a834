"""The project's SQL: named queries and migrations, read from `sql/`, which a wheel carries inside the package."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).parent
ROOT = _PACKAGE / "sql" if (_PACKAGE / "sql").is_dir() else _PACKAGE.parent / "sql"

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_(\w+)\.sql")


@dataclass(frozen=True, slots=True)
class Query:
    """One statement with named parameters, `%(name)s`."""

    name: str
    sql: str

    def on(self, table: str, name: str, schema: str | None = None) -> Query:
        """The same over a table of another name, or in a schema that is not on the search path; the text has
        `"table"`, quoted, wherever it is meant."""
        quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name) if part is not None)
        return Query(self.name, self.sql.replace(f'"{table}"', quoted.replace("%", "%%")))


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: str


class Queries:
    """The queries of one file, as attributes."""

    def __init__(self, module: str) -> None:
        parts = _NAME.split((ROOT / "queries" / f"{module}.sql").read_text("utf-8"))
        names, texts = parts[1::2], parts[2::2]
        self._queries = {name: Query(f"{module}.{name}", text.strip()) for name, text in zip(names, texts, strict=True)}

    def __getattr__(self, name: str) -> Query:
        try:
            return self._queries[name]
        except KeyError:
            raise AttributeError(name) from None

    def __iter__(self) -> Iterator[Query]:
        return iter(self._queries.values())


def array(texts: Iterable[str]) -> str:
    """As PostgreSQL writes an array. Of thousands, psycopg2's ARRAY['…', '…'] costs both sides many times as much."""
    elements = list(texts)
    joined = '","'.join(elements)
    if "\\" in joined or joined.count('"') > 2 * (len(elements) - 1):
        joined = '","'.join(text.replace("\\", "\\\\").replace('"', '\\"') for text in elements)
    return f'{{"{joined}"}}' if elements else "{}"


@functools.cache
def queries(module: str) -> Queries:
    return Queries(module)


def modules() -> list[str]:
    return sorted(path.stem for path in (ROOT / "queries").glob("*.sql"))


@functools.cache
def script(name: str) -> str:
    """A file of statements whose names are filled in, `{{name}}`, before they run."""
    return (ROOT / f"{name}.sql").read_text("utf-8").strip()


def migrations() -> list[Migration]:
    """In order of version."""
    found = []
    for path in sorted((ROOT / "migrations").glob("*.sql")):
        match = _MIGRATION.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path.name} is not named NNNN_what.sql")
        found.append(Migration(int(match[1]), match[2], path.read_text("utf-8")))
    return found
