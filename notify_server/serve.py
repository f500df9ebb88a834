"""Runs the application as a process: the port, the signals, and a stop that cuts nobody short."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from socketio import AsyncServer

from notify_server.app import LIFECYCLE, create_app, drain
from notify_server.capacity import raise_fd_limit
from notify_server.db import Database
from notify_server.errors import ConfigError
from notify_server.http.direct import Runner
from notify_server.settings import Settings

log = logging.getLogger(__name__)

_KEEPALIVE_S = 75  # longer than a proxy keeps its connections
# Many objects live long here; looking at them as often as by default made one emit to 5,000 sockets three times slower.
_GC_THRESHOLDS = (50_000, 50, 50)


@contextlib.asynccontextmanager
async def _listening(app: web.Application, settings: Settings) -> AsyncIterator[int]:
    """Gives the port. Raises ConfigError where it is taken."""
    runner = Runner(app, access_log=None, keepalive_timeout=_KEEPALIVE_S, shutdown_timeout=settings.drain_s * 0.3)
    try:
        await runner.setup()
        site = web.TCPSite(runner, settings.listen_host, settings.port, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(f"PORT {settings.port} is in use: set another, or stop what listens there") from error
            if error.errno in (errno.EADDRNOTAVAIL, errno.EACCES):
                raise ConfigError(f"HOST {settings.listen_host}, PORT {settings.port}: {error.strerror}") from error
            raise
        yield runner.addresses[0][1]
        await drain(app, settings)
    finally:
        await runner.cleanup()


async def serve(
    settings: Settings,
    *,
    extend: Callable[[AsyncServer], None] | None = None,
    fill: Callable[[Database], Awaitable[object]] | None = None,
    page: Path | None = None,
    started: Callable[[int], object] = lambda _port: None,
) -> None:
    """Until SIGTERM or SIGINT, then out within DRAIN_S. `extend`, `fill` and `page` as in `create_app`; `started` is
    called with the port once it serves. Raises ConfigError where it cannot start."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    raise_fd_limit()
    app = create_app(settings, extend, fill, page)
    async with _listening(app, settings) as port:
        log.info("listening", extra={"host": settings.listen_host or "all interfaces", "port": port})
        lifecycle = app[LIFECYCLE]
        stopping, booting = asyncio.create_task(stop.wait()), asyncio.create_task(lifecycle.booted.wait())
        await asyncio.wait([stopping, booting], return_when=asyncio.FIRST_COMPLETED)
        booting.cancel()
        if lifecycle.failure is not None:
            stopping.cancel()
            raise lifecycle.failure
        if not stop.is_set():
            gc.set_threshold(*_GC_THRESHOLDS)
            gc.collect()
            gc.freeze()  # what lives now lives to the end: no need to look at it again
            started(port)
        await stopping
        log.info("stopping", extra={"drain_s": settings.drain_s})
    log.info("stopped")


def run(settings: Settings, **options: Any) -> None:
    """`serve` in a loop of its own, uvloop's where there is one."""
    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(settings, **options))
