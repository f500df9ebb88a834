"""The example app, `examples/pern`: its own Express server as a process, and people who use its pages."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.node import EXPRESS
from web.node import environment, install, node, npm

PERN = Path(__file__).parents[2] / "examples" / "pern"
PASSWORD = "secret"


def build() -> None:
    """Its packages, and its pages in `client/dist`."""
    for folder in (PERN / "server", PERN / "client"):
        install(folder)
    subprocess.run([*npm(), "run", "--silent", "build"], cwd=PERN / "client", env=environment(), check=True)


def fill_database(url: str) -> None:
    subprocess.run(
        [*node(), "setup.js"], cwd=PERN / "server", env=environment() | {"DATABASE_URL": url}, check=True, timeout=60
    )


@dataclass
class Express:
    """The app's own server."""

    process: asyncio.subprocess.Process
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        self.process.terminate()
        await self.process.wait()


def with_proxy(folder: Path, snippet: str) -> None:
    """The app's server in `folder`, where the lines of docs/SWITCH.md stand in place of its own sockets."""
    install(EXPRESS)
    shutil.copytree(PERN / "server", folder, ignore=shutil.ignore_patterns("node_modules"))
    packages = folder / "node_modules"
    packages.mkdir()
    for package in (PERN / "server" / "node_modules").iterdir():
        (packages / package.name).symlink_to(package)
    (packages / "http-proxy-middleware").symlink_to(EXPRESS / "node_modules" / "http-proxy-middleware")
    imports, _, rest = snippet.partition("\n")
    early, late = rest[: (cut := rest.index("server.on("))], rest[cut:]
    index = folder / "index.js"
    text = index.read_text()
    for old, new in (
        ("app.use(express.json());", f"{early}\napp.use(express.json());"), ("attachSockets(server);", late),
        ('import express from "express";', f'import express from "express";\n{imports}'),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    index.write_text(text)


async def start_express(database_url: str, secret: str, folder: Path = PERN / "server", **variables: str) -> Express:
    process = await asyncio.create_subprocess_exec(
        *node(), "index.js", cwd=folder, stdout=asyncio.subprocess.PIPE,
        env=environment() | {"DATABASE_URL": database_url, "SESSION_SECRET": secret, "PORT": "0", **variables},
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(30):
        line = (await process.stdout.readline()).decode()
    port = re.search(r"listening on port (\d+)", line)
    assert port, line
    return Express(process, int(port[1]))


@dataclass(frozen=True)
class World:
    """Where the app is found, and what of it is better there than on the old server alone."""

    url: str
    every_tab: bool
    """Whether each tab toasts; the old server knows a user's newest socket alone."""
    remembers: bool
    """Whether who was away is told on coming back."""
    typing: bool
    """Whether the old server's own events are there."""


class Person:
    """Somebody in a browser of his own."""

    def __init__(self, world: World, context: BrowserContext, page: Page, name: str) -> None:
        self.world, self.context, self.page, self.name = world, context, page, name

    async def log_in(self, password: str = PASSWORD) -> None:
        await self.page.goto(self.world.url)
        await self.page.get_by_label("Name").fill(self.name)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Log in").click()

    async def log_out(self) -> None:
        await self.page.get_by_role("button", name="Log out").click()
        await expect(self.page.get_by_role("heading", name="Log in")).to_be_visible()

    async def another_tab(self) -> Person:
        page = await self.context.new_page()
        await page.goto(self.world.url)
        tab = Person(self.world, self.context, page, self.name)
        await tab.sees_posts()
        return tab

    async def sees_posts(self) -> None:
        await expect(self.page.get_by_role("article")).to_have_count(3)

    def post(self, title: str) -> Locator:
        return self.page.get_by_role("article", name=title)

    async def comment(self, title: str, body: str) -> None:
        post = self.post(title)
        await post.get_by_role("textbox").fill(body)
        await post.get_by_role("button", name="Comment").click()

    @property
    def toasts(self) -> Locator:
        return self.page.locator(".Toastify__toast")

    async def has_toasts(self, *texts: str) -> None:
        """These and no other; another would come within the moment waited."""
        await expect(self.toasts).to_have_count(len(texts))
        await self.page.wait_for_timeout(500)
        assert sorted(await self.toasts.all_inner_texts()) == sorted(texts)
