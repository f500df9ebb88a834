"""The unchanged hook, by where the front end lives: a real browser, real names of hosts, TLS as cookies need it.

The front end is a page with the hook of an Express app; the API is notify-server. Both are reached by names that lead
to this machine, so that the browser tells sites and origins apart as it would on the internet.
"""

from __future__ import annotations

import datetime
import json
import shutil
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from playwright.async_api import Browser, Page, async_playwright, expect

from notify_server.app import LIFECYCLE, create_app
from notify_server.settings import load
from tests.browser.conftest import Complaints, NewContext, launched
from tests.conftest import SECRET
from tests.inboxes import INSERT
from tests.node import CLIENT
from tests.postgres import Sql, free_port

# The hook of an app that was made for the Express server, without the framework around it.
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><title>app</title>
<ul id="toasts"></ul><p id="state"></p><script src="/socket.io.js"></script><script>
const socket = io(API_URL, OPTIONS);
socket.on("notification", (data) => {
  const toast = document.createElement("li");
  toast.textContent = data.message;
  document.getElementById("toasts").append(toast);
});
const say = (text) => { document.getElementById("state").textContent = text; };
socket.on("connect", () => say("connected"));
socket.on("connect_error", (error) => say(`refused: ${error.data?.code ?? error.message}`));
</script></html>"""
ADA = {"auth": {"userId": 1}}
TOAST = "Grace commented on your post"
# A client that is refused closes its session by POST, and may poll for it once more.
LAST_POLL = r"status of 400 .*transport=polling&.*&sid="


def certificate(folder: Path, names: list[str]) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "certificate.pem").write_bytes(signed.public_bytes(Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """One for which every name ends here."""
    async with async_playwright() as playwright:
        browser = await launched(
            playwright, chromium, "--host-resolver-rules=MAP *.test 127.0.0.1", "--ignore-certificate-errors"
        )
        yield browser
        await browser.close()


def front_end(dist: Path) -> web.Application:
    """A server of files, as an app's front end may have."""

    async def page(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(dist / "index.html")

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_static("/", dist)
    return app


Serve = Callable[..., Awaitable[None]]


@pytest.fixture
async def serve(url: str, tmp_path: Path, _installed_clients: None) -> AsyncIterator[Serve]:
    """Serves the API on a port, and the page of the front end on the same one or on another; over TLS."""
    runners: list[web.AppRunner] = []
    tls = certificate(tmp_path, ["app.example.test", "api.example.test", "app.other.test"])

    async def listen(app: web.Application, port: int) -> None:
        runner = web.AppRunner(app, shutdown_timeout=1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()

    async def serve(api_port: int, page_port: int, api_url: str, options: dict[str, Any], **values: Any) -> None:
        dist = tmp_path / f"dist{page_port}"
        dist.mkdir()
        (dist / "index.html").write_text(
            PAGE.replace("API_URL", json.dumps(api_url)).replace("OPTIONS", json.dumps(options))
        )
        shutil.copy(CLIENT / "node_modules" / "client-4.8" / "dist" / "socket.io.min.js", dist / "socket.io.js")
        if api_port == page_port:
            values["static_dir"] = dist
        api = create_app(load(None, **{"database_url": url, "jwt_secret": SECRET, "drain_s": 1, **values}))
        await listen(api, api_port)
        await api[LIFECYCLE].booted.wait()
        if api_port != page_port:
            await listen(front_end(dist), page_port)

    yield serve
    for runner in runners:
        await runner.cleanup()


def token(user: int = 1) -> str:
    return jwt.encode({"sub": str(user), "exp": time.time() + 600}, SECRET, "HS256")


async def open_page(new_context: NewContext, url: str, cookie_url: str, **cookie: Any) -> Page:
    """Somebody who has logged in at the API before."""
    context = await new_context()
    await context.add_cookies(
        [{"name": "token", "value": token(), "url": cookie_url, "httpOnly": True, "secure": True, **cookie}]  # type: ignore[typeddict-item]
    )
    page = await context.new_page()
    await page.goto(url)
    return page


async def state(page: Page, text: str) -> None:
    await expect(page.locator("#state")).to_have_text(text, timeout=12_000)


async def test_same_origin_works_unchanged(serve: Serve, new_context: NewContext, other: Sql) -> None:
    port = free_port()
    here = f"https://app.example.test:{port}"
    await serve(port, port, here, ADA)
    page = await open_page(new_context, here, here, sameSite="Lax")
    await state(page, "connected")
    other.run(INSERT)
    await expect(page.locator("#toasts li")).to_have_text([TOAST])


async def test_another_origin_of_the_same_site_works_unchanged_by_the_upgrade_s_cookie(
    serve: Serve, new_context: NewContext, other: Sql
) -> None:
    api_port, page_port = free_port(), free_port()
    api, app = f"https://api.example.test:{api_port}", f"https://app.example.test:{page_port}"
    await serve(api_port, page_port, api, ADA, client_url=app)
    page = await open_page(new_context, app, api, sameSite="Lax")
    await state(page, "connected")
    other.run(INSERT)
    await expect(page.locator("#toasts li")).to_have_text([TOAST])


async def test_with_credentials_that_works_by_polling_too(serve: Serve, new_context: NewContext, other: Sql) -> None:
    api_port, page_port = free_port(), free_port()
    api, app = f"https://api.example.test:{api_port}", f"https://app.example.test:{page_port}"
    await serve(api_port, page_port, api, ADA | {"withCredentials": True, "transports": ["polling"]}, client_url=app)
    page = await open_page(new_context, app, api, sameSite="Lax")
    await state(page, "connected")
    other.run(INSERT)
    await expect(page.locator("#toasts li")).to_have_text([TOAST])


async def test_without_an_upgrade_nobody_is_taken_at_his_word(
    serve: Serve, new_context: NewContext, complaints: Complaints
) -> None:
    complaints.expect(".*")
    api_port, page_port = free_port(), free_port()
    api, app = f"https://api.example.test:{api_port}", f"https://app.example.test:{page_port}"
    await serve(api_port, page_port, api, ADA | {"transports": ["polling"]}, client_url=app)
    page = await open_page(new_context, app, api, sameSite="Lax")
    await page.wait_for_timeout(8000)
    assert await page.locator("#state").text_content() in ("", "refused: xhr poll error")


async def test_an_origin_that_client_url_does_not_name_gets_nothing(
    serve: Serve, new_context: NewContext, complaints: Complaints
) -> None:
    complaints.expect("CORS|Failed to load|WebSocket")
    api_port, page_port = free_port(), free_port()
    api, app = f"https://api.example.test:{api_port}", f"https://app.example.test:{page_port}"
    for transports in (["polling"], ["websocket"]):
        await serve(api_port, page_port, api, ADA | {"transports": transports})
        page = await open_page(new_context, app, api, sameSite="Lax")
        await state(page, f"refused: {'xhr poll' if transports == ['polling'] else 'websocket'} error")
        api_port, page_port = free_port(), free_port()
        api, app = f"https://api.example.test:{api_port}", f"https://app.example.test:{page_port}"


async def test_another_site_is_refused_for_good_and_works_by_one_line(
    serve: Serve, new_context: NewContext, other: Sql, complaints: Complaints
) -> None:
    complaints.expect(LAST_POLL)
    api_port, page_port = free_port(), free_port()
    api, app = f"https://api.example.test:{api_port}", f"https://app.other.test:{page_port}"
    await serve(api_port, page_port, api, ADA, client_url=app)
    page = await open_page(new_context, app, api, sameSite="Lax")
    await state(page, "refused: unauthorized")

    api_port, page_port = free_port(), free_port()
    api, app = f"https://api.example.test:{api_port}", f"https://app.other.test:{page_port}"
    await serve(api_port, page_port, api, {"auth": {"userId": 1, "token": token()}}, client_url=app)
    page = await open_page(new_context, app, api, sameSite="Lax")
    await state(page, "connected")
    other.run(INSERT)
    await expect(page.locator("#toasts li")).to_have_text([TOAST])


async def test_a_cookie_of_somebody_else_than_the_hook_says_is_refused(
    serve: Serve, new_context: NewContext, complaints: Complaints
) -> None:
    complaints.expect(LAST_POLL)
    port = free_port()
    here = f"https://app.example.test:{port}"
    await serve(port, port, here, {"auth": {"userId": 2}})
    page = await open_page(new_context, here, here, sameSite="Lax")
    await state(page, "refused: user_mismatch")
