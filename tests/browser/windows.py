"""The demo's page as somebody uses it: by roles and names, as a screen reader finds them."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Locator, Page, expect

# Keeps the text of every toast that was ever shown, each element once.
RECORD_TOASTS = """
window.shownToasts = [];
const known = new WeakSet();
new MutationObserver(() => {
  for (const toast of document.querySelectorAll(".Toastify__toast")) {
    if (known.has(toast)) continue;
    known.add(toast);
    const where = toast.closest("section.pane")?.getAttribute("aria-label") ?? "";
    window.shownToasts.push({ where, text: (toast.querySelector("p") ?? toast).textContent });
  }
}).observe(document, { childList: true, subtree: true });
"""


class Window:
    """One person's window on a page."""

    def __init__(self, page: Page, name: str) -> None:
        self.page, self.name = page, name
        self.region = page.get_by_role("region", name=f"{name}'s window", exact=True)
        self.bell = self.region.get_by_role("button", name="Notifications").first
        self.centre = self.region.get_by_role("dialog", name="Notifications")
        self.state = self.region.get_by_role("status").filter(has_text="Connection:").first
        self.switch = self.region.get_by_role("switch", name="Connection")

    async def is_live(self) -> None:
        await expect(self.state).to_have_text("Connection: live", timeout=10_000)

    async def comment(self, title: str, body: str) -> None:
        post = self.region.get_by_role("article", name=title)
        await post.get_by_role("textbox").fill(body)
        await post.get_by_role("button", name="Comment", exact=True).click()
        await expect(post.get_by_text(body, exact=True)).to_be_visible()

    async def unread(self, count: int) -> None:
        name = f"Notifications, {count} unread" if count else "Notifications"
        await expect(self.bell).to_have_accessible_name(name)

    async def open_centre(self) -> Locator:
        await self.bell.click()
        await expect(self.centre).to_be_visible()
        return self.centre

    async def toasts(self) -> list[str]:
        """All that this window has shown so far."""
        shown: list[dict[str, Any]] = await self.page.evaluate("window.shownToasts")
        return [toast["text"] for toast in shown if toast["where"] == f"{self.name}'s window"]

    async def has_toasted(self, *messages: str) -> None:
        """All of these, in any order, each once, and no other; another one would come within the moment waited."""
        await self.page.wait_for_function(
            "([where, count]) => window.shownToasts.filter((toast) => toast.where === where).length >= count",
            arg=[f"{self.name}'s window", len(messages)],
            timeout=15_000,
        )
        await self.page.wait_for_timeout(700)
        assert sorted(await self.toasts()) == sorted(messages)
