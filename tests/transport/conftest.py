"""Each test of the contract runs on our transport and on the reference; `--transport` picks one."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import cache
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector

from tests.conftest import lacking
from tests.transport.servers import OURS, STOCK, NodeServers, Options, Peer, python_server

Serve = Callable[..., Awaitable[Peer]]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "not_as_node: ours differs from the reference on purpose, or has more than it")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "transport" not in metafunc.fixturenames:
        return
    asked: str | None = metafunc.config.getoption("--transport")
    names = ["ours", "node"] if asked is None else [asked]
    if metafunc.definition.get_closest_marker("not_as_node") is None:
        metafunc.parametrize("transport", names)
    elif names == ["node"]:
        skip = pytest.mark.skip(reason="not as the reference does it")
        metafunc.parametrize("transport", [pytest.param("node", marks=skip)])
    else:
        metafunc.parametrize("transport", [name for name in names if name != "node"])


@pytest.fixture(scope="session")
def node_servers() -> Iterator[Callable[[], NodeServers]]:
    started: list[NodeServers] = []

    @cache
    def start() -> NodeServers:
        started.append(NodeServers())
        return started[0]

    yield start
    for servers in started:
        servers.stop()


@pytest.fixture
async def serve(
    transport: str, node_servers: Callable[[], NodeServers], caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Serve]:
    """Starts servers. Ours must not have logged a traceback when the test is over."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> Peer:
            chosen = Options(**options)
            if transport == "node":
                try:
                    servers = node_servers()
                except FileNotFoundError as missing:
                    lacking(missing)
                running = servers.server(chosen)
            else:
                server_class, engine_class = OURS if transport == "ours" else STOCK
                running = python_server(server_class, engine_class, chosen)
            port, sio = await stack.enter_async_context(running)
            http = await stack.enter_async_context(ClientSession(connector=TCPConnector(limit=0)))
            peer = Peer(port, http, sio)
            stack.callback(peer.abort_clients)
            return peer

        yield start
    if transport == "ours":
        records = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
        assert not records, [record.getMessage() for record in records]


@pytest.fixture
async def server(serve: Serve) -> Peer:
    """Where no session times out."""
    return await serve()


@pytest.fixture
async def quick(serve: Serve) -> Peer:
    """With a ping each 300 ms, to be answered within 200 ms."""
    return await serve(ping_interval_s=0.3, ping_timeout_s=0.2)


@pytest.fixture
def server_class(request: pytest.FixtureRequest) -> Any:
    """For tests of what the reference has not: ours, or the stock class with `--transport=stock`."""
    return (STOCK if request.config.getoption("--transport") == "stock" else OURS)[0]
