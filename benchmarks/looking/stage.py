"""A page with the panel alone, and behind it points that are made up: no Jupyter, no supervisor, no other load."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Route

__all__ = ["HERE", "Stage", "on_stage"]

HERE = Path(__file__).parent
ADDRESS = "http://stage.test/"
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>stage</title>
<body style="margin: 0"><main id="place"></main></body></html>"""


class Stage:
    """The page, once the panel is there."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def set(self, **values: float) -> None:
        """Change `speed`, how fast the page's clock runs, or `rate`, how many messages come a second."""
        self.page.evaluate("(values) => Object.assign(window.stage, values)", values)

    def sent(self) -> tuple[int, int]:
        """How many messages were sent to the panel so far, and their bytes as JSON."""
        found: list[int] = self.page.evaluate("[window.stage.sent, window.stage.bytes]")
        return found[0], found[1]


@contextmanager
def on_stage(browser: Browser, view: dict[str, Any], seconds: int, **values: float) -> Iterator[Stage]:
    """A panel whose charts are `seconds` wide, of the deployment that `view` (a `live.View`) tells of."""
    script = resources.files("autodeploy_magic.notebook").joinpath("static", "panel.js").read_text("utf-8")
    files = {"": (PAGE, "text/html"), "panel.js": (script, "text/javascript")}
    files["stage.js"] = ((HERE / "stage.js").read_text("utf-8"), "text/javascript")

    def answer(route: Route) -> None:
        body, kind = files.get(route.request.url.removeprefix(ADDRESS), ("", "text/plain"))
        route.fulfill(body=body, content_type=kind, status=200 if body else 404)

    page = browser.new_page(viewport={"width": 1000, "height": 800})
    try:
        page.route(f"{ADDRESS}**", answer)
        page.goto(ADDRESS)
        page.evaluate(
            """async ([view, seconds, values]) => {
                const { stage, show } = await import('/stage.js')
                window.stage = Object.assign(stage, values)
                await show('/panel.js', document.getElementById('place'), view, seconds)
            }""",
            [json.loads(json.dumps(view)), seconds, values],
        )
        page.wait_for_selector(".adm-panel .adm-tile")
        page.wait_for_function("document.querySelector('.adm-banner').hidden")
        yield Stage(page)
    finally:
        page.close()
