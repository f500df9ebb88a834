"""The example's unchanged front end, before the switch and after it: the same log-in, screens and toasts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import expect

from tests.browser import pern
from tests.browser.conftest import Complaints, NewContext
from tests.browser.pern import Person, World
from tests.conftest import SECRET
from tests.postgres import Cluster, sql

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


async def test_on_its_own_express_server(express: World, new_context: NewContext, complaints: Complaints) -> None:
    await use(express, new_context, complaints)
