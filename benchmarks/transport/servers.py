"""The servers as processes of their own, pinned to a core and steered over their stdin."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from web.node import install, node

HERE = Path(__file__).parent
NAMES = ("node", "ours", "stock")
ANSWER_S = 60
_CORES = sorted(os.sched_getaffinity(0))  # before this process is pinned


def install_peer() -> None:
    """Raises FileNotFoundError without Node."""
    install(HERE)


def command(name: str, loop: str) -> list[str]:
    if name == "node":
        return [*node(), "--expose-gc", str(HERE / "peer.mjs")]
    return [sys.executable, "-m", f"{__package__}.server", "--loop", loop, *(["--stock"] if name == "stock" else [])]


@dataclass(frozen=True)
class Stats:
    rss_bytes: int
    cpu_s: float
    sockets: int


class Server:
    """Raises RuntimeError where the process ends or does not answer."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self._name = name
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
        line = self._process.stdout.readline() if poll.poll(ANSWER_S * 1000) else ""
        if not line:
            raise RuntimeError(f"{self._name} does not answer")
        answered: dict[str, Any] = json.loads(line)
        return answered

    def ask(self, command: str) -> dict[str, Any]:
        self.tell(command)
        return self.answer()

    def stats(self) -> Stats:
        return Stats(**self.ask("stats"))


@contextlib.contextmanager
def running(name: str, loop: str) -> Iterator[Server]:
    """Killed at the end, whatever happens; should this process be killed, the server ends with its stdin."""
    server_core, load_core = cores()
    os.sched_setaffinity(0, {server_core})  # which the child inherits, with all its threads
    process = subprocess.Popen(
        command(name, loop), cwd=HERE.parent.parent, env={**os.environ, "NODE_ENV": "production"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        os.sched_setaffinity(0, {load_core})
        yield Server(name, process)
    finally:
        process.kill()
        process.communicate()


def cores() -> tuple[int, int]:
    """The server's and the load's."""
    if len(_CORES) < 2:
        raise SystemExit("two cores are needed: one for the server, one for the load")
    return _CORES[0], _CORES[1]


def idle_s(core: int) -> float:
    """How long a core has had nothing to do since the machine started."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            return (int(ticks[3]) + int(ticks[4])) / os.sysconf("SC_CLK_TCK")
    raise LookupError(f"cpu{core}")
