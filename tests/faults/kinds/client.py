"""Clients on bad networks, clients that stop reading, clients in crowds."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import ClientError

from tests.faults.kinds.kind import CLIENT, NotNow, kind
from tests.faults.proxy import Proxy
from tests.faults.world import CLIENTS, World

_TABS_OF_ONE_USER = 64
_BURST_ROWS = 400
_CUTS = 6


def _some(world: World) -> Proxy:
    return world.random.choice(world.networks)


@kind(CLIENT, weight=2)
async def clients_reset(world: World) -> None:
    _some(world).reset()


@kind(CLIENT)
async def clients_half_open(world: World) -> None:
    """Their network forgets them, and after a while says so, or comes back as if nothing had been."""
    network = _some(world)
    network.stall()
    await world.sleep(1, 4)
    if world.random.random() < 0.7:
        network.reset()
    network.heal()


@kind(CLIENT)
async def clients_stop_reading(world: World) -> None:
    """While much comes for them, and on half of the occasions for good."""
    network = _some(world)
    network.stop_reading()
    users = sorted({life.user for life in world.lives if world.network_of[life.id] is network})
    if users:
        await world.insert(_BURST_ROWS, [world.random.choice(users)])
    await world.sleep(1, 3)
    if world.random.random() < 0.5:
        network.reset()
    network.heal()


@kind(CLIENT)
async def client_that_answers_pings_and_reads_nothing(world: World) -> None:
    """While much comes for it, until it is cut for that."""
    server, user = world.random.choice(world.servers), str(world.random.randint(1, world.size.users))
    await server.until_ready()
    try:
        websocket = await world.http.ws_connect(f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket")
    except (ClientError, OSError):
        raise NotNow("the server was away") from None
    async with websocket:
        with contextlib.suppress(ClientError, OSError):
            await websocket.send_str(f'40{{"userId":"{user}"}}')
            await world.insert(_BURST_ROWS, [user])
            for _ in range(10):
                await websocket.send_str("3")
                await world.sleep(0.1, 0.3)


@kind(CLIENT)
async def polls_aborted(world: World) -> None:
    network = _some(world)
    for _ in range(3):
        network.reset(lambda link: link.polling)
        await world.sleep(0.2, 0.5)


@kind(CLIENT, weight=2)
async def upgrades_cut(world: World) -> None:
    """Everybody of one network comes back, and is cut at some stage of the upgrade, for a while."""
    network = _some(world)
    cuts = network.cuts
    network.cut_upgrades()
    network.reset(lambda link: not link.polling or world.random.random() < 0.5)
    with contextlib.suppress(TimeoutError):  # a server that is away upgrades nobody
        async with asyncio.timeout(10):
            while network.cuts < cuts + _CUTS:
                await asyncio.sleep(0.05)
    network.heal()
    if network.cuts == cuts:
        raise NotNow("nobody upgraded")


@kind(CLIENT)
async def messages_cut_in_the_middle(world: World) -> None:
    network = _some(world)
    for _ in range(3):
        network.truncate()
        await world.sleep(0.2, 0.5)


@kind(CLIENT)
async def messages_in_single_bytes(world: World) -> None:
    network = _some(world)
    network.splits = True
    await world.sleep(0.5, 1.5)
    network.splits = False


@kind(CLIENT)
async def clients_slow(world: World) -> None:
    network = _some(world)
    network.delay_s = world.random.uniform(0.05, 0.5)
    await world.sleep(1, 2)
    network.delay_s = 0


@kind(CLIENT)
async def everybody_back_at_once(world: World) -> None:
    for network in world.networks:
        network.reset()
    await world.sleep(0.5, 1)


@kind(CLIENT, weight=0.5)
async def many_tabs_of_one_user(world: World) -> None:
    user, network = str(world.random.randint(1, world.size.users)), _some(world)
    lives = world.lives
    number = _TABS_OF_ONE_USER - sum(life.user == user for life in lives)
    opened = [world.open(user, CLIENTS[n % len(CLIENTS)], network) for n in range(number)]
    await world.sleep(2, 3)
    network.reset(lambda _link: world.random.random() < 0.3)
    await world.sleep(1, 2)
    for life in opened:
        world.close(life)


@kind(CLIENT)
async def tabs_reloaded(world: World) -> None:
    for life in world.random.sample(world.lives, 4):
        if life.id not in world.absent:
            world.reload(life)


@kind(CLIENT)
async def comments_deleted_during_replay(world: World) -> None:
    network = _some(world)
    network.reset(lambda _link: world.random.random() < 0.8)
    for _ in range(4):
        recent = await world.run("SELECT id::text FROM comments ORDER BY id DESC LIMIT 60")
        await world.delete_comments(world.random.sample(recent, min(5, len(recent))))
        await world.sleep(0.2, 0.5)
