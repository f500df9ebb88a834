"""A real Chromium, one of its own for each test (a second). What a page complains of fails the test that opened it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Playwright,
    WebError,
    async_playwright,
    expect,
)

from tests.conftest import Running, StartServer, lacking
from tests.postgres import Missing, free_port
from tests.processes import Process, Start
from web.node import WEB, environment, npm

expect.set_options(timeout=15_000)  # a client that was cut comes back within 5 s, and a machine may be busy

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_ARGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
_LAST = ("browser", "complaints", "new_context", "new_page")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser goes before the servers that it talks to: a page whose server is torn down complains."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.fixturenames.sort(key=lambda name: name in _LAST)  # type: ignore[attr-defined]


# What the browser itself says where a connection ends under way: a complaint to be expected.
CUT = r"Failed to load resource|WebSocket|ERR_"


@dataclass
class Complaints:
    """What pages say on the console as errors (a violation of the Content-Security-Policy is one) or throw."""

    seen: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """Such as `503`, where a test stops the server."""
        self.expected.append(pattern)

    def like(self, pattern: str) -> list[str]:
        return [text for text in self.seen if re.search(pattern, text)]

    @property
    def unexpected(self) -> list[str]:
        return [text for text in self.seen if not any(re.search(pattern, text) for pattern in self.expected)]

    def listen(self, context: BrowserContext) -> None:
        def said(message: ConsoleMessage) -> None:
            if message.type == "error":
                self.seen.append(f"{message.text} ({message.location.get('url', '')})")

        def thrown(error: WebError) -> None:
            self.seen.append(f"thrown: {error.error}")

        context.on("console", said)
        context.on("weberror", thrown)


def find_chromium() -> str:
    """This machine's. Raises Missing."""
    found = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if found is None:
        raise Missing(f"a browser: one of {', '.join(_PROGRAMS)}")
    return found


async def launched(playwright: Playwright, chromium: str, *args: str) -> Browser:
    as_root = os.geteuid() == 0  # where its sandbox does not work
    return await playwright.chromium.launch(
        executable_path=chromium, args=[*_ARGS, *args], chromium_sandbox=not as_root
    )


@pytest.fixture(scope="session")
def chromium() -> str:
    try:
        return find_chromium()
    except Missing as missing:
        lacking(missing)
        raise


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await launched(playwright, chromium)
        yield browser
        await browser.close()


@pytest.fixture
async def complaints(browser: Browser) -> AsyncIterator[Complaints]:
    complaints = Complaints()
    yield complaints
    for context in browser.contexts:
        for page in context.pages:
            with contextlib.suppress(Error):
                await page.evaluate("0")  # what it said before has arrived then
    if complaints.unexpected:
        pytest.fail("the page complains:\n" + "\n".join(complaints.unexpected))


NewContext = Callable[..., Awaitable[BrowserContext]]
NewPage = Callable[..., Awaitable[Page]]


@pytest.fixture
async def new_context(browser: Browser, complaints: Complaints) -> NewContext:
    """A person's browser, with storage of its own; takes Playwright's options (`viewport`, `color_scheme`, …)."""

    async def new_context(**options: Any) -> BrowserContext:
        context = await browser.new_context(**options)
        complaints.listen(context)
        return context

    return new_context


@pytest.fixture
async def new_page(new_context: NewContext) -> NewPage:
    """A tab at `url`: in the given context, or in one of its own, which takes the options."""

    async def new_page(url: str, context: BrowserContext | None = None, **options: Any) -> Page:
        page = await (context or await new_context(**options)).new_page()
        await page.goto(url)
        return page

    return new_page


@pytest.fixture
async def demo(start_server: StartServer, built_page: Path) -> Running:
    """The page and its server, in this process."""
    return await start_server(page=built_page)


@dataclass
class DemoProcess:
    """`notify-server demo`, which can be stopped and started again: at the same address, with the same data."""

    url: str
    start: Callable[[], Awaitable[Process]]


@pytest.fixture
def _demo_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="notify-") as name:
        Path(name).chmod(0o755)  # where PostgreSQL runs as another user than root
        yield Path(name)


@pytest.fixture
def demo_process(start: Start, built_page: Path, _demo_folder: Path) -> DemoProcess:
    port = free_port()

    async def start_demo() -> Process:
        process = await start("demo", cwd=_demo_folder, DATA_DIR="data", PORT=port, DRAIN_S=1)
        await process.until("This terminal listens as Ada")
        return process

    return DemoProcess(f"http://127.0.0.1:{port}", start_demo)


@pytest.fixture(scope="session")
def development_page(built_page: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages with React's development build, which alone mounts twice under StrictMode."""
    folder = tmp_path_factory.mktemp("development")
    subprocess.run(
        [*npm(), "run", "--silent", "build", "--", "--outDir", str(folder), "--emptyOutDir", "--logLevel", "error"],
        cwd=WEB, env={**environment(), "NODE_ENV": "development"}, check=True,
    )  # fmt: skip
    return folder
