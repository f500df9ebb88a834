"""The example's unchanged front end, before the switch and after it: the same log-in, screens and toasts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser import pern
from tests.browser.conftest import Complaints, NewContext
from tests.browser.pern import Express, Person, World
from tests.conftest import SECRET, lacking
from tests.nginx import DOCS, Nginx
from tests.postgres import Cluster, Missing, free_port, sql
from tests.processes import Start

ENGINE = "Notes on the Analytical Engine"  # by ada
TOAST = "grace commented on your post"


@pytest.fixture(scope="session")
def _built_pern() -> None:
    pern.build()


@pytest.fixture
def pern_url(cluster: Cluster, _built_pern: None) -> Iterator[str]:
    """A database with the app's tables, people and posts."""
    with sql(cluster.url()) as admin:
        admin.run("CREATE DATABASE pern")
        pern.fill_database(cluster.url("pern"))
        yield cluster.url("pern")
        admin.run("DROP DATABASE pern WITH (FORCE)")


@pytest.fixture
async def express(pern_url: str) -> AsyncIterator[World]:
    server = await pern.start_express(pern_url, SECRET)
    yield World(server.url, every_tab=False, remembers=False, typing=True)
    await server.stop()


class Switched:
    """Express, notify-server and nginx, as docs/SWITCH.md has them; `map` is what nginx sends where."""

    def __init__(self, url: str, express: Express, nginx: Nginx, ports: dict[int, int]) -> None:
        self.database_url, self._express, self.nginx, self.ports = url, express, nginx, ports

    def go(self, way: str) -> None:
        """One of `maps()`, and reload."""
        self.nginx.configure(self.ports, {maps()["1. Sockets only"]: maps()[way]})
        self.nginx.reload()


def maps() -> dict[str, str]:
    """Heading → the map of nginx that stands below it."""
    text = (DOCS / "SWITCH.md").read_text()
    found: dict[str, str] = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        if (code := re.search(r'^ *(map "\$request_method.*?^ *\})$', section, re.MULTILINE | re.DOTALL)) is not None:
            found[section.partition("\n")[0]] = re.sub(r"^   ", "", code[1], flags=re.MULTILINE)
    return found


@pytest.fixture
async def switched(pern_url: str, start: Start) -> AsyncIterator[Switched]:
    """By the commands of the document, with the ports that are free here."""
    express = await pern.start_express(pern_url, SECRET)
    settings = {"DATABASE_URL": pern_url, "SESSION_SECRET": SECRET}
    for command in ("check", "attach", "doctor"):
        process = await start(command, **settings)
        assert await process.ended() == 0, process.output
    port = free_port()
    notify = await start(
        "serve", **settings, HOST="127.0.0.1", PORT=port, SID_PREFIX="a", TRUSTED_PROXIES="127.0.0.0/8",
        STATIC_DIR=pern.PERN / "client" / "dist",
    )  # fmt: skip
    await notify.until("ready")
    ports = {5000: express.port, 8001: port, 8002: port}
    try:
        nginx = await asyncio.to_thread(Nginx, ports)
    except Missing as missing:
        lacking(missing)
        raise
    yield Switched(pern_url, express, nginx, ports)
    nginx.remove()
    await express.stop()


async def person(world: World, new_context: NewContext, name: str) -> Person:
    context = await new_context()
    somebody = Person(world, context, await context.new_page(), name)
    await somebody.log_in()
    await somebody.sees_posts()
    return somebody


async def use(world: World, new_context: NewContext, complaints: Complaints) -> None:
    """An afternoon of two people."""
    complaints.expect("401|422|WebSocket is closed before")
    stranger = await new_context()
    ada = Person(world, stranger, await stranger.new_page(), "ada")
    await ada.log_in("wrong")
    await expect(ada.page.get_by_role("alert")).to_have_text("That name and that password do not belong together")
    await ada.log_in()
    await ada.sees_posts()
    await expect(ada.page.get_by_role("heading", level=2)).to_have_text([ENGINE, "A moth in relay 70", "Just a hobby"])
    grace = await person(world, new_context, "grace")
    second = await ada.another_tab()
    await ada.page.wait_for_timeout(500)  # until every socket is upgraded

    await grace.comment(ENGINE, "What a machine")
    row = grace.post(ENGINE).get_by_role("listitem").filter(has_text="What a machine")
    await expect(row).to_contain_text("grace What a machine")
    await second.has_toasts(TOAST)
    await ada.has_toasts(*([TOAST] if world.every_tab else []))
    await grace.has_toasts()

    await ada.comment(ENGINE, "Thank you")
    await expect(ada.post(ENGINE).get_by_role("listitem").filter(has_text="Thank you")).to_be_visible()
    await second.has_toasts(TOAST)
    await grace.comment(ENGINE, " ")
    await expect(grace.post(ENGINE).get_by_role("alert")).to_be_visible()

    await grace.post(ENGINE).get_by_role("button", name="♥").click()
    await expect(grace.post(ENGINE).get_by_role("button", name="♥ 1")).to_be_disabled()
    if world.typing:
        await expect(ada.post(ENGINE).get_by_role("button", name="♥ 1")).to_be_visible()
        await grace.post(ENGINE).get_by_role("textbox").press("x")
        await expect(second.post(ENGINE).get_by_placeholder("grace is typing …")).to_be_visible()

    await second.page.close()
    await ada.log_out()
    await grace.comment(ENGINE, "Are you still there?")
    await expect(grace.post(ENGINE).get_by_text("Are you still there?")).to_be_visible()
    await ada.page.reload()
    await expect(ada.page.get_by_role("heading", name="Log in")).to_be_visible()
    await ada.has_toasts()
    await ada.log_in()
    await ada.sees_posts()
    await expect(ada.post(ENGINE).get_by_role("listitem")).to_have_count(3)
    await ada.has_toasts(*([TOAST] if world.remembers else []))


@pytest.mark.parametrize("way", ["1. Sockets only", "2. Comments too", "3. The whole server"])
async def test_switched_over_each_way(
    switched: Switched, start: Start, new_context: NewContext, complaints: Complaints, way: str
) -> None:
    switched.go(way)
    looked = await start("doctor", switched.nginx.url, DATABASE_URL=switched.database_url, SESSION_SECRET=SECRET)
    assert await looked.ended() == 0, looked.output
    assert "ok       WebSocket" in looked.output
    world = World(switched.nginx.url, every_tab=True, remembers=True, typing=False)
    await use(world, new_context, complaints)
    with sql(switched.database_url) as database:  # who wrote the comments
        assert (database.value("SELECT count(*) FROM notify.batch") > 0) == (way != "1. Sockets only")


async def test_and_back_again(switched: Switched, new_context: NewContext, complaints: Complaints) -> None:
    switched.nginx.configure(
        switched.ports, {maps()["1. Sockets only"]: 'map "$request_method $uri" $answers {\n    default express;\n}'}
    )
    switched.nginx.reload()
    await use(World(switched.nginx.url, every_tab=False, remembers=False, typing=True), new_context, complaints)


async def test_where_a_platform_gives_one_port(
    switched: Switched, tmp_path: Path, new_context: NewContext, complaints: Complaints
) -> None:
    """The lines for Express, as the document has them."""
    snippet = re.search(r"^```js\n(.*?)^```$", (DOCS / "SWITCH.md").read_text(), re.MULTILINE | re.DOTALL)
    assert snippet is not None
    lines = snippet[1].strip().replace("http://127.0.0.1:8001", f"http://127.0.0.1:{switched.ports[8001]}")
    pern.with_proxy(tmp_path / "examples" / "server", lines)
    (tmp_path / "examples" / "client").symlink_to(pern.PERN / "client")
    express = await pern.start_express(switched.database_url, SECRET, tmp_path / "examples" / "server")
    await use(World(express.url, every_tab=True, remembers=True, typing=False), new_context, complaints)
    await express.stop()


async def test_on_its_own_express_server(express: World, new_context: NewContext, complaints: Complaints) -> None:
    await use(express, new_context, complaints)
