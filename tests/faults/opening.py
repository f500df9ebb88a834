"""A world from nothing, and back to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from random import Random
from types import MappingProxyType

from aiohttp import ClientSession, TCPConnector

from tests.faults.browsers import Browsers
from tests.faults.crowd import Crowd
from tests.faults.disk import Disk
from tests.faults.logs import DELETIONS, REQUESTS, Appender, Tail
from tests.faults.proxy import Proxy
from tests.faults.servers import SERVE, Server
from tests.faults.traffic import Inserter, Poster, Reader, Traffic
from tests.faults.world import CLIENTS, DATABASE, OLD_CLIENT, Size, World
from tests.postgres import Cluster, embedded_bin, sql


def _free_port(random: Random) -> int:
    """Not one of those that the system gives to outgoing connections: it is to be free whenever the server starts."""
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            port = random.randint(20000, 32000)
            probe.bind(("127.0.0.1", port))
            return port


def _make_database(cluster: Cluster, disk: Disk, users: int) -> None:
    """The app's tables, in the small file system where there is one. WAL lies elsewhere, so that a full disk costs
    errors and not the cluster."""
    with sql(cluster.url()) as admin:
        if disk.folder is not None:
            admin.run(f"CREATE TABLESPACE small LOCATION '{disk.folder}'")
        admin.run(f"CREATE DATABASE {DATABASE}" + ("" if disk.folder is None else " TABLESPACE small"))
    with sql(cluster.url(DATABASE)) as app:
        app.run("CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL)")
        app.run("CREATE TABLE posts (id serial PRIMARY KEY, author_id int NOT NULL REFERENCES users (id),"
                " title text NOT NULL, body text NOT NULL)")  # fmt: skip
        app.run("CREATE TABLE comments (id serial PRIMARY KEY, post_id int NOT NULL REFERENCES posts (id),"
                " author_id int NOT NULL REFERENCES users (id), body text NOT NULL,"
                " created_at timestamptz NOT NULL DEFAULT now())")  # fmt: skip
        app.run("INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, %s) n", users)
        app.run("INSERT INTO posts (author_id, title, body) SELECT n, '', '' FROM generate_series(1, %s) n", users)


@contextlib.asynccontextmanager
async def open_world(
    seed: int, size: Size, *, pace: float = 1, program: tuple[str, ...] = SERVE, keep: Path | None = None,
    variables: Mapping[str, object] = MappingProxyType({}),
) -> AsyncIterator[World]:  # fmt: skip
    """`variables` are settings of the servers. Their logs are kept in the folder `keep`."""
    random = Random(seed)
    async with contextlib.AsyncExitStack() as stack:
        folder = keep or Path(tempfile.mkdtemp(prefix="notify-faults-"))
        folder.mkdir(parents=True, exist_ok=True)
        if keep is None:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        disk = Disk()
        stack.callback(disk.remove)
        cluster = await asyncio.to_thread(Cluster, embedded_bin())
        stack.callback(cluster.remove)
        await asyncio.to_thread(_make_database, cluster, disk, size.users)

        servers = []
        for _ in range(size.servers):
            pool = await Proxy(cluster.port, Random(random.getrandbits(64))).start()
            listen = await Proxy(cluster.port, Random(random.getrandbits(64))).start()
            port = _free_port(random)
            settings: dict[str, object] = {
                "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{pool.port}/{DATABASE}",
                "LISTEN_URL": f"postgresql://postgres@127.0.0.1:{listen.port}/{DATABASE}",
                "TRUST_USER_ID": "true", "PORT": port, "DRAIN_S": 2, "LOG_FORMAT": "json",
            }  # fmt: skip
            server = Server(port, pool, listen, folder, {**settings, **variables}, program)
            stack.push_async_callback(server.remove)
            await server.start()
            servers.append(server)
        networks = []
        for n in range(size.networks):
            network = Proxy(servers[n % size.servers].port, Random(random.getrandbits(64)))
            stack.push_async_callback(network.stop)
            networks.append(await network.start())

        browsers = Browsers(folder)
        await browsers.start()
        stack.push_async_callback(browsers.stop)
        http = await stack.enter_async_context(ClientSession(connector=TCPConnector(limit=0)))
        posted = Appender(folder / REQUESTS)
        stack.callback(posted.close)
        # some requests come straight, others over a bad network
        ports = [*(server.port for server in servers), *(network.port for network in networks)]
        traffic = Traffic(
            posters=[Poster(http, ports, posted, Random(random.getrandbits(64)), size.users)
                     for _ in range(size.posters)],
            inserters=[Inserter(cluster.url(DATABASE), size.inserts_per_second / 2, random.getrandbits(32), size.users)
                       for _ in range(2 if size.inserts_per_second else 0)],
        )  # fmt: skip
        stack.push_async_callback(traffic.stop)
        world = World(random, size, folder, cluster, disk, servers, networks, browsers, traffic, http, pace)
        world.crowd = Crowd(size.crowd)
        stack.push_async_callback(world.crowd.disperse)
        stack.callback(world.end_logs)
        world._tail, world._deletions = Tail(browsers.path), Appender(folder / DELETIONS)
        traffic.readers.append(Reader(http, ports, Random(random.getrandbits(64)), lambda: world.lives, world.forget))
        lives = [
            world.open(
                str(n % size.users + 1),
                CLIENTS[n // size.networks % len(CLIENTS)],
                networks[(n + n // size.users) % size.networks],
            )
            for n in range(size.tabs)
        ]
        lives += [world.open(str(n + 1), OLD_CLIENT, networks[n % size.networks]) for n in range(size.old_tabs)]
        await world.connected(lives)
        traffic.start(size.posts_per_second)
        yield world
