"""The main job, as apps see it: a comment over HTTP becomes a `notification` in the real client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from socketio import AsyncServer

from tests.clients import SETTLE_S, NodeClients
from tests.conftest import Running, StartServer
from tests.postgres import Sql
from tests.waiting import eventually

ADA, GRACE, LINUS = 1, 2, 3

TRANSPORTS = [None, ["websocket"], ["polling"]]


def expected(comment: dict[str, Any], name: str) -> dict[str, Any]:
    return {
        "type": "comment", "postId": comment["postId"], "commentId": comment["id"], "fromUser": name,
        "message": f"{name} commented on your post",
    }  # fmt: skip


@pytest.mark.parametrize("version", ["4.8", "4.5", "4.0"])
@pytest.mark.parametrize("transports", TRANSPORTS, ids=["default", "websocket", "polling"])
async def test_an_author_gets_exactly_the_five_keys_and_nobody_else_gets_anything(
    server: Running, nodes: NodeClients, version: str, transports: list[str] | None
) -> None:
    ada = await nodes.open(server.url, {"userId": ADA}, version=version, transports=transports).connected()
    grace = await nodes.open(server.url, {"userId": GRACE}, version=version, transports=transports).connected()
    comment = await server.comment(GRACE, 1)
    own = await server.comment(ADA, 1)
    assert await ada.notified() == [expected(comment, "Grace")]
    assert grace.notifications == []
    assert isinstance(comment["id"], int)
    assert own["id"] != comment["id"]


async def test_the_default_client_moves_from_polling_to_websocket(server: Running, nodes: NodeClients) -> None:
    client = await nodes.open(server.url, {"userId": ADA}).connected()
    assert client.named("open") == [["polling"]]
    await client.until(lambda: client.named("upgrade") == [["websocket"]])
    await server.comment(GRACE, 1)
    assert len(await client.notified()) == 1


async def test_every_tab_gets_it_and_closing_one_changes_nothing_for_the_others(
    server: Running, nodes: NodeClients
) -> None:
    tabs = [await nodes.open(server.url, {"userId": ADA}).connected() for _ in range(3)]
    await server.comment(GRACE, 1)
    for tab in tabs:
        await tab.until(lambda tab=tab: len(tab.notifications) == 1)  # type: ignore[misc]
    tabs[0].close()
    await asyncio.sleep(SETTLE_S)
    await server.comment(LINUS, 1)
    for tab in tabs[1:]:
        assert len(await tab.notified(2)) == 2
    assert len(tabs[0].notifications) == 1


async def test_a_burst_arrives_once_each_in_order(server: Running, nodes: NodeClients, other: Sql) -> None:
    clients = [await nodes.open(server.url, {"userId": ADA}, transports=t).connected() for t in TRANSPORTS]
    written = await asyncio.gather(*(server.comment(GRACE, 1, f"number {n}") for n in range(300)))
    in_order = other.run(
        "SELECT (payload ->> 'commentId')::int FROM notify.notification WHERE user_id = '1' ORDER BY seq"
    )
    assert sorted(in_order) == sorted(comment["id"] for comment in written)
    for client in clients:
        assert [event["commentId"] for event in await client.notified(300)] == in_order


async def test_a_socket_that_joins_in_the_middle_of_a_burst_misses_nothing_after_its_connect(
    server: Running, nodes: NodeClients
) -> None:
    """Also the gap between the reply to CONNECT and the room."""
    stop = asyncio.Event()
    written: list[int] = []

    async def write() -> None:
        while not stop.is_set():
            written.append((await server.comment(GRACE, 1))["id"])

    writers = [asyncio.create_task(write()) for _ in range(4)]
    clients = []
    floors = []
    for n in range(12):
        clients.append(await nodes.open(server.url, {"userId": ADA}, transports=TRANSPORTS[n % 3]).connected())
        floors.append(len(written))
    stop.set()
    await asyncio.gather(*writers)
    last = max(written)
    for client, floor in zip(clients, floors, strict=True):
        await client.until(lambda c=client: bool(c.notifications) and c.notifications[-1]["commentId"] == last)  # type: ignore[misc]
        got = [event["commentId"] for event in client.notifications]
        assert len(got) == len(set(got))
        assert set(written[floor + 4 :]) <= set(got)  # four were in flight when it connected


async def test_the_post_s_new_owner_is_notified_from_then_on(server: Running, nodes: NodeClients, other: Sql) -> None:
    ada, linus = (
        await nodes.open(server.url, {"userId": ADA}).connected(),
        await nodes.open(server.url, {"userId": LINUS}).connected(),
    )
    await server.comment(GRACE, 1)
    await ada.notified()
    other.run("UPDATE posts SET author_id = 3 WHERE id = 1")
    await server.comment(GRACE, 1)
    assert len(await linus.notified()) == 1
    assert len(ada.notifications) == 1


async def test_ids_of_bigint_are_strings_as_pg_gives_them(
    start_server: StartServer, nodes: NodeClients, direct_url: str, other: Sql
) -> None:
    other.run("DROP SCHEMA notify CASCADE")
    other.run("DROP TABLE comments, posts, users")
    other.run("CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(50))")
    other.run("CREATE TABLE posts (id bigserial PRIMARY KEY, author_id uuid REFERENCES users, title text, body text)")
    ada, grace = other.run("INSERT INTO users (name) VALUES ('Ada'), ('Grace') RETURNING id::text")
    other.run("INSERT INTO posts (author_id, title, body) VALUES (%s, 't', 'b')", ada)
    server = await start_server()
    client = await nodes.open(server.url, {"userId": ada.upper()}).connected()
    same = await nodes.open(server.url, {"userId": ada}).connected()
    comment = await server.comment(grace, 1)
    assert comment["postId"] == "1"
    assert comment["authorId"] == grace
    assert (await same.notified())[0] == {
        "type": "comment", "postId": "1", "commentId": comment["id"], "fromUser": "Grace",
        "message": "Grace commented on your post",
    }  # fmt: skip
    assert client.notifications == []  # ids are compared as text


async def test_an_app_s_own_events_live_on_the_same_server(start_server: StartServer, nodes: NodeClients) -> None:
    def extend(sio: AsyncServer) -> None:
        @sio.on("typing")  # type: ignore[untyped-decorator]
        async def typing(sid: str, post_id: int) -> None:
            await sio.emit("typing", {"postId": post_id}, to="user:2")

    server = await start_server(extend)
    ada = await nodes.open(server.url, {"userId": ADA}).connected()
    grace = await nodes.open(server.url, {"userId": GRACE}).connected()
    ada.emit("typing", 7)
    await grace.until(lambda: grace.named("typing") == [[{"postId": 7}]])
    assert ada.named("typing") == []


async def test_an_event_that_nobody_handles_is_ignored_counted_and_logged_once(
    server: Running, nodes: NodeClients, caplog: pytest.LogCaptureFixture
) -> None:
    client = await nodes.open(server.url, {"userId": ADA}).connected()
    for _ in range(3):
        client.emit("like", {"secret": "canary"})
    client.emit("stop typing")
    await eventually(lambda: server.realtime.server.unknown_events == {"like": 3, "stop typing": 1})
    lines = [record for record in caplog.records if record.getMessage() == "unknown_event"]
    assert [vars(line)["name_of_event"] for line in lines] == ["like", "stop typing"]
    assert "canary" not in caplog.text
    assert client.named("disconnect") == []


async def test_nothing_is_emitted_without_a_room(server: Running) -> None:
    without: list[dict[str, Any]] = [{}, {"to": ""}, {"to": None}, {"room": ""}, {"to": []}]
    for options in without:
        with pytest.raises(ValueError, match="say to whom"):
            await server.realtime.server.emit("notification", {}, **options)


async def test_a_client_s_connect_event_reaches_no_handler_and_closes_the_socket(
    server: Running, nodes: NodeClients
) -> None:
    client = await nodes.open(server.url, {"userId": ADA}, transports=["websocket"]).connected()
    calls: list[Any] = []
    server.realtime.server.on("connect", lambda *args: calls.append(args))
    # the stock client refuses to emit a reserved name, so a raw frame it is
    async with server.http.ws_connect(f"{server.url}/socket.io/?EIO=4&transport=websocket") as ws:
        assert (await ws.receive_str()).startswith("0")
        await ws.send_str('40{"userId":2}')
        await ws.receive_str()
        calls.clear()
        await ws.send_str('42["connect",{},{"userId":1}]')
        message = await ws.receive(timeout=5)
        assert message.type.name in ("CLOSED", "CLOSE", "ERROR", "CLOSING")
    assert calls == []
    assert client.named("disconnect") == []


async def test_a_configured_path_serves_the_socket(start_server: StartServer, nodes: NodeClients) -> None:
    server = await start_server(socket_path="/live/socket/")
    client = await nodes.open(server.url, {"userId": ADA}, path="/live/socket/").connected()
    await server.comment(GRACE, 1)
    assert len(await client.notified()) == 1


async def test_the_row_of_a_notification_is_told_to_nobody_else(
    server: Running, nodes: NodeClients, other: Sql
) -> None:
    """Ten users, each commenting on each other's posts: everybody gets his own, and only those."""
    other.run("INSERT INTO users (name) SELECT 'person ' || n FROM generate_series(4, 10) n")
    other.run("INSERT INTO posts (author_id, title, body) SELECT n, 't', 'b' FROM generate_series(3, 10) n")
    clients = {user: await nodes.open(server.url, {"userId": user}).connected() for user in range(1, 11)}
    await asyncio.gather(*(server.comment(user, post) for user in range(1, 11) for post in range(1, 11)))
    for user, client in clients.items():
        assert [event["postId"] for event in await client.notified(9)] == [user] * 9


async def test_two_servers_on_one_database_reach_each_other_s_sockets(
    start_server: StartServer, nodes: NodeClients, other: Sql
) -> None:
    one, two = await start_server(), await start_server()
    clients = [await nodes.open(server.url, {"userId": ADA}).connected() for server in (one, two)]
    written = [await one.comment(GRACE, 1), await two.comment(GRACE, 1)]
    other.run("INSERT INTO comments (post_id, author_id, body) VALUES (1, 2, 'from elsewhere')")
    for client in clients:
        got = [event["commentId"] for event in await client.notified(3, timeout_s=3)]
        assert got[:2] == [comment["id"] for comment in written]
        assert len(got) == 3


async def test_a_number_beyond_a_double_s_range_spoils_nobody_s_offset(
    server: Running, nodes: NodeClients, other: Sql
) -> None:
    """Also of those that were delivered in the same step."""
    ada, grace = [await nodes.open(server.url, {"userId": user}).connected() for user in (ADA, GRACE)]
    other.run("""SELECT notify.send('1', 'note', '{"n": 1e400}'), notify.send('2', 'note', '{"n": 7}')""")
    assert await grace.notified() == [{"type": "note", "n": 7}]
    assert await ada.notified() == [{"type": "note", "n": None}]
    for client in (ada, grace):
        assert client.seqs == [1]
        (offset,) = client.offsets
        assert offset.startswith("1.")
        assert len(offset.split(".")) == 2
