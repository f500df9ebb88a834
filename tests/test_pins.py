"""A canary for every private name that we lean on: an upgrade that moves one fails here, and says so."""

from __future__ import annotations

import inspect
from importlib.metadata import requires
from typing import Any

import aiohttp._websocket.helpers
import aiohttp._websocket.models
import aiohttp._websocket.reader
import aiohttp.http_writer
import aiopg.connection
import engineio
import pytest
import socketio
from aiohttp import web
from aiohttp._websocket import reader_py
from engineio.async_drivers import aiohttp as driver

NAMES: list[tuple[Any, list[str]]] = [
    (aiopg.connection, ["select"]),
    (aiopg.connection.Connection, ["_create_waiter", "_poll", "_ready", "_close", "_connect"]),
    (aiohttp._websocket.reader, ["WebSocketReader", "WebSocketDataQueue"]),
    (aiohttp._websocket.reader.WebSocketReader, ["feed_data", "_handle_frame"]),
    (aiohttp._websocket.reader.WebSocketDataQueue, ["feed_data", "set_exception"]),
    (aiohttp._websocket.models, ["WebSocketError"]),
    (aiohttp._websocket.helpers, ["ws_ext_gen", "ws_ext_parse"]),
    (web.WebSocketResponse, ["_handshake"]),
    (
        web.RequestHandler,
        [
            "_message_tail", "_manager", "_force_close", "_request_factory", "_request_handler", "keep_alive",
            "_handle_request", "_drain_helper",
        ],
    ),
    (web.AppRunner, ["_make_server"]),
    (web.Resource, ["_match"]),
    (aiohttp.http_writer, ["_serialize_headers"]),
    (driver, ["translate_request"]),
    (
        engineio.AsyncServer,
        [
            "_trigger_event", "_cors_allowed_origins", "_cors_headers", "_generate_sid_cookie", "generate_id",
            "handle_request", "get_session", "save_session", "start_background_task",
        ],
    ),
    (
        socketio.AsyncServer,
        [
            "_engineio_server_class", "_get_event_handler", "_get_namespace_handler", "_handle_eio_connect",
            "_handle_eio_disconnect", "_handle_eio_message", "_trigger_event",
        ],
    ),
    (
        socketio.AsyncManager,
        [
            "pre_connect", "connect", "is_pre_connected", "is_connected", "pre_disconnect", "basic_disconnect",
            "sid_from_eio_sid", "eio_sid_from_sid", "basic_enter_room", "basic_leave_room", "basic_close_room",
            "get_rooms", "get_participants", "is_sid_room", "emit", "trigger_callback", "_generate_ack_id",
        ],
    ),
    (socketio.packet.Packet, ["decode", "encode", "add_attachment", "_reconstruct_binary_internal"]),
    (socketio.AsyncNamespace, ["trigger_event"]),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "names"), NAMES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_private_names_are_there(owner: Any, names: list[str]) -> None:
    for name in names:
        assert hasattr(owner, name), f"{owner.__name__}.{name}"


def test_their_sources_use_what_we_set() -> None:
    def uses(owner: Any, *phrases: str) -> None:
        source = inspect.getsource(owner)
        for phrase in phrases:
            assert phrase in source, f"{owner.__name__}: {phrase}"

    uses(aiopg.connection.Connection, "self._waiter", "self._weakref", "self._conn", "self._notifies")
    # a poll learns of its lost connection as the request's body
    uses(web.BaseRequest._cancel, "set_exception(self._payload, exc)")
    uses(web.RequestHandler.connection_lost, "self._current_request._cancel(exc)")
    # what `_release` does is what this does
    uses(
        web.RequestHandler.connection_lost,
        "self._manager = None", "self._request_factory = None", "self._request_handler = None", "self._parser = None",
    )  # fmt: skip
    uses(web.RequestHandler.start, "while not self._force_close", "if not self._force_close:")
    # what a comment's POST does in its place
    uses(web.RequestHandler.start, "self._handle_request(request, start, request_handler)", "bool(resp.keep_alive)")
    uses(
        web.RequestHandler._handle_request,
        "self._request_in_progress = True", "self._current_request = request", "self._current_request = None",
        "self._request_in_progress = False", "self._handler_waiter.set_result(None)",
    )  # fmt: skip
    uses(web.Application._handle, "match_info.add_app(self)", "match_info.freeze()", "request._match_info = match_info")
    uses(web.Server, "self._kwargs = kwargs", "RequestHandler(self, loop=self._loop, **self._kwargs)")
    uses(web.StreamResponse, "self._keep_alive")
    uses(web.BaseRequest, "self._message = message")
    # the reader tells masked frames by type, and hands over frames and errors to the queue it was given
    uses(reader_py.WebSocketReader, "bytearray(payload_bytearray)", "self.queue.feed_data(", "set_exception(self.queue")
    uses(reader_py.WebSocketReader, "self.queue._size > self.queue._limit", "self.queue._stalled_reader = ")
    uses(engineio.AsyncServer.get_session, "socket.session")
    uses(engineio.base_server.BaseServer._get_socket, "s.closed")
    uses(engineio.base_server.BaseServer.transport, ".upgraded")
    uses(socketio.AsyncServer, "self._binary_packet", "self.environ", "self.not_handled")
    uses(socketio.AsyncManager.trigger_callback, "self.callbacks[sid]")


def test_aiohttp_is_compiled_here() -> None:
    """The reader that is measured and fuzzed is the compiled one."""
    assert aiohttp._websocket.reader.WebSocketReader.__module__.endswith("reader_c")


def test_the_libraries_below_us_are_pinned_exactly() -> None:
    pinned = {requirement.split(";")[0] for requirement in requires("notify-server") or ()}
    for library in ("aiohttp", "python-socketio", "python-engineio", "aiopg"):
        assert any(requirement.startswith(f"{library}==") for requirement in pinned)
