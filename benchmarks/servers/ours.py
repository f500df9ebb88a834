"""notify-server as `notify-server serve` runs it, steered over stdin as well."""

from __future__ import annotations

import asyncio
import platform
from importlib.metadata import version
from typing import Any

from benchmarks.servers.control import Control
from notify_server.logs import configure
from notify_server.serve import run
from notify_server.settings import load


def main() -> None:
    settings = load()
    configure(settings.log_level, settings.log_format)
    servers: list[Any] = []
    tasks: list[asyncio.Task[None]] = []

    def started(port: int) -> None:
        name = f"notify-server {version('notify-server')}, Python {platform.python_version()}"
        control = Control(servers[0], "user:{}".format)
        tasks.append(asyncio.create_task(control.obey({"port": port, "version": name})))
        tasks[0].add_done_callback(lambda _: asyncio.get_running_loop().stop())

    run(settings, extend=servers.append, started=started)


if __name__ == "__main__":
    main()
