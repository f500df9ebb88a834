"""psycopg2's errors → ours."""

from __future__ import annotations

import psycopg2

from notify_server.errors import (
    DatabaseAway,
    DatabaseConflict,
    DatabaseError,
    DatabaseLost,
    DatabaseRefused,
    DatabaseTimeout,
    Invalid,
    NotifyError,
)

# What only a mistake of ours, or a broken schema, gives. Everything else that is not passing is the app's own refusal:
# its constraints, its policies (42501), and whatever code its triggers raise.
_OUR_MISTAKES = ("0A", "26", "28", "34", "3D", "3F", "42", "F0", "XX")
_CONFLICTS = ("40001", "40P01", "55P03")
# 57P01 to 57P05: the server ends the connection, perhaps behind a commit whose answer is then lost.
_LOST = ("57P01", "57P02", "57P03", "57P04", "57P05")


def translate(error: Exception) -> NotifyError:
    """psycopg2's error → ours, for a query that was sent."""
    if isinstance(error, ValueError | UnicodeEncodeError):
        return Invalid("a value holds a character that PostgreSQL cannot store")
    state = getattr(error, "pgcode", None)
    if isinstance(error, TimeoutError) or (
        state is None
        and isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError | psycopg2.DatabaseError | OSError)
    ):
        return DatabaseLost("the connection to the database was lost", state)
    text = error.diag.message_primary or str(error) if isinstance(error, psycopg2.Error) else str(error)
    if state is None:
        return DatabaseError(text)
    if state in _LOST or state.startswith("08"):
        return DatabaseLost("the connection to the database was lost", state)
    if state == "57014":
        return DatabaseTimeout("the database took too long", state)
    if state in _CONFLICTS:
        return DatabaseConflict("another transaction was in the way", state)
    if state[:2] in ("25", "53", "57", "58"):
        return DatabaseAway("the database cannot do this now", state)
    if state[:2] in _OUR_MISTAKES and state != "42501":
        return DatabaseError(text, state)
    return DatabaseRefused(text, state)
