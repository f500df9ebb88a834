"""Connections that say nothing: they cost a server a file each, and push those of PostgreSQL above number 1,024."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import psutil

from tests.faults.servers import Server

_AT_ONCE = 100


class Crowd:
    def __init__(self, each: int) -> None:
        self._each = each
        self._connections: dict[int, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = defaultdict(list)

    async def gather(self, server: Server) -> int:
        """So many on this server, whatever became of those it had; gives the number of files that it has open."""
        await server.until_ready()
        alive = []
        for reader, writer in self._connections[server.port]:
            if reader.at_eof() or writer.is_closing():
                writer.close()
            else:
                alive.append((reader, writer))
        self._connections[server.port] = alive
        while len(alive) < self._each:
            missing = min(_AT_ONCE, self._each - len(alive))
            alive += await asyncio.gather(
                *(asyncio.open_connection("127.0.0.1", server.port, limit=1) for _ in range(missing))
            )
        assert server.process is not None
        number: int = psutil.Process(server.process.process.pid).num_fds()
        return number

    async def disperse(self) -> None:
        for connections in self._connections.values():
            for _reader, writer in connections:
                writer.close()
        await asyncio.sleep(0)
