"""The browser that is installed, driven as a person would; and what its pages complain of."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

__all__ = ["BROWSER", "WAIT_MS", "WHAT_TO_INSTALL", "Complaints", "browser", "new_context", "violations"]

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WHAT_TO_INSTALL = "needs Chromium or Chrome: `apt-get install chromium`, or run tools/system.sh as root"
WAIT_MS = 30_000
AXE = Path(__file__).parent.parent / "labextension" / "node_modules" / "axe-core" / "axe.min.js"

_NOISE = re.compile(r"ResizeObserver loop|/api/(kernels|sessions)/[\w-]+|Kernel [\w-]+ (died|doesn't exist)")
"""What the browser and Lab say by themselves: the latter of kernels that a test has ended."""


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        found = playwright.chromium.launch(executable_path=BROWSER, args=arguments)
        try:
            yield found
        finally:
            found.close()


def new_context(found: Browser, **options: Any) -> BrowserContext:
    """A person with nothing remembered, who may use the clipboard."""
    may = ["clipboard-read", "clipboard-write"]
    context = found.new_context(**{"viewport": {"width": 1300, "height": 950}, "permissions": may, **options})
    context.set_default_timeout(WAIT_MS)
    context.set_default_navigation_timeout(WAIT_MS)
    return context


class Complaints:
    """Errors of the pages' scripts, and what they write as errors to their consoles."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._expected: list[re.Pattern[str]] = []

    def listen(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.heard.append(f"uncaught: {error}"))

    def expect(self, pattern: str) -> None:
        """What the test itself brings about."""
        self._expected.append(re.compile(pattern))

    @property
    def unexpected(self) -> list[str]:
        wanted = [_NOISE, *self._expected]
        return [text for text in self.heard if not any(pattern.search(text) for pattern in wanted)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.heard.append(f"{message.text} ({message.location.get('url', '')})")


def violations(page: Page, selector: str) -> list[str]:
    """What axe finds wrong with the elements, as far as it is serious or critical.

    Raises where it looked at no text: JupyterLab's body has no height, and what is in it then counts as cut off.
    """
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate(
        """async (selector) => {
            const { style } = document.body
            const before = style.height
            style.height = '100vh'
            const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
            // A row's figures change each second: its name begins with what it is called, and leaves them out.
            const rules = { 'label-content-name-mismatch': { enabled: false } }
            const found = await axe.run({ include: [selector] }, { runOnly: tags, rules })
            style.height = before
            const texts = [...found.passes, ...found.violations].find((rule) => rule.id === 'color-contrast')
            const seen = (texts?.nodes ?? []).filter((node) => !(node.any[0]?.message ?? '').includes('hidden'))
            return { bad: found.violations, seen: seen.length }
        }""",
        selector,
    )
    if not found["seen"]:
        raise AssertionError(f"axe saw no text in {selector}")
    return [
        f"{rule['impact']} {rule['id']}: {rule['help']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for rule in found["bad"]
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"]
    ]
