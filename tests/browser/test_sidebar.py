"""The sidebar, the status bar, the palette and the launcher: what Lab shows of all deployments, without a kernel."""

from __future__ import annotations

import re

from browsing import WAIT_MS
from labpage import Lab
from playwright.sync_api import expect
from steady import Steady
from versions import X
from world import World, until

COMMANDS = [
    "autodeploy:copy-url",
    "autodeploy:deploy",
    "autodeploy:logs",
    "autodeploy:notifications",
    "autodeploy:open-page",
    "autodeploy:open-panel",
    "autodeploy:remove",
    "autodeploy:restart",
    "autodeploy:retune",
    "autodeploy:rollback",
    "autodeploy:show-sidebar",
    "autodeploy:start",
    "autodeploy:stop",
    "autodeploy:test",
]


def test_what_there_is_and_how_it_is(lab: Lab, world: World) -> None:
    lab.open()
    sidebar = lab.sidebar
    expect(sidebar.node).to_contain_text("Nothing is deployed")
    world.serve(world.version("iris"), "iris")
    world.serve(world.version("churn"), "churn", workers=2)
    sidebar.state("iris", "running")
    sidebar.state("churn", "running")
    assert sidebar.names() == ["churn", "iris"]
    expect(sidebar.row("iris")).to_contain_text("v1")
    world.supervisor.stop("churn")
    sidebar.state("churn", "stopped")
    expect(sidebar.row("churn")).to_contain_text("stopped")
    world.serve(world.version("iris", c=0.1), "iris")
    expect(sidebar.row("iris")).to_contain_text("v2")
    world.supervisor.remove("churn")
    expect(sidebar.row("churn")).to_have_count(0)


def test_the_line_and_the_figures_move_with_what_is_asked(lab: Lab, world: World) -> None:
    url = world.serve(world.version("iris"), "iris").url
    lab.open()
    sidebar = lab.sidebar
    sidebar.state("iris", "running")
    assert "/s" not in sidebar.row("iris").inner_text() or " 0/s" in f" {sidebar.row('iris').inner_text()}"
    with Steady(url, world.headers(), X[:1].tolist(), 40):
        expect(sidebar.row("iris")).to_contain_text(re.compile(r"(3[6-9]|4[0-4])(\.\d+)?/s"), timeout=WAIT_MS)
        expect(sidebar.row("iris").locator(".adm-Row-right")).to_have_text(re.compile(r"\d+(\.\d+)? (ms|µs)"))
        before = sidebar.spark("iris")
        assert before.count("L") > 1
        until(lambda: sidebar.spark("iris") != before)


def test_a_click_opens_the_panel_without_any_kernel(lab: Lab, world: World) -> None:
    world.serve(world.version("iris"), "iris")
    lab.open()
    lab.sidebar.open("iris")
    panel = lab.panel_tab("iris")
    panel.live()
    assert lab.server.http.get("api/kernels").json() == []


def test_the_menu_stops_starts_and_removes(lab: Lab, world: World) -> None:
    world.serve(world.version("iris"), "iris")
    lab.open()
    sidebar = lab.sidebar
    sidebar.menu("iris", "Stop")
    lab.dialog().get_by_role("button", name="Stop").click()
    until(lambda: world.supervisor.status("iris").state == "stopped")
    sidebar.state("iris", "stopped")
    sidebar.row("iris").get_by_role("button", name="Start iris").click()
    until(lambda: world.supervisor.status("iris").state == "running")
    sidebar.state("iris", "running")
    generation = world.supervisor.status("iris").generation
    sidebar.menu("iris", "Restart")
    until(lambda: world.supervisor.status("iris").generation > generation)
    sidebar.menu("iris", "Test")
    expect(lab.page.locator(".Toastify")).to_contain_text("as the model does")
    sidebar.menu("iris", "Remove…")
    lab.dialog().get_by_role("button", name="Cancel").click()
    assert [status.name for status in world.supervisor.list()] == ["iris"]
    sidebar.menu("iris", "Remove…")
    lab.dialog().get_by_role("button", name="Remove").click()
    expect(sidebar.row("iris")).to_have_count(0)
    assert world.supervisor.list() == []


def test_the_menu_rolls_back(lab: Lab, world: World) -> None:
    world.serve(world.version("iris"), "iris")
    second = world.version("iris", c=0.1)
    world.supervisor.promote("iris", lambda progress: None, second)
    lab.open()
    lab.sidebar.menu("iris", "Roll Back…")
    expect(lab.dialog()).to_contain_text("Version 1 takes over from version 2")
    lab.dialog().get_by_role("button", name="Roll Back").click()
    until(lambda: world.supervisor.status("iris").version == 1)
    expect(lab.sidebar.row("iris")).to_contain_text("v1")


def test_the_keyboard_is_enough(lab: Lab, world: World) -> None:
    for name in ("iris", "churn"):
        world.serve(world.version(name), name)
    lab.open()
    sidebar = lab.sidebar
    sidebar.state("iris", "running")
    sidebar.row("churn").locator(".adm-Row-main").focus()
    lab.page.keyboard.press("ArrowDown")
    expect(sidebar.row("iris").locator(".adm-Row-main")).to_be_focused()
    lab.page.keyboard.press("Enter")
    expect(lab.panel_tab("iris").node).to_be_visible()
    sidebar.row("iris").locator(".adm-Row-main").focus()
    lab.page.keyboard.press("Delete")
    expect(lab.dialog()).to_contain_text("Remove iris?")
    lab.page.keyboard.press("Escape")
    assert len(world.supervisor.list()) == 2


def test_lab_has_the_commands_the_launcher_card_the_status_and_the_settings(lab: Lab, world: World) -> None:
    world.serve(world.version("iris"), "iris")
    world.serve(world.version("churn"), "churn")
    lab.open()
    assert lab.commands == COMMANDS
    status = lab.page.locator("#jp-main-statusbar .adm-Status")
    expect(status).to_have_text("2 deployments")
    world.supervisor.stop("churn")
    lab.page.locator(".jp-Launcher .jp-LauncherCard", has_text="Deployments").click()
    expect(lab.sidebar.node).to_be_visible()
    expect(status).to_have_attribute("data-state", "running")
    expect(status).to_have_attribute("title", re.compile("churn: stopped"))
    lab.command("apputils:activate-command-palette")
    lab.page.keyboard.type("deployments")
    expect(lab.page.locator("#command-palette, .lm-CommandPalette").last).to_contain_text("Open a Panel…")
    lab.page.keyboard.press("Escape")
    schema = lab.server.http.get("lab/api/settings/autodeploy-magic:deployments").json()["schema"]
    assert set(schema["properties"]) >= {"sidebar", "statusBar", "chartSeconds", "confirmStop", "confirmRemove"}


def test_a_setting_that_is_changed_holds_at_once(lab: Lab, world: World) -> None:
    world.serve(world.version("iris"), "iris")
    lab.server.settings({"autodeploy-magic/deployments": {"confirmStop": False, "statusBar": False}})
    lab.open()
    lab.sidebar.menu("iris", "Stop")
    lab.sidebar.state("iris", "stopped")
    expect(lab.page.locator("#jp-main-statusbar .adm-Status")).to_be_hidden()
    path = "lab/api/settings/autodeploy-magic:deployments"
    lab.page.evaluate(
        """async (path) => {
            const { serverSettings } = window.jupyterapp.serviceManager
            void serverSettings, path
        }""",
        path,
    )


def test_the_layout_comes_back(lab: Lab, world: World) -> None:
    world.serve(world.version("iris"), "iris")
    lab.open(workspace="kept")
    lab.sidebar.open("iris")
    lab.panel_tab("iris").live()
    lab.page.wait_for_function("() => window.jupyterapp.shell.saveLayout() !== null")
    until(lambda: "autodeploy-panels:iris" in lab.server.http.get("lab/api/workspaces/kept").text)
    lab.open(workspace="kept")
    tab = lab.page.locator("#jp-main-dock-panel .jp-MainAreaWidget .adm-panel")
    expect(tab).to_be_visible()
    expect(tab).to_contain_text("iris")
    expect(lab.page.locator("section.adm-Sidebar")).to_be_visible()


def test_what_is_built_is_seen_before_it_serves(lab: Lab, world: World) -> None:
    from autodeploy_magic.contracts import Progress
    from autodeploy_magic.live import Activity

    lab.open()
    sidebar = lab.sidebar
    step = Progress(step="export", state="started")
    building = Activity(id="b1", name="wine", title="deploy wine", steps=(step,), where="kernel", started_s=1.0)
    world.supervisor.activity(building)
    expect(sidebar.row("wine")).to_contain_text("building")
    expect(sidebar.row("wine")).to_contain_text("export")
    world.supervisor.activity(Activity(id="b1", name="wine", title="deploy wine", state="done", where="kernel"))
    expect(sidebar.row("wine")).to_have_count(0)
