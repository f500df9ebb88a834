"""What people see: each notification on every tab, once, whatever happens in between."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from aiohttp import ClientSession
from playwright.async_api import BrowserContext, Request, expect

from tests.browser.conftest import CUT, Complaints, DemoProcess, NewContext, NewPage
from tests.browser.windows import RECORD_TOASTS, Window
from tests.conftest import Running, StartServer
from tests.postgres import Sql
from tests.waiting import eventually

GRACE_COMMENTED = "Grace commented on your post"
LINUS_COMMENTED = "Linus commented on your post"


@pytest.fixture
async def context(new_context: NewContext) -> BrowserContext:
    context = await new_context()
    await context.add_init_script(RECORD_TOASTS)
    return context


async def open_as(new_page: NewPage, context: BrowserContext, demo: Running, user: int, name: str) -> Window:
    """One person's window in a tab of its own."""
    window = Window(await new_page(f"{demo.url}/?as={user}", context), name)
    await window.is_live()
    return window


async def test_a_comment_in_one_window_is_a_toast_in_the_other_within_a_second(
    demo: Running, new_page: NewPage, context: BrowserContext
) -> None:
    page = await new_page(f"{demo.url}/", context)
    ada, grace = Window(page, "Ada"), Window(page, "Grace")
    await ada.is_live()
    await grace.is_live()
    post = grace.region.get_by_role("article", name="One")
    await post.get_by_role("textbox").fill("Hello, Ada!")
    await post.get_by_role("button", name="Comment", exact=True).click()
    await expect(ada.region.locator(".Toastify__toast", has_text=GRACE_COMMENTED)).to_be_visible(timeout=1000)
    await ada.has_toasted(GRACE_COMMENTED)
    await ada.unread(1)
    await expect(ada.region.get_by_text("Hello, Ada!")).to_be_visible()
    await grace.has_toasted()  # one's own comment is no news
    await grace.unread(0)


async def test_the_badge_on_two_tabs_follows_what_is_read_in_one(
    demo: Running, new_page: NewPage, context: BrowserContext, other: Sql
) -> None:
    one = await open_as(new_page, context, demo, 1, "Ada")
    two = await open_as(new_page, context, demo, 1, "Ada")
    for _ in range(3):
        await demo.comment(2, 1)
    for tab in (one, two):
        await tab.has_toasted(*[GRACE_COMMENTED] * 3)
        await tab.unread(3)
    centre = await one.open_centre()
    await centre.get_by_role("button", name="Show all 3").click()
    await centre.get_by_role("list").last.get_by_role("button").first.click()  # opens it, and closes the centre
    for tab in (one, two):
        await tab.unread(2)
    assert other.value("SELECT count(*) FROM notify.notification WHERE read_at IS NOT NULL") == 1
    await (await two.open_centre()).get_by_role("button", name="Mark all as read").click()
    for tab in (one, two):
        await tab.unread(0)
    assert other.value("SELECT unread FROM notify.inbox WHERE user_id = '1'") == 0


async def test_a_page_that_was_closed_shows_what_was_missed(
    demo: Running, new_page: NewPage, context: BrowserContext, other: Sql
) -> None:
    before = await open_as(new_page, context, demo, 1, "Ada")
    await demo.comment(2, 1)
    await before.has_toasted(GRACE_COMMENTED)
    await eventually(lambda: other.value("SELECT seq FROM notify.arrival WHERE user_id = '1'") == 1)
    await before.page.close()
    for _ in range(3):
        await demo.comment(3, 1)
    after = await open_as(new_page, context, demo, 1, "Ada")
    await after.has_toasted(*[LINUS_COMMENTED] * 3)
    await after.unread(4)
    centre = await after.open_centre()
    await expect(centre.get_by_text("Linus and Grace commented on One")).to_be_visible()
    await centre.get_by_role("button", name="Show all 4").click()
    await expect(centre.get_by_role("list").last.get_by_role("listitem")).to_have_count(4)


async def test_a_connection_cut_by_the_switch_catches_up_when_it_is_healed(
    demo: Running, new_page: NewPage, context: BrowserContext, complaints: Complaints
) -> None:
    complaints.expect(CUT)
    ada = await open_as(new_page, context, demo, 1, "Ada")
    await demo.comment(2, 1)
    await ada.has_toasted(GRACE_COMMENTED)
    await ada.switch.click()
    await expect(ada.state).to_have_text("Connection: offline")
    for _ in range(3):
        await demo.comment(3, 1)
    await ada.has_toasted(GRACE_COMMENTED)
    await ada.switch.click()
    await ada.is_live()
    await ada.has_toasted(GRACE_COMMENTED, *[LINUS_COMMENTED] * 3)
    await ada.unread(4)
    await expect(ada.region.get_by_text("3 missed while away, 3 caught up")).to_be_visible()


async def test_the_switch_says_the_truth_however_quickly_it_is_toggled(
    demo: Running, new_page: NewPage, complaints: Complaints
) -> None:
    """In the middle of a handshake, of an upgrade, and of the wait before the next try."""
    complaints.expect(CUT)
    page = await new_page(f"{demo.url}/?as=1")
    ada = Window(page, "Ada")
    for pause_ms in (1, 2, 5, 20, 80, 400):
        await ada.switch.evaluate(
            """async (button, pauseMs) => {
                for (let click = 0; click < 6; click += 1) {
                    button.click();
                    await new Promise((resolve) => setTimeout(resolve, pauseMs));
                }
            }""",
            pause_ms,
        )
        await expect(ada.switch).to_be_checked()
        await ada.is_live()
        await demo.realtime.server.eio.cut_all(0)  # and comes back by itself afterwards
        await ada.is_live()


async def test_cut_again_and_again_under_way_each_toasts_once(
    demo: Running, new_page: NewPage, context: BrowserContext, other: Sql, complaints: Complaints
) -> None:
    """The server's end of the connection goes, at any moment; the page comes back by itself."""
    complaints.expect(CUT)
    ada = await open_as(new_page, context, demo, 1, "Ada")
    names = [f"Person {n}" for n in range(1, 13)]
    for name in names:
        user = other.value("INSERT INTO users (name) VALUES (%s) RETURNING id", name)
        await demo.comment(user, 1)
        await demo.realtime.server.eio.cut_all(0)
    await ada.is_live()
    await ada.unread(len(names))
    await ada.has_toasted(*[f"{name} commented on your post" for name in names])


async def test_a_server_that_is_killed_and_restarted_shows_each_once(
    demo_process: DemoProcess, new_page: NewPage, context: BrowserContext, complaints: Complaints
) -> None:
    complaints.expect(CUT)
    first = await demo_process.start()
    page = await new_page(f"{demo_process.url}/?as=1", context)
    ada = Window(page, "Ada Lovelace")
    await ada.is_live()
    await ada.unread(1)  # of what the demo begins with, and which its terminal has shown

    async def comment(user: int) -> None:
        async with (
            ClientSession(headers={"Authorization": f"User {user}"}) as http,
            http.post(f"{demo_process.url}/posts/1/comments", json={"body": "Hello"}) as response,
        ):
            assert response.status == 200

    await comment(2)
    await ada.has_toasted("Grace Hopper commented on your post")
    await first.stop(signal.SIGKILL)
    await expect(ada.state).to_have_text("Connection: offline")
    await demo_process.start()
    await comment(3)
    await ada.is_live()
    await comment(4)
    await ada.has_toasted(
        "Grace Hopper commented on your post",
        "Linus Torvalds commented on your post",
        "Margaret Hamilton commented on your post",
    )
    await ada.unread(4)


async def test_where_it_is_asked_for_one_tab_of_a_browser_toasts(
    demo: Running, new_page: NewPage, context: BrowserContext, new_context: NewContext
) -> None:
    tabs = [await open_as(new_page, context, demo, 1, "Ada") for _ in range(3)]
    for tab in tabs:
        await tab.page.get_by_role("checkbox", name="Toast once per browser").check()
    elsewhere = await new_context()
    await elsewhere.add_init_script(RECORD_TOASTS)
    phone = await open_as(new_page, elsewhere, demo, 1, "Ada")
    for _ in range(4):
        await demo.comment(2, 1)
    for tab in (*tabs, phone):
        await tab.unread(4)
    await phone.has_toasted(*[GRACE_COMMENTED] * 4)
    await asyncio.sleep(1)  # as long as a tab in the background waits, and more
    assert sum([len(await tab.toasts()) for tab in tabs]) == 4


async def test_strict_mode_mounts_twice_and_shows_once(
    start_server: StartServer, development_page: Path, new_page: NewPage, context: BrowserContext
) -> None:
    """React's development build alone does that: our page connects once; the unchanged hook twice, and one is left."""
    demo = await start_server(page=development_page)
    for path, expected in (("/?as=1", 1), ("/plain/?userId=1", 2)):
        page = await context.new_page()
        requests: list[Request] = []
        page.on("request", lambda request: requests.append(request))  # noqa: B023 - of this round
        await page.goto(demo.url + path)
        await eventually(lambda: demo.realtime.feeds.count("1") == 1)
        await demo.comment(2, 1)
        await page.wait_for_function("window.shownToasts.length === 1")
        await page.wait_for_timeout(700)
        assert [toast["text"] for toast in await page.evaluate("window.shownToasts")] == [GRACE_COMMENTED]
        assert len([one for one in requests if "EIO=4" in one.url and "sid=" not in one.url]) == expected
        await page.close()
        await eventually(lambda: demo.realtime.feeds.count("1") == 0)


async def test_the_unchanged_hook_toasts(demo: Running, new_page: NewPage, context: BrowserContext) -> None:
    page = await new_page(f"{demo.url}/plain/?userId=1", context)
    await eventually(lambda: demo.realtime.feeds.count("1") == 1)
    await demo.comment(2, 1)
    await demo.comment(3, 1)
    await page.wait_for_function("window.shownToasts.length === 2")
    assert [toast["text"] for toast in await page.evaluate("window.shownToasts")] == [GRACE_COMMENTED, LINUS_COMMENTED]
