"""Every error that this server gives on purpose: a code for programs, an HTTP status, a sentence for people."""

from __future__ import annotations

# Classes of SQLSTATE whose texts quote no value: about the schema and the connection, or in words of our own.
_QUOTE_NOTHING = ("08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58")


class NotifyError(Exception):
    """`code` and `status` are the wire's; `retryable` tells whether the same call may succeed later."""

    code = "internal"
    status = 500
    retryable = False
    retry_after_s: int | None = None

    def __init__(self, message: str, *, field: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        if code is not None:
            self.code = code

    @property
    def shown(self) -> str:
        """The message as a client may see it."""
        return self.message


class ConfigError(NotifyError):
    """A setting that the server cannot start with; the message names the variable."""

    code = "config"


class BadRequest(NotifyError):
    code, status = "bad_request", 400


class Unauthorized(NotifyError):
    code, status = "unauthorized", 401


class NoCredential(Unauthorized):
    """Nothing came that could be verified."""


class Forbidden(NotifyError):
    code, status = "forbidden", 403


class ReadOnly(NotifyError):
    """Written by another server, here only read."""

    code, status = "read_only", 405


class NotFound(NotifyError):
    code, status = "not_found", 404


class RequestTimeout(NotifyError):
    code, status = "request_timeout", 408


class Conflict(NotifyError):
    """Another request is in the way; nothing is wrong with this one."""

    code, status, retryable, retry_after_s = "conflict", 409, True, 1


class TooLarge(NotifyError):
    code, status = "too_large", 413


class UnsupportedMediaType(NotifyError):
    code, status = "unsupported_media_type", 415


class Invalid(NotifyError):
    """Parsed, but not a valid value; `field` names the one at fault."""

    code, status = "invalid", 422


class TooMany(NotifyError):
    """More than the rate that one may write at; `retry_after_s` says when there is room again."""

    code, status, retryable = "too_many", 429, True

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(NotifyError):
    """Passing: the database is away, or there is more to do than is taken on."""

    code, status, retryable, retry_after_s = "unavailable", 503, True, 1


class Overloaded(Unavailable):
    code = "overloaded"


class OutcomeUnknown(Unavailable):
    """The answer to a COMMIT was lost and could not be looked up: the write happened, or it did not."""

    code = "outcome_unknown"


class DatabaseError(NotifyError):
    """PostgreSQL refused a query. `sqlstate` as in its manual, appendix A."""

    code = "database"

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate

    def __str__(self) -> str:
        """For a log; `message` is for the operator who is looking, and may quote a value."""
        if self.sqlstate is None or self.sqlstate[:2] in _QUOTE_NOTHING:
            return self.message
        return f"SQLSTATE {self.sqlstate}"

    @property
    def shown(self) -> str:
        return "the database is not available at the moment"


class DatabaseConflict(DatabaseError):
    """Another transaction was in the way (40001, 40P01, 55P03): the same query may pass the next time."""

    code, status, retryable, retry_after_s = "conflict", 503, True, 1


class DatabaseRefused(DatabaseError):
    """A constraint, a policy, a trigger or a type refused the values."""

    code, status = "refused", 422

    @property
    def shown(self) -> str:
        return "the database does not accept this"  # its own words may quote a value


class DatabaseTimeout(DatabaseError):
    """The query took longer than it may; PostgreSQL cancelled it, so nothing of it remains."""

    code, status, retryable, retry_after_s = "timeout", 503, True, 1


class DatabaseLost(DatabaseError):
    """The connection broke while a query was under way: it may have committed."""

    code, status, retryable, retry_after_s = "unavailable", 503, True, 1


class DatabaseAway(DatabaseError):
    """No query was sent, or PostgreSQL said that it could not do it now."""

    code, status, retryable, retry_after_s = "unavailable", 503, True, 1
