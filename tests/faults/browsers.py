"""The process that holds all clients."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.faults.logs import CLIENTS_LOG
from web.node import node


class Browsers:
    """One Node process of many stock clients; it writes its log itself."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / CLIENTS_LOG
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.path.open("wb") as file:
            self._process = await asyncio.create_subprocess_exec(
                *node(), str(Path(__file__).parent / "clients.mjs"), stdin=asyncio.subprocess.PIPE, stdout=file
            )

    def tell(self, **command: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def stop(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._process.wait()
