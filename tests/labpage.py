"""JupyterLab, Notebook 7, the sidebar and the panel, as a person sees them: what can be read there, and pressed.

Waiting is Playwright's: each step waits for what it needs, up to `browsing.WAIT_MS`, and says what did not come.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from browsing import WAIT_MS
from labserver import LabServer
from playwright.sync_api import Locator, Page, expect

__all__ = ["LOAD", "TRAIN", "Lab", "Notebook", "Panel", "Sidebar", "number", "panel_of"]

LOAD = "%load_ext autodeploy_magic"
TRAIN = """from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
X, y = load_iris(return_X_y=True)"""

expect.set_options(timeout=WAIT_MS)


def panel_of(name: str) -> str:
    """The selector of a deployment's panels."""
    return f".adm-panel[aria-label='Deployment {name}']"


class Lab:
    """JupyterLab in a page."""

    def __init__(self, server: LabServer, page: Page) -> None:
        self.server = server
        self.page = page

    def open(self, *, workspace: str = "") -> None:
        """Go to JupyterLab, and return when it is there."""
        self.page.goto(self.server.lab(workspace=workspace))
        self.ready()

    def open_notebook(self, name: str) -> Notebook:
        """Go to a notebook in JupyterLab."""
        self.page.goto(self.server.lab(name))
        self.ready()
        return Notebook(self.page)

    def open_notebook7(self, notebook: str) -> Notebook:
        """Go to a notebook in Notebook 7."""
        self.page.goto(self.server.notebook7(notebook))
        self.page.wait_for_function(
            "window.jupyterapp && window.jupyterapp.commands.hasCommand('notebook:run-all-cells')"
        )
        return Notebook(self.page)

    def notebook(self, *cells: str, name: str = "test.ipynb") -> Notebook:
        """Write a notebook of these cells and open it."""
        return self.open_notebook(self.server.write(name, cells))

    def ready(self) -> None:
        self.page.wait_for_function("window.jupyterapp && window.jupyterapp.restored.then(() => true)")

    def reload(self) -> None:
        """Load the page again, as F5 does."""
        self.page.reload()
        self.ready()

    def command(self, name: str, arguments: dict[str, Any] | None = None) -> None:
        """Have Lab run one of its commands, as its menus do; returns at once."""
        self.page.evaluate(
            "([name, given]) => { void window.jupyterapp.commands.execute(name, given) }", [name, arguments or {}]
        )

    @property
    def commands(self) -> list[str]:
        """Our commands that Lab knows."""
        found: list[str] = self.page.evaluate(
            "window.jupyterapp.commands.listCommands().filter((name) => name.startsWith('autodeploy'))"
        )
        return sorted(found)

    @property
    def sidebar(self) -> Sidebar:
        """Our sidebar, shown where it was not."""
        found = Sidebar(self.page)
        if not found.node.is_visible():
            self.command("autodeploy:show-sidebar")
        expect(found.node).to_be_visible()
        return found

    def panel_tab(self, name: str) -> Panel:
        """The panel of a deployment in the main area, opened where it was not."""
        self.command("autodeploy:open-panel", {"name": name})
        found = Panel(self.page, self.page.locator(f".adm-PanelTab {panel_of(name)}"))
        expect(found.node).to_be_visible()
        return found

    def theme(self, name: str) -> None:
        """Change the theme and wait until it shows."""
        self.command("apputils:change-theme", {"theme": name})
        self.page.wait_for_selector(f"body[data-jp-theme-name='{name}']", state="attached")

    def dialog(self) -> Locator:
        """The dialog of Lab's own that is open."""
        return self.page.locator(".jp-Dialog").last


class Notebook:
    """The notebook that is in front."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.node = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        self.node.locator(".jp-CodeCell .cm-content").first.wait_for()

    def idle(self) -> Notebook:
        """Wait until the kernel is there and has nothing to do."""
        self.page.wait_for_function(
            """() => {
                const kernel = window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel
                return kernel?.connectionStatus === 'connected' && kernel.status === 'idle'
            }"""
        )
        return self

    def cell(self, number: int) -> Locator:
        return self.node.locator(".jp-Cell").nth(number)

    def output(self, number: int) -> Locator:
        """What a cell shows."""
        return self.cell(number).locator(".jp-OutputArea")

    def panel(self, number: int) -> Panel:
        """The panel under a cell."""
        return Panel(self.page, self.output(number).locator(".adm-panel").last)

    def run(self, number: int, *, wait: bool = True) -> None:
        """Run one cell with Shift+Enter; returns when it has ended, or at once where it is not to be waited for."""
        self.idle()
        self.cell(number).locator(".cm-content").click()
        prompt = self.cell(number).locator(".jp-InputPrompt")
        before = prompt.inner_text()
        self.page.keyboard.press("Shift+Enter")
        if wait:
            expect(prompt).to_have_text(re.compile(r"\[\d+\]:"))
            expect(prompt).not_to_have_text(before)
        else:
            expect(prompt).to_have_text("[*]:")

    def run_all(self) -> None:
        """Run all cells, and wait for the last one's end."""
        self.idle()
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")

    def sources(self) -> list[str]:
        """The text of each cell."""
        found: list[str] = self.page.evaluate(
            """() => {
                const { currentWidget } = window.jupyterapp.shell
                return currentWidget.content.widgets.map((cell) => cell.model.sharedModel.getSource())
            }"""
        )
        return found

    def save(self) -> None:
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def restart_kernel(self) -> None:
        """Restart the kernel without being asked whether to."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        self.idle()


class Sidebar:
    """The list of deployments at the left."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.node = page.locator("section.adm-Sidebar")

    def row(self, name: str) -> Locator:
        return self.node.locator(f".adm-Row[data-name={name}]")

    def names(self) -> list[str]:
        return [str(row.get_attribute("data-name")) for row in self.node.locator(".adm-Row").all()]

    def state(self, name: str, wanted: str) -> None:
        """Wait until the row says that it is in that state."""
        expect(self.row(name)).to_have_attribute("data-state", wanted)

    def open(self, name: str) -> None:
        """Click on a deployment."""
        self.row(name).locator(".adm-Row-main").click()

    def menu(self, name: str, item: str) -> None:
        """Choose from what can be done with a deployment."""
        self.row(name).locator(".adm-Row-more").click()
        self.page.locator(".lm-Menu .lm-Menu-itemLabel", has_text=re.compile(f"^{re.escape(item)}$")).click()

    def spark(self, name: str) -> str:
        """The path of its line."""
        return self.row(name).locator(".adm-spark path").get_attribute("d") or ""


class Panel:
    """One panel, under a cell or in a tab."""

    def __init__(self, page: Page, node: Locator) -> None:
        self.page = page
        self.node = node
        self.dialog = node.locator(".adm-dialog")
        self.drawer = node.locator(".adm-drawer")
        self.banner = node.locator(".adm-banner")
        self.notice = node.locator(".adm-notice")
        self.charts = node.locator(".adm-charts")
        self.events = node.locator(".adm-events > li")
        self.versions = node.locator(".adm-versions > li")

    def button(self, text: str) -> Locator:
        """One of the buttons above the charts, by how its text begins."""
        return self.node.locator(".adm-toolbar").get_by_role("button", name=re.compile(f"^{re.escape(text)}"))

    def press(self, text: str) -> None:
        """Press one of them as soon as it can be pressed."""
        found = self.button(text)
        expect(found).not_to_have_attribute("aria-disabled", "true")
        found.click()

    def live(self, state: str = "running") -> Panel:
        """Wait until it shows the deployment as it is now, in that state."""
        expect(self.banner).to_be_hidden()
        expect(self.node.locator(".adm-state")).to_contain_text(state)
        return self

    def tile(self, label: str) -> str:
        """The text of a figure."""
        return self._tile(label).inner_text()

    def figure(self, label: str) -> float:
        """The first number of a figure, times in seconds and shares as shares; NaN where it shows none."""
        return number(self.tile(label))

    def until_figure(self, label: str, holds: Callable[[float], bool]) -> None:
        """Wait until a figure is as it should be; what it was last is told otherwise."""
        end = time.monotonic() + WAIT_MS / 1000
        while not holds(self.figure(label)):
            assert time.monotonic() < end, f"{label} stays at {self.tile(label)}"
            self.page.wait_for_timeout(100)

    def picture(self) -> str:
        """What the charts have drawn, to be compared with what they draw later."""
        drawn: list[str] = self.charts.locator("canvas").evaluate_all("(all) => all.map((one) => one.toDataURL())")
        return "|".join(drawn)

    def window(self, text: str) -> None:
        """Choose how much time the charts show."""
        self.node.locator(".adm-toolbar select").select_option(label=text)

    def _tile(self, label: str) -> Locator:
        exactly = self.page.locator("dt", has_text=re.compile(f"^{re.escape(label)}$"))
        return self.node.locator(".adm-tile", has=exactly).locator("dd")


UNITS = {"ms": 1e-3, "µs": 1e-6, "s": 1.0, "%": 0.01, "kB": 1e3, "MB": 1e6, "GB": 1e9}


def number(text: str) -> float:
    """The number that a text begins with, in the base of its unit; NaN for none."""
    found = re.match(r"([\d,.]+)\s*(\S*)", text)
    if found is None:
        return float("nan")
    return float(found[1].replace(",", "")) * UNITS.get(found[2], 1.0)
