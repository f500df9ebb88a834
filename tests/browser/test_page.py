"""The built page in a browser: what it loads, and that its policy lets it."""

from __future__ import annotations

import gzip
import re

import pytest
from playwright.async_api import Page, Response, expect

from tests.browser.conftest import Complaints, DemoProcess, NewContext, NewPage
from tests.conftest import Running
from tests.waiting import eventually

MAX_JS_BYTES = 120_000
PATHS = ["/", "/plain/"]


class Loaded:
    """A page that has rendered, and every answer that it had until then."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.answers: list[Response] = []
        page.on("response", lambda answer: self.answers.append(answer))

    async def load(self, url: str) -> Loaded:
        await self.page.goto(url)
        await expect(self.page.locator("#root > *").first).to_be_attached()
        return self

    def of(self, *kinds: str) -> list[Response]:
        return [answer for answer in self.answers if answer.request.resource_type in kinds]


@pytest.fixture
async def loaded(demo: Running, new_context: NewContext) -> Loaded:
    return Loaded(await (await new_context()).new_page())


@pytest.mark.parametrize("path", PATHS)
async def test_it_renders_without_a_complaint(demo: Running, loaded: Loaded, path: str) -> None:
    """Complaints fail it, violations of the policy among them: see the fixture."""
    await loaded.load(demo.url + path)
    assert (await loaded.page.inner_text("#root")).strip()


@pytest.mark.parametrize("path", PATHS)
async def test_scripts_and_styles_come_compressed_and_are_kept_for_good(
    demo: Running, loaded: Loaded, path: str
) -> None:
    await loaded.load(demo.url + path)
    assert loaded.of("script")
    for answer in loaded.of("script", "stylesheet"):
        headers = await answer.all_headers()
        assert headers["content-encoding"] == "br", answer.url
        assert headers["cache-control"] == "public, max-age=31536000, immutable", answer.url


@pytest.mark.parametrize("path", PATHS)
async def test_the_html_names_every_script_and_style_so_that_none_waits_for_another(
    demo: Running, loaded: Loaded, path: str
) -> None:
    await loaded.load(demo.url + path)
    html = await loaded.of("document")[0].text()
    named = {demo.url + found for found in re.findall(r'(?:src|href)="(/assets/[^"]+)"', html)}
    assert {answer.url for answer in loaded.of("script", "stylesheet")} == named


async def test_its_scripts_stay_small(demo: Running, loaded: Loaded) -> None:
    await loaded.load(demo.url)
    sizes = {answer.url: len(gzip.compress(await answer.body())) for answer in loaded.of("script")}
    assert sum(sizes.values()) < MAX_JS_BYTES, sizes


async def test_the_policy_stops_what_is_not_the_pages_own(
    demo: Running, new_page: NewPage, complaints: Complaints
) -> None:
    """So the tests above can fail: in a page that does it, each of these is a complaint."""
    page = await new_page(demo.url)
    for violation, complaint in (
        ("document.body.append(Object.assign(document.createElement('style'), {textContent: 'p {}'}))", "style-src"),
        ("document.body.innerHTML = '<p>x</p>'", "TrustedHTML"),
        ("new Image().src = 'data:image/gif;base64,R0lGOD'", "img-src"),
        ("setTimeout(() => { throw new Error('by itself') })", "thrown: .*by itself"),
        ("console.error('it', 'says')", "it says"),
    ):
        assert not complaints.like(complaint)
        await page.evaluate(f"try {{ {violation} }} catch (error) {{ console.error(error.message) }}; 0")
        await eventually(lambda complaint=complaint: bool(complaints.like(complaint)))  # type: ignore[misc]
        complaints.expect(complaint)


async def test_the_demo_as_a_process_serves_it_again_after_a_restart(
    demo_process: DemoProcess, new_page: NewPage, complaints: Complaints
) -> None:
    complaints.expect("ERR_|WebSocket|50[23]")
    process = await demo_process.start()
    page = await new_page(demo_process.url)
    await process.stop()
    await demo_process.start()
    await page.reload()
    await expect(page.locator("#root > *").first).to_be_attached()
