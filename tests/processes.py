"""The server as a process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.canaries import net

PROGRAM = [sys.executable, "-m", "notify_server"]


def environment(**variables: object) -> dict[str, str]:
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    keep |= {"RATE_LIMIT_USER": "off", "RATE_LIMIT_INBOX": "off"}  # tests write faster than people do
    return {**keep, **{name: str(value) for name, value in variables.items()}}


class Process:
    """Its output is read all the time, so that it never waits for us."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = ""
        self._read = asyncio.Event()
        self._reading = asyncio.create_task(self._keep_reading())

    async def _keep_reading(self) -> None:
        assert self.process.stdout is not None
        while chunk := await self.process.stdout.read(65536):
            self.output += chunk.decode(errors="replace")
            self._read.set()
        self._read.set()
        net.search_output(self.output)

    async def until(self, pattern: str) -> re.Match[str]:
        """Waits for the output to have it."""
        async with asyncio.timeout(30):
            while (match := re.search(pattern, self.output)) is None:
                assert not self._reading.done(), self.output
                self._read.clear()
                await self._read.wait()
        return match

    async def ended(self) -> int:
        """Waits for the end; gives the exit status."""
        async with asyncio.timeout(30):
            await self._reading
            return await self.process.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """(exit status, seconds)."""
        started = time.monotonic()
        self.process.send_signal(number)
        return await self.ended(), time.monotonic() - started

    async def remove(self) -> None:
        """Whatever state it is in."""
        if self.process.returncode is None:
            self.process.kill()
            await self.ended()


async def start_process(*args: str, cwd: Path, **variables: object) -> Process:
    return Process(
        await asyncio.create_subprocess_exec(
            *PROGRAM, *args, cwd=cwd, env=environment(**variables), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )
    )  # fmt: skip


Start = Callable[..., Awaitable[Process]]
