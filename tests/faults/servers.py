"""A server as a process behind two proxies to PostgreSQL, started again whenever it ends."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals

from tests.faults.proxy import Proxy
from tests.processes import Process, environment

SERVE = (sys.executable, str(Path(__file__).parent / "jumping_clock.py"), "serve")
_SLOW_START_S = 60
_AGAIN_S = 0.2  # where it ended before it served


@dataclass(frozen=True)
class Death:
    """`point` names the failpoint at which it killed itself."""

    at: float
    signal: int
    point: str | None


@dataclass(eq=False)
class Server:
    """`variables` are its settings. The next start takes `failpoints`, the one after it none."""

    port: int
    database: Proxy  # the pool's way to PostgreSQL
    listen: Proxy  # LISTEN's way
    folder: Path
    variables: dict[str, object]
    program: tuple[str, ...] = SERVE
    failpoints: str | None = None
    deaths: list[Death] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    process: Process | None = None
    _keeping: asyncio.Task[None] | None = None
    _told_to_end: bool = False

    async def start(self) -> None:
        self._keeping = asyncio.create_task(self._keep())
        await self.until_ready()

    async def until_ready(self, timeout_s: float = _SLOW_START_S) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self.ready.wait()
        except TimeoutError:
            output = "" if self.process is None else self.process.output[-3000:]
            raise AssertionError(f"the server is not ready after {timeout_s} s, {self.deaths}: {output}") from None

    async def remove(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self.database.stop()
        await self.listen.stop()

    def signal(self, number: Signals) -> None:
        if self.process is not None and self.process.process.returncode is None:
            self._told_to_end = self._told_to_end or number in (SIGKILL, SIGTERM)
            self.process.process.send_signal(number)

    async def restart(self, number: Signals, failpoints: str | None = None) -> None:
        """Ends it and waits for its successor."""
        await self.until_ready()
        self.failpoints = failpoints
        deaths = len(self.deaths)
        self.signal(number)
        await self.died(deaths)
        await self.until_ready()

    async def died(self, deaths: int, timeout_s: float = 30) -> None:
        """Waits for one more death than so many. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while len(self.deaths) <= deaths:
                await asyncio.sleep(0.01)

    async def _keep(self) -> None:
        try:
            while True:
                await self._live()
        finally:
            if self.process is not None:
                self.signal(SIGCONT)
                await self.process.remove()
                self._note_tracebacks(self.process)

    async def _live(self) -> None:
        failpoints, self.failpoints, self._told_to_end = self.failpoints, None, False
        variables = self.variables if failpoints is None else {**self.variables, "FAILPOINTS": failpoints}
        self.process = process = Process(
            await asyncio.create_subprocess_exec(
                *self.program, cwd=self.folder, env=environment(**variables), stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )
        )  # fmt: skip
        while process.process.returncode is None and not self.ready.is_set():
            with contextlib.suppress(AssertionError, TimeoutError):  # it ended, or its database is still away
                await process.until('"ready"')
                self.ready.set()
        status = await process.process.wait()
        if not self.ready.is_set():
            await asyncio.sleep(_AGAIN_S)
        self.ready.clear()
        own = failpoints is not None and status == -SIGKILL and not self._told_to_end
        point = failpoints.partition(":")[0] if failpoints is not None and own else None
        self.deaths.append(Death(time.time(), -status, point))
        self._note_tracebacks(process)

    def _note_tracebacks(self, process: Process) -> None:
        if "Traceback" in process.output:
            self.tracebacks.append(process.output[process.output.index("Traceback") - 500 :][:3000])
