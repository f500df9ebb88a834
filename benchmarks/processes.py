"""The servers, each a process of its own on the server's core, steered over its stdin."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt

from benchmarks.machine import cores, cpu_s, on_core, rss_bytes
from web.node import install, node

HERE = Path(__file__).parent / "servers"
OURS, EXPRESS, STRING_KEY, NAIVE = "ours", "express", "string-key", "naive"
TITLES = {
    OURS: "notify-server",
    EXPRESS: "Express",
    STRING_KEY: "Express, secret as a string",
    NAIVE: "stock python-socketio",
}
CLIENT_URL = "http://localhost:3000"
_ANSWER_S = 120
_SECRET = "a-secret-that-signs-tokens-32-bytes-or-more"


def install_peer() -> None:
    """Raises FileNotFoundError without Node."""
    install(HERE)


@functools.cache
def token(user: int) -> str:
    """Of a day, with what the Express server takes from it."""
    claims = {"sub": str(user), "name": f"User {user}", "exp": int(time.time()) + 86_400}
    return jwt.encode(claims, _SECRET, algorithm="HS256")


class Server:
    """Raises RuntimeError where the process ends or does not answer."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self._process = process
        ready = self.answer()
        self.port: int = ready["port"]
        self.version: str = ready["version"]

    def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        line = self._process.stdout.readline() if poll.poll(_ANSWER_S * 1000) else ""
        if not line:
            raise RuntimeError(f"{self.name} does not answer")
        answered: dict[str, Any] = json.loads(line)
        return answered

    def ask(self, command: str) -> dict[str, Any]:
        self.tell(command)
        return self.answer()

    def sockets(self) -> int:
        found: int = self.ask("sockets")["sockets"]
        return found

    def cpu_s(self) -> float:
        return cpu_s([self._process.pid])

    def rss_bytes(self) -> int:
        return rss_bytes(self._process.pid)


def _command(name: str) -> list[str]:
    match name:
        case "ours" | "naive":
            return [sys.executable, "-m", f"benchmarks.servers.{name}"]
        case _:
            return [*node(), "--expose-gc", str(HERE / "express.mjs")]


@contextlib.contextmanager
def running(name: str, database_url: str, port: int = 0) -> Iterator[Server]:
    """Killed at the end, whatever happens; should this process be killed, the server ends with its stdin."""
    environment = {
        "PATH": os.environ["PATH"], "NODE_ENV": "production", "KEY": "string" if name == STRING_KEY else "object",
        "DATABASE_URL": database_url, "JWT_SECRET": _SECRET, "CLIENT_URL": CLIENT_URL, "PORT": str(port),
        "HOST": "127.0.0.1", "LOG_LEVEL": "warning",
    }  # fmt: skip
    with on_core(cores()[0]):  # which the child inherits, with all its threads
        process = subprocess.Popen(
            _command(name), cwd=HERE.parent.parent, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
    try:
        yield Server(name, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
