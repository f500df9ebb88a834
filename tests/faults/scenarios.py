"""What is tried apart from the faults: one key a thousand times, stolen sessions, a client that was away for long."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from signal import SIGKILL
from typing import Any

from aiohttp import ClientError, WSMsgType

from tests.faults.logs import Life
from tests.faults.proxy import Proxy
from tests.faults.world import World
from tests.processes import start_process

_AT_ONCE = 50
_QUIET_S = 0.4
KEPT_DAYS = 90  # RETENTION_DAYS


@dataclass
class Outcome:
    """One line of the table; `broken` says what did not hold."""

    name: str
    found: str
    target: str
    broken: list[str] = field(default_factory=list)


async def one_key(world: World, number: int = 1000) -> Outcome:
    """The same request to all servers at once, while other traffic goes on."""
    gate, body, key = asyncio.Semaphore(_AT_ONCE), "one key for all", "0123456789abcdef"

    async def send() -> int | None:
        async with gate:
            return (await world.poster.attempt("2", "1", body, key)).status

    statuses = await asyncio.gather(*(send() for _ in range(number)))
    (written,) = await world.run("SELECT count(*) FROM comments WHERE body = %s", body)
    told = ", ".join(f"{status or 'none'}: {statuses.count(status)}" for status in sorted({s or 0 for s in statuses}))
    broken = [] if written == 1 and 200 in statuses else [f"{written} comments; answers {told}"]
    return Outcome(f"comments by {number:,} requests with one key", f"{written} ({told})", "1", broken)


# --- stolen and forged sessions -------------------------------------------------------------------------------------


def _forged(random: Random, victim: Life, own: Life) -> Iterator[dict[str, Any]]:
    """CONNECT's auth, but for who connects, without end."""
    pid, offset = victim.connections[-1].pid or "forged", victim.offset or "1.forged"
    own_pid, own_offset = own.connections[-1].pid or "own", own.offset or "1.own"
    seq, _, tag = offset.partition(".")
    own_tag = own_offset.partition(".")[2]
    while True:
        place = random.randrange(len(pid))
        yield {"pid": pid, "offset": offset}
        yield {"pid": pid}
        yield {"pid": pid, "offset": f"0.{tag}"}
        yield {"pid": pid, "offset": f"0.{own_tag}"}
        yield {"pid": own_pid, "offset": offset}
        yield {"pid": own_pid, "offset": f"0.{tag}"}
        yield {"pid": own_pid, "offset": f"{seq}.{own_tag}"}
        yield {"pid": pid[:place] + random.choice("Aa0-_.") + pid[place + 1 :], "offset": offset}
        yield {"pid": pid[:place], "offset": offset}
        yield {"pid": pid + own_pid, "offset": offset}
        yield {"pid": pid.swapcase(), "offset": own_offset}
        yield {"pid": victim.connections[-1].sid, "offset": offset}
        yield {"pid": "x" * 5000, "offset": offset}
        yield {"pid": random.choice([None, 7, True, [], {}, [pid], {"pid": pid}, ""]), "offset": offset}
        yield {
            "pid": pid,
            "offset": random.choice([None, 7, "", ".", "-1.x", "9" * 40, f"{seq}.", f".{tag}", [offset]]),
        }


async def _connect(world: World, user: str, auth: dict[str, Any]) -> list[dict[str, Any]]:
    """Over a WebSocket, by hand; gives the payloads that came, until it was quiet for a while."""
    got = []
    port = world.random.choice(world.servers).port
    url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
    try:
        async with world.http.ws_connect(url) as ws:
            await ws.receive_str()
            await ws.send_str("40" + json.dumps({"userId": user, **auth}))
            until = time.monotonic() + 3  # there is traffic: it need not get quiet
            while time.monotonic() < until:
                async with asyncio.timeout(_QUIET_S):
                    message = await ws.receive()
                if message.type != WSMsgType.TEXT:
                    break
                if message.data.startswith("42") and json.loads(message.data[2:])[0] == "notification":
                    got.append(json.loads(message.data[2:])[1])
    except (TimeoutError, ClientError, TypeError):
        pass
    return got


async def stolen_sessions(world: World, number: int = 200) -> Outcome:
    """pid and offset of one user in the CONNECT of another, as they are and forged; sid as that of a poll."""
    gate, leaks = asyncio.Semaphore(8), list[str]()
    owners = {str(post): str(user) for post, user in await world.run("SELECT id, author_id FROM posts")}
    lives = [life for life in world.lives if life.connections]
    victim = world.random.choice(lives)
    thief = world.random.choice([life for life in lives if life.user != victim.user])
    forged = _forged(world.random, victim, thief)

    async def connect(auth: dict[str, Any]) -> None:
        async with gate:
            for payload in await _connect(world, thief.user, auth):
                if owners[str(payload["postId"])] != thief.user:
                    leaks.append(f"{auth}: {payload}")

    async def poll(sid: str) -> None:
        for server in world.servers:
            url = f"http://127.0.0.1:{server.port}/socket.io/"
            async with world.http.get(url, params={"EIO": "4", "transport": "polling", "sid": sid}) as response:
                if response.status < 400:
                    leaks.append(f"a poll with the sid {sid}: {response.status}")

    sids = [life.connections[-1].sid for life in world.random.sample(lives, min(len(lives), number // 10))]
    await asyncio.gather(*(connect(next(forged)) for _ in range(number - len(sids))), *map(poll, sids))
    return Outcome(
        f"rows of another user seen with {number} stolen or forged pid, offset and sid", str(len(leaks)), "0", leaks
    )


# --- a client that was away for long --------------------------------------------------------------------------------


async def long_absence(world: World, away_s: float = 130, number: int = 5000) -> Outcome:
    """Two tabs, one that had been told something and one that had not, lose their network; meanwhile all servers are
    killed and much comes. The run's last check sees that they got all of it."""
    network = await Proxy(world.servers[0].port, Random(0)).start()
    world.networks.append(network)
    user = str(world.size.users)
    lives = {world.open(user, ("4.8", "websocket"), network)}
    await world.connected(lives)
    await world.insert(1, [user])
    lives.add(world.open(user, ("4.6", "default"), network))
    await world.connected(lives)
    network.refuses = True
    world.absent |= lives
    network.reset()
    started = time.monotonic()
    for server in world.servers:
        await server.restart(SIGKILL)
    await world.insert(number, [user])
    await asyncio.sleep(max(0, started + away_s - time.monotonic()))
    await _grow_old(world, user, KEPT_DAYS - 1)
    before = {life.id: len(life.shown) for life in world.lives}
    network.refuses = False
    world.absent -= lives
    back = time.monotonic()
    calm = await world.calm(60)
    took_s = time.monotonic() - back
    world.traffic.go_on()
    shown = [len(life.shown) - before[life.id] for life in world.lives if life.id in lives]
    broken = [] if calm and min(shown) >= number else [f"they were shown {shown} of {number}"]
    return Outcome(
        f"notifications up to {KEPT_DAYS - 1} days old recovered by two tabs that were away for {away_s:.0f} s, each",
        f"{min(shown):,} within {took_s:.1f} s", f"all {number:,} and more", broken,
    )  # fmt: skip


async def _grow_old(world: World, user: str, days: int) -> None:
    """All but his newest, which tells when the tabs have caught up; then what is too old is deleted."""
    await world.run(
        "UPDATE notify.notification SET created_at = created_at - make_interval(days => %s) WHERE user_id = %s"
        " AND seq < (SELECT last_seq FROM notify.inbox WHERE user_id = %s)", days, user, user,
    )  # fmt: skip
    await world.run("SELECT notify.prune_v1(now() - make_interval(days => %s), NULL, 1000, 1000)", KEPT_DAYS)


async def large_backlog(world: World, number: int = 100_000) -> Outcome:
    """By one statement of another program."""
    started = time.monotonic()
    await world.insert(number)
    calm = await world.calm(180)
    took_s = time.monotonic() - started
    world.traffic.go_on()
    return Outcome(
        f"until {number:,} foreign rows at once are on all screens", f"{took_s:.1f} s", "none is lost",
        [] if calm else ["not within 180 s"],
    )  # fmt: skip


# --- a past that is not the one clients remember ------------------------------------------------------------------


async def restored_backup(world: World, number: int = 10) -> Outcome:
    """A copy of the disk is put back behind the servers' back; the operator says so. What clients remember is gone, and
    what comes then has the same seqs. Comes last: the checker would miss what the copy does not have."""
    cluster = world.cluster
    folders = [folder for folder in (cluster.data, world.disk.folder) if folder is not None]
    copies = [world.folder / f"copy {n}" for n in range(len(folders))]
    await world.calm(40)
    with world.failing_the_app():
        await asyncio.to_thread(cluster.stop)
        for folder, copy in zip(folders, copies, strict=True):
            await asyncio.to_thread(shutil.copytree, folder, copy, symlinks=True)
        await asyncio.to_thread(cluster.start)
    await asyncio.gather(*map(world.served, world.servers))
    await world.insert(number * world.size.users)
    await world.calm(40)
    with world.failing_the_app():
        await asyncio.to_thread(cluster.stop, "immediate")
        for folder, copy in zip(folders, copies, strict=True):
            await asyncio.to_thread(_put_back, copy, folder)
        await asyncio.to_thread(cluster.start)
    command = await start_process("new-epoch", cwd=world.folder, DATABASE_URL=world.url, TRUST_USER_ID="true")
    said = await command.ended()
    await asyncio.gather(*map(world.served, world.servers))
    await world.calm(40)
    before = {life.id: len(life.shown) for life in world.lives}
    await world.insert(number * world.size.users)
    await world.calm(40)
    broken = [] if said == 0 else [command.output]
    lives = [life for life in world.lives if life.recovers and life.id in before]
    for life in lives:
        fresh = [shown.comment_id for shown in life.shown[before[life.id] :]]
        if len(fresh) != number or len(set(fresh)) != number:
            broken.append(f"life {life.id} of user {life.user} was shown {len(fresh)} of {number}")
    return Outcome(
        "tabs that miss or see again what comes after a backup was put back", f"{len(broken)} of {len(lives)}", "0",
        broken,
    )  # fmt: skip


def _put_back(copy: Path, folder: Path) -> None:
    owner = folder.stat()
    for entry in [*folder.iterdir()]:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    shutil.copytree(copy, folder, symlinks=True, dirs_exist_ok=True)
    for entry in folder.rglob("*"):
        os.chown(entry, owner.st_uid, owner.st_gid, follow_symlinks=False)
