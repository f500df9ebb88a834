"""Which request, or which socket's handshake, is being answered: for the log, and for the answer itself."""

from __future__ import annotations

import contextvars

HEADER = "X-Request-Id"

# Work that serves many requests begins in a context of its own, where there is none.
request_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("request_id", default=None)
