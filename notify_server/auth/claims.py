"""Where a user's id stands in what others wrote: a token's claims, a session, an answer."""

from __future__ import annotations

from typing import Any

from notify_server.ids import is_text_id

MISSING: Any = object()


def find(document: Any, path: str) -> Any:
    """`user.id` → what is there, or MISSING; None for a null on the way. A name that holds dots itself goes first:
    `https://example.com/id`."""
    if document is None:
        return None
    if not isinstance(document, dict):
        return MISSING
    if path in document:
        return document[path]
    end = len(path)
    while (end := path.rfind(".", 0, end)) > 0:
        if path[:end] in document:
            return find(document[path[:end]], path[end + 1 :])
    return MISSING


def id_text(value: Any) -> str | None:
    """The id as text; None for what cannot be one."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    return text if is_text_id(text) else None
