"""The panel as a tab: its figures beside what the client saw, and each of its buttons, as the supervisor sees them."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from labpage import Lab, Panel
from playwright.sync_api import expect
from steady import Steady
from versions import X
from world import World, until

ROW = X[:1].tolist()


def slow_by(seconds: float) -> Callable[[Any, Any], Any]:
    """A `predict` that takes that long, for figures that are known beforehand."""

    def predict(model: Any, x: Any) -> Any:
        time.sleep(seconds)
        return model.predict(np.asarray(x))

    predict.__globals__["time"] = time
    return predict


@pytest.fixture
def panel(lab: Lab, world: World) -> Panel:
    """A panel of `iris`, one worker, version 1."""
    world.serve(world.version("iris"), "iris")
    lab.open()
    return lab.panel_tab("iris").live()


def test_the_figures_are_those_that_the_client_saw(lab: Lab, world: World) -> None:
    slow = world.version("iris", format="native", predict=slow_by(0.05))
    url = world.serve(slow, "iris").url
    lab.open()
    panel = lab.panel_tab("iris").live()
    before = panel.picture()
    with Steady(url, world.headers(), ROW, 12) as load:
        panel.until_figure("requests", lambda rate: abs(rate - 12) <= 0.6)
        until(lambda: len(load.answers) > 14 * 12)  # the tiles' ten seconds, with the two that they are behind
        seen = load.seen(10)
        shown = {label: panel.figure(label) for label in ("requests", "p50", "p99", "errors")}
    assert math.isclose(shown["requests"], seen.requests_per_s, rel_tol=0.05)
    assert math.isclose(shown["p50"], seen.p50_s, rel_tol=0.05, abs_tol=1e-3)
    # The greatest p99 of one second of those ten: the slowest answer of each.
    assert 0.05 <= shown["p99"] <= 1.05 * max(answer.seconds for answer in load.answers)
    assert shown["errors"] == seen.failed_share == 0
    assert panel.figure("memory") > 10e6
    assert panel.figure("disk free") > 1e6
    assert panel.picture() != before


def test_failures_are_shown_as_such(lab: Lab, world: World) -> None:
    def predict(model: Any, x: Any) -> Any:
        if float(np.asarray(x)[0][0]) < 0:
            raise ValueError("below zero")
        return model.predict(np.asarray(x))

    url = world.serve(world.version("iris", format="native", predict=predict), "iris").url
    lab.open()
    panel = lab.panel_tab("iris").live()
    with (
        Steady(url, world.headers(), ROW, 15),
        Steady(url, world.headers(), [[-1.0, 1.0, 1.0, 1.0]], 5),
    ):
        panel.until_figure("errors", lambda share: abs(share - 0.25) < 0.04)
    assert panel.figure("requests") > 0


def test_what_nobody_asked_for_is_unknown_and_not_zero(panel: Panel) -> None:
    panel.until_figure("requests", lambda rate: rate == 0)
    assert panel.tile("p50") == panel.tile("p99") == "–"


def test_the_test_button_sends_a_row_and_shows_the_answer(panel: Panel, world: World) -> None:
    panel.press("Test")
    expect(panel.drawer).to_contain_text("200")
    expect(panel.drawer).to_contain_text(re.compile(r"\d ms"))
    expect(panel.drawer).to_contain_text("setosa")
    until(lambda: len(world.store.metrics_file("iris").read_bytes()) > 0)
    panel.press("Test")
    expect(panel.drawer).to_be_hidden()


def stop(panel: Panel) -> None:
    panel.press("Stop")
    panel.dialog.get_by_role("button", name="Stop").click()


def test_stop_and_start(panel: Panel, world: World) -> None:
    panel.press("Stop")
    expect(panel.dialog).to_contain_text("Nothing is deleted")
    panel.page.keyboard.press("Escape")
    assert world.supervisor.status("iris").state == "running"
    stop(panel)
    until(lambda: world.supervisor.status("iris").state == "stopped")
    panel.live("stopped")
    assert world.supervisor.status("iris").workers == ()
    expect(panel.button("Restart")).to_have_attribute("aria-disabled", "true")
    expect(panel.events.first).to_contain_text("stopped")
    panel.press("Start")
    until(lambda: world.supervisor.status("iris").state == "running")
    panel.live("running")
    assert world.predict("iris").status_code == 200


def test_restart_swaps_the_workers_and_leaves_a_mark(panel: Panel, world: World) -> None:
    pids = [worker.pid for worker in world.supervisor.status("iris").workers]
    panel.press("Restart")
    until(lambda: [worker.pid for worker in world.supervisor.status("iris").workers] not in ([], pids))
    expect(panel.notice).to_contain_text("Restarted")
    expect(panel.events.first).to_contain_text("restarted")
    kinds = [event.kind for event in world.supervisor.events("iris")]
    assert [kind for kind in kinds if kind not in ("alert", "incident")][-1] == "restarted"


def test_scale(panel: Panel, world: World) -> None:
    panel.press("Scale · 1")
    panel.node.get_by_role("button", name="One more").click()
    panel.node.get_by_role("button", name="Apply").click()
    until(lambda: sum(worker.ready for worker in world.supervisor.status("iris").workers) == 2)
    expect(panel.button("Scale · 2")).to_be_visible()
    expect(panel.events.first).to_contain_text("2")


def test_a_setting_is_changed_by_hand(panel: Panel, world: World) -> None:
    panel.press("Re-tune")
    panel.dialog.get_by_role("tab", name="Set by hand").click()
    expect(panel.dialog).to_contain_text("ONNX")
    apply = panel.dialog.get_by_role("button", name="Apply")
    expect(apply).to_have_attribute("aria-disabled", "true")
    panel.dialog.get_by_label("max_queue").fill("77")
    apply.click()
    until(lambda: world.store.desired("iris").settings.get("max_queue") == 77)
    expect(panel.notice).to_contain_text("new settings")
    expect(panel.events.first).to_contain_text("max_queue 77")
    panel.press("Re-tune")
    panel.dialog.get_by_role("tab", name="Set by hand").click()
    expect(panel.dialog.get_by_label("max_queue")).to_have_value("77")
    panel.page.keyboard.press("Escape")
    expect(panel.dialog).to_be_hidden()
    expect(panel.button("Re-tune")).to_be_focused()


def test_roll_back_and_promote(lab: Lab, world: World) -> None:
    world.serve(world.version("iris"), "iris")
    world.supervisor.promote("iris", lambda progress: None, world.version("iris", c=0.01))
    lab.open()
    panel = lab.panel_tab("iris").live()
    expect(panel.versions.first).to_contain_text("v2")
    expect(panel.versions.first).to_contain_text("serves")
    panel.press("Roll back")
    panel.dialog.get_by_role("button", name="Roll back to v1").click()
    until(lambda: world.supervisor.status("iris").version == 1)
    expect(panel.notice).to_contain_text("v1 serves now")
    expect(panel.events.first).to_contain_text("v1")
    panel.node.get_by_role("button", name="Promote v2").click()
    panel.dialog.get_by_role("button", name="Promote v2").click()
    until(lambda: world.supervisor.status("iris").version == 2)


def test_logs_are_read_and_followed(lab: Lab, world: World) -> None:
    def predict(model: Any, x: Any) -> Any:
        sys.stdout.write(f"seen {len(x)} rows\n")
        sys.stdout.flush()
        return model.predict(np.asarray(x))

    world.serve(world.version("iris", format="native", predict=predict), "iris")
    lab.open()
    panel = lab.panel_tab("iris").live()
    panel.press("Logs")
    log = panel.drawer.get_by_role("log")
    world.predict("iris")
    expect(log).to_contain_text("seen 3 rows")


def test_code_is_shown_copied_and_works(panel: Panel, world: World) -> None:
    panel.press("Code")
    expect(panel.drawer.get_by_role("tabpanel")).to_contain_text("curl")
    panel.drawer.get_by_role("tab", name="Python").click()
    panel.drawer.get_by_role("button", name="Copy").click()
    expect(panel.drawer.get_by_role("button", name="Copied")).to_be_visible()
    copied = panel.page.evaluate("navigator.clipboard.readText()")
    assert world.supervisor.status("iris").url in copied
    assert copied == world.supervisor.view("iris").snippets["python"]


def test_containerize_offers_what_there_is_and_says_what_is_missing(panel: Panel, world: World) -> None:
    panel.press("Containerize")
    for engine in world.supervisor.view("iris").engines:
        expect(panel.dialog.get_by_role("radio", name=engine)).to_be_visible()
    panel.dialog.get_by_role("radio", name="No engine").check()
    panel.dialog.get_by_label("Base image").fill("/nowhere/base.tar")
    panel.dialog.get_by_role("button", name="Build the image").click()
    expect(panel.notice).to_contain_text("there is no /nowhere/base.tar")


def test_a_version_is_shipped_from_its_form_into_a_folder_beside_the_notebooks(panel: Panel, lab: Lab) -> None:
    panel.press("Ship…")
    panel.dialog.get_by_label("Where to").select_option("compose")
    expect(panel.dialog).to_contain_text("Grafana dashboard")
    write = panel.dialog.get_by_role("button", name="Write the files")
    expect(write).to_have_attribute("aria-disabled", "true")
    panel.dialog.get_by_label("Image").fill("registry.example.com/team/iris:v1")
    panel.dialog.get_by_text("Options (").click()
    panel.dialog.get_by_label("port").fill("99999")
    write.click()
    expect(panel.dialog.get_by_role("alert")).to_contain_text("99999 is no port")
    expect(panel.dialog.get_by_role("alert")).to_contain_text("→ use one from 1 to 65535")
    expect(panel.dialog.get_by_label("port")).to_be_focused()
    panel.dialog.get_by_label("port").fill("8123")
    panel.page.keyboard.press("Enter")
    expect(panel.notice).to_contain_text("Read README.md first")
    expect(panel.dialog).to_be_hidden()
    expect(panel.button("Ship…")).to_be_focused()
    folder = lab.server.root / "iris-compose"
    expect(panel.notice.locator("code")).to_have_text(str(folder))
    panel.notice.get_by_role("button", name="Copy").click()
    expect(panel.notice.get_by_role("button", name="Copied")).to_be_visible()
    assert panel.page.evaluate("navigator.clipboard.readText()") == str(folder)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".shipped.json"]
    expect(panel.notice).to_contain_text(f"{len(files)} files")
    assert {"README.md", "docker-compose.yaml", ".env"} <= {path.name for path in files}
    assert "8123" in (folder / ".env").read_text("utf-8")
    assert "registry.example.com/team/iris:v1" in (folder / ".env").read_text("utf-8")
    expect(panel.events.first).to_contain_text("compose")


def test_what_fails_says_why_and_what_to_do(panel: Panel, world: World) -> None:
    panel.press("Scale · 1")
    panel.node.get_by_label("Workers").fill("2")
    world.supervisor.remove("iris")
    expect(panel.banner).to_contain_text("There is no deployment iris any more")
    expect(panel.node.get_by_label("Workers")).to_be_hidden()
    expect(panel.button("Stop")).to_have_attribute("aria-disabled", "true")


def test_a_double_click_does_one_thing(panel: Panel, world: World) -> None:
    generation = world.supervisor.status("iris").generation
    panel.button("Restart").dblclick()
    expect(panel.notice).to_contain_text("Restarted")
    assert world.supervisor.status("iris").generation == generation + 1


def test_the_window_goes_back_to_what_was_before(lab: Lab, world: World) -> None:
    url = world.serve(world.version("iris"), "iris").url
    with Steady(url, world.headers(), ROW, 30) as load:
        until(lambda: len(load.answers) > 150)
    lab.open()
    panel = lab.panel_tab("iris").live()
    panel.window("15 min")
    panel.node.get_by_role("button", name="Table of figures").click()
    expect(panel.node.locator(".adm-table")).to_contain_text(re.compile(r"\d /s"))
    panel.node.get_by_role("button", name="Copy as CSV").click()
    expect(panel.node.get_by_role("button", name="Copied")).to_be_visible()
    lines = panel.page.evaluate("navigator.clipboard.readText()").splitlines()
    assert lines[0].startswith("time,requests_per_s,")
    rates = [float(cell) for line in lines[1:] if (cell := line.split(",")[1])]
    assert max(rates) > 1
    assert json.dumps(rates)


def test_two_panels_of_one_deployment_agree(lab: Lab, world: World) -> None:
    world.serve(world.version("iris"), "iris")
    lab.open()
    first = lab.panel_tab("iris").live()
    other = lab.page.context.new_page()
    other.goto(lab.server.lab())
    second = Lab(lab.server, other)
    second.ready()
    there = second.panel_tab("iris").live()
    first.page.bring_to_front()
    stop(first)
    there.page.bring_to_front()
    there.live("stopped")
    there.press("Start")
    there.live("running")
    assert world.supervisor.status("iris").state == "running"
