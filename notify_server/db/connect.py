"""From a DSN to an open connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import psycopg2
import psycopg2.extensions

from notify_server.db.connection import Connection
from notify_server.errors import DatabaseAway


async def connect(dsn: str, timeout_s: float) -> Connection:
    """Raises DatabaseAway."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _connect_to_first(dsn, timeout_s)
    except (psycopg2.Error, OSError) as error:  # TimeoutError is an OSError
        state = getattr(error, "pgcode", None)
        lines = str(error).strip().splitlines()
        raise DatabaseAway(lines[0] if lines else "connecting took too long", state) from error


async def _connect_to_first(dsn: str, timeout_s: float) -> Connection:
    """Names are looked up here, because libpq would block the loop with it; addresses are tried in turn."""
    options = psycopg2.extensions.parse_dsn(dsn)
    options.setdefault("application_name", "notify-server")
    host = options.get("host", "")
    if not host or host.startswith("/") or "hostaddr" in options:
        return await _connect_to(options, timeout_s)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, options.get("port", 5432), type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    for address in addresses[:-1]:  # one that says nothing leaves time for the others
        with contextlib.suppress(psycopg2.OperationalError, OSError):
            async with asyncio.timeout(timeout_s / len(addresses)):
                return await _connect_to({**options, "hostaddr": address}, timeout_s)
    return await _connect_to({**options, "hostaddr": addresses[-1]}, timeout_s)


async def _connect_to(options: dict[str, Any], timeout_s: float) -> Connection:
    defaults = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
    connection = Connection(
        None, timeout_s, enable_json=False, enable_hstore=False, enable_uuid=False, **{**defaults, **options}
    )
    try:
        await connection._connect()
    except BaseException:  # cancelled, above all
        connection._close()
        raise
    return connection
