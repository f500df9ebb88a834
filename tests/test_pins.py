"""A canary for every private name that we lean on: an upgrade that moves one fails here, and says so."""

from __future__ import annotations

import inspect
from importlib.metadata import requires
from typing import Any

import aiopg.connection
import pytest
import socketio
from engineio import AsyncServer, async_socket
from engineio.async_drivers import aiohttp as driver

NAMES: list[tuple[Any, list[str]]] = [
    (aiopg.connection, ["select"]),
    (aiopg.connection.Connection, ["_poll", "_ready", "_close", "_connect"]),
    (driver.WebSocket, ["__call__", "send", "wait", "close"]),
    (async_socket.AsyncSocket, ["close", "receive", "_websocket_handler"]),
    (AsyncServer, ["attach", "handle_request", "shutdown"]),
    (
        socketio.AsyncServer,
        ["_handle_connect", "_handle_event", "_handle_eio_disconnect", "_trigger_event", "_engineio_server_class"],
    ),
    (
        socketio.AsyncManager,
        ["get_participants", "basic_enter_room", "is_connected", "sid_from_eio_sid", "eio_sid_from_sid", "disconnect"],
    ),
]


@pytest.mark.parametrize(("owner", "names"), NAMES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_private_names_are_there(owner: Any, names: list[str]) -> None:
    for name in names:
        assert hasattr(owner, name), f"{owner.__name__}.{name}"


def test_their_sources_use_what_we_set() -> None:
    source = inspect.getsource(aiopg.connection.Connection)
    for name in ("self._waiter", "self._weakref", "self._conn"):
        assert name in source
    assert "server._async['websocket']" in inspect.getsource(async_socket.AsyncSocket)
    assert "self.queue" in inspect.getsource(async_socket.AsyncSocket)
    assert "self.handler" in inspect.getsource(driver.WebSocket)


def test_the_libraries_below_us_are_pinned_exactly() -> None:
    pinned = {requirement.split(";")[0] for requirement in requires("notify-server") or ()}
    for library in ("aiohttp", "python-socketio", "python-engineio", "aiopg"):
        assert any(requirement.startswith(f"{library}==") for requirement in pinned)
