"""The feed on real rows, with a screen that only notes what it is told."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Any

import pytest

from notify_server.background import in_background
from notify_server.db import Database
from notify_server.errors import DatabaseAway
from notify_server.feed import Feeds
from notify_server.inbox import Change, Inbox, Notification, State, Stretch, changes_from_json
from notify_server.recovery import Recovery
from tests.postgres import Sql
from tests.waiting import eventually

ADA = "1"


class Screens:
    """Rooms, what each socket was shown (by number) and told."""

    def __init__(self) -> None:
        self.rooms: dict[str, set[str]] = defaultdict(set)
        self.shown: dict[str, list[int]] = defaultdict(list)
        self.offsets: dict[str, list[str | None]] = defaultdict(list)
        self.told: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.cuts: set[str] = set()
        self.feeds: Feeds | None = None
        self.takes: dict[str, int] = {}  # so many more rows, then the socket is slow

    def enter_room(self, sid: str, user_id: str) -> None:
        self.rooms[user_id].add(sid)

    def leave_room(self, sid: str, user_id: str) -> None:
        self.rooms[user_id].discard(sid)

    def emit_to_room(self, notification: Notification, offset: str | None) -> None:
        for sid in list(self.rooms[notification.user_id]):
            self.emit_to_socket(sid, notification, offset)

    def emit_to_socket(self, sid: str, notification: Notification, offset: str | None) -> None:
        self.shown[sid].append(notification.event["n"])
        self.offsets[sid].append(offset)
        if sid in self.takes:
            self.takes[sid] -= 1
            if not self.takes[sid] and self.feeds is not None:
                self.feeds.slow(sid)

    def tell_room(self, user_id: str, change: dict[str, Any]) -> None:
        for sid in list(self.rooms[user_id]):
            self.told[sid].append(change)

    def tell_socket(self, sid: str, change: dict[str, Any]) -> None:
        self.told[sid].append(change)

    def cut(self, sid: str) -> None:
        self.cuts.add(sid)
        assert self.feeds is not None
        self.feeds.close(sid)


@pytest.fixture
def screens() -> Screens:
    return Screens()


@pytest.fixture
async def feeds(db: Database, screens: Screens) -> Feeds:
    inbox = Inbox(db)
    screens.feeds = Feeds(inbox, screens, Recovery("a secret of the tests", await inbox.epoch()))
    return screens.feeds


def deliver(other: Sql, *numbers: int, user: str = ADA) -> list[Change]:
    """Straight into the inbox, telling nobody: each a change of its own."""
    return [
        change
        for number in numbers
        for change in changes_from_json(
            other.value(
                "SELECT notify.deliver_v2(ARRAY[ROW(%s, 'test', jsonb_build_object('n', %s), NULL, NULL, NULL, NULL)"
                "::notify.draft])", user, number,
            )
        )
    ]  # fmt: skip


async def join(feeds: Feeds, sid: str, user: str = ADA) -> None:
    await feeds.open(user, sid)
    feeds.joined(sid)


async def test_what_follows_is_shown_at_once(feeds: Feeds, screens: Screens, other: Sql) -> None:
    await join(feeds, "a")
    feeds.changed(deliver(other, 3, 4))
    assert screens.shown == {"a": [3, 4]}


async def test_hints_out_of_order_are_put_in_order(feeds: Feeds, screens: Screens, other: Sql) -> None:
    await join(feeds, "a")
    first, second, third = deliver(other, 1), deliver(other, 2), deliver(other, 3)
    feeds.changed(third)
    feeds.changed(first)
    feeds.changed(second)
    await eventually(lambda: screens.shown["a"] == [1, 2, 3])
    feeds.changed(deliver(other, 4))
    assert screens.shown["a"] == [1, 2, 3, 4]


async def test_hints_twice_are_shown_once(feeds: Feeds, screens: Screens, other: Sql) -> None:
    await join(feeds, "a")
    rows = deliver(other, 1, 2)
    feeds.changed(rows)
    feeds.changed(rows)
    assert screens.shown["a"] == [1, 2]


async def test_a_lost_hint_is_found_by_the_poll(feeds: Feeds, screens: Screens, other: Sql) -> None:
    await join(feeds, "a")
    async with in_background(feeds.watch()):
        deliver(other, 1, 2)
        await eventually(lambda: screens.shown["a"] == [1, 2], timeout_s=3)


async def test_what_is_committed_between_the_answer_to_connect_and_the_room_is_caught_up(
    feeds: Feeds, screens: Screens, other: Sql
) -> None:
    await join(feeds, "a")
    await feeds.open(ADA, "b")
    feeds.changed(deliver(other, 1))
    feeds.joined("b")
    feeds.changed(deliver(other, 2))
    await eventually(lambda: screens.shown["b"] == [1, 2])
    assert screens.shown["a"] == [1, 2]
    await eventually(lambda: screens.rooms[ADA] == {"a", "b"})


async def test_a_hint_while_the_head_is_being_read_is_kept(db: Database, screens: Screens, other: Sql) -> None:
    reading, read = asyncio.Event(), asyncio.Event()

    class Slow(Inbox):
        async def state(self, user_id: str) -> State:
            found = await super().state(user_id)
            reading.set()
            await read.wait()
            return found

    feeds = Feeds(Slow(db), screens)
    opening = [asyncio.create_task(join(feeds, sid)) for sid in "ab"]
    await reading.wait()
    feeds.changed(deliver(other, 1))
    read.set()
    await asyncio.gather(*opening)
    feeds.changed(deliver(other, 2))
    await eventually(lambda: screens.shown["a"] == screens.shown["b"] == [1, 2])


async def test_the_newest_deleted_again_does_not_stop_the_feed(feeds: Feeds, screens: Screens, other: Sql) -> None:
    await join(feeds, "a")
    rows = deliver(other, 1, 2, 3)
    other.run("SELECT notify.remove_notifications_v1('{1}', '{3}')")
    feeds.changed(rows[1:2])  # a gap: it pulls
    await eventually(lambda: screens.shown["a"] == [1, 2])
    feeds.changed(deliver(other, 4))
    await eventually(lambda: screens.shown["a"] == [1, 2, 4])


async def test_a_failed_opening_leaves_nothing_and_the_next_one_works(
    db: Database, screens: Screens, other: Sql
) -> None:
    class Failing(Inbox):
        failures = 2

        async def state(self, user_id: str) -> State:
            if self.failures:
                self.failures -= 1
                raise DatabaseAway("away")
            return await super().state(user_id)

    feeds = Feeds(Failing(db), screens)
    results = await asyncio.gather(*(feeds.open(ADA, sid) for sid in "ab"), return_exceptions=True)
    assert all(isinstance(result, DatabaseAway) for result in results)
    assert feeds._feeds == {}
    assert feeds._by_sid == {}
    await join(feeds, "c")
    feeds.changed(deliver(other, 1))
    assert screens.shown["c"] == [1]


async def test_the_database_away_in_the_middle_of_a_catch_up_is_waited_for(
    db: Database, screens: Screens, other: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify_server.feed._POLL_S", 0.1)

    class Flaky(Inbox):
        calls = 0

        async def after(self, user_id: str, seq: int, max_rows: int) -> Stretch:
            self.calls += 1
            if self.calls % 2:
                raise DatabaseAway("away")
            return await super().after(user_id, seq, min(max_rows, 2))

    feeds = Feeds(Flaky(db), screens)
    await join(feeds, "a")
    async with in_background(feeds.watch()):
        deliver(other, *range(1, 8))
        await eventually(lambda: screens.shown["a"] == list(range(1, 8)))


async def test_nothing_is_kept_of_sockets_that_are_gone(feeds: Feeds, other: Sql) -> None:
    for n in range(10):
        await join(feeds, f"s{n}", user=str(n % 3))
    for n in range(10):
        feeds.close(f"s{n}")
        feeds.close(f"s{n}")
    assert feeds._feeds == {}
    assert feeds._by_sid == {}
    feeds.joined("s1")
    feeds.changed(deliver(other, 1))


async def test_a_payload_that_no_browser_could_read_blocks_nobody(feeds: Feeds, screens: Screens, other: Sql) -> None:
    await join(feeds, "a")
    async with in_background(feeds.watch()):
        deliver(other, 1)
        for payload in ('{"n": 2, "x": 1e400, "y": 123456789012345678901234567890}', '{"n": 3, "x": %s1%s}'):
            nested = payload.replace("%s1%s", "[" * 3000 + "]" * 3000)
            other.run(
                "SELECT notify.deliver_v2(ARRAY[ROW('1', 'test', %s::jsonb, NULL, NULL, NULL, NULL)::notify.draft])",
                nested,
            )
        deliver(other, 4)
        await eventually(lambda: screens.shown["a"][-1:] == [4], timeout_s=3)
    assert screens.shown["a"][:2] == [1, 2]


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens_each_socket_sees_all_after_its_connect_once_and_in_order(
    db: Database, screens: Screens, other: Sql, seed: int
) -> None:
    """Hints shuffled, lost and doubled; sockets that come and go."""
    chance = random.Random(seed)
    feeds = Feeds(Inbox(db), screens)
    joined_at: dict[str, int] = {}
    total = 0
    async with in_background(feeds.watch()):
        held: list[Change] = []
        for n in range(120):
            if chance.random() < 0.15:
                sid = f"s{n}"
                await feeds.open(ADA, sid)
                joined_at[sid] = total
                if chance.random() < 0.5:
                    await asyncio.sleep(0)
                feeds.joined(sid)
            count = chance.randrange(1, 4)
            held += deliver(other, *range(total + 1, total + count + 1))
            total += count
            if chance.random() < 0.6:
                chance.shuffle(held)
                feeds.changed(held[: chance.randrange(len(held) + 1)] * chance.randrange(1, 3))
                held.clear()
            if chance.random() < 0.3:
                await asyncio.sleep(0.003)
        await eventually(lambda: all(screens.shown[sid][-1:] == [total] for sid in joined_at), timeout_s=5)
    for sid, floor in joined_at.items():
        shown = screens.shown[sid]
        assert shown == list(range(shown[0], total + 1))
        assert shown[0] <= floor + 1


async def test_a_slow_socket_is_sent_nothing_until_it_can_take_more(feeds: Feeds, screens: Screens, other: Sql) -> None:
    await join(feeds, "slow")
    await join(feeds, "quick")
    screens.takes["slow"] = 3
    feeds.changed(deliver(other, *range(10)))
    assert screens.shown == {"slow": [0, 1, 2], "quick": list(range(10))}
    assert screens.rooms[ADA] == {"quick"}
    screens.takes["slow"] = 4  # while it catches up, it is slow again
    feeds.writable("slow")
    await eventually(lambda: screens.shown["slow"] == list(range(7)))
    feeds.changed(deliver(other, 10))
    assert screens.shown["slow"] == list(range(7))
    del screens.takes["slow"]
    feeds.writable("slow")
    await eventually(lambda: screens.rooms[ADA] == {"quick", "slow"})
    feeds.changed(deliver(other, 11))
    assert screens.shown == {"slow": list(range(12)), "quick": list(range(12))}


async def test_a_socket_slow_at_every_row_still_sees_all_in_order(feeds: Feeds, screens: Screens, other: Sql) -> None:
    await join(feeds, "a")
    for n in range(40):
        screens.takes["a"] = 1
        feeds.changed(deliver(other, n))
        feeds.writable("a")
    screens.takes.clear()
    feeds.writable("a")
    await eventually(lambda: screens.shown["a"] == list(range(40)))


async def test_a_slow_socket_that_goes_is_forgotten(feeds: Feeds, screens: Screens, other: Sql) -> None:
    await join(feeds, "a")
    screens.takes["a"] = 1
    feeds.changed(deliver(other, 1))
    feeds.close("a")
    feeds.writable("a")
    feeds.slow("a")
    assert feeds._feeds == {}
    assert feeds.count(ADA) == 0
