"""The server killed, stopped and frozen, at moments of its own and of ours."""

from __future__ import annotations

import asyncio
import resource
import signal

from tests.faults.kinds.kind import SERVER, NotHere, NotNow, kind
from tests.faults.servers import Server
from tests.faults.world import World

_PASSINGS = 100  # at the latest; by then the clients have come back
_REACHED_S = 15
_FEW_FILES = 5  # below what any server has open


def _some(world: World) -> Server:
    return world.random.choice(world.servers)


@kind(SERVER, weight=2)
async def server_terminated(world: World) -> None:
    await _some(world).restart(signal.SIGTERM)


@kind(SERVER, weight=2)
async def server_killed(world: World) -> None:
    await _some(world).restart(signal.SIGKILL)


async def _killed_at(world: World, point: str) -> None:
    """Started with the failpoint set, and, when that has killed it, once more without."""
    server = _some(world)
    await server.restart(signal.SIGKILL, f"{point}:{world.random.randint(1, round(_PASSINGS * world.pace))}")
    deaths = len(server.deaths)
    try:
        await server.died(deaths, _REACHED_S)
    except TimeoutError:
        await server.restart(signal.SIGKILL)
        raise NotNow(f"{point} was not reached") from None
    await server.until_ready()


@kind(SERVER, alone=True)
async def server_killed_after_commit(world: World) -> None:
    await _killed_at(world, "after_commit")


@kind(SERVER, weight=4, alone=True)
async def server_killed_before_reply(world: World) -> None:
    await _killed_at(world, "before_reply")


@kind(SERVER, weight=4, alone=True)
async def server_killed_after_emit(world: World) -> None:
    await _killed_at(world, "after_emit")


@kind(SERVER)
async def server_frozen(world: World) -> None:
    server = _some(world)
    await server.until_ready()
    process = server.process
    server.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(5 * world.pace)
    finally:
        if server.process is process:
            server.signal(signal.SIGCONT)


@kind(SERVER)
async def server_out_of_file_descriptors(world: World) -> None:
    """It can take no connection, and open none to PostgreSQL."""
    server = _some(world)
    await server.until_ready()
    assert server.process is not None
    pid = server.process.process.pid
    if not hasattr(resource, "prlimit"):
        raise NotHere("only Linux can lower another process's limit")
    try:
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (_FEW_FILES, limits[1]))
        world.random.choice([network for network in world.networks if network.upstream_port == server.port]).reset()
        server.database.reset()
        await world.sleep(1, 2)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    except ProcessLookupError:  # killed by another fault
        await server.until_ready()


@kind(SERVER)
async def clock_jumps(world: World) -> None:
    """Of all servers, by up to a day, and at the end back."""
    clock = world.folder / "clock"
    for _ in range(world.random.randint(1, 3)):
        clock.write_text(str(world.random.choice([-1, 1]) * world.random.choice([5, 3600, 86_400])))
        await world.sleep(0.3, 1.5)
    clock.unlink()


@kind(SERVER, alone=True)
async def server_started_before_postgres(world: World) -> None:
    server = _some(world)
    with world.failing_the_app():
        await asyncio.to_thread(world.cluster.stop)
        deaths = len(server.deaths)
        server.signal(signal.SIGKILL)
        await server.died(deaths)
        await world.sleep(1, 2)
        await asyncio.to_thread(world.cluster.start)
    await server.until_ready()


@kind(SERVER)
async def clients_move_to_another_server(world: World) -> None:
    """As a load balancer does it: connections are cut, and new ones go elsewhere."""
    network = world.random.choice(world.networks)
    network.upstream_port = world.random.choice(world.servers).port
    network.reset()
    await world.sleep(0.5, 1.5)
