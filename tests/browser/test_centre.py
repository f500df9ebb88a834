"""The notification centre where the other tests do not look: far down, and in its own colours."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import NewContext, NewPage
from tests.browser.test_accessibility import violations
from tests.browser.windows import Window
from tests.conftest import Running
from tests.postgres import Sql

SENT = 130  # more than two pages


async def test_older_ones_come_as_one_scrolls(demo: Running, new_page: NewPage, other: Sql) -> None:
    other.run(
        "SELECT notify.send('1', 'news', jsonb_build_object('message', 'News ' || n)) FROM generate_series(1, %s) n",
        SENT,
    )
    page = await new_page(f"{demo.url}/?as=1")
    ada = Window(page, "Ada")
    await ada.is_live()
    await ada.unread(SENT)
    await expect(ada.bell).to_have_text("99+")
    centre = await ada.open_centre()
    rows = centre.locator(".notify-row")
    await expect(rows.first).to_contain_text(f"News {SENT}")
    assert await rows.count() < SENT
    list_ = centre.locator(".notify-list")
    await list_.hover()
    while (count := await rows.count()) < SENT:
        await page.mouse.wheel(0, 100_000)
        await expect(rows.nth(count)).to_be_attached()
    await expect(rows).to_have_count(SENT)
    assert "News 1\n" in (await rows.all_inner_texts())[-1]
    end = await list_.evaluate("(one) => one.scrollHeight - one.clientHeight")
    for wheel, place in ((100_000, end), (-300, end - 300)):  # the browser scrolls after it has answered
        await page.mouse.wheel(0, wheel)
        await expect(list_).to_have_js_property("scrollTop", place)
    height = await list_.evaluate("(one) => one.scrollHeight")
    await demo.comment(2, 1)
    await ada.unread(SENT + 1)
    await expect(rows).to_have_count(SENT + 1)
    grown = await list_.evaluate("(one) => one.scrollHeight") - height
    assert grown > 0
    await expect(list_).to_have_js_property("scrollTop", end - 300 + grown)  # what one reads stays in its place


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_its_own_colours_have_contrast_too(demo: Running, new_context: NewContext, color_scheme: str) -> None:
    """Those that an app gets that sets none; the demo sets its own."""
    context = await new_context(color_scheme=color_scheme, reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(f"{demo.url}/?as=1")
    ada = Window(page, "Ada")
    await ada.is_live()
    for user in (2, 3):
        await demo.comment(user, 1)
    await ada.unread(2)
    unset: int = await page.evaluate(
        """() => {
          const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]);
          const names = rules.flatMap((rule) => [...(rule.style ?? [])]).filter((name) => name.startsWith("--notify-"));
          for (const name of names) document.documentElement.style.setProperty(name, "initial");
          return names.length;
        }"""
    )
    assert unset > 3
    await expect(ada.region.locator(".Toastify__toast")).to_have_count(2)
    await page.wait_for_timeout(600)  # until the toasts stand still
    assert await violations(page) == []
    centre = await ada.open_centre()
    await centre.get_by_role("button", name="Show all 2").click()
    await centre.get_by_role("button", name="Actions:").click()
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await centre.get_by_role("button", name="Mark all as read").click()
    await ada.unread(0)
    assert await violations(page) == []


async def test_a_post_that_is_written_in_one_window_is_in_the_other(demo: Running, new_page: NewPage) -> None:
    page = await new_page(f"{demo.url}/")
    ada, grace = Window(page, "Ada"), Window(page, "Grace")
    await ada.is_live()
    await grace.is_live()
    await ada.region.get_by_role("button", name="Write a post as Ada").click()
    form = ada.region.get_by_role("form", name="New post")
    await form.get_by_role("textbox").first.fill("On flowers")
    await form.get_by_role("textbox").last.fill("Woven, all of them.")
    await form.get_by_role("button", name="Post").click()
    await grace.comment("On flowers", "Lovely!")
    await ada.unread(1)
