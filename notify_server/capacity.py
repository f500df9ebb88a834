"""How many sockets this process may hold, by the limit on its file descriptors."""

from __future__ import annotations

import logging

from notify_server.errors import ConfigError
from notify_server.settings import Settings

log = logging.getLogger(__name__)

_MOST_FDS = 1_048_576
_OWN_FDS = 64  # files, pipes, the listening socket


def raise_fd_limit() -> None:
    """To what the system allows: the usual 1,024 is meant for programs that call select()."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FDS if hard == resource.RLIM_INFINITY else min(hard, _MOST_FDS)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        log.info("fd_limit_kept", extra={"limit": soft, "reason": type(error).__name__})


def max_sockets(settings: Settings) -> int:
    """MAX_SOCKETS, or what leaves a tenth of the descriptors for HTTP. Raises ConfigError where it does not fit."""
    room = _fd_limit() - settings.db_pool_size - _OWN_FDS
    if settings.max_sockets is None:
        return max(1, room * 9 // 10)
    if settings.max_sockets > room:
        raise ConfigError(
            f"MAX_SOCKETS={settings.max_sockets} does not fit: this process may open {_fd_limit()} files "
            f"(ulimit -n), which leaves room for {max(0, room)}"
        )
    return settings.max_sockets


def _fd_limit() -> int:
    try:
        import resource
    except ImportError:
        return _MOST_FDS
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_FDS if soft == resource.RLIM_INFINITY else min(soft, _MOST_FDS)
