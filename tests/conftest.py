"""Real PostgreSQL, migrated once and cloned for each test; the real server; the real npm client."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from notify_server.app import LIFECYCLE, REALTIME, create_app
from notify_server.attachment import prepare
from notify_server.background import in_background
from notify_server.db import Database
from notify_server.drain import Drain
from notify_server.http.direct import Runner
from notify_server.inbox import Change, Notification
from notify_server.settings import Settings, load
from tests.canaries import net, spread
from tests.clients import NodeClients
from tests.node import install_clients
from tests.postgres import SYSTEM_BIN, Cluster, Missing, PgBouncer, Sql, embedded_bin, sql
from tests.processes import Process, Start, start_process
from web.build import STATIC, build

# Tests write faster than people do.
UNLIMITED = {"rate_limit_user": "off", "rate_limit_inbox": "off"}
SECRET = "a secret of 32 bytes, for the tests alone"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres", choices=["18", "15", "pgbouncer"], default="18",
        help="which PostgreSQL: the embedded 18, the system's 15, or the embedded one behind PgBouncer",
    )  # fmt: skip
    parser.addoption(
        "--transport", choices=["ours", "node", "stock"],
        help="which transport the contract is tried on; by default ours and Node's, the reference",
    )  # fmt: skip
    parser.addoption(
        "--fuzz-cases", type=int, metavar="N",
        help="how many hostile clients the transport is tried with; by default few",
    )  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "cluster" in fixtures:
            item.add_marker("database")
        if "url" in fixtures:
            item.add_marker("through_the_pool")
        if "browser" in fixtures:
            item.add_marker("browser")


def lacking(reason: object) -> None:
    """Skips on a user's machine, fails where CI is set."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have this: {reason}")
    pytest.skip(str(reason))


@pytest.fixture(autouse=True)
def _nothing_secret_logged() -> Iterator[None]:
    """The first fixture of every test, so that what ends with the test is still seen."""
    with spread():
        yield
    assert net.emptied() == []


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in [*Settings.model_fields, "dyno", "render", "fly_app_name"]:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    try:
        cluster = Cluster(SYSTEM_BIN if request.config.getoption("--postgres") == "15" else embedded_bin())
    except Missing as missing:
        lacking(missing)
    yield cluster
    cluster.remove()


@pytest.fixture(scope="session")
def pgbouncer(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[PgBouncer | None]:
    if request.config.getoption("--postgres") != "pgbouncer":
        yield None
        return
    try:
        pgbouncer = PgBouncer(cluster)
    except Missing as missing:
        lacking(missing)
    yield pgbouncer
    pgbouncer.remove()


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> str:
    """The name of a migrated database with three people and two posts, to be cloned."""
    with sql(cluster.url()) as admin:
        admin.run("CREATE DATABASE template_notify")
    asyncio.run(_migrate(cluster.url("template_notify")))
    with sql(cluster.url("template_notify")) as connection:
        connection.run("INSERT INTO users (name) VALUES ('Ada'), ('Grace'), ('Linus')")
        connection.run("INSERT INTO posts (author_id, title, body) VALUES (1, 'One', '…'), (2, 'Two', '…')")
    return "template_notify"


async def _migrate(url: str) -> None:
    db = open_database(url)
    await prepare(db)
    await db.close()


_numbers = itertools.count(1)


@pytest.fixture
def direct_url(cluster: Cluster, template: str) -> Iterator[str]:
    """A database of the test's own, straight to PostgreSQL: what the app's other programs use."""
    name = f"test_{next(_numbers)}"
    with sql(cluster.url()) as admin:
        admin.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield cluster.url(name)
        admin.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def url(direct_url: str, pgbouncer: PgBouncer | None) -> str:
    """The same database, as notify-server reaches it."""
    return direct_url if pgbouncer is None else pgbouncer.url(direct_url.rsplit("/", 1)[1])


@pytest.fixture
def other(direct_url: str) -> Iterator[Sql]:
    """Any other program that writes to the app's tables."""
    with sql(direct_url) as connection:
        yield connection


def open_database(url: str, **options: Any) -> Database:
    db = Database(**{"size": 5, "timeout_s": 4, "wait_s": 2, "connect_timeout_s": 3, **options})
    db.open(url)
    return db


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    db = open_database(url)
    yield db
    await db.close()


@dataclass
class Running:
    """A server in this process, on a port of its own."""

    app: web.Application
    url: str
    http: ClientSession

    @property
    def realtime(self) -> Any:
        return self.app[REALTIME]

    async def who(self, cookie: str, **headers: str) -> Any:
        """The id of whom REST takes this for, or (status, code)."""
        async with self.http.get(f"{self.url}/me", headers={"Cookie": cookie, **headers}) as response:
            answer = await response.json()
            return answer["id"] if response.status == 200 else (response.status, answer["code"])

    async def comment(self, user: int | str, post: int | str, body: str = "Hello") -> dict[str, Any]:
        """Raises for any answer but 200."""
        async with self.http.post(
            f"{self.url}/posts/{post}/comments", json={"body": body}, headers={"Authorization": f"User {user}"}
        ) as response:
            assert response.status == 200, await response.text()
            found: dict[str, Any] = await response.json()
            return found


StartServer = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start_server(url: str) -> AsyncIterator[StartServer]:
    """Starts servers; by default with TRUST_USER_ID on the test's database."""
    runners: list[tuple[Runner, ClientSession]] = []

    async def start(extend: Any = None, page: Path | None = None, **values: Any) -> Running:
        if not {"jwt_secret", "jwt_public_key", "jwt_jwks_url", "session_secret", "auth_url"} & values.keys():
            values.setdefault("trust_user_id", True)
        settings = load(None, **{"database_url": url, "port": 0, "drain_s": 1, **UNLIMITED, **values})
        app = create_app(settings, extend, page=page)
        runner = Runner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        session = ClientSession()
        runners.append((runner, session))
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with asyncio.timeout(20):
            await app[LIFECYCLE].booted.wait()
        if (failure := app[LIFECYCLE].failure) is not None:
            raise failure
        return Running(app, f"http://127.0.0.1:{runner.addresses[0][1]}", session)

    yield start
    for runner, session in runners:
        await session.close()
        await runner.cleanup()


@pytest.fixture
async def server(start_server: StartServer) -> Running:
    return await start_server()


@pytest.fixture(scope="session")
def built_page() -> Path:
    """The folder of the page, built from what web/ holds now."""
    build()
    return STATIC


@pytest.fixture(scope="session")
def _installed_clients() -> None:
    install_clients()


@pytest.fixture
async def nodes(_installed_clients: None) -> AsyncIterator[NodeClients]:
    nodes = NodeClients()
    await nodes.start()
    yield nodes
    await nodes.stop()


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts the command line as processes, by default in an empty folder."""
    started: list[Process] = []

    async def start(*args: str, cwd: Path = tmp_path, **variables: object) -> Process:
        started.append(await start_process(*args, cwd=cwd, **variables))
        return started[-1]

    yield start
    for process in started:
        await process.remove()


@pytest.fixture
async def drained(db: Database) -> AsyncIterator[list[Notification]]:
    """What a drain delivers, without a server."""
    got: list[Notification] = []

    def told(changes: list[Change]) -> None:
        got.extend(notification for change in changes for notification in change.added)

    async with in_background(Drain(db, told).run()):
        yield got
