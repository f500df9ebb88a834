"""What people do with their inbox: over HTTP and over a socket, the same."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol
from urllib.parse import quote

import pytest
from yarl import URL

from notify_server.background import in_background
from notify_server.db import Database
from notify_server.drain import Reconciler
from notify_server.inbox import Change, InboxKeeper
from tests.clients import SETTLE_S, Client, NodeClients
from tests.conftest import Running, StartServer
from tests.inboxes import ADA, GRACE, LINUS, counts_agree, deliver, everything, inbox, seqs, settled
from tests.postgres import Sql, sql
from tests.waiting import eventually

HTTP_PATHS = {
    "notifications:list": ("GET", "/notifications"),
    "notifications:counts": ("GET", "/notifications/counts"),
    "notifications:seen": ("POST", "/notifications/seen"),
    "notifications:read": ("POST", "/notifications/read"),
    "notifications:unread": ("POST", "/notifications/unread"),
    "notifications:delete": ("POST", "/notifications/delete"),
    "mutes:list": ("GET", "/mutes"),
    "mutes:add": ("PUT", "/mutes/"),
    "mutes:remove": ("DELETE", "/mutes/"),
}

# Every operation that takes seqs, with one that is to be put in.
BY_SEQ = [
    ("notifications:seen", "upTo"), ("notifications:read", "upTo"), ("notifications:read", "seqs"),
    ("notifications:unread", "seqs"), ("notifications:delete", "seqs"),
]  # fmt: skip


class Way(Protocol):
    """How a user asks. Gives the answer's fields; of an error its {error, code, field}."""

    async def __call__(self, operation: str, values: Any = None, *, user: int = ADA) -> Any: ...


class OverHttp:
    def __init__(self, server: Running) -> None:
        self._server = server

    async def __call__(self, operation: str, values: Any = None, *, user: int = ADA) -> Any:
        method, path = HTTP_PATHS[operation]
        options: dict[str, Any] = {}
        if path.endswith("/"):
            path += quote(str(values["topic"]), safe="")
        elif method == "GET":
            options["params"] = values
        else:
            options["data"] = json.dumps(values)
            options["headers"] = {"Content-Type": "application/json"}
        headers = {"Authorization": f"User {user}", **options.pop("headers", {})}
        async with self._server.http.request(method, self._server.url + path, headers=headers, **options) as response:
            answer = await response.json()
            assert response.status == (422 if "error" in answer else 200), (response.status, answer)
            return answer


class OverSocket:
    """One socket a user, which has to stay."""

    def __init__(self, server: Running, nodes: NodeClients) -> None:
        self._server, self._nodes = server, nodes
        self.clients: dict[int, Client] = {}

    async def __call__(self, operation: str, values: Any = None, *, user: int = ADA) -> Any:
        if user not in self.clients:
            self.clients[user] = await self._nodes.open(
                self._server.url, {"userId": user}, transports=["websocket"]
            ).connected()
        answer = await self.clients[user].ask(operation, *(() if values is None else (values,)))
        assert self.clients[user].named("disconnect") == []
        assert ("error" in answer) != (answer.pop("ok", None) is True)
        return answer


@pytest.fixture(params=["http", "socket"])
async def way(request: pytest.FixtureRequest, server: Running, _installed_clients: None) -> AsyncIterator[Way]:
    if request.param == "http":
        yield OverHttp(server)
        return
    nodes = NodeClients()
    await nodes.start()
    yield OverSocket(server, nodes)
    await nodes.stop()


@pytest.fixture
def told() -> list[Change]:
    return []


@pytest.fixture
def stepper(db: Database, told: list[Change]) -> InboxKeeper:
    """A keeper that goes in steps of three."""
    return InboxKeeper(db, told.extend, step_rows=3)


# --- list ---------------------------------------------------------------------------------------------------------


async def test_an_empty_inbox(way: Way) -> None:
    empty = {"unread": 0, "unseen": 0, "version": 0}
    assert await way("notifications:counts") == empty
    assert await way("notifications:list") == {"notifications": [], "next": None, **empty}
    assert await way("notifications:seen", {"upTo": 5}) == empty
    assert await way("notifications:read", {"upTo": 5}) == empty
    assert await way("notifications:read", {"seqs": [1, 2]}) == empty
    assert await way("notifications:read", {"topic": "post:1"}) == empty
    assert await way("notifications:unread", {"seqs": [1]}) == empty
    assert await way("notifications:delete", {"seqs": []}) == empty


async def test_an_entry_as_clients_see_it(server: Running) -> None:
    way = OverHttp(server)
    comment = await server.comment(GRACE, 1)
    page = await way("notifications:list")
    (entry,) = page["notifications"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("createdAt"))
    assert entry == {
        "seq": 1, "type": "comment", "topic": "post:1", "actor": "user:2", "seenAt": None, "readAt": None,
        "payload": {"postId": 1, "commentId": comment["id"], "fromUser": "Grace",
                    "message": "Grace commented on your post"},
    }  # fmt: skip
    assert (page["next"], page["unread"], page["unseen"], page["version"]) == (None, 1, 1, 1)


async def test_newest_first_by_pages_with_deletions_and_arrivals_between(other: Sql, way: Way) -> None:
    deliver(other, 10)
    pages = []
    values: dict[str, Any] = {"limit": 4}
    while True:
        page = await way("notifications:list", values)
        pages.append([entry["seq"] for entry in page["notifications"]])
        deliver(other)
        if page["next"] is None:
            break
        await way("notifications:delete", {"seqs": [page["next"], page["next"] - 1]})  # the cursor's own row as well
        values["before"] = page["next"]
    assert pages == [[10, 9, 8, 7], [5, 4, 3, 2], []]
    assert counts_agree(other)


async def test_a_page_that_is_just_full_is_the_last(server: Running, other: Sql) -> None:
    way = OverHttp(server)
    deliver(other, 4)
    assert (await way("notifications:list", {"limit": 4}))["next"] is None
    assert (await way("notifications:list", {"limit": 3}))["next"] == 2


async def test_filters_by_status_type_and_topic(other: Sql, way: Way) -> None:
    for type_, topic in (("note", None), ("note", "post:1"), ("like", "post:1"), ("like", "post:2")):
        deliver(other, type=type_, topic=topic)
    await way("notifications:read", {"seqs": [2, 4]})

    async def listed(**values: Any) -> list[int]:
        return [entry["seq"] for entry in (await way("notifications:list", values))["notifications"]]

    assert await listed(status="all") == [4, 3, 2, 1]
    assert await listed(status="unread") == [3, 1]
    assert await listed(type="like") == [4, 3]
    assert await listed(topic="post:1") == [3, 2]
    assert await listed(topic="post:1", status="unread", type="like", before=4, limit=1) == [3]
    assert await listed(topic="post:9") == await listed(type="'; DROP TABLE users") == []
    page = await way("notifications:list", {"status": "unread", "limit": 1})
    assert (page["next"], page["unread"]) == (3, 2)  # the counts are of the whole inbox
    assert await listed(status="unread", before=3) == [1]


# --- marks --------------------------------------------------------------------------------------------------------


async def test_every_mark_counts_once_however_often_it_is_made(other: Sql, way: Way) -> None:
    deliver(other, 5)
    story: list[tuple[str, Any, tuple[int, int, int]]] = [
        ("notifications:seen", {"upTo": 3}, (5, 2, 2)),
        ("notifications:seen", {"upTo": 2}, (5, 2, 2)),
        ("notifications:read", {"seqs": [1, 4, 4, 99, 0]}, (3, 1, 3)),
        ("notifications:read", {"seqs": [1, 4]}, (3, 1, 3)),
        ("notifications:unread", {"seqs": [4, 5, 77]}, (4, 1, 4)),
        ("notifications:unread", {"seqs": [4]}, (4, 1, 4)),
        ("notifications:delete", {"seqs": [2, 2, 5, 500]}, (2, 0, 5)),
        ("notifications:delete", {"seqs": [2, 5]}, (2, 0, 5)),
        ("notifications:read", {"upTo": 3}, (1, 0, 6)),
        ("notifications:read", {"upTo": 2**53}, (0, 0, 7)),
        ("notifications:read", {"upTo": 2**53}, (0, 0, 7)),
        ("notifications:seen", {"upTo": 2**53}, (0, 0, 7)),
        ("notifications:read", {"seqs": []}, (0, 0, 7)),
    ]
    for operation, values, expected in story:
        answer = await way(operation, values)
        assert (answer["unread"], answer["unseen"], answer["version"]) == expected, (operation, values)
        assert await way("notifications:counts") == answer
        assert counts_agree(other)
    assert seqs(other) == [1, 3, 4]


async def test_the_times_of_marks_are_kept(server: Running, other: Sql) -> None:
    way = OverHttp(server)
    deliver(other, 2)
    await way("notifications:seen", {"upTo": 1})
    (_, before) = (await way("notifications:list"))["notifications"]
    await way("notifications:read", {"upTo": 2})
    newer, older = (await way("notifications:list"))["notifications"]
    assert older["seenAt"] == before["seenAt"] <= older["readAt"]
    assert newer["seenAt"] == newer["readAt"]
    await way("notifications:unread", {"seqs": [2]})
    assert (await way("notifications:list"))["notifications"][0] == {**newer, "readAt": None}


async def test_a_topic_is_read_up_to_what_it_has(server: Running, other: Sql) -> None:
    way = OverHttp(server)
    deliver(other, 2, topic="post:1")
    deliver(other, 2, topic="post:2")
    deliver(other, 1)
    assert (await way("notifications:read", {"topic": "post:1"}))["unread"] == 3
    deliver(other, 1, topic="post:1")
    assert seqs(other, "read_at IS NULL") == [3, 4, 5, 6]


async def test_up_to_does_not_swallow_what_has_just_arrived(server: Running, other: Sql) -> None:
    way = OverHttp(server)
    deliver(other, 3)
    deliver(other, 2)
    await way("notifications:seen", {"upTo": 3})
    await way("notifications:read", {"upTo": 3})
    assert seqs(other, "seen_at IS NULL") == seqs(other, "read_at IS NULL") == [4, 5]
    await way("notifications:seen", {"upTo": 9})  # beyond the end: as far as the inbox goes at that moment
    deliver(other, 6)
    assert seqs(other, "seen_at IS NULL") == list(range(6, 12))
    await way("notifications:read", {"upTo": 9})
    assert seqs(other, "seen_at IS NULL") == [10, 11]
    assert counts_agree(other)


async def test_another_user_s_seqs_are_as_unknown_as_those_that_do_not_exist(other: Sql, way: Way) -> None:
    deliver(other, 7)
    deliver(other, 2, user=GRACE)
    other.run("SELECT notify.mark_read_v1('1', ARRAY[6], NULL, NULL, 1000)")
    before, own = everything(other, ADA), everything(other, GRACE)
    for operation, name in BY_SEQ:
        for seq in (6, 1006):  # Ada's, and nobody's
            values = {name: seq if name == "upTo" else [seq]}
            assert await way(operation, values, user=LINUS) == {"unread": 0, "unseen": 0, "version": 0}
            if name == "seqs":
                assert await way(operation, values, user=GRACE) == {"unread": 2, "unseen": 2, "version": 1}
    assert everything(other, GRACE) == own
    assert everything(other, ADA) == before


async def test_nobody_sees_another_s_inbox_or_mutes(other: Sql, way: Way) -> None:
    deliver(other, 3, topic="post:1")
    await way("mutes:add", {"topic": "post:5"})
    assert (await way("notifications:list", {"topic": "post:1"}, user=GRACE))["notifications"] == []
    assert (await way("notifications:read", {"topic": "post:1"}, user=GRACE))["version"] == 0
    assert await way("mutes:list", user=GRACE) == {"mutes": []}
    await way("mutes:remove", {"topic": "post:5"}, user=GRACE)
    assert [mute["topic"] for mute in (await way("mutes:list"))["mutes"]] == ["post:5"]
    for values in ({"userId": "1"}, {"user_id": "1"}, {"user": "1"}):
        assert (await way("notifications:list", values, user=GRACE))["notifications"] == []


async def test_a_thousand_seqs_at_once(other: Sql, way: Way) -> None:
    deliver(other, 1500)
    everyone = list(range(1, 1501))
    assert (await way("notifications:read", {"seqs": everyone[:1000]}))["unread"] == 500
    assert (await way("notifications:read", {"seqs": everyone[:1001]}))["field"] == "seqs"
    assert (await way("notifications:delete", {"seqs": everyone[500:1500]}))["unread"] == 0
    assert counts_agree(other)


# --- steps --------------------------------------------------------------------------------------------------------

MARKS: dict[str, Any] = {
    "seen": lambda keeper: keeper.mark_seen("1", 2**60),
    "read up to": lambda keeper: keeper.mark_read("1", upto=2**60),
    "read a topic": lambda keeper: keeper.mark_read("1", topic="post:1"),
}


@pytest.mark.parametrize("mark", MARKS)
async def test_a_large_mark_goes_in_steps_each_one_change_in_order(
    stepper: InboxKeeper, told: list[Change], other: Sql, mark: str
) -> None:
    deliver(other, 10, topic="post:1")
    counts = await MARKS[mark](stepper)
    assert (counts.unseen, counts.version) == (0, 5)
    assert [(change.since, change.to) for change in told] == [(1, 2), (2, 3), (3, 4), (4, 5)]
    if mark == "seen":
        assert [change.body["markedSeen"]["upTo"] for change in told] == [3, 6, 9, 10]
    else:
        assert [change.body["markedRead"]["seqs"] for change in told] == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]
    times = other.run("SELECT DISTINCT seen_at FROM notify.notification ORDER BY 1")
    assert len(times) == 4
    assert counts_agree(other)
    told.clear()
    assert await MARKS[mark](stepper) == counts
    assert told == []


@pytest.mark.parametrize("mark", MARKS)
async def test_what_arrives_between_two_steps_is_not_swallowed(db: Database, other: Sql, mark: str) -> None:
    deliver(other, 9, topic="post:1")
    steps = itertools.count()

    def between(_changes: list[Change]) -> None:
        next(steps)
        deliver(other, 2, topic="post:1")

    await MARKS[mark](InboxKeeper(db, between, step_rows=3))
    assert next(steps) in (3, 4)  # three, and one that found nothing
    column = "seen_at" if mark == "seen" else "read_at"
    assert seqs(other, f"{column} IS NOT NULL") == list(range(1, 10))
    assert counts_agree(other)


async def test_deletions_between_two_steps_end_the_mark_all_the_same(db: Database, other: Sql) -> None:
    deliver(other, 30)

    def between(_changes: list[Change]) -> None:
        other.run("SELECT notify.remove_notifications_v1(ARRAY['1', '1'], ARRAY[8, 30]::bigint[])")

    counts = await InboxKeeper(db, between, step_rows=5).mark_seen("1", 30)
    assert counts.unseen == 0
    assert counts_agree(other)


# --- what is not valid ----------------------------------------------------------------------------------------------

BAD_SEQS: list[Any] = [
    None, 1, "1", True, {}, {"0": 1}, [None], ["1"], [1.5], [True], [-(2**63)], [[1]], [{}], [2**63], [1e30],
    [1, 2, "3"], ["\0"], list(range(1001)),
]  # fmt: skip
BAD_SEQ: list[Any] = [None, "1", "", True, False, 1.5, -(2**63), 2**63, 1e30, [], [1], {}, "\0", "\ud800", "x" * 10_000]
BAD_TOPIC: list[Any] = ["", "a\0b", "\ud800", "x" * 256, 7, True, [], {"a": 1}, "a\nb"]
BAD: list[tuple[str, dict[str, Any], str]] = [
    *(("notifications:seen", {"upTo": value}, "upTo") for value in BAD_SEQ),
    *(("notifications:read", {"upTo": value}, "upTo") for value in BAD_SEQ if value is not None),
    *(("notifications:read", {"seqs": value}, "seqs") for value in BAD_SEQS if value is not None),
    *(("notifications:unread", {"seqs": value}, "seqs") for value in BAD_SEQS),
    *(("notifications:delete", {"seqs": value}, "seqs") for value in BAD_SEQS),
    *(("notifications:read", {"topic": value}, "topic") for value in BAD_TOPIC),
    ("notifications:seen", {}, "upTo"), ("notifications:seen", {"upto": 1}, "upTo"),
    ("notifications:unread", {}, "seqs"), ("notifications:delete", {"seq": 1}, "seqs"),
]  # fmt: skip


def is_error(answer: Any, field: str | None) -> bool:
    return (
        set(answer) == {"error", "code"} | ({"field"} if field else set())
        and isinstance(answer["error"], str)
        and (field is None or field in answer["error"])
        and answer["code"] == "invalid"
        and answer.get("field") == field
    )


async def test_what_is_not_valid_is_refused_by_the_field_s_name(other: Sql, way: Way) -> None:
    deliver(other, 5)
    before = everything(other, ADA)
    for operation, values, field in BAD:
        answer = await way(operation, values)
        assert is_error(answer, field), (operation, values, answer)
    for values in ({}, {"seqs": None}, {"seqs": [1], "upTo": 1}, {"topic": "a", "upTo": 1}):
        answer = await way("notifications:read", values)
        assert is_error(answer, "seqs"), (values, answer)
        assert "seqs, upTo" in answer["error"]
    assert everything(other, ADA) == before


async def test_a_message_repeats_no_value(server: Running) -> None:
    way = OverHttp(server)
    for operation, values in (
        ("notifications:seen", {"upTo": "canary"}), ("notifications:read", {"topic": "canary\0"}),
        ("notifications:delete", {"seqs": ["canary"]}), ("notifications:list", {"status": "canary"}),
    ):  # fmt: skip
        assert "canary" not in (await way(operation, values))["error"]


async def test_half_a_character_is_a_value_in_arguments_alone(server: Running) -> None:
    """The stock client escapes it, as here; a name goes into logs, and what CONNECT brings is no text for people."""
    half = "\\ud800"
    for frames, closes in (
        (["40{}", f'420["notifications:read",{{"topic":"{half}"}}]'], False),
        (["40{}", f'42["nobody takes this","{half}"]', '420["notifications:counts"]'], False),
        (["40{}", f'42["{half}"]'], True),
        (["40{}", f'42["x","{half}",NaN]'], True),
        (["40{}", f'42["x","{half}"'], True),
        ([f'40{{"token":"{half}"}}'], True),
    ):
        async with server.http.ws_connect(
            f"{server.url}/socket.io/?EIO=4&transport=websocket", headers={"Authorization": "User 1"}
        ) as ws:
            for frame in frames:
                await ws.send_str(frame.replace("40{}", '40{"userId":1}'))
            got = ""
            async with asyncio.timeout(5):
                async for message in ws:
                    got += str(message.data)
                    if "430[" in got:
                        break
            assert ("430[" in got) != closes, (frames, got)


async def test_a_bad_filter_or_cursor_is_refused_by_its_name(server: Running) -> None:
    bad: list[tuple[str, list[str]]] = [
        ("status", ["read", "", "ALL"]), ("type", ["", "a\0", "x" * 256]), ("topic", ["", "\n", "x" * 256]),
        ("before", ["x", "", "--1", "1.0", "٣", "9223372036854775808", "9" * 5000, "0x1", "1_0"]),
        ("limit", ["0", "101", "", "1e1", " 5", "-1", "9" * 30]),
    ]  # fmt: skip
    ask = OverHttp(server)
    for field, values in bad:
        for value in values:
            answer = await ask("notifications:list", {field: value})
            assert is_error(answer, field), (field, value, answer)


async def test_a_socket_that_asks_badly_is_told_so_and_stays(server: Running, nodes: NodeClients) -> None:
    """What has no like over HTTP: arguments of other types, or more than one."""
    way = OverSocket(server, nodes)
    for values in (True, 7, "text", [], [1], ""):
        assert (await way("notifications:list", values))["code"] == "invalid", values
        assert (await way("notifications:seen", values))["code"] == "invalid", values
    for listed in ({"limit": True}, {"limit": 5.5}, {"before": [1]}, {"status": None}, {"type": 7}, {"topic": ["a"]}):
        assert is_error(await way("notifications:list", listed), next(iter(listed))), listed
    topics: list[Any] = [None, 7, True, [], {}, "", "\0", "\ud800", "post:\0"]
    for topic in topics:
        assert is_error(await way("mutes:add", {"topic": topic}), "topic"), topic
    client = way.clients[ADA]
    assert (await client.ask("notifications:counts", {}, "more", 7))["ok"] is True
    client.emit("notifications:seen", {"upTo": "bad"})  # nobody waits for an answer
    assert (await way("notifications:counts"))["unread"] == 0
    assert client.named("disconnect") == []


async def test_what_json_can_hold_and_we_cannot(server: Running) -> None:
    for body, status in (
        ('{"upTo": 1e999}', 400), ('{"upTo": NaN}', 400), ('{"upTo": ' + "9" * 6000 + "}", 400), ("{", 400), ("", 400),
        ('{"upTo": 1}', 200), ('{"upTo": 1, "\\ud800": 1}', 200), ('{"upTo": 1, "upTo": "x"}', 422),
        ('{"upTo": ' + "[" * 50_000, 400), ('{"upTo": -0}', 200), ('{"upTo": 1.0}', 422),
        ('{"upTo": 1e999, "a": "\\ud800"}', 422), ("[]", 422), ("null", 422), ("7", 422), ('"x"', 422), ("true", 422),
    ):  # fmt: skip
        async with server.http.post(
            f"{server.url}/notifications/seen", data=body,
            headers={"Authorization": "User 1", "Content-Type": "application/json"},
        ) as response:  # fmt: skip
            assert response.status == status, body
            assert status != 422 or is_error(await response.json(), "upTo")


async def test_nobody_gets_in_without_a_credential(server: Running) -> None:
    for method, path in HTTP_PATHS.values():
        path += "post:1" if path.endswith("/") else ""
        async with server.http.request(method, server.url + path, json={"upTo": 1, "seqs": [1]}) as response:
            assert response.status == 401
            assert set(await response.json()) == {"error", "code"}


async def test_whatever_stands_in_a_url_is_answered(server: Running) -> None:
    for method, path, status in (
        ("GET", "/notifications?topic=%00", 422), ("GET", "/notifications?topic=%FF", 200),
        ("GET", "/notifications?topic=%ED%A0%80", 200), ("GET", "/notifications?%00=1", 200),
        ("GET", "/notifications?limit=1&limit=2", 200), ("GET", "/Notifications/Counts/", 200),
        ("HEAD", "/notifications", 200), ("PATCH", "/notifications", 405), ("PUT", "/mutes/%FF", 422),
        ("PUT", "/mutes/post%3A%00", 422), ("PUT", "/mutes/post:1%2F", 422), ("PUT", "/mutes/%20", 422),
        ("PUT", "/mutes/", 405), ("GET", "/mutes/post:1", 405), ("PUT", "/MUTES/post%3A1/", 200),
        ("POST", "/notifications/seen", 415),
    ):  # fmt: skip
        url = URL(server.url + path, encoded=True)
        async with server.http.request(method, url, headers={"Authorization": "User 1"}) as response:
            assert response.status == status, path
            if status >= 400:
                assert {"error", "code"} <= set(await response.json()) <= {"error", "code", "field"}


# --- mutes --------------------------------------------------------------------------------------------------------


async def test_mutes_are_listed_newest_first_and_idempotent(server: Running) -> None:
    way = OverHttp(server)
    for topic in ("post:7", "user:3", "post:7"):
        assert await way("mutes:add", {"topic": topic}) == {"topic": topic, "muted": True}
    mutes = (await way("mutes:list"))["mutes"]
    assert [mute["topic"] for mute in mutes] == ["user:3", "post:7"]
    assert all(re.fullmatch(r"\d{4}-.*\.\d{3}Z", mute["createdAt"]) for mute in mutes)
    for _ in range(2):
        assert await way("mutes:remove", {"topic": "post:7"}) == {"topic": "post:7", "muted": False}
    assert [mute["topic"] for mute in (await way("mutes:list"))["mutes"]] == ["user:3"]


async def test_what_cannot_be_muted_is_refused(way: Way) -> None:
    for topic in (
        "post", "post:", ":7", "user:x", "post:٣", "post:07", "post: 7", "post:2147483648", "post:7:8", "Post:7",
        "tag:7", "post:1.0", "post:-0", "x" * 300, "post:7/8", "post:%00", "post:NULL", "post:7\n",
    ):  # fmt: skip
        for operation in ("mutes:add", "mutes:remove"):
            answer = await way(operation, {"topic": topic})
            assert is_error(answer, "topic"), (topic, answer)
    assert await way("mutes:list") == {"mutes": []}


async def test_there_is_an_end_to_muting(server: Running, other: Sql) -> None:
    way = OverHttp(server)
    other.run("INSERT INTO notify.mute (user_id, topic) SELECT '1', 'post:' || n FROM generate_series(1, 1000) n")
    assert (await way("mutes:add", {"topic": "post:1000"}))["muted"] is True
    answer = await way("mutes:add", {"topic": "post:1001"})
    assert (answer["code"], answer["field"]) == ("too_many_mutes", "topic")
    await way("mutes:remove", {"topic": "post:1"})
    assert (await way("mutes:add", {"topic": "post:1001"}))["muted"] is True


async def test_a_muted_post_or_person_enters_no_inbox(server: Running, other: Sql, way: Way) -> None:
    other.run("INSERT INTO posts (author_id, title, body) VALUES (1, 'Three', '…')")
    await way("mutes:add", {"topic": "post:1"})
    await way("mutes:add", {"topic": "user:3"})
    for user, post in ((GRACE, 1), (LINUS, 3), (LINUS, 1)):
        await server.comment(user, post)
        other.run("INSERT INTO comments (post_id, author_id, body) VALUES (%s, %s, '')", post, user)
    for topic in ("post:1", "user:3", None, "post:2"):
        other.run("SELECT notify.send('1', 'note', '{}', %s)", topic)
    heard = await server.comment(GRACE, 3)
    await server.comment(LINUS, 2)
    await eventually(lambda: settled(other))
    assert [one for one in inbox(other) if one is not None] == [heard["id"]]
    topics = "SELECT topic FROM notify.notification WHERE user_id = '1' AND type = 'note' ORDER BY seq"
    assert other.run(topics) == [None, "post:2"]
    assert len(inbox(other, GRACE)) == 1  # others' mutes are theirs
    await way("mutes:remove", {"topic": "post:1"})
    assert (await server.comment(GRACE, 1))["id"] == inbox(other)[-1]  # what was muted before stays away
    assert len(inbox(other)) == 4
    assert counts_agree(other)


async def test_nothing_of_it_enters_once_muting_was_answered_in_the_middle_of_a_burst(
    server: Running, other: Sql, way: Way, direct_url: str
) -> None:
    topic = "post:1" if isinstance(way, OverHttp) else "user:2"
    posting = [asyncio.create_task(server.comment(GRACE, 1, str(n))) for n in range(150)]
    with sql(direct_url) as program:
        program.run("INSERT INTO comments (post_id, author_id, body) SELECT 1, 2, '' FROM generate_series(1, 700)")
    await eventually(lambda: len(inbox(other)) > 0)
    await way("mutes:add", {"topic": topic})
    entered = other.value("SELECT last_seq FROM notify.inbox WHERE user_id = '1'")
    posting += [asyncio.create_task(server.comment(GRACE, 1, str(n))) for n in range(50)]
    await asyncio.gather(*posting)
    await eventually(lambda: settled(other))
    assert other.value("SELECT last_seq FROM notify.inbox WHERE user_id = '1'") == entered
    assert other.value("SELECT count(*) FROM comments") == 900
    assert counts_agree(other)


# --- all tabs -------------------------------------------------------------------------------------------------------


def changes(client: Client) -> list[dict[str, Any]]:
    return [body for (body,) in client.named("notifications:changed")]


def is_chain(client: Client) -> bool:
    """In order of version without a hole, from the state at connect."""
    told = changes(client)
    return told[0]["from"] == told[0]["to"] and all(
        one["to"] == next_["from"] < next_["to"] for one, next_ in itertools.pairwise(told)
    )


def at(client: Client, other: Sql) -> bool:
    """Whether it knows the newest version."""
    told = changes(client)
    return bool(told) and told[-1]["to"] == other.value("SELECT version FROM notify.inbox WHERE user_id = '1'")


async def test_every_change_reaches_every_tab_on_every_server_in_order(
    start_server: StartServer, nodes: NodeClients, other: Sql
) -> None:
    one, two = await start_server(), await start_server()
    near = [await nodes.open(one.url, {"userId": ADA}).connected() for _ in range(2)]
    far = await nodes.open(two.url, {"userId": ADA}).connected()
    for client in (*near, far):
        await client.until(lambda client=client: len(changes(client)) == 1)  # type: ignore[misc]
    ask = near[0].ask
    first, second = await one.comment(GRACE, 1), await one.comment(LINUS, 1)
    await ask("notifications:seen", {"upTo": 1})
    await ask("notifications:read", {"seqs": [2]})
    await ask("notifications:unread", {"seqs": [2]})
    await ask("notifications:read", {"topic": "post:1"})
    await ask("notifications:delete", {"seqs": [1]})
    for client in near:
        await client.until(lambda client=client: at(client, other))  # type: ignore[misc]
        assert is_chain(client)
        told = changes(client)[1:]
        assert [set(body) - {"from", "to", "unread", "unseen"} for body in told] == [
            {"added"}, {"added"}, {"markedSeen"}, {"markedRead"}, {"markedUnread"}, {"markedRead"}, {"removed"},
        ]  # fmt: skip
        assert [entry["payload"]["commentId"] for body in told[:2] for entry in body["added"]] == [
            first["id"], second["id"],
        ]  # fmt: skip
        assert told[2]["markedSeen"].keys() == {"upTo", "at"}
        assert (told[2]["markedSeen"]["upTo"], told[2]["unseen"], told[2]["unread"]) == (1, 1, 2)
        assert (told[3]["markedRead"]["seqs"], told[3]["unseen"], told[3]["unread"]) == ([2], 0, 1)
        assert (told[4]["markedUnread"], told[4]["unread"]) == ({"seqs": [2]}, 2)
        assert (told[5]["markedRead"]["seqs"], told[5]["unread"]) == ([1, 2], 0)
        assert (told[6]["removed"], told[6]["unread"], told[6]["to"]) == ([1], 0, 7)
    await far.until(lambda: at(far, other), timeout_s=3)
    assert is_chain(far)
    assert {key: changes(far)[-1][key] for key in ("unread", "unseen")} == {"unread": 0, "unseen": 0}
    assert changes(near[0]) == changes(near[1])


async def test_tabs_on_two_servers_follow_a_storm_of_changes_without_a_hole(
    start_server: StartServer, nodes: NodeClients, other: Sql
) -> None:
    servers = [await start_server(), await start_server()]
    tabs = [await nodes.open(server.url, {"userId": ADA}).connected() for server in servers]
    for tab in tabs:
        await tab.until(lambda tab=tab: len(changes(tab)) == 1)  # type: ignore[misc]

    async def storm(server: Running) -> None:
        ask = OverHttp(server)
        for n in range(12):
            await asyncio.gather(*(server.comment(GRACE, 1, str(n)) for _ in range(3)))
            await ask("notifications:read", {"upTo": n * 3})
            await ask("notifications:delete", {"seqs": [n * 5 + 1, n * 5 + 2]})
            await ask("notifications:unread", {"seqs": [n]})

    await asyncio.gather(*(storm(server) for server in servers))
    counts = await OverHttp(servers[0])("notifications:counts")
    for tab in tabs:
        await tab.until(lambda tab=tab: at(tab, other), timeout_s=5)  # type: ignore[misc]
        assert is_chain(tab)
        assert {key: changes(tab)[-1][key] for key in counts if key != "version"} == {
            key: value for key, value in counts.items() if key != "version"
        }
    assert counts_agree(other)


async def test_a_deleted_comment_disappears_from_the_open_tabs(server: Running, nodes: NodeClients, other: Sql) -> None:
    tabs = [await nodes.open(server.url, {"userId": ADA}).connected() for _ in range(2)]
    comment = await server.comment(GRACE, 1)
    for tab in tabs:
        await tab.until(lambda tab=tab: len(tab.notifications) == 1)  # type: ignore[misc]
    async with server.http.delete(
        f"{server.url}/comments/{comment['id']}", headers={"Authorization": "User 2"}
    ) as response:
        assert response.status == 204
    for tab in tabs:
        await tab.until(lambda tab=tab: changes(tab)[-1].get("removed") == [1])  # type: ignore[misc]
        assert (changes(tab)[-1]["unread"], changes(tab)[-1]["unseen"]) == (0, 0)
        assert is_chain(tab)
    later = await nodes.open(server.url, {"userId": ADA}).connected()
    await later.until(lambda: len(changes(later)) == 1)
    assert await later.notified(0) == []
    assert inbox(other) == []


@pytest.mark.parametrize("what", ["DELETE FROM posts WHERE id = 1", "DELETE FROM users WHERE id = 2"])
async def test_a_deleted_post_or_person_takes_all_of_theirs_along(
    server: Running, nodes: NodeClients, other: Sql, what: str
) -> None:
    tab = await nodes.open(server.url, {"userId": ADA}).connected()
    await tab.until(lambda: len(changes(tab)) == 1)
    await asyncio.gather(*(server.comment(GRACE, 1, str(n)) for n in range(30)))
    await tab.until(lambda: len(tab.notifications) == 30)
    other.run(what)
    await eventually(lambda: settled(other) and inbox(other) == [])
    await tab.until(lambda: at(tab, other))
    assert is_chain(tab)
    assert sorted(seq for body in changes(tab) for seq in body.get("removed", ())) == list(range(1, 31))
    assert changes(tab)[-1]["unread"] == 0
    assert counts_agree(other)


async def test_a_tab_that_was_told_of_a_deletion_does_not_get_the_comment_behind_it(
    server: Running, nodes: NodeClients, other: Sql
) -> None:
    """Comments that live for a moment, and tabs that come in the middle of it."""
    tabs = [await nodes.open(server.url, {"userId": ADA}).connected()]
    for _ in range(15):
        comments = await asyncio.gather(*(server.comment(GRACE, 1) for _ in range(4)))
        tabs.append(nodes.open(server.url, {"userId": ADA}, transports=["websocket"]))
        other.run("DELETE FROM comments WHERE id = ANY (%s)", [comment["id"] for comment in comments[:3]])
    await eventually(lambda: settled(other) and len(inbox(other)) == 15)
    for tab in tabs:
        await tab.until(lambda tab=tab: at(tab, other))  # type: ignore[misc]
        assert is_chain(tab)
        removed: set[int] = set()
        for event in tab.seen:
            if event.name == "notifications:changed":
                removed.update(event.args[0].get("removed", ()))
            elif event.name == "notification":
                assert int(event.args[1].split(".")[0]) not in removed
    assert counts_agree(other)


async def test_an_undeleted_comment_comes_back(server: Running, nodes: NodeClients, other: Sql) -> None:
    tab = await nodes.open(server.url, {"userId": ADA}).connected()
    comment = await server.comment(GRACE, 1)
    other.run("CREATE TABLE bin AS SELECT * FROM comments; DELETE FROM comments")
    await tab.until(lambda: any("removed" in body for body in changes(tab)))
    other.run("INSERT INTO comments SELECT * FROM bin")
    payloads = await tab.notified(2)
    assert [payload["commentId"] for payload in payloads] == [comment["id"]] * 2
    assert inbox(other) == [comment["id"]]
    assert is_chain(tab)


@pytest.mark.parametrize("table", ["posts", "users"])
async def test_an_undeleted_post_or_person_comes_back_with_the_comments(
    server: Running, other: Sql, table: str
) -> None:
    await asyncio.gather(*(server.comment(GRACE, 1) for _ in range(3)))
    before = sorted(inbox(other))
    for kept in ("users", "posts", "comments"):
        other.run(f"CREATE TABLE kept_{kept} AS SELECT * FROM {kept}")
    other.run(f"DELETE FROM {table} WHERE id = {1 if table == 'posts' else 2}")
    await eventually(lambda: settled(other) and inbox(other) == [])
    for kept in ("users", "posts", "comments"):
        other.run(f"INSERT INTO {kept} SELECT * FROM kept_{kept} ON CONFLICT DO NOTHING")
    await eventually(lambda: settled(other) and sorted(inbox(other)) == before)
    assert counts_agree(other)


@pytest.mark.parametrize("table", ["posts", "users"])
async def test_where_no_foreign_key_takes_the_comments_along_the_scan_brings_them_back(
    db: Database, server: Running, other: Sql, table: str
) -> None:
    """The app's comments stay when their post or author goes, and nothing tells us that it came back."""
    for constraint in ("comments DROP CONSTRAINT comments_post_id_fkey",
                       "comments DROP CONSTRAINT comments_author_id_fkey",
                       "posts DROP CONSTRAINT posts_author_id_fkey"):  # fmt: skip
        other.run(f"ALTER TABLE {constraint}")
    kept, lost = [(await server.comment(user, 1))["id"] for user in (LINUS, GRACE)]
    own = await server.comment(ADA, 1)
    other.run("SELECT notify.delete_notifications_v1('1', ARRAY[1]::bigint[])")
    other.run(f"CREATE TABLE bin AS SELECT * FROM {table}")
    other.run(f"DELETE FROM {table} WHERE id = {1 if table == 'posts' else GRACE}")
    await eventually(lambda: settled(other) and inbox(other) == [])
    other.run(f"INSERT INTO {table} SELECT * FROM bin ON CONFLICT DO NOTHING")
    async with in_background(Reconciler(db, every_s=0.05).run()):
        await eventually(lambda: inbox(other) == [lost])
    assert kept < own["id"]  # whose notification was deleted by its owner, and which is his own
    assert other.value("SELECT count(*) FROM notify.considered WHERE retracted") == 0
    assert counts_agree(other)


async def test_a_post_that_changes_hands_notifies_its_new_owner_and_leaves_the_past(
    server: Running, nodes: NodeClients, other: Sql
) -> None:
    linus = await nodes.open(server.url, {"userId": LINUS}).connected()
    old = await server.comment(GRACE, 1)
    other.run("UPDATE posts SET author_id = 3 WHERE id = 1")
    await eventually(lambda: settled(other))
    new = await server.comment(GRACE, 1)
    other.run("INSERT INTO comments (post_id, author_id, body) VALUES (1, 2, '')")
    assert [payload["commentId"] for payload in await linus.notified(2)] == [new["id"], new["id"] + 1]
    await server.comment(LINUS, 1)  # his own by now
    await server.comment(ADA, 1)
    assert len(await linus.notified(3)) == 3
    assert inbox(other) == [old["id"]]


async def test_a_mark_on_one_tab_of_somebody_reaches_nobody_else(
    server: Running, nodes: NodeClients, other: Sql
) -> None:
    grace = await nodes.open(server.url, {"userId": GRACE}).connected()
    await grace.until(lambda: len(changes(grace)) == 1)
    deliver(other, 3)
    await OverHttp(server)("notifications:read", {"upTo": 3})
    await asyncio.sleep(SETTLE_S)
    assert len(changes(grace)) == 1
    assert grace.notifications == []


@pytest.fixture
def held_inbox(direct_url: str) -> Iterator[Sql]:
    """Ada's inbox, locked in somebody's open transaction."""
    with sql(direct_url) as holder:
        holder.run("INSERT INTO notify.inbox (user_id) VALUES ('1') ON CONFLICT DO NOTHING")
        holder.run("BEGIN")
        holder.run("SELECT FROM notify.inbox WHERE user_id = '1' FOR UPDATE")
        yield holder


async def test_reading_waits_for_nobody_and_marks_wait_for_their_turn(
    server: Running, held_inbox: Sql, other: Sql
) -> None:
    ask = OverHttp(server)
    marking = asyncio.create_task(ask("notifications:read", {"upTo": 1}))
    assert (await ask("notifications:counts"))["unread"] == 0
    assert (await ask("notifications:list"))["notifications"] == []
    assert (await ask("notifications:read", {"upTo": 1}, user=GRACE))["unread"] == 0
    assert not marking.done()
    held_inbox.run("COMMIT")
    assert (await marking)["unread"] == 0
    assert counts_agree(other)


async def test_an_answer_tells_when_the_same_may_succeed_later(
    start_server: StartServer, nodes: NodeClients, direct_url: str
) -> None:
    server = await start_server(db_timeout_s=0.5)
    await server.comment(GRACE, 1)
    ada = await nodes.open(server.url, {"userId": ADA}).connected()
    with sql(direct_url) as holder:
        holder.run("BEGIN")
        holder.run("SELECT FROM notify.inbox FOR UPDATE")
        answer = await ada.ask("notifications:read", {"seqs": [1]})
        holder.run("ROLLBACK")
    assert (answer["code"], answer["retryAfter"]) == ("timeout", 1)
    assert (await ada.ask("notifications:read", {"seqs": [1]}))["ok"]
    assert "retryAfter" not in await ada.ask("notifications:read", {"seqs": "x"})
