"""The panel in a notebook: it comes with the deploy, outlives reload, restart and crash, and stays as a picture."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from browsing import Complaints
from labpage import LOAD, TRAIN, Lab, panel_of
from playwright.sync_api import expect
from steady import Steady
from versions import X
from watching import watching
from world import World, until

DEPLOY = "%%deploy iris --sample X\nmodel = LogisticRegression(max_iter=500).fit(X, y)"
HOLD = "import ctypes; ctypes.PyDLL(None).sleep({})"
"""Keeps the interpreter to itself: no thread of the kernel runs meanwhile."""


TILE_S = 10.0
"""What a tile is a mean of; see `labextension/src/panel/tiles.ts`."""


def as_sent(load: Steady) -> Callable[[float], bool]:
    """Whether a rate is what the client has really sent."""

    def holds(rate: float) -> bool:
        begun = bool(load.answers) and load.answers[0].at_s < time.time() - 5
        return begun and rate > 5 and abs(rate - load.seen(TILE_S).requests_per_s) <= 1

    return holds


def test_a_cell_deploys_and_the_panel_appears_under_it(lab: Lab, world: World) -> None:
    notebook = lab.notebook(f"{LOAD}\n{TRAIN}", DEPLOY)
    notebook.run_all()
    ready = time.monotonic()
    panel = notebook.panel(1).live()
    took = time.monotonic() - ready
    assert took < 3
    expect(notebook.output(1)).to_contain_text("first prediction")
    expect(panel.node).to_have_count(1)
    expect(panel.node.locator(".adm-jobs")).to_be_hidden()  # its steps stand above it, and are over
    assert notebook.output(1).locator(".adm-static:visible").count() == 0
    url = world.supervisor.status("iris").url
    expect(panel.node).to_contain_text(url)
    with Steady(url, world.headers(), X[:1].tolist(), 20) as load:
        panel.until_figure("requests", as_sent(load))
        before = panel.picture()
        until(lambda: panel.picture() != before)


def test_one_click_deploys_what_the_notebook_has(lab: Lab, world: World) -> None:
    notebook = lab.notebook(TRAIN, "model = LogisticRegression(max_iter=500).fit(X, y)", name="flowers.ipynb")
    notebook.run_all()
    lab.sidebar.node.get_by_role("button", name="Deploy…").click()
    dialog = lab.dialog()
    expect(dialog.get_by_label("Model")).to_have_value("model")
    expect(dialog.get_by_label("Sample")).to_have_value("X")
    expect(dialog.get_by_label("Name")).to_have_value("flowers")
    dialog.get_by_label("Name").fill("Not a name")
    expect(dialog.get_by_role("button", name="Deploy")).to_be_disabled()
    dialog.get_by_label("Name").fill("flowers")
    dialog.get_by_role("button", name="Deploy").click()
    lab.sidebar.state("flowers", "running")
    assert notebook.sources()[2:4] == [LOAD, "%%deploy flowers --model model --sample X"]
    panel = notebook.panel(3).live()
    expect(panel.node).to_contain_text("flowers")
    assert world.predict("flowers").status_code == 200
    lab.page.locator(".jp-NotebookPanel-toolbar [data-command='autodeploy:deploy']").click()
    expect(lab.dialog()).to_contain_text("is deployed: this makes its next version")
    lab.page.keyboard.press("Escape")


def test_deploy_without_a_model_says_what_to_do(lab: Lab) -> None:
    notebook = lab.notebook("x = 1")
    notebook.run_all()
    lab.command("autodeploy:deploy")
    expect(lab.dialog()).to_contain_text("no fitted model is in the memory")
    expect(lab.dialog()).to_contain_text("run the cell that trains or loads the model")
    lab.dialog().get_by_role("button", name="Close").click()


def test_a_kernel_that_computes_keeps_nobody_from_stopping(lab: Lab, world: World) -> None:
    world.serve(world.version("iris"), "iris")
    notebook = lab.notebook(f"{LOAD}\n%deploy panel iris", HOLD.format(10))
    notebook.run(0)
    panel = notebook.panel(0).live()
    notebook.run(1, wait=False)
    held = time.monotonic()
    reached = {}
    with watching(world.supervisor) as seen:
        for text, title in (("Scale · 1", "scale iris"), ("Restart", "restart iris"), ("Stop", "stop iris")):
            button = panel.button(text)
            expect(button).not_to_have_attribute("aria-disabled", "true")
            if text.startswith("Scale"):
                button.click()
                panel.node.get_by_label("Workers").fill("2")
                button = panel.node.get_by_role("button", name="Apply")
            clicked = time.time()
            button.click()
            seen.wait(lambda title=title: title in seen.activities)  # type: ignore[misc]
            reached[title] = seen.activities[title].started_s - clicked
            seen.wait(lambda title=title: seen.activities[title].state == "done")  # type: ignore[misc]
    assert time.monotonic() - held < 10, "the kernel was not busy any more"
    assert max(reached.values()) < 2, reached  # benchmarks/panel.py holds it to 0.2 s
    panel.live("stopped")


def test_a_reload_keeps_the_panel_and_its_past(lab: Lab, world: World) -> None:
    url = world.serve(world.version("iris"), "iris").url
    notebook = lab.notebook(f"{LOAD}\n%deploy panel iris")
    notebook.run_all()
    panel = notebook.panel(0).live()
    with Steady(url, world.headers(), X[:1].tolist(), 25) as load:
        panel.until_figure("requests", as_sent(load))
    notebook.save()
    lab.reload()
    panel = notebook.panel(0).live()
    panel.node.get_by_role("button", name="Table of figures").click()
    until(lambda: max(rates(panel.node.locator(".adm-table").inner_text())) > 1)
    assert max(rates(panel.node.locator(".adm-table").inner_text())) <= 25


def rates(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"([\d.]+) /s", text)] or [0.0]


def test_a_restarted_kernel_shows_the_same_past(lab: Lab, world: World) -> None:
    url = world.serve(world.version("iris"), "iris").url
    notebook = lab.notebook(f"{LOAD}\n%deploy panel iris")
    notebook.run_all()
    panel = notebook.panel(0).live()
    with Steady(url, world.headers(), X[:1].tolist(), 25) as load:
        panel.until_figure("requests", as_sent(load))
    notebook.restart_kernel()
    notebook.run_all()
    panel = notebook.panel(0).live()
    panel.node.get_by_role("button", name="Table of figures").click()
    until(lambda: max(rates(panel.node.locator(".adm-table").inner_text())) > 1)


def test_several_panels_of_one_deployment_share_what_they_show(lab: Lab, world: World) -> None:
    world.serve(world.version("iris"), "iris")
    notebook = lab.notebook(f"{LOAD}\n%deploy panel iris", "%deploy panel iris")
    notebook.run_all()
    first, second = notebook.panel(0).live(), notebook.panel(1).live()
    tab = lab.panel_tab("iris").live()
    tab.press("Restart")
    expect(tab.events.first).to_contain_text("restarted")
    lab.page.locator(".lm-TabBar-tabLabel", has_text="test.ipynb").first.click()
    for panel in (first, second):
        expect(panel.events.first).to_contain_text("restarted")
    assert lab.page.locator(panel_of("iris")).count() >= 2


def test_the_supervisor_is_killed_and_comes_back(lab: Lab, world: World) -> None:
    url = world.serve(world.version("iris"), "iris").url
    lab.open()
    panel = lab.panel_tab("iris").live()
    with Steady(url, world.headers(), X[:1].tolist(), 10) as load:
        panel.until_figure("requests", lambda rate: rate > 5)
        world.kill_supervisor()
        expect(panel.banner).to_be_visible()
        expect(panel.banner).to_contain_text(re.compile("Connection lost|No supervisor runs"))
        expect(panel.button("Stop")).to_have_attribute("aria-disabled", "true")
        world.supervisor.ping()  # whoever asks for something starts the next one
        panel.live()
        panel.until_figure("requests", lambda rate: rate > 5)
    assert all(answer.status == 200 for answer in load.answers)
    panel.press("Restart")
    expect(panel.notice).to_contain_text("Restarted")


def test_a_saved_notebook_shows_a_picture_without_a_kernel(lab: Lab, world: World) -> None:
    url = world.serve(world.version("iris"), "iris").url
    with Steady(url, world.headers(), X[:1].tolist(), 25) as load:
        until(lambda: len(load.answers) > 100)
    notebook = lab.notebook(f"{LOAD}\n%deploy panel iris", name="saved.ipynb")
    notebook.run_all()
    notebook.panel(0).live()
    until(lambda: notebook.output(0).locator(".adm-static img").count() == 1)
    notebook.save()
    saved = lab.server.read("saved.ipynb").cells[0].outputs
    assert any("image/png" in output.get("data", {}) for output in saved) or "data:image/png" in str(saved)
    lab.page.goto("about:blank")
    lab.server.end_kernels()
    world.supervisor.remove("iris")
    untrusted = lab.server.read("saved.ipynb")
    untrusted.metadata.pop("widgets", None)
    untrusted.metadata.pop("kernelspec", None)
    name = lab.server.write("again.ipynb", [untrusted.cells[0].source], outputs={0: untrusted.cells[0].outputs})
    notebook = lab.open_notebook(name)
    picture = notebook.output(0).locator("img").first
    expect(picture).to_be_visible()
    assert picture.evaluate("(image) => image.naturalWidth") > 300
    expect(notebook.output(0)).to_contain_text("iris")


def test_without_the_servers_extension_the_kernel_is_the_road(
    bare_lab: Lab, world: World, complaints: Complaints
) -> None:
    complaints.expect(r"404 .*autodeploy/api/hello")
    url = world.serve(world.version("iris"), "iris").url
    notebook = bare_lab.notebook(f"{LOAD}\n%deploy panel iris")
    notebook.run_all()
    panel = notebook.panel(0).live()
    with Steady(url, world.headers(), X[:1].tolist(), 20) as load:
        panel.until_figure("requests", as_sent(load))
    panel.press("Stop")
    until(lambda: world.supervisor.status("iris").state == "stopped")
    panel.live("stopped")
    expect(bare_lab.sidebar.node).to_contain_text("The Jupyter Server does not know autodeploy")


def test_notebook_7_has_the_panel_and_the_sidebar(lab: Lab, world: World, complaints: Complaints) -> None:
    complaints.expect(r"reading 'schema'|'filebrowser:open-path' not registered")  # its own
    world.serve(world.version("iris"), "iris")
    notebook = lab.open_notebook7(lab.server.write("seven.ipynb", [f"{LOAD}\n%deploy panel iris"]))
    notebook.run_all()
    panel = notebook.panel(0).live()
    panel.press("Restart")
    expect(panel.events.first).to_contain_text("restarted")
    lab.page.get_by_role("menuitem", name="View").click()
    lab.page.locator(".lm-Menu-itemLabel", has_text="Deployments").click()
    sidebar = lab.sidebar
    sidebar.state("iris", "running")
    sidebar.open("iris")
    lab.panel_tab("iris").live()
