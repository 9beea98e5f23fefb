"""How a deployment does, in its panel and for the supervisor: what it promises, what is done, how right it answers."""

from __future__ import annotations

import re

import msgspec
import pytest
from browsing import AXE, violations
from labpage import Lab, Panel
from playwright.sync_api import Route, expect
from windows import GOLDEN
from world import World, until

from autodeploy_magic.health import Alert
from autodeploy_magic.live import Glance


@pytest.fixture
def panel(lab: Lab, world: World) -> Panel:
    """A panel of `iris`, which has answered a few rows."""
    world.serve(world.version("iris"), "iris")
    world.predict()
    world.predict()
    lab.open()
    return lab.panel_tab("iris").live()


def test_the_slo_is_changed_and_what_is_wrong_is_shown_beside_it(panel: Panel, world: World) -> None:
    panel.node.get_by_role("button", name=re.compile("SLO")).click()
    line = panel.dialog.get_by_label("SLO line")
    line.fill("p99<<5")
    panel.dialog.get_by_role("button", name="Save").click()
    expect(panel.dialog.get_by_role("alert")).to_contain_text("→")
    assert world.store.desired("iris").slo == ""
    line.fill("p99<2s, errors<1%")
    panel.page.keyboard.press("Enter")
    expect(panel.dialog).to_be_hidden()
    until(lambda: world.store.desired("iris").slo == "p99<2s, errors<1%")
    expect(panel.notice).to_contain_text("The SLO is p99<2s, errors<1% now")


def test_the_switch_of_recovery_is_what_the_supervisor_does(panel: Panel, world: World) -> None:
    panel.node.get_by_role("button", name="Recovery: acts").click()
    panel.dialog.get_by_role("radio", name=re.compile("^Suggest")).check()
    until(lambda: world.store.desired("iris").recovery == "suggest")
    panel.page.keyboard.press("Escape")
    expect(panel.node.get_by_role("button", name="Recovery: suggests")).to_be_focused()


def test_a_click_labels_an_answer(panel: Panel, world: World) -> None:
    panel.node.locator(".adm-tile-button").click()
    panel.dialog.get_by_role("button", name="Label…").click()
    expect(panel.dialog).to_contain_text("the least sure first")
    if AXE.exists():
        assert violations(panel.page, ".adm-dialog") == []
    panel.dialog.locator(".adm-classes button").first.click()
    expect(panel.dialog).to_contain_text("1 labelled")
    panel.dialog.get_by_role("button", name="Another…").click()
    panel.dialog.get_by_label("True value").fill("virginica")
    panel.page.keyboard.press("Enter")
    expect(panel.dialog).to_contain_text("2 labelled")
    panel.page.keyboard.press("Escape")
    until(lambda: (quality := world.supervisor.health("iris").quality) is not None and quality.labels == 2)
    expect(panel.node.locator(".adm-tile", has_text="2 labels")).to_be_visible()


RECORDED = """window.told = []
window.Notification = class {
    static permission = 'default'
    static asked = 0
    static async requestPermission() { this.asked += 1; return (this.permission = 'granted') }
    constructor(title, options) { window.told.push([title, options.tag]) }
    close() {}
}"""
"""A browser's notifications that are written down, in the place of those that would be shown."""


def test_a_new_critical_alert_is_told_by_the_browser_where_that_was_asked_for(lab: Lab) -> None:
    glance = msgspec.convert(GOLDEN["view"]["glance"], Glance)
    alert = Alert(
        id="a1", name="iris", rule="slo:p99", detector="slo", metric="p99", severity="critical", text="p99 88 ms"
    )
    firing: list[Alert] = []
    asked: list[Route] = []

    def answer(route: Route) -> None:
        asked.append(route)
        result = {"result": [msgspec.structs.replace(glance, alerts=tuple(firing))]}
        route.fulfill(body=msgspec.json.encode(result) + b"\n", content_type="application/x-ndjson")

    lab.page.add_init_script(RECORDED)
    lab.page.route("**/autodeploy/api/glances*", answer)
    lab.open()
    status = lab.page.locator(".adm-Status")
    expect(status).to_have_text("1 deployment")
    assert lab.page.evaluate("Notification.asked") == 0
    lab.command("autodeploy:notifications")
    assert lab.page.evaluate("Notification.asked") == 1
    seen = len(asked)
    until(lambda: lab.page.evaluate("1") and len(asked) > seen)
    firing.append(alert)
    expect(status).to_have_text("1 deployment■ 1 alert")
    assert lab.page.evaluate("told") == [["iris: p99 88 ms", "autodeploy-a1"]]
    firing.append(msgspec.structs.replace(alert, id="a2", drill=True))
    expect(status).to_contain_text("2 alerts")
    assert lab.page.evaluate("told.length") == 1
    lab.command("autodeploy:notifications")
