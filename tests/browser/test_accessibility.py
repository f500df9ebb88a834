"""Everybody can use it: by keyboard, by screen reader, in the dark, on a phone."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import CUT, Complaints, NewContext
from tests.browser.windows import Window
from tests.conftest import Running

_AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"


@functools.cache
def axe() -> str:
    return _AXE.read_text("utf-8")


async def violations(page: Page) -> list[str]:
    """What axe finds, each with the elements it is about."""
    await page.evaluate(axe())
    found: dict[str, Any] = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['impact']} {one['id']}: {[node['html'][:200] for node in one['nodes']]}" for one in found["violations"]
    ]


async def accessible_name(page: Page) -> str:
    """Of what has the focus, as a screen reader says it."""
    return await page.locator(":focus").aria_snapshot()


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_axe_finds_nothing(demo: Running, new_context: NewContext, width: int, color_scheme: str) -> None:
    context = await new_context(
        viewport={"width": width, "height": 844}, color_scheme=color_scheme, reduced_motion="reduce"
    )
    page = await context.new_page()
    await page.goto(f"{demo.url}/")
    ada = Window(page, "Ada")
    await ada.is_live()
    assert await violations(page) == []
    for user in (2, 3):
        await demo.comment(user, 1)
    await expect(ada.region.locator(".Toastify__toast")).to_have_count(2)
    await page.wait_for_timeout(600)  # until they stand still: half transparent, they have half the contrast
    assert await violations(page) == []
    centre = await ada.open_centre()
    await centre.get_by_role("button", name="Show all 2").click()
    await centre.get_by_role("button", name="Actions:").click()
    assert await violations(page) == []
    await centre.get_by_role("button", name="Mute this post").click()
    await centre.get_by_role("button", name="Muted").click()
    await expect(centre.get_by_role("button", name="Unmute")).to_be_visible()
    assert await violations(page) == []
    await page.goto(f"{demo.url}/plain/?userId=1")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert await violations(page) == []


async def test_everything_by_keyboard(demo: Running, new_context: NewContext, complaints: Complaints) -> None:
    """No mouse: a comment is written, its notification found, opened, deleted; the connection cut and healed."""
    complaints.expect(CUT)
    context = await new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    await page.goto(f"{demo.url}/")
    ada, grace = Window(page, "Ada"), Window(page, "Grace")
    await ada.is_live()
    await grace.is_live()
    press = page.keyboard.press

    async def tab_to(name: str, inside: str) -> None:
        """With Tab alone, to a control by its accessible name, within a window."""
        for _ in range(120):
            await press("Tab")
            window = await page.evaluate("document.activeElement?.closest('section.pane')?.getAttribute('aria-label')")
            if window == inside and name in await accessible_name(page):
                return
        raise AssertionError(f"{name} cannot be reached by Tab")

    await tab_to("Write a comment as Grace", "Grace's window")
    await page.keyboard.type("By keyboard")
    await press("Control+Enter")
    await ada.unread(1)
    await demo.comment(3, 1)
    await ada.unread(2)
    await tab_to("Notifications, 2 unread", "Ada's window")
    await press("Enter")
    await expect(ada.centre).to_be_focused()
    await press("Escape")
    await expect(ada.centre).to_have_count(0)
    await expect(ada.bell).to_be_focused()
    await press("Enter")
    await tab_to("Linus and Grace commented", "Ada's window")
    await tab_to("Show all 2", "Ada's window")
    await press("Enter")
    await press("ArrowDown")
    await press("End")
    assert "Grace" in await accessible_name(page)
    await press("Home")
    await press("ArrowDown")
    await press("ArrowDown")
    await press("Enter")  # opens it: read, the centre closed, its comment shown
    await ada.unread(1)
    await expect(ada.centre).to_have_count(0)
    await expect(page.locator("[id*=-comment-]:focus")).to_have_count(1)  # once its thread is there
    await ada.bell.focus()
    await press("Enter")
    await tab_to("Actions:", "Ada's window")
    await press("Enter")
    await tab_to("Delete", "Ada's window")
    await press("Enter")
    await ada.unread(0)
    await expect(ada.centre.get_by_text("Nothing here yet")).to_be_visible()
    await press("Escape")
    await tab_to("Connection", "Ada's window")
    await press("Space")
    await expect(ada.state).to_have_text("Connection: offline")
    await press("Space")
    await ada.is_live()


async def test_a_screen_reader_hears_of_it_once(demo: Running, new_context: NewContext) -> None:
    """The live region stands before the first message, and toast and bell do not both tell."""
    page = await (await new_context()).new_page()
    await page.goto(f"{demo.url}/?as=1")
    ada = Window(page, "Ada")
    await ada.is_live()
    regions = ada.region.locator("[aria-live=polite]")
    await expect(regions).to_have_count(1)
    await demo.comment(2, 1)
    await expect(regions).to_contain_text("Grace commented on your post")


async def test_from_right_to_left_nothing_sticks_to_the_edge(demo: Running, new_context: NewContext) -> None:
    """The same distances, mirrored."""
    page = await (await new_context(viewport={"width": 800, "height": 700})).new_page()
    await page.goto(f"{demo.url}/?as=1")
    ada = Window(page, "Ada")
    await ada.is_live()
    await demo.comment(2, 1)
    await ada.unread(1)
    centre = await ada.open_centre()
    await centre.get_by_role("button", name="Actions:").click()
    for part in (".notify-header", ".notify-row-main .notify-open", ".notify-actions"):
        paddings = [
            await centre.locator(part).evaluate(
                """(element, dir) => {
                    document.documentElement.dir = dir;
                    const style = getComputedStyle(element);
                    return [style.paddingLeft, style.paddingRight];
                }""",
                direction,
            )
            for direction in ("ltr", "rtl")
        ]
        assert paddings[0] == paddings[1][::-1], part
