"""The caps, the slow and the end, as a user of the whole server meets them."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType

from notify_server.capacity import max_sockets, raise_fd_limit
from notify_server.errors import ConfigError
from notify_server.settings import load
from tests.clients import NodeClients
from tests.conftest import Running, StartServer
from tests.postgres import Sql, free_port
from tests.processes import Start
from tests.waiting import eventually

HANDSHAKE = "/socket.io/?EIO=4&transport=polling"


async def test_a_user_has_so_many_sockets_and_then_one_more_when_one_has_gone(
    start_server: StartServer, nodes: NodeClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify_server.transport.connecting._HOLD_S", (0.1, 0.2))
    server = await start_server(max_sockets_per_user=3)
    clients = [await nodes.open(server.url, {"userId": 1}).connected() for _ in range(3)]
    fourth = nodes.open(server.url, {"userId": 1}, reconnectionDelay=100, reconnectionDelayMax=100)
    await fourth.until(lambda: len(fourth.named("open")) >= 3)  # let in by the transport, held, and cut
    assert fourth.named("connect") == fourth.named("connect_error") == []
    await nodes.open(server.url, {"userId": 2}).connected()
    clients[0].close()
    await fourth.connected()


async def test_a_socket_too_many_gets_503(start_server: StartServer) -> None:
    server = await start_server(max_sockets=2)
    for status in (200, 200, 503):
        async with server.http.get(server.url + HANDSHAKE) as response:
            assert response.status == status


async def test_sockets_of_one_address_are_counted_once_it_is_known(start_server: StartServer) -> None:
    for proxies, expected in ((None, 200), ("127.0.0.1", 503)):
        server = await start_server(
            max_sockets_per_address=2, trusted_proxies=proxies, trust_user_id=False, jwt_secret="s" * 32,
        )  # fmt: skip
        for number, status in enumerate((200, 200, expected)):
            headers = {"X-Forwarded-For": f"198.51.100.{number}, 203.0.113.7"}  # the first is the client's invention
            async with server.http.get(server.url + HANDSHAKE, headers=headers) as response:
                assert response.status == status
        async with server.http.get(server.url + HANDSHAKE, headers={"X-Forwarded-For": "203.0.113.8"}) as response:
            assert response.status == 200


async def test_binary_is_refused(server: Running) -> None:
    async with server.http.ws_connect(f"{server.url}/socket.io/?EIO=4&transport=websocket") as ws:
        await ws.receive()
        await ws.send_str('40{"userId":1}')
        while (await ws.receive_str()).startswith("40"):
            pass
        await ws.send_str('451-["x",{"_placeholder":true,"num":0}]')
        assert (await ws.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
    await eventually(lambda: not server.realtime.server.eio.sockets)


async def test_who_stops_reading_misses_nothing_and_costs_little(server: Running, other: Sql) -> None:
    """Six hundred notifications of 20 KB each, more than the kernel's buffers hold."""
    other.run("UPDATE users SET name = repeat('x', 10000) WHERE id = 2")
    held_bytes = 0
    async with server.http.ws_connect(f"{server.url}/socket.io/?EIO=4&transport=websocket", max_msg_size=0) as ws:
        await ws.receive()
        await ws.send_str('40{"userId":1}')
        await ws.receive()
        (session,) = server.realtime.server.eio.sockets.values()
        protocol: Any = ws._conn.protocol if ws._conn is not None else None
        protocol.transport.pause_reading()
        ids = []
        for _ in range(20):
            written = await asyncio.gather(*(server.comment(2, 1) for _ in range(30)))
            ids += [comment["id"] for comment in written]
            held_bytes = max(held_bytes, session.transport.waiting_bytes)
        assert session.transport.waiting_bytes > 256_000  # slow: out of the room
        assert server.realtime.server.manager.get_participants("/", "user:1") == []
        assert held_bytes <= 1_000_000
        protocol.transport.resume_reading()
        seen: list[int] = []
        async with asyncio.timeout(20):
            while len(seen) < len(ids):
                message = await ws.receive_str()
                if message.startswith('42["notification",'):
                    seen.append(json.loads(message[2:])[1]["commentId"])
        stored = other.run(
            "SELECT (payload->>'commentId')::bigint FROM notify.notification WHERE user_id = '1' ORDER BY seq"
        )
        assert seen == stored
        assert sorted(seen) == sorted(ids)
        await eventually(lambda: len(server.realtime.server.manager.get_participants("/", "user:1")) == 1)
        await server.comment(2, 1)
        async with asyncio.timeout(5):
            while not (await ws.receive_str()).startswith('42["notification",'):
                pass


async def test_stopping_lets_the_sockets_go_one_after_the_other_and_answers_meanwhile(
    start: Start, url: str, nodes: NodeClients
) -> None:
    port = free_port()
    variables = {"DATABASE_URL": url, "TRUST_USER_ID": "true", "PORT": port, "DRAIN_S": 4, "MAX_SOCKETS_PER_USER": 500}
    process, at = await start("serve", **variables), f"http://127.0.0.1:{port}"
    await process.until('"ready"')
    clients = [
        nodes.open(at, {"userId": 1}, reconnection=False, transports=[("websocket", "polling")[n % 2]])
        for n in range(300)
    ]
    for client in clients:
        await client.connected()

    def gone() -> int:
        return sum(bool(client.named("disconnect")) for client in clients)

    process.process.send_signal(signal.SIGTERM)
    await eventually(lambda: gone() > 0)
    assert gone() < 200  # spread
    async with ClientSession(headers={"Authorization": "User 2"}) as http:
        async with http.get(f"{at}/readyz") as response:
            assert response.status == 503
        async with http.get(at + HANDSHAKE) as response:
            assert response.status == 503
        async with http.post(f"{at}/posts/1/comments", json={"body": "in flight"}) as response:
            assert response.status == 200
        assert gone() < 300
    async with asyncio.timeout(5):
        assert await process.ended() == 0
    await eventually(lambda: gone() == 300)
    assert {args[0] for client in clients for args in client.named("disconnect")} <= {
        "transport close", "transport error",
    }  # fmt: skip


def test_the_limit_on_files_bounds_the_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(None, trust_user_id=True)
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (1024, 4096))
    assert max_sockets(settings) == (1024 - 10 - 64) * 9 // 10
    fits = load(None, trust_user_id=True, max_sockets=950)
    assert max_sockets(fits) == 950
    with pytest.raises(ConfigError, match="MAX_SOCKETS=951 does not fit"):
        max_sockets(load(None, trust_user_id=True, max_sockets=951))


def test_the_limit_on_files_is_raised_to_what_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _what, values: asked.append(values))
    for limits, expected in (
        ((1024, 524288), [(524288, 524288)]),
        ((1024, resource.RLIM_INFINITY), [(1048576, resource.RLIM_INFINITY)]),
        ((524288, 524288), []),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), []),
    ):
        monkeypatch.setattr(resource, "getrlimit", lambda _what, limits=limits: limits)
        asked.clear()
        raise_fd_limit()
        assert asked == expected


async def test_an_empty_sid_is_no_way_past_the_door(start_server: StartServer) -> None:
    server = await start_server()
    server.realtime.accepting = False
    for sid in ("", "&sid="):
        async with server.http.get(server.url + HANDSHAKE + sid) as response:
            assert response.status == 503


async def test_what_is_no_http_is_one_line_without_a_traceback(start: Start, url: str) -> None:
    port = free_port()
    process = await start("serve", DATABASE_URL=url, TRUST_USER_ID="true", PORT=port, LOG_FORMAT="json")
    await process.until('"ready"')
    path = b"POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: localhost\r\n"
    for request in (
        b"no HTTP at all\r\n\r\n",
        path + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\xff\xfe",
        path + b"X-Long: " + b"x" * 9000 + b"\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        status = await reader.readline()
        writer.close()
        assert b" 400 " in status
    await eventually(lambda: process.output.count('"bad_request"') == 2, timeout_s=4)
    assert "Traceback" not in process.output
