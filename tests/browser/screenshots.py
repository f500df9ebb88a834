"""Pictures of the demo, for the README: `python -m tests.browser.screenshots docs`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Literal

from aiohttp import ClientSession
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser.conftest import find_chromium, launched
from tests.browser.windows import Window
from tests.postgres import free_port
from tests.processes import start_process
from web.build import build

ColorScheme = Literal["light", "dark"]
COLOR_SCHEMES: tuple[ColorScheme, ...] = ("light", "dark")

_LOOM, _STEAM, _MOTH = "Notes on the Analytical Engine", "Bernoulli numbers, by steam", "A moth in relay 70"
_LINUS, _MARGARET, _DENNIS = 3, 4, 5


async def _comment(url: str, user: int, title: str, body: str) -> None:
    async with ClientSession(headers={"Authorization": f"User {user}"}) as http:
        async with http.get(f"{url}/posts") as response:
            (post,) = [post["id"] for post in await response.json() if post["title"] == title]
        async with http.post(f"{url}/posts/{post}/comments", json={"body": body}) as response:
            response.raise_for_status()


async def _fill(url: str) -> None:
    async with ClientSession(headers={"Authorization": "User 1"}) as http:
        text = "Note G has the whole programme: operations, variables, and where the cycles begin again."
        async with http.post(f"{url}/posts", json={"title": _STEAM, "body": text}) as response:
            response.raise_for_status()
    await _comment(url, _DENNIS, _LOOM, "A loom that forks?")
    await _comment(url, _MARGARET, _LOOM, "What does it do when it is asked too much at once?")
    await _comment(url, _LINUS, _LOOM, "Where can I send patches?")
    await _comment(url, _MARGARET, _STEAM, "I would fly with it.")


async def _window(page: Page, url: str, name: str) -> Window:
    await page.goto(url)
    window = Window(page, name)
    await window.is_live()
    return window


async def _dismiss_toasts(page: Page) -> None:
    await page.mouse.move(5, 5)
    await expect(page.locator(".Toastify__toast")).to_have_count(0, timeout=20_000)


async def _tab(browser: Browser, width: int, height: int, color_scheme: ColorScheme) -> Page:
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=color_scheme, device_scale_factor=1.5,
        reduced_motion="reduce",
    )  # fmt: skip
    return await context.new_page()


async def _take(browser: Browser, url: str, folder: Path, color_scheme: ColorScheme) -> None:
    wide = await _tab(browser, 1280, 800, color_scheme)
    ada = await _window(wide, f"{url}/", "Ada Lovelace")
    await _dismiss_toasts(wide)
    await ada.open_centre()
    grace = Window(wide, "Grace Hopper")
    await grace.is_live()
    await _comment(url, 1, _MOTH, "Is it a Lepidoptera, at least?")
    await expect(grace.region.locator(".Toastify__toast")).to_have_count(1)
    await wide.wait_for_timeout(800)
    await wide.screenshot(path=folder / f"demo-{color_scheme}.png")
    phone = await _tab(browser, 390, 844, color_scheme)
    ada = await _window(phone, f"{url}/?as=1", "Ada Lovelace")
    await ada.open_centre()
    await phone.wait_for_timeout(300)
    await phone.screenshot(path=folder / f"phone-{color_scheme}.png")


async def take_all(folder: Path, data: Path) -> None:
    port = free_port()
    demo = await start_process("demo", cwd=data, DATA_DIR="data", PORT=port)
    try:
        await demo.until("This terminal listens as Ada")
        await _fill(f"http://127.0.0.1:{port}")
        async with async_playwright() as playwright:
            browser = await launched(playwright, find_chromium())
            for color_scheme in COLOR_SCHEMES:
                await _take(browser, f"http://127.0.0.1:{port}", folder, color_scheme)
            await browser.close()
    finally:
        await demo.stop()


def main(folder: Path) -> None:
    build()
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="notify-") as data:
        Path(data).chmod(0o755)  # where PostgreSQL runs as another user than root
        asyncio.run(take_all(folder, Path(data)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
