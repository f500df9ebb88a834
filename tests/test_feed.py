"""The feed on real rows, with a screen that only notes what it is told."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import defaultdict
from collections.abc import Mapping
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
        self.gone: dict[str, set[int]] = defaultdict(set)
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
        assert notification.seq not in self.gone[sid], "shown behind the word that it was taken back"
        self.shown[sid].append(notification.event["n"])
        self.offsets[sid].append(offset)
        if sid in self.takes:
            self.takes[sid] -= 1
            if not self.takes[sid] and self.feeds is not None:
                self.feeds.slow(sid)

    def tell_room(self, user_id: str, change: dict[str, Any]) -> None:
        for sid in list(self.rooms[user_id]):
            self.told[sid].append(change)
            self.gone[sid].update(change.get("removed", ()))

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


def remove(other: Sql, *seqs: int, user: str = ADA) -> list[Change]:
    """Takes notifications back, telling nobody."""
    return changes_from_json(
        other.value(
            "SELECT notify.remove_notifications_v1(array_fill(%s::text, ARRAY[%s]), %s::bigint[])",
            user, len(seqs), list(seqs),
        )
    )  # fmt: skip


def read(other: Sql, *seqs: int, user: str = ADA) -> list[Change]:
    """Marks as read, telling nobody."""
    answer = other.value("SELECT notify.mark_read_v1(%s, %s::bigint[], NULL, NULL, 100)", user, list(seqs))
    return changes_from_json(answer["changes"])


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


# --- changes, in order of version -----------------------------------------------------------------------------------


def chained(told: list[dict[str, Any]]) -> bool:
    """Each begins where the one before ended; the first tells where the socket began."""
    return all(after["from"] == before["to"] for before, after in itertools.pairwise(told))


async def test_a_socket_is_told_the_version_it_begins_with_and_every_change_from_there(
    feeds: Feeds, screens: Screens, other: Sql
) -> None:
    deliver(other, 1, 2)
    await join(feeds, "a")
    await eventually(lambda: screens.rooms[ADA] == {"a"})
    feeds.changed(deliver(other, 3))
    feeds.changed(remove(other, 2))
    feeds.changed(read(other, 1))
    told = screens.told["a"]
    assert [(one["from"], one["to"], one["unread"], one["unseen"]) for one in told] == [
        (2, 2, 2, 2), (2, 3, 3, 3), (3, 4, 2, 2), (4, 5, 1, 1),
    ]  # fmt: skip
    assert [entry["seq"] for entry in told[1]["added"]] == [3]
    assert told[2]["removed"] == [2]
    assert told[3]["markedRead"]["seqs"] == [1]


async def test_changes_out_of_order_and_lost_are_told_in_order_and_once(
    feeds: Feeds, screens: Screens, other: Sql
) -> None:
    await join(feeds, "a")
    async with in_background(feeds.watch()):
        first, second = deliver(other, 1), remove(other, 1)
        feeds.changed(second)
        feeds.changed(first)
        feeds.changed(second)
        deliver(other, 2)  # nobody says so
        await eventually(lambda: screens.told["a"][-1]["to"] == 3, timeout_s=3)
    assert chained(screens.told["a"])
    assert screens.shown["a"] in ([2], [1, 2])  # 1 only where it was shown before the word that it is gone


async def test_deliveries_that_were_pulled_are_named_and_other_changes_are_not(
    feeds: Feeds, screens: Screens, other: Sql
) -> None:
    await join(feeds, "a")
    deliver(other, 1, 2)
    feeds.changed_elsewhere([ADA])
    await eventually(lambda: screens.told["a"][-1]["to"] == 2)
    assert [entry["payload"]["n"] for entry in screens.told["a"][-1]["added"]] == [1, 2]
    read(other, 1)
    deliver(other, 3)
    feeds.changed_elsewhere([ADA])
    await eventually(lambda: screens.told["a"][-1]["to"] == 4)
    assert screens.told["a"][-1]["reload"] is True
    assert "added" not in screens.told["a"][-1]
    assert screens.shown["a"] == [1, 2, 3]
    assert chained(screens.told["a"])


async def test_any_s_hint_looks_at_once(feeds: Feeds, screens: Screens, other: Sql) -> None:
    await join(feeds, "a")
    async with in_background(feeds.watch()):
        await asyncio.sleep(0.2)
        deliver(other, 1)
        feeds.changed_elsewhere(None)
        await eventually(lambda: screens.shown["a"] == [1], timeout_s=0.5)


async def test_more_than_a_stretch_is_told_as_a_whole(
    feeds: Feeds, screens: Screens, other: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify_server.feed._PULL_ROWS", 3)
    await join(feeds, "a")
    deliver(other, *range(10))
    feeds.changed_elsewhere([ADA])
    await eventually(lambda: len(screens.told["a"]) == 2)
    assert screens.shown["a"] == list(range(10))
    assert screens.told["a"][1] == {"from": 0, "to": 10, "unread": 10, "unseen": 10, "reload": True}


class Held(Inbox):
    """Stretches are held back once they were read, until they are let go."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.read, self.go = asyncio.Event(), asyncio.Event()

    async def after(self, user_id: str, seq: int, max_rows: int) -> Stretch:
        stretch = await super().after(user_id, seq, max_rows)
        self.read.set()
        await self.go.wait()
        return stretch


@pytest.mark.parametrize("named", [True, False])
async def test_what_is_taken_back_while_a_replay_is_read_is_not_shown(
    db: Database, screens: Screens, other: Sql, named: bool
) -> None:
    """`named`: this server took it back; else it only hears that something changed."""
    inbox = Held(db)
    screens.feeds = feeds = Feeds(inbox, screens, Recovery("a secret of the tests", await inbox.epoch()))
    deliver(other, 1, 2, 3)
    pid = feeds.recovery.new_pid(ADA, 0) if feeds.recovery else ""
    await feeds.open(ADA, "a", pid)
    feeds.joined("a")
    await inbox.read.wait()
    removed = remove(other, 2)
    if named:
        feeds.changed(removed)
    else:
        feeds.changed_elsewhere([ADA])
        inbox.read.clear()
        await inbox.read.wait()
    inbox.go.set()
    await eventually(lambda: screens.rooms[ADA] == {"a"})
    if named:
        assert screens.shown["a"] == [1, 3]
    else:
        # the replay was read before; only a tab that was told of the deletion must not see it any more
        assert screens.shown["a"] in ([1, 2, 3], [1, 3])
    assert screens.told["a"][-1]["to"] == 4


async def test_a_socket_that_knows_more_than_this_server_waits_for_it(
    db: Database, screens: Screens, other: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told by another server, and comes here before the hint does."""
    inbox = Inbox(db)
    recovery = Recovery("a secret of the tests", await inbox.epoch())
    screens.feeds = feeds = Feeds(inbox, screens, recovery)
    await join(feeds, "a")
    deliver(other, 1, 2, 3)
    await feeds.open(ADA, "b", recovery.new_pid(ADA, 0), f"2.{recovery.tag(ADA)}")
    feeds.joined("b")
    await eventually(lambda: screens.rooms[ADA] == {"a", "b"})
    feeds.changed(deliver(other, 4))
    assert screens.shown == {"a": [1, 2, 3, 4], "b": [3, 4]}
    assert chained(screens.told["a"])


async def test_a_socket_that_was_slow_is_told_the_version_again(feeds: Feeds, screens: Screens, other: Sql) -> None:
    await join(feeds, "a")
    screens.takes["a"] = 1
    feeds.changed(deliver(other, 1))
    feeds.changed(read(other, 1))
    assert [one["to"] for one in screens.told["a"]] == [0]
    feeds.writable("a")
    assert [(one["from"], one["to"]) for one in screens.told["a"]] == [(0, 0), (2, 2)]  # a gap: it refetches


async def test_arrivals_are_written_and_never_go_back(feeds: Feeds, screens: Screens, other: Sql) -> None:
    await join(feeds, "a")
    feeds.changed(deliver(other, *range(1, 6)))
    arrived = "SELECT seq FROM notify.arrival WHERE user_id = '1'"
    async with in_background(feeds.watch_arrivals()):
        feeds.arrived("a", 4)
        feeds.arrived("a", 3)
        await eventually(lambda: other.run(arrived) == [4])
        feeds.arrived("a", 99)  # no client of ours; but what is not there cannot have arrived
        await eventually(lambda: other.run(arrived) == [5] and feeds._arrived == {})
    feeds.arrived("nobody", 1)


async def test_stopping_writes_what_has_arrived(feeds: Feeds, other: Sql) -> None:
    await join(feeds, "a")
    feeds.changed(deliver(other, 1))
    feeds.arrived("a", 1)
    feeds.close("a")
    await feeds.stop()
    assert other.run("SELECT seq FROM notify.arrival") == [1]


async def test_another_epoch_cuts_everybody(feeds: Feeds, screens: Screens, other: Sql) -> None:
    await join(feeds, "a")
    before = feeds.recovery
    assert before is not None
    other.run("UPDATE notify.recovery SET epoch = epoch + 1")
    async with in_background(feeds.watch()):
        await eventually(lambda: screens.cuts == {"a"}, timeout_s=3)
        deliver(other, 1, 2)
        await feeds.open(ADA, "b", before.new_pid(ADA, 0), f"1.{before.tag(ADA)}")
        feeds.joined("b")
        await eventually(lambda: screens.shown["b"] == [1, 2])
        assert feeds.recovery is not before


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_changes_each_socket_is_told_all_of_it_in_order(
    db: Database, screens: Screens, other: Sql, seed: int
) -> None:
    """Deliveries, marks and deletions; hints shuffled, lost and doubled; sockets that come, go and are slow."""
    chance = random.Random(seed)
    inbox = Inbox(db)
    screens.feeds = feeds = Feeds(inbox, screens, Recovery("a secret of the tests", await inbox.epoch()))
    total = 0

    async with in_background(feeds.watch()):
        held: list[Change] = []
        for n in range(150):
            if chance.random() < 0.1:
                await join(feeds, f"s{n}")
            if chance.random() < 0.1 and screens.shown:
                screens.takes[chance.choice(list(screens.shown))] = chance.randrange(1, 4)
            if screens.takes and chance.random() < 0.3:
                sid, _ = screens.takes.popitem()
                feeds.writable(sid)
            if chance.random() < 0.6 or not total:
                count = chance.randrange(1, 4)
                held += deliver(other, *range(total + 1, total + count + 1))
                total += count
            elif chance.random() < 0.5:
                held += remove(other, chance.randrange(max(1, total - 5), total + 1))
            else:
                held += read(other, chance.randrange(max(1, total - 5), total + 1))
            if chance.random() < 0.6:
                chance.shuffle(held)
                feeds.changed(held[: chance.randrange(len(held) + 1)] * chance.randrange(1, 3))
                held.clear()
            if chance.random() < 0.3:
                await asyncio.sleep(0.003)
        for sid in list(screens.takes):
            del screens.takes[sid]
            feeds.writable(sid)
        held += deliver(other, total + 1)
        version = other.value("SELECT version FROM notify.inbox WHERE user_id = '1'")
        joined = list(screens.told)
        await eventually(lambda: all(screens.told[sid][-1]["to"] == version for sid in joined), timeout_s=5)
    left = other.run("SELECT (payload ->> 'n')::int FROM notify.notification WHERE read_at IS NULL ORDER BY seq")
    for sid in joined:
        shown = screens.shown[sid]
        assert shown == sorted(set(shown))
        assert set(left) & set(range(shown[0], total + 2)) <= set(shown)
        for before, after in zip(screens.told[sid], screens.told[sid][1:], strict=False):
            assert before["to"] <= after["from"] <= after["to"]
            assert before["to"] == after["from"] or after["from"] == after["to"]  # a gap only where it was slow


async def test_versions_are_compared_also_where_the_epoch_cannot_be_read(
    feeds: Feeds, screens: Screens, other: Sql
) -> None:
    await join(feeds, "a")
    other.run("ALTER FUNCTION notify.epoch_v1 RENAME TO epoch_away")
    async with in_background(feeds.watch()):
        deliver(other, 1)
        await eventually(lambda: screens.shown["a"] == [1], timeout_s=3)


async def test_versions_are_compared_only_where_something_was_committed(
    db: Database, screens: Screens, other: Sql
) -> None:
    looks = comparisons = 0

    class Counted(Inbox):
        async def moment(self) -> tuple[str, str]:
            nonlocal looks
            looks += 1
            return await super().moment()

        async def altered(self, versions: Mapping[str, int]) -> list[tuple[str, int]]:
            nonlocal comparisons
            comparisons += 1
            return await super().altered(versions)

    inbox = Counted(db)
    screens.feeds = feeds = Feeds(inbox, screens, Recovery("a secret of the tests", await inbox.epoch()))
    await join(feeds, "a")
    async with in_background(feeds.watch()):
        while looks < 30:
            seen = looks
            feeds.changed_elsewhere(None)
            await eventually(lambda: looks > seen, timeout_s=3)  # noqa: B023
        assert 1 <= comparisons < 15  # others in this cluster, as the autovacuum, commit as well
        deliver(other, 1)
        feeds.changed_elsewhere(None)
        await eventually(lambda: screens.shown["a"] == [1], timeout_s=3)
        deliver(other, 2)
        feeds.changed_elsewhere(None)
        await eventually(lambda: screens.shown["a"] == [1, 2], timeout_s=3)


async def test_a_feed_that_is_gone_is_not_read_again_and_again(
    db: Database, screens: Screens, other: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0

    class Counted(Inbox):
        async def after(self, user_id: str, seq: int, max_rows: int) -> Stretch:
            nonlocal reads
            reads += 1
            return await super().after(user_id, seq, max_rows)

    inbox = Counted(db)
    screens.feeds = feeds = Feeds(inbox, screens, recovery := Recovery("a secret of the tests", await inbox.epoch()))
    monkeypatch.setattr(screens, "cut", lambda _sid: None)  # its handlers are still at work
    deliver(other, *range(10))
    await join(feeds, "a")
    await feeds.open(ADA, "b", recovery.new_pid(ADA, 0))
    other.run("DELETE FROM notify.notification; UPDATE notify.inbox SET last_seq = 0, version = 0")
    feeds.joined("b")
    await asyncio.sleep(0.5)
    assert reads < 5


class HeldOnce(Held):
    """Holds back the first that is read of them, and no other."""

    async def after(self, user_id: str, seq: int, max_rows: int) -> Stretch:
        if self.read.is_set():
            return await Inbox.after(self, user_id, seq, max_rows)
        return await super().after(user_id, seq, max_rows)


async def test_a_feed_whose_last_socket_has_gone_says_nothing_to_the_next_one_s_room(
    db: Database, screens: Screens, other: Sql
) -> None:
    """Its pull is answered when the user is back already, with a feed of its own."""
    inbox = HeldOnce(db)
    screens.feeds = feeds = Feeds(inbox, screens, recovery := Recovery("a secret of the tests", await inbox.epoch()))
    await join(feeds, "a")
    deliver(other, 1, 2)
    feeds.changed_elsewhere([ADA])
    await inbox.read.wait()
    screens.leave_room("a", ADA)
    feeds.close("a")
    await feeds.open(ADA, "b", recovery.new_pid(ADA, 0))
    feeds.joined("b")
    await eventually(lambda: screens.rooms[ADA] == {"b"})
    inbox.go.set()
    await asyncio.sleep(0.1)
    feeds.changed(deliver(other, 3))
    assert screens.shown == {"b": [1, 2, 3]}
    assert chained(screens.told["b"])


async def test_a_socket_that_goes_while_it_is_opened_leaves_nothing_that_speaks(
    db: Database, screens: Screens, other: Sql
) -> None:
    reading, go = asyncio.Event(), asyncio.Event()

    class SlowOnce(Inbox):
        async def state(self, user_id: str) -> State:
            found = await super().state(user_id)
            if not reading.is_set():
                reading.set()
                await go.wait()
            return found

    inbox = SlowOnce(db)
    screens.feeds = feeds = Feeds(inbox, screens, Recovery("a secret of the tests", await inbox.epoch()))
    opening = asyncio.create_task(feeds.open(ADA, "a"))
    await reading.wait()
    early = deliver(other, 1)
    feeds.changed(early)  # kept for when the version is known
    feeds.close("a")
    await join(feeds, "b")
    await eventually(lambda: screens.rooms[ADA] == {"b"})
    go.set()
    await opening
    feeds.changed(deliver(other, 2))
    assert screens.shown == {"b": [1, 2]}
