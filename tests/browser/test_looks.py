"""How it looks and reads: light and dark, wide and narrow, by eye and by screen reader."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from browsing import AXE, violations
from labpage import Lab, Panel
from playwright.sync_api import Route, expect
from steady import Steady
from versions import X
from windows import GOLDEN
from world import World, until

THEMES = ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast")

OVERFLOWING = """(panel) => {
    const edge = panel.getBoundingClientRect().right + 0.5
    const scrolls = (node) => node !== panel && (node.closest('.adm-scroll, pre, .adm-spoken') !== null)
    const found = [...panel.querySelectorAll('*')].filter((node) => {
        const box = node.getBoundingClientRect()
        return box.width > 0 && box.right > edge && !scrolls(node)
    })
    return found.map((node) => `${node.tagName}.${node.getAttribute('class')}: ${node.textContent.slice(0, 40)}`)
}"""


@pytest.fixture
def busy(lab: Lab, world: World) -> Lab:
    """Lab with something to look at: two versions, some load that was, an event, and a deployment that is stopped."""
    url = world.serve(world.version("iris"), "iris").url
    with Steady(url, world.headers(), X[:1].tolist(), 50) as load:
        until(lambda: len(load.answers) > 100)
    world.serve(world.version("iris", c=0.01), "iris")
    world.serve(world.version("churn"), "churn")
    world.supervisor.stop("churn")
    lab.open()
    return lab


def put_to(panel: Panel, width: int) -> None:
    """Give the panel that much room."""
    panel.node.evaluate("(node, width) => { node.parentElement.style.width = `${width}px` }", width)
    until(lambda: abs((panel.node.bounding_box() or {"width": 0})["width"] - width) < 40)


@pytest.mark.skipif(not AXE.exists(), reason="needs labextension/node_modules: `make labextension`")
@pytest.mark.parametrize("theme", THEMES)
def test_everybody_can_read_and_reach_it(busy: Lab, theme: str) -> None:
    busy.theme(theme)
    busy.sidebar.state("churn", "stopped")
    panel = busy.panel_tab("iris").live()
    found = violations(busy.page, ".adm-Sidebar") + violations(busy.page, ".adm-panel")
    panel.press("Code")
    panel.node.get_by_role("button", name="More charts").click()
    panel.node.get_by_role("button", name="Table of figures").click()
    expect(panel.node.locator(".adm-table")).to_be_visible()
    found += violations(busy.page, ".adm-panel")
    panel.press("Logs")
    found += violations(busy.page, ".adm-drawer")
    panel.press("Test")
    expect(panel.drawer).to_contain_text("200")
    found += violations(busy.page, ".adm-drawer")
    for button in ("Re-tune", "Roll back"):
        panel.press(button)
        found += violations(busy.page, ".adm-dialog")
        busy.page.keyboard.press("Escape")
    panel.press("Ship…")
    panel.dialog.get_by_text("Options (").click()
    found += violations(busy.page, ".adm-dialog")
    busy.page.keyboard.press("Escape")
    panel.press("Scale")
    found += violations(busy.page, ".adm-popover")
    assert "\n".join(found) == ""


@pytest.mark.parametrize("width", [320, 400, 640])
def test_a_narrow_panel_cuts_nothing_off(busy: Lab, width: int) -> None:
    panel = busy.panel_tab("iris").live()
    put_to(panel, width)
    until(lambda: panel.node.evaluate(OVERFLOWING) == [])
    assert panel.node.evaluate("(node) => node.scrollWidth <= node.clientWidth")
    for button in ("Code", "Test", "Logs"):
        panel.press(button)
        expect(panel.drawer).to_be_visible()
        assert panel.node.evaluate(OVERFLOWING) == []
    panel.press("Re-tune")
    assert panel.node.evaluate(OVERFLOWING) == []
    panel.page.keyboard.press("Escape")
    panel.press("Ship…")
    panel.dialog.get_by_text("Options (").click()
    assert panel.node.evaluate(OVERFLOWING) == []


@pytest.fixture
def found() -> dict[str, Any]:
    """A re-tune that ended just now, and found something."""
    retune: dict[str, Any] = json.loads(json.dumps(GOLDEN["view"]["retunes"][0]))
    return retune | {"started_s": time.time() - 200, "ended_s": time.time() - 5}


def test_what_a_re_tune_found_is_read_reached_and_taken(lab: Lab, world: World, found: dict[str, Any]) -> None:
    """The calls about it are answered here: what the supervisor does then is tested without a browser."""
    world.serve(world.version("iris"), "iris")
    asked: list[tuple[str, Any]] = []

    def look(route: Route) -> None:
        answer = route.fetch()
        lines = [json.loads(line) for line in answer.text().splitlines()]
        for line in lines:
            if "result" in line:
                line["result"]["retunes"] = [found]
        route.fulfill(response=answer, body="".join(f"{json.dumps(line)}\n" for line in lines))

    def change(route: Route) -> None:
        verb = route.request.url.rpartition("/")[2]
        asked.append((verb, route.request.post_data_json))
        taken = {"promoted": "c2", "promoted_s": time.time(), "bakes_until_s": time.time() + 600}
        found.update(taken if verb == "take" else {"undone": True})
        route.fulfill(body=f"{json.dumps({'result': found})}\n", content_type="application/x-ndjson")

    lab.page.route("**/autodeploy/api/deployments/iris/view", look)
    lab.page.route("**/autodeploy/api/deployments/iris/retunes/r7/*", change)
    lab.open()
    panel = lab.panel_tab("iris").live()
    part = panel.node.get_by_role("region", name="Re-tune", exact=True)
    expect(part.get_by_role("status")).to_have_text(found["outcome"])
    part.get_by_role("button", name="5 candidates").click()
    choice = part.locator(".adm-spot[data-id=c2]")
    choice.focus()
    expect(part.locator(".adm-tip")).to_contain_text("2.1× less")
    lab.page.keyboard.press("ArrowLeft")
    expect(part.locator(".adm-tip")).to_contain_text("first 100 of 300 trees")
    lab.page.keyboard.press("Enter")
    lab.page.keyboard.press("Enter")
    expect(part.locator(".adm-checks")).to_contain_text("−2.5 pp")
    if AXE.exists():
        assert violations(lab.page, ".adm-retune") == []
    put_to(panel, 360)
    until(lambda: panel.node.evaluate(OVERFLOWING) == [])
    part.get_by_role("button", name="Take it…", exact=True).click()
    expect(panel.dialog).to_contain_text("no request is lost")
    lab.page.keyboard.press("Enter")
    expect(panel.notice).to_contain_text("It is run otherwise now: int8, dynamic")
    expect(part.get_by_role("status")).to_contain_text("watched more closely for 9 min")
    part.get_by_role("button", name="Roll back…").click()
    panel.dialog.get_by_role("button", name="Roll back").click()
    expect(part.get_by_role("status")).to_contain_text("It was rolled back")
    assert asked == [("take", {"contender": "c2"}), ("undo", {})]


def test_the_charts_take_the_themes_colours(busy: Lab) -> None:
    panel = busy.panel_tab("iris").live()
    light = panel.picture()
    background = panel.node.evaluate("(node) => getComputedStyle(node).backgroundColor")
    busy.theme("JupyterLab Dark")
    expect(panel.node).not_to_have_css("background-color", background)
    until(lambda: panel.picture() != light)


DOTS = """(canvas) => {
    const rows = Math.round(12 * devicePixelRatio)
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, rows)
    let dots = 0
    let inside = false
    for (let x = 0; x < canvas.width; x += 1) {
        let coloured = false
        for (let y = 0; y < rows; y += 1) {
            const [r, g, b, a] = data.slice(4 * (y * canvas.width + x), 4 * (y * canvas.width + x) + 4)
            coloured ||= a > 128 && Math.max(r, g, b) - Math.min(r, g, b) > 60
        }
        if (coloured && !inside) dots += 1
        inside = coloured
    }
    return dots
}"""
"""How many coloured dots are in a row at the top of a chart: each mark has one, and its text is grey."""


def test_what_happened_is_marked_on_the_charts(busy: Lab, world: World) -> None:
    panel = busy.panel_tab("iris").live()
    panel.window("1 min")
    top = panel.charts.locator("canvas").first
    until(lambda: top.evaluate(DOTS) >= 1)
    before = top.evaluate(DOTS)
    world.supervisor.restart("iris", lambda progress: None)
    expect(panel.events.first).to_contain_text("restarted")
    until(lambda: top.evaluate(DOTS) > before)


def test_what_is_pressed_by_keyboard_stays_with_the_keyboard(busy: Lab) -> None:
    panel = busy.panel_tab("iris").live()
    panel.button("Test").focus()
    busy.page.keyboard.press("Enter")
    expect(panel.drawer).to_be_visible()
    panel.drawer.get_by_role("button", name="Close").focus()
    busy.page.keyboard.press("Escape")
    expect(panel.drawer).to_be_hidden()
    expect(panel.button("Test")).to_be_focused()
    panel.button("Re-tune").focus()
    busy.page.keyboard.press("Enter")
    for _ in range(12):
        busy.page.keyboard.press("Tab")
    assert panel.dialog.evaluate("(node) => node.contains(document.activeElement)")
    busy.page.keyboard.press("Escape")
    expect(panel.button("Re-tune")).to_be_focused()
