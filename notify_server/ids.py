"""The app's ids: text inside this server, and whatever their column holds in PostgreSQL."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGES = {
    "smallint": range(-(2**15), 2**15),
    "integer": range(-(2**31), 2**31),
    "bigint": range(-(2**63), 2**63),
}
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAX_CHARS = 255


def is_text_id(text: str) -> bool:
    """Whether PostgreSQL can hold this as an id of type text."""
    return 0 < len(text) <= _MAX_CHARS and "\0" not in text and text.isprintable()


@dataclass(frozen=True, slots=True)
class IdColumn:
    """`sql_type` is the column's, as SQL writes it: integer, bigint, uuid, text, …"""

    sql_type: str

    def parse(self, text: str) -> str | None:
        """The id in the form that PostgreSQL gives back, or None for what cannot be one."""
        numbers = _RANGES.get(self.sql_type)
        if numbers is not None:
            return text if _INTEGER.fullmatch(text) is not None and int(text) in numbers else None
        if self.sql_type == "uuid":
            lower = text.lower()
            return lower if _UUID.fullmatch(lower) else None
        return text if is_text_id(text) else None


@dataclass(frozen=True, slots=True)
class IdColumns:
    people: IdColumn
    posts: IdColumn
    comments: IdColumn
