"""The command line, as processes."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from notify_server.sql import migrations
from tests.clients import NodeClients
from tests.conftest import SECRET
from tests.postgres import Cluster, Sql, free_port, sql
from tests.processes import PROGRAM, Process, Start, environment


def run(*args: str, cwd: Path, **variables: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *args], capture_output=True, text=True, cwd=cwd, env=environment(**variables), timeout=60
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="notify-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_the_demo_as_its_user_sees_it(start: Start, folder: Path, nodes: NodeClients) -> None:
    """Start, paste what it prints, Ctrl-C; and the second start still has the data."""
    port = free_port()
    demo: Process = await start("demo", cwd=folder, DATA_DIR="data", PORT=port, DATABASE_URL="postgresql://not/used")
    await demo.until("This terminal listens as Ada")
    ada = await nodes.open(f"http://127.0.0.1:{port}", {"userId": 1}).connected()
    pasted = re.search(r"curl (.|\n)*?'\n", demo.output)
    assert pasted is not None
    assert shutil.which("curl")
    command = shlex.split(pasted[0].replace("\\\n", " "))
    curl = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert b'"Hello, Ada!"' in (await curl.communicate())[0]
    await demo.until("Ada gets: Grace Hopper commented on your post")
    assert (await ada.notified())[0]["message"] == "Grace Hopper commented on your post"
    status, seconds = await demo.stop(signal.SIGINT)
    assert status == 0
    assert seconds < 5
    assert "Traceback" not in demo.output

    again: Process = await start("demo", cwd=folder, DATA_DIR="data", PORT=port)
    await again.until("This terminal listens as Ada")
    async with aiohttp.ClientSession(headers={"Authorization": "User 1"}) as http:
        async with http.get(f"http://127.0.0.1:{port}/posts/1/comments") as response:
            assert [one["body"] for one in await response.json()][-1] == "Hello, Ada!"
        async with http.get(f"http://127.0.0.1:{port}/posts") as response:
            assert len(await response.json()) == 4  # seeded once
    second: Process = await start("demo", cwd=folder, DATA_DIR="data", PORT=free_port())
    await second.until("DATA_DIR .* is in use by another notify-server")
    assert await second.ended() == 1
    third: Process = await start("demo", cwd=folder, DATA_DIR="other", PORT=port)
    await third.until(f"PORT {port} is in use")
    assert await third.ended() == 1
    assert "Traceback" not in second.output + third.output
    await again.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_finishes_what_is_in_flight_and_sends_clients_to_the_next_server(
    start: Start, url: str, direct_url: str, nodes: NodeClients, number: signal.Signals
) -> None:
    port = free_port()
    variables = {"DATABASE_URL": url, "TRUST_USER_ID": "true", "PORT": port, "DRAIN_S": 3}
    server: Process = await start("serve", **variables)
    await server.until('"ready"')
    address = f"http://127.0.0.1:{port}"
    clients = [await nodes.open(address, {"userId": 1}, transports=t).connected() for t in (["websocket"], ["polling"])]
    with sql(direct_url) as holder:
        holder.run("BEGIN")
        holder.run("SELECT * FROM posts WHERE id = 1 FOR UPDATE")
        async with aiohttp.ClientSession() as http:

            async def post() -> int:
                async with http.post(
                    f"{address}/posts/1/comments", json={"body": "in flight"}, headers={"Authorization": "User 2"}
                ) as response:
                    return response.status

            in_flight = asyncio.create_task(post())
            await asyncio.sleep(0.3)
            stopping = asyncio.create_task(server.stop(number))
            await asyncio.sleep(0.3)
            holder.run("COMMIT")
            assert await in_flight == 200
    status, seconds = await stopping
    assert status == 0
    assert seconds < 3
    assert "Traceback" not in server.output
    for client in clients:
        await client.until(lambda c=client: len(c.named("disconnect")) == 1)  # type: ignore[misc]
        assert client.named("disconnect") != [["io server disconnect"]]  # which would stop it for good
    following: Process = await start("serve", **variables)
    await following.until('"ready"')
    for client in clients:
        await client.connected(2)
    await following.stop()


async def test_a_stop_before_it_ever_started_is_a_stop(start: Start) -> None:
    server: Process = await start(
        "serve", DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/x", JWT_SECRET=SECRET, PORT=0
    )
    await server.until("database_awaited")
    status, seconds = await server.stop()
    assert (status, seconds < 5) == (0, True)


async def test_it_answers_while_it_waits_for_its_database(start: Start) -> None:
    port = free_port()
    server: Process = await start(
        "serve", DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/x", JWT_SECRET=SECRET, PORT=port
    )
    await server.until('"listening"')
    await server.until("database_awaited")
    async with aiohttp.ClientSession() as http:
        for path, status in (("livez", 200), ("readyz", 503), ("socket.io/?EIO=4&transport=polling", 503)):
            async with http.get(f"http://127.0.0.1:{port}/{path}") as response:
                assert response.status == status, path
    await server.stop()


async def test_nothing_but_port_database_and_secret_boots_and_works(
    start: Start, url: str, tmp_path: Path, other: Sql
) -> None:
    port = free_port()
    server = await start("serve", PORT=port, DATABASE_URL=url, JWT_SECRET=SECRET)
    await server.until('"ready"')
    token = run("token", "2", cwd=tmp_path, DATABASE_URL=url, JWT_SECRET=SECRET).stdout.strip()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
        http.post(f"http://127.0.0.1:{port}/posts/1/comments", json={"body": "x"}) as response,
    ):
        assert response.status == 200
    await server.stop()
    assert other.value("SELECT count(*) FROM notify.notification") == 1


def test_token_config_migrate_and_seed(cluster: Cluster, tmp_path: Path) -> None:
    token = run("token", "7", cwd=tmp_path, JWT_SECRET=SECRET, JWT_USER_CLAIM="id", JWT_AUDIENCE="app", JWT_ISSUER="me")
    assert jwt.decode(token.stdout.strip(), SECRET, ["HS256"], audience="app", issuer="me")["id"] == "7"

    config = run("config", cwd=tmp_path, JWT_SECRET=SECRET, PORT="1234")
    assert "PORT=1234\n" in config.stdout
    assert "JWT_SECRET=(set, hidden)\n" in config.stdout
    assert SECRET not in config.stdout + config.stderr

    with sql(cluster.url()) as admin:
        admin.run("CREATE DATABASE for_cli")
    try:
        where = {"cwd": tmp_path, "DATABASE_URL": cluster.url("for_cli")}
        check: Any = run("migrate", "--check", **where)  # type: ignore[arg-type]
        assert (check.returncode, check.stdout.count("pending  0")) == (1, len(migrations()))
        assert run("migrate", **where).stdout.count("applied  0") == len(migrations())  # type: ignore[arg-type]
        assert run("migrate", "--check", **where).returncode == 0  # type: ignore[arg-type]
        assert run("seed", **where).stdout == "seeded\n"  # type: ignore[arg-type]
        assert "nothing done" in run("seed", **where).stdout  # type: ignore[arg-type]
        with sql(cluster.url("for_cli")) as other:
            assert other.value("SELECT count(*) FROM users") == 5
            assert other.value("SELECT count(*) FROM comments") == 4
    finally:
        with sql(cluster.url()) as admin:
            admin.run("DROP DATABASE for_cli WITH (FORCE)")


@pytest.mark.parametrize(
    ("args", "variables", "says"),
    [
        (["serve"], {}, "JWT_SECRET"),
        (["serve"], {"PORT": "x", "JWT_SECRET": SECRET}, "PORT takes a port number"),
        (["serve"], {"CLIENT_URL": "*", "JWT_SECRET": SECRET}, "CLIENT_URL takes origins"),
        (["serve"], {"TRUST_USER_ID": "1", "HOST": "0.0.0.0"}, "HOST=0.0.0.0 is refused under TRUST_USER_ID"),
        (["serve"], {"JWT_SECRET": SECRET, "DYNO": "web.1"}, "DATABASE_URL"),
        (["serve"], {"JWT_PUBLIC_KEY": "x"}, "JWT_PUBLIC_KEY takes a public key in PEM"),
        (["token", "1"], {"TRUST_USER_ID": "1"}, "JWT_SECRET is needed"),
        (["seed"], {"DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "refused"),
    ],
)
def test_what_somebody_can_mend_is_one_line(
    tmp_path: Path, args: list[str], variables: dict[str, str], says: str
) -> None:
    done = run(*args, cwd=tmp_path, **variables)
    assert done.returncode == 1
    assert done.stdout == ""
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("notify-server: ")
    assert says in line
    assert "Traceback" not in done.stderr


def test_a_database_that_will_never_open_stops_the_start(cluster: Cluster, tmp_path: Path) -> None:
    done = run("serve", cwd=tmp_path, JWT_SECRET=SECRET, PORT=0, DATABASE_URL=cluster.url("no_such_database"))
    assert done.returncode == 1
    assert 'database "no_such_database" does not exist' in done.stderr.strip().splitlines()[-1]


def test_help_is_for_people(tmp_path: Path) -> None:
    shown = run("--help", cwd=tmp_path).stdout
    for command in ("serve", "migrate", "seed", "demo", "token", "config"):
        assert re.search(rf"^  {command} +\S", shown, re.MULTILINE)
        assert run(command, "--help", cwd=tmp_path).returncode == 0
    assert run("nonsense", cwd=tmp_path).returncode == 2
