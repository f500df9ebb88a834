"""What comes back to a client that was away, as real clients and raw ones see it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Any

import pytest

from notify_server.errors import ConfigError
from tests.clients import NodeClients
from tests.conftest import Running, StartServer
from tests.inboxes import ADA, GRACE, LINUS, prune, seqs
from tests.postgres import Sql, free_port, sql
from tests.processes import Start
from tests.sessions import session
from tests.waiting import eventually

WAYS = {"default": None, "websocket": ["websocket"], "polling": ["polling"]}
CLIENTS = [("4.8", way) for way in WAYS] + [("4.6", "default")]
SOON: dict[str, Any] = {"reconnectionDelay": 300, "reconnectionDelayMax": 300, "randomizationFactor": 0}


async def send(other: Sql, count: int = 1, *, user: int = ADA, wait_for_inbox: bool = True, pad: int = 0) -> None:
    """Notifications from SQL; by default they are in the inbox when this returns."""
    before = stored(other, user)
    other.run(
        "SELECT count(notify.send(%s, 'test', jsonb_build_object('n', n, 'pad', repeat('x', %s))))"
        " FROM generate_series(1, %s) n", str(user), pad, count,
    )  # fmt: skip
    if wait_for_inbox:
        await eventually(lambda: stored(other, user) >= before + count, timeout_s=20)


def stored(other: Sql, user: int = ADA) -> int:
    return int(other.value("SELECT coalesce(max(last_seq), 0) FROM notify.inbox WHERE user_id = %s", str(user)))


def arrived(other: Sql, user: int = ADA) -> int:
    return int(other.value("SELECT coalesce(max(seq), 0) FROM notify.arrival WHERE user_id = %s", str(user)))


# --- a client that kept its session ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "way"), CLIENTS)
async def test_a_client_that_was_cut_gets_what_it_missed_once_and_in_order(
    server: Running, nodes: NodeClients, version: str, way: str
) -> None:
    tab = nodes.open(server.url, {"userId": ADA}, version=version, transports=WAYS[way], **SOON)
    await tab.connected()
    for _ in range(3):
        await server.comment(GRACE, 1)
    await tab.notified(3)
    for round_ in range(2, 4):
        tab.drop()
        await tab.until(lambda n=round_: len(tab.named("disconnect")) == n - 1)  # type: ignore[misc]
        for _ in range(4):
            await server.comment(GRACE, 1)
        await tab.connected(round_)
        await server.comment(GRACE, 1)
        await tab.notified(3 + 5 * (round_ - 1))
    assert tab.seqs == list(range(1, 14))
    assert tab.recovered == [False, True, True]


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_had_received_nothing_yet_gets_what_it_missed(
    server: Running, nodes: NodeClients, other: Sql, way: str
) -> None:
    await send(other, 30)
    tab = await nodes.open(server.url, {"userId": ADA}, transports=WAYS[way], **SOON).connected()
    await tab.notified(10)  # the bounded stretch
    other.run("DELETE FROM notify.arrival")
    quiet = await nodes.open(server.url, {"userId": GRACE}, transports=WAYS[way], **SOON).connected()
    quiet.drop()
    await quiet.until(lambda: bool(quiet.named("disconnect")))
    for _ in range(15):
        await server.comment(ADA, 2)
    await quiet.connected(2)
    await quiet.notified(15)
    assert quiet.seqs == list(range(1, 16))
    assert quiet.recovered == [False, True]
    assert tab.seqs == list(range(21, 31))


async def test_a_server_that_was_killed_and_started_again_resumes_its_clients(
    start: Start, nodes: NodeClients, url: str, other: Sql, tmp_path: Path
) -> None:
    port = free_port()
    where = {"DATABASE_URL": url, "TRUST_USER_ID": "true", "PORT": port}
    server = await start("serve", **where)
    await server.until('"ready"')
    tabs = [
        nodes.open(f"http://127.0.0.1:{port}", {"userId": ADA}, version=version, transports=WAYS[way], **SOON)
        for version, way in CLIENTS
    ]
    for tab in tabs:
        await tab.connected()
    await send(other, 2)
    for tab in tabs:
        await tab.notified(2)
    await server.remove()  # SIGKILL
    await send(other, 20, wait_for_inbox=False)
    await (await start("serve", **where)).until('"ready"')
    for tab in tabs:
        await tab.connected(2)
        await tab.notified(22)
        assert tab.seqs == list(range(1, 23))
        assert tab.recovered == [False, True]


@pytest.mark.parametrize("version", ["4.0", "4.5"])
async def test_a_client_before_4_6_comes_back_as_a_new_one(
    server: Running, nodes: NodeClients, other: Sql, version: str
) -> None:
    tab = await nodes.open(server.url, {"userId": ADA}, version=version, **SOON).connected()
    await send(other, 2)
    await tab.notified(2)
    await eventually(lambda: arrived(other) == 2)
    tab.drop()
    await tab.until(lambda: bool(tab.named("disconnect")))
    await send(other, 25)
    await tab.connected(2)
    await tab.notified(12)
    assert tab.seqs == [1, 2, *range(18, 28)]
    assert other.value("SELECT unread FROM notify.inbox WHERE user_id = '1'") == 27


async def test_six_hundred_that_come_during_a_replay_are_each_shown_once(server: Running, other: Sql) -> None:
    async with session(server.http, server.url, {"userId": ADA}) as first:
        pid = first.pid
    await send(other, 2000)
    async with session(server.http, server.url, {"userId": ADA, "pid": pid}) as tab:
        posts = [asyncio.create_task(server.comment(GRACE, 1)) for _ in range(600)]
        await tab.read(2600, timeout_s=30)
        await asyncio.gather(*posts)
        assert tab.seqs == list(range(1, 2601))
        assert tab.pid == pid


async def test_a_reader_that_is_slow_makes_the_replay_wait_and_loses_nothing(server: Running, other: Sql) -> None:
    async with session(server.http, server.url, {"userId": ADA}) as first:
        pid = first.pid
    await send(other, 3000, pad=2000)
    async with session(server.http, server.url, {"userId": ADA, "pid": pid}) as tab:
        tab.websocket._conn.transport.pause_reading()  # type: ignore[union-attr]
        (engine_session,) = server.realtime.server.eio.sockets.values()
        await eventually(lambda: engine_session.transport.waiting_bytes > 100_000)
        for _ in range(20):
            await asyncio.sleep(0.05)
            assert engine_session.transport.waiting_bytes < 1_000_000
        tab.websocket._conn.transport.resume_reading()  # type: ignore[union-attr]
        await server.comment(GRACE, 1)
        await tab.read(3001, timeout_s=30)
        assert tab.seqs == list(range(1, 3002))


async def test_a_cut_in_the_middle_of_a_replay_resumes_by_the_same_rule(server: Running, other: Sql) -> None:
    async with session(server.http, server.url, {"userId": ADA}) as first:
        brought: dict[str, Any] = {"userId": ADA, "pid": first.pid}
    await send(other, 1000, pad=500)
    seen: list[int] = []
    cuts = 0
    while len(seen) < 1000:
        async with session(server.http, server.url, brought) as tab:
            assert tab.pid == brought["pid"]
            while tab.websocket and len(tab.notifications) < 137 and len(seen) + len(tab.notifications) < 1000:
                await tab._take()
            seen += tab.seqs
            brought["offset"] = tab.offset
            cuts += 1
    assert seen == list(range(1, 1001))
    assert cuts >= 7


# --- a client that knows nothing ------------------------------------------------------------------------------------


async def test_a_new_page_gets_the_newest_few_that_never_arrived_and_the_rest_stays_unread(
    server: Running, other: Sql
) -> None:
    await send(other, 25)
    async with session(server.http, server.url, {"userId": ADA}, answers_pings=False) as tab:
        assert await tab.read(10) == list(range(16, 26))
    async with session(server.http, server.url, {"userId": ADA}) as tab:  # nothing proved that they arrived
        assert await tab.read(10) == list(range(16, 26))
        await eventually(lambda: arrived(other) == 25)
    async with session(server.http, server.url, {"userId": ADA}) as tab:
        assert await tab.read() == []
        await server.comment(GRACE, 1)
        assert await tab.read(1) == [26]
    assert other.value("SELECT unread FROM notify.inbox WHERE user_id = '1'") == 26


async def test_what_is_old_or_was_read_is_not_shown_to_a_new_page(start_server: StartServer, other: Sql) -> None:
    server = await start_server(replay_max=5, replay_max_age=3600)
    await send(other, 8)
    other.run("UPDATE notify.notification SET created_at = now() - interval '2 hours' WHERE seq <= 4")
    async with server.http.post(
        server.url + "/notifications/read", json={"seqs": [6]}, headers={"Authorization": f"User {ADA}"}
    ) as response:
        assert response.status == 200
    async with session(server.http, server.url, {"userId": ADA}) as tab:
        assert await tab.read(3) == [5, 7, 8]


@pytest.mark.parametrize("way", WAYS)
async def test_a_page_closed_a_second_after_a_toast_does_not_toast_it_again(
    server: Running, nodes: NodeClients, other: Sql, way: str
) -> None:
    tab = await nodes.open(server.url, {"userId": ADA}, transports=WAYS[way]).connected()
    for number in range(1, 4):
        await server.comment(GRACE, 1)
        await tab.notified(number)
    await eventually(lambda: arrived(other) == 3, timeout_s=1)
    tab.close()
    again = await nodes.open(server.url, {"userId": ADA}, transports=WAYS[way]).connected()
    await server.comment(GRACE, 1)
    await again.notified(1)
    assert again.seqs == [4]


async def test_a_page_that_is_reloaded_at_once_is_known_by_this_server_before_it_is_written(
    start_server: StartServer, other: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify_server.feed._ARRIVALS_S", 3600)
    server = await start_server()
    async with session(server.http, server.url, {"userId": ADA}) as tab:
        await server.comment(GRACE, 1)
        assert await tab.read(1) == [1]
    assert arrived(other) == 0
    async with session(server.http, server.url, {"userId": ADA}) as tab:
        assert await tab.read() == []


async def test_an_offset_proves_as_well_what_has_arrived(server: Running, other: Sql) -> None:
    await send(other, 12)
    async with session(server.http, server.url, {"userId": ADA}, answers_pings=False) as tab:
        await tab.read(10)
        brought = {"userId": ADA, "pid": tab.pid, "offset": tab.offset}
    async with session(server.http, server.url, brought, answers_pings=False) as tab:
        assert await tab.read() == []
    await eventually(lambda: arrived(other) == 12)
    async with session(server.http, server.url, {"userId": ADA}) as tab:
        assert await tab.read() == []


@pytest.mark.parametrize("way", ["websocket", "polling"])
async def test_what_was_sent_into_a_dead_connection_is_shown_to_the_next_page(
    server: Running, other: Sql, way: str
) -> None:
    if way == "websocket":
        async with session(server.http, server.url, {"userId": ADA}) as dead:
            dead.websocket._conn.transport.pause_reading()  # type: ignore[union-attr]
            await server.comment(GRACE, 1)
            await asyncio.sleep(0.6)
    else:
        at = server.url + "/socket.io/?EIO=4&transport=polling"
        async with server.http.get(at) as response:
            handshake = (await response.text())[1:]
        sid = re.findall(r'"sid":"([^"]+)"', handshake)[0]
        async with server.http.post(f"{at}&sid={sid}", data='40{"userId":1}') as response:
            assert await response.text() == "ok"
        async with server.http.get(f"{at}&sid={sid}") as response:
            assert (await response.text()).startswith("40")
        await server.comment(GRACE, 1)  # waits for a poll that never comes
        await asyncio.sleep(0.6)
    assert arrived(other) == 0
    async with session(server.http, server.url, {"userId": ADA}) as tab:
        assert await tab.read(1) == [1]


async def test_one_of_many_tabs_is_enough_to_have_received_it(server: Running, other: Sql) -> None:
    async with (
        session(server.http, server.url, {"userId": ADA}, answers_pings=False) as deaf,
        session(server.http, server.url, {"userId": ADA}) as tab,
    ):
        await server.comment(GRACE, 1)
        assert await tab.read(1) == await deaf.read(1) == [1]
        await eventually(lambda: arrived(other) == 1)
    async with session(server.http, server.url, {"userId": ADA}) as tab:
        assert await tab.read() == []


# --- what a client cannot have --------------------------------------------------------------------------------------


async def test_what_is_not_its_own_counts_as_nothing(server: Running, other: Sql) -> None:
    await send(other, 12)
    await send(other, 3, user=LINUS)
    async with session(server.http, server.url, {"userId": LINUS}) as his:
        await his.read(3)
        pid, offset = his.pid, his.offset
    forged_floor = re.sub(r"\.\d+\.", ".7.", pid)
    for brought in (
        {"pid": pid, "offset": offset},
        {"pid": pid},
        {"pid": forged_floor},
        {"pid": "x" * 40},
        {"pid": 7, "offset": {}},
        {"pid": None, "offset": None},
        {"pid": ["a"], "offset": 12},
        {"pid": "", "offset": ""},
        {"pid": "a" * 100_000, "offset": "9" * 100_000},
        {"offset": offset},
        {"offset": "2"},
        {"offset": "2.AAAAAAAAAAAA"},
        {"pid": pid + "\0"},
    ):
        other.run("DELETE FROM notify.arrival")
        async with session(server.http, server.url, {"userId": ADA, **brought}, answers_pings=False) as tab:
            assert await tab.read(10) == list(range(3, 13)), brought
            assert tab.pid != brought.get("pid")


async def test_a_replay_that_is_too_long_begins_anew_but_never_before_the_offset(
    start_server: StartServer, other: Sql
) -> None:
    server = await start_server(recovery_max=20, replay_max=5)
    async with session(server.http, server.url, {"userId": ADA}) as tab:
        pid = tab.pid
        await send(other, 3)
        await tab.read(3)
        offset = tab.offset
    for count, expected, kept in ((20, range(4, 24), True), (1, range(20, 25), False)):
        await send(other, count)
        brought = {"userId": ADA, "pid": pid, "offset": offset}
        async with session(server.http, server.url, brought, answers_pings=False) as tab:
            assert await tab.read(len(expected)) == list(expected)
            assert (tab.pid == pid) is kept
    async with server.http.post(  # what was read in between is not replayed, and so not too long
        server.url + "/notifications/read", json={"upTo": 22}, headers={"Authorization": f"User {ADA}"}
    ) as response:
        assert response.status == 200
    async with session(server.http, server.url, brought, answers_pings=False) as tab:
        assert await tab.read(2) == [23, 24]
        assert tab.pid == pid
    # a pid that is none, and a valid offset within the newest few
    async with session(
        server.http, server.url, {"userId": ADA, "pid": "x", "offset": offset.replace("3.", "23.")}, answers_pings=False
    ) as tab:
        assert await tab.read(1) == [24]


async def test_a_session_lasts_as_long_as_the_inbox_keeps_what_it_missed(server: Running, other: Sql) -> None:
    async with session(server.http, server.url, {"userId": ADA}) as tab:
        pid = tab.pid
    await send(other, 30)
    other.run("UPDATE notify.notification SET created_at = now() - interval '89 days'")
    await eventually(lambda: prune(other) and len(seqs(other)) == 30)
    async with session(server.http, server.url, {"userId": ADA, "pid": pid}) as tab:
        assert await tab.read(30) == list(range(1, 31))
        assert tab.pid == pid


async def test_a_session_that_reaches_behind_what_was_pruned_begins_anew(server: Running, other: Sql) -> None:
    async with session(server.http, server.url, {"userId": ADA}) as tab:
        pid = tab.pid
    await send(other, 30)
    other.run("UPDATE notify.notification SET created_at = now() - interval '91 days' WHERE seq <= 5")
    await eventually(lambda: prune(other) and len(seqs(other)) == 25)
    async with session(server.http, server.url, {"userId": ADA, "pid": pid}, answers_pings=False) as tab:
        assert await tab.read(10) == list(range(21, 31))
        assert tab.pid != pid
        tag = tab.offset.split(".")[1]
    brought = {"userId": ADA, "pid": pid, "offset": f"5.{tag}"}  # saw all that is gone
    async with session(server.http, server.url, brought) as tab:
        assert await tab.read(25) == list(range(6, 31))
        assert tab.pid == pid


@pytest.mark.parametrize("version", [0, 9])
async def test_an_inbox_that_went_back_shows_what_is_new_in_it(
    server: Running, nodes: NodeClients, other: Sql, version: int
) -> None:
    """A restored copy of the disk: the same epoch, and fewer rows than clients remember. Its version may have gone on
    since."""
    tab = await nodes.open(server.url, {"userId": ADA}, **SOON).connected()
    await send(other, 9)
    await tab.notified(9)
    other.run("DELETE FROM notify.arrival; DELETE FROM notify.notification WHERE seq > 4;"
              f"UPDATE notify.inbox SET last_seq = 4, version = {version}, unread = 4, unseen = 4")  # fmt: skip
    await tab.connected(2)
    assert tab.recovered == [False, False]
    await server.comment(GRACE, 1)
    await tab.until(lambda: tab.seqs[-1] == 5)
    assert tab.seqs[:9] == list(range(1, 10))


async def test_a_new_epoch_ends_what_clients_remember(
    server: Running, nodes: NodeClients, start: Start, other: Sql, url: str
) -> None:
    tab = await nodes.open(server.url, {"userId": ADA}, **SOON).connected()
    await send(other, 3)
    await tab.notified(3)
    await eventually(lambda: arrived(other) == 3)
    command = await start("new-epoch", DATABASE_URL=url)
    assert await command.ended() == 0, command.output
    await tab.connected(2)
    await server.comment(GRACE, 1)
    await tab.notified(4)
    assert tab.recovered == [False, False]
    assert tab.seqs == [1, 2, 3, 4]
    assert len({offset.split(".")[1] for offset in tab.offsets}) == 2


async def test_servers_share_the_secret_of_the_database_or_the_one_they_are_given(
    start_server: StartServer, other: Sql
) -> None:
    one, two = await start_server(), await start_server()
    other_secret = await start_server(recovery_secret="another secret than theirs")
    async with session(one.http, one.url, {"userId": ADA}) as tab:
        brought = {"userId": ADA, "pid": tab.pid}
    async with session(two.http, two.url, brought) as tab:
        assert tab.pid == brought["pid"]
    async with session(other_secret.http, other_secret.url, brought) as tab:
        assert tab.pid != brought["pid"]


# --- the old wire, and other events -----------------------------------------------------------------------------------


async def test_recovery_off_is_exactly_the_old_wire(start_server: StartServer, nodes: NodeClients, other: Sql) -> None:
    server = await start_server(recovery=False)
    await send(other, 5)
    async with session(server.http, server.url, {"userId": ADA, "pid": "x", "offset": "1.x"}) as tab:
        assert tab.answer.keys() == {"sid"}
        comment = await server.comment(GRACE, 1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while True:
                    await tab._take()
        assert tab.events == [
            ["notification", {"type": "comment", "postId": 1, "commentId": comment["id"], "fromUser": "Grace",
                              "message": "Grace commented on your post"}]
        ]  # fmt: skip
        assert tab.pings == 0
    client = await nodes.open(server.url, {"userId": ADA}, **SOON).connected()
    client.drop()
    await client.until(lambda: bool(client.named("disconnect")))
    await server.comment(GRACE, 1)
    await client.connected(2)
    await server.comment(GRACE, 1)
    assert len(await client.notified(1)) == 1
    assert client.recovered == [False, False]


async def test_an_app_s_own_events_do_not_overwrite_the_offset(
    start_server: StartServer, nodes: NodeClients, other: Sql
) -> None:
    server = await start_server(lambda sio: None)
    tab = await nodes.open(server.url, {"userId": ADA}, **SOON).connected()
    await send(other, 2)
    await tab.notified(2)
    sio = server.realtime.server
    await sio.emit("typing", "somebody", to=f"user:{ADA}")
    await sio.emit("typing", ("in", "post 7"), to=f"user:{ADA}")
    await sio.emit("nudge", to=f"user:{ADA}")
    await sio.emit("typing", {"postId": 7}, to=f"user:{ADA}")
    await tab.until(lambda: len(tab.named("typing")) == 3)
    assert tab.named("typing") == [["somebody", None], ["in", "post 7", None], [{"postId": 7}]]
    assert tab.named("nudge") == [[None]]
    tab.drop()
    await tab.until(lambda: bool(tab.named("disconnect")))
    await send(other, 2)
    await tab.connected(2)
    await tab.notified(4)
    assert tab.seqs == [1, 2, 3, 4]
    assert tab.recovered == [False, True]


async def test_the_same_socket_as_somebody_else_sees_nothing_of_the_first(server: Running, other: Sql) -> None:
    await send(other, 5)
    await send(other, 4, user=LINUS)
    async with session(server.http, server.url, {"userId": ADA}) as tab:
        await tab.read(5)
        brought = {"pid": tab.pid, "offset": tab.offset}
    async with session(server.http, server.url, {"userId": LINUS, **brought}) as tab:
        assert await tab.read(4) == [1, 2, 3, 4]
        assert tab.pid != brought["pid"]


async def test_a_database_that_is_away_while_arrivals_are_written_costs_nothing(
    server: Running, other: Sql, direct_url: str
) -> None:
    async with session(server.http, server.url, {"userId": ADA}) as tab:
        with sql(direct_url) as holder:
            holder.run("BEGIN; LOCK TABLE notify.arrival IN ACCESS EXCLUSIVE MODE")
            await server.comment(GRACE, 1)
            assert await tab.read(1) == [1]
            await asyncio.sleep(0.5)
            holder.run("ROLLBACK")
        await eventually(lambda: arrived(other) == 1)


@pytest.mark.parametrize("event", ["connect", "disconnect", "notifications:list", "mutes:add"])
async def test_an_app_cannot_take_the_place_of_our_handlers(start_server: StartServer, event: str) -> None:
    """Nobody's identity would be asked for."""
    with pytest.raises(ConfigError, match=event):
        await start_server(lambda sio: sio.on(event, lambda *_args: None))
    await start_server(lambda sio: sio.on("typing", lambda *_args: None))


async def test_connecting_again_on_the_same_transport_takes_another(
    server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("notify_server.transport.connecting._HOLD_S", (0.1, 0.2))
    async with session(server.http, server.url, {"userId": ADA}) as tab:
        await tab.websocket.send_str("41")
        await tab.websocket.send_str('40{"userId":1}')
        await tab.until_closed()
    (record,) = [record for record in caplog.records if record.message == "connect_failed"]
    assert record.__dict__["code"] == "connect_again"
