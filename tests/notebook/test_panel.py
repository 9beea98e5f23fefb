"""The panel in a real kernel: how a deployment shows itself, what its widget is told, and what is left of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from kernels import WIDGET, Kernel, running_kernel
from world import World, until

from autodeploy_magic.errors import BrokenPackage, InvalidOption, UnknownDeployment
from autodeploy_magic.notebook import panel
from autodeploy_magic.notebook.deployment import Deployment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

DEPLOY = """\
%%deploy iris --sample X --out dep
from sklearn.tree import DecisionTreeClassifier
clf = DecisionTreeClassifier(max_depth=2).fit(X, y)
"""


@pytest.fixture(scope="module")
def deployed(world: World) -> Iterator[tuple[Kernel, list[dict[str, Any]]]]:
    """A kernel that has deployed iris, and what the cell showed."""
    with running_kernel() as kernel:
        kernel.run("%load_ext autodeploy_magic\nfrom sklearn.datasets import load_iris")
        kernel.run("X, y = load_iris(return_X_y=True, as_frame=True)")
        yield kernel, kernel.run(DEPLOY)


@pytest.fixture
def kernel(deployed: tuple[Kernel, Any]) -> Iterator[Kernel]:
    """That kernel, with no panel from an earlier test."""
    kernel, _ = deployed
    kernel.run("import ipywidgets\nipywidgets.Widget.close_all()")
    yield kernel
    kernel.run("ipywidgets.Widget.close_all()")


def shown(kernel: Kernel, code: str = "dep") -> str:
    """Show a panel; returns the id of its widget."""
    (bundle,) = [output["data"] for output in kernel.run(code) if WIDGET in output.get("data", {})]
    return str(bundle[WIDGET]["model_id"])


def no_live_thread(kernel: Kernel) -> bool:
    return "autodeploy-live" not in kernel.threads()


# --- how it shows itself


def test_a_deploy_cell_shows_its_steps_the_news_and_the_panel(deployed: tuple[Kernel, list[dict[str, Any]]]) -> None:
    _, outputs = deployed
    steps, shown, *rest = [output["data"] for output in outputs]
    assert WIDGET in shown
    assert "http://127.0.0.1:" in shown["text/html"]  # what a front end without widgets shows
    assert "● iris v1" in shown["text/plain"]
    assert WIDGET not in steps
    assert all(WIDGET not in output for output in rest)


def test_a_deployment_as_a_value_is_its_panel_with_the_card_for_other_front_ends(kernel: Kernel) -> None:
    (output,) = [output for output in kernel.run("dep") if WIDGET in output["data"]]
    bundle = output["data"]
    assert set(bundle) == {WIDGET, "text/html", "text/plain"}
    assert 'aria-label="deployment iris"' in bundle["text/html"]
    assert bundle["text/plain"].startswith("● iris v1")
    state = kernel.state(bundle[WIDGET]["model_id"])
    assert state["name"] == "iris"
    assert state["seconds"] == 300
    assert state["comm_only"] is False
    assert "export" in state["_esm"]
    assert state["view"]["glance"]["status"]["url"] == kernel.value("dep.url").strip("'")
    assert len(state["history"]["values"]) == len(state["history"]["columns"])


def test_there_is_one_widget_however_often_it_is_shown(kernel: Kernel) -> None:
    first = shown(kernel)
    assert shown(kernel) == shown(kernel, "%deploy panel iris") == shown(kernel, "dep.panel()") == first
    kernel.run("dep.panel().close()")
    assert shown(kernel) != first


def test_what_is_shown_again_tells_how_it_is_now(kernel: Kernel, world: World) -> None:
    comm = shown(kernel)
    world.supervisor.stop("iris")
    try:
        kernel.run(f"import time; time.sleep({panel.FRESH_S})")
        assert shown(kernel) == comm
        until(lambda: kernel.listen(0.1) is not None and _state(kernel, comm) == "stopped")
    finally:
        world.supervisor.start("iris", lambda progress: None)


def _state(kernel: Kernel, comm: str) -> str:
    return str(kernel.state(comm)["view"]["glance"]["status"]["state"])


def test_it_stands_in_a_box_with_others(kernel: Kernel) -> None:
    kernel.run("box = ipywidgets.HBox([dep.panel(), ipywidgets.Label('beside')])")
    comm = kernel.value("dep.panel().model_id").strip("'")
    box = kernel.value("box.model_id").strip("'")
    assert f"IPY_MODEL_{comm}" in kernel.state(box)["children"]


def test_a_deploy_that_shows_nothing_makes_no_panel(kernel: Kernel) -> None:
    before = len(kernel.heard)
    kernel.run("%%deploy iris --sample X --quiet --model clf\n")
    assert [message for message in kernel.heard[before:] if message["msg_type"] == "comm_open"] == []


def test_one_that_was_removed_shows_no_panel(kernel: Kernel) -> None:
    kernel.run("%%deploy gone --sample X --quiet --out gone --model clf\n")
    kernel.run("gone.rm()")
    (output,) = kernel.run("gone")
    assert output["data"] == {"text/plain": "gone has been removed"}


# --- over the comm


def test_the_panel_s_calls_are_answered(kernel: Kernel) -> None:
    comm = shown(kernel)
    answer = kernel.ask(comm, "GET", "/deployments/iris/view")
    assert answer["result"]["glance"]["status"]["name"] == "iris"
    answer = kernel.ask(comm, "POST", "/deployments/iris/test", {"rows": 1}, "2")
    assert (answer["result"]["status"], answer["result"]["as_verified"]) == (200, True)
    answer = kernel.ask(comm, "POST", "/shutdown", {}, "3")
    assert answer["error"]["error"] == "InvalidOption"


def test_progress_comes_before_the_result_and_belongs_to_the_message_that_asked(kernel: Kernel) -> None:
    comm = shown(kernel)
    asked = kernel.tell(comm, {"id": "r", "call": {"method": "POST", "path": "/deployments/iris/restart"}})
    told, parent = kernel.told(comm, lambda custom: custom["id"] == "r")
    assert told["progress"]["step"]
    assert parent["msg_id"] == asked
    told, parent = kernel.told(comm, lambda custom: "result" in custom)
    assert told["result"]["state"] == "running"
    assert parent["msg_id"] == asked


def test_what_changes_is_told_while_it_is_watched(kernel: Kernel) -> None:
    comm = shown(kernel)
    asked = kernel.tell(comm, {"watch": True})
    first, parent = kernel.told(comm, lambda custom: True)
    assert first["live"]["hello"]["columns"]
    assert parent["msg_id"] == asked
    told, _ = kernel.told(comm, lambda custom: "glances" in custom["live"])
    assert [glance["status"]["name"] for glance in told["live"]["glances"]] == ["iris"]
    kernel.ask(comm, "POST", "/deployments/iris/restart", call="r")
    kernel.told(comm, lambda custom: "beat" in custom.get("live", {}) or "point" in custom.get("live", {}))
    kernel.tell(comm, {"watch": False})
    until(lambda: no_live_thread(kernel))
    assert [message for message in kernel.listen(2.5) if message["msg_type"] == "comm_msg"] == []


def test_a_busy_kernel_tells_it_too_and_nothing_of_it_lands_in_a_cell(kernel: Kernel) -> None:
    comm = shown(kernel)
    kernel.tell(comm, {"watch": True})
    kernel.told(comm, lambda custom: "activities" in custom["live"])
    cell = kernel.begin("import time\ntime.sleep(4)\nsum(i * i for i in range(3_000_000))\n'over'")
    _, parent = kernel.told(comm, lambda custom: "beat" in custom["live"] or "point" in custom["live"])
    assert parent["msg_id"] != cell
    assert not kernel.ended(cell)
    kernel.idle(cell)
    assert [output["data"] for output in kernel.outputs(cell)] == [{"text/plain": "'over'"}]


def test_panels_of_two_deployments_share_one_thread_and_hear_of_their_own(kernel: Kernel) -> None:
    kernel.run("%%deploy other --sample X --quiet --out other --model clf\n")
    mine, theirs = shown(kernel), shown(kernel, "other")
    kernel.tell(mine, {"watch": True})
    kernel.told(mine, lambda custom: "activities" in custom["live"])
    kernel.tell(theirs, {"watch": True})
    told, _ = kernel.told(theirs, lambda custom: "glances" in custom["live"])
    assert [glance["status"]["name"] for glance in told["live"]["glances"]] == ["other"]
    assert kernel.threads().count("autodeploy-live") == 1
    kernel.ask(mine, "POST", "/deployments/iris/stop", call="s")
    kernel.ask(mine, "POST", "/deployments/iris/start", call="t")
    until(lambda: kernel.listen(0.2) is not None and "started" in _events(kernel, mine))
    assert _events(kernel, theirs) == []
    names = {name for message in kernel.heard for name in _told_names(message, theirs)}
    assert names == {"other"}
    kernel.run("other.panel().close()")
    assert not no_live_thread(kernel)
    kernel.run("dep.panel().close()\nother.rm()")
    until(lambda: no_live_thread(kernel))


def _events(kernel: Kernel, comm: str) -> list[str]:
    told = [message["content"]["data"].get("content", {}) for message in kernel.heard if _is_of(message, comm)]
    return [custom["live"]["event"]["kind"] for custom in told if "event" in custom.get("live", {})]


def _is_of(message: dict[str, Any], comm: str) -> bool:
    return message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == comm


def _told_names(message: dict[str, Any], comm: str) -> list[str]:
    if not _is_of(message, comm):
        return []
    live = message["content"]["data"].get("content", {}).get("live", {})
    found = [glance["status"]["name"] for glance in live.get("glances", [])]
    return found + [live[kind]["name"] for kind in ("event", "point", "activity") if kind in live]


def test_a_front_end_with_a_subshell_is_answered_while_a_cell_runs(kernel: Kernel) -> None:
    """JupyterLab has one for its comms. What we send belongs to the message that asked, and its answers go there."""
    comm = shown(kernel)
    subshell = kernel.subshell()
    kernel.tell(comm, {"watch": True})  # the first message may come before the subshell is there
    kernel.told(comm, lambda custom: "activities" in custom["live"])
    kernel.ask(comm, "GET", "/deployments/iris", subshell=subshell)
    kernel.told(comm, lambda custom: "live" in custom)
    cell = kernel.begin("import time; time.sleep(5)")
    answer = kernel.ask(comm, "GET", "/deployments/iris", subshell=subshell)
    assert answer["result"]["name"] == "iris"
    assert not kernel.ended(cell)
    kernel.idle(cell)


def test_two_views_of_one_widget_are_told_until_both_are_gone(kernel: Kernel) -> None:
    comm = shown(kernel)
    for view in ("a", "b"):
        kernel.tell(comm, {"watch": True, "view": view})
    kernel.told(comm, lambda custom: "activities" in custom["live"])
    kernel.tell(comm, {"watch": False, "view": "a"})
    kernel.listen(2.5)
    assert not no_live_thread(kernel)
    kernel.tell(comm, {"watch": False, "view": "b"})
    until(lambda: no_live_thread(kernel))


def test_a_browser_that_is_not_heard_for_long_is_taken_for_closed_but_not_while_a_cell_runs(kernel: Kernel) -> None:
    kernel.run("from autodeploy_magic.notebook import publisher\nkept, publisher.UNHEARD_S = publisher.UNHEARD_S, 0.5")
    try:
        comm = shown(kernel)
        kernel.tell(comm, {"watch": True})
        kernel.run("import time; time.sleep(5)\nimport threading\nnames = [t.name for t in threading.enumerate()]")
        assert "autodeploy-live" in kernel.value("names")
        until(lambda: no_live_thread(kernel))
        kernel.tell(comm, {"watch": True})
        kernel.told(comm, lambda custom: "hello" in custom["live"])
    finally:
        kernel.run("publisher.UNHEARD_S = kept")


def test_closing_a_panel_that_watches_ends_its_thread(kernel: Kernel) -> None:
    comm = shown(kernel)
    kernel.tell(comm, {"watch": True})
    kernel.told(comm, lambda custom: "activities" in custom["live"])
    kernel.run("dep.panel().close()")
    assert any(message["msg_type"] == "comm_close" for message in kernel.heard)
    until(lambda: no_live_thread(kernel))


def test_of_a_closed_panel_nothing_is_kept(kernel: Kernel) -> None:
    comm = shown(kernel, "display(dep)")
    kernel.ask(comm, "GET", "/deployments/iris")
    kernel.run("import gc, weakref\nkept = weakref.ref(dep.panel())\nassert kept() is dep.panel()\ndep.panel().close()")
    kernel.run("gc.collect()\nassert kept() is None, gc.get_referrers(kept())")


def test_nothing_that_goes_to_the_browser_holds_the_token(kernel: Kernel, world: World) -> None:
    comm = shown(kernel)
    kernel.ask(comm, "GET", "/deployments/iris/view")
    kernel.ask(comm, "POST", "/deployments/iris/test", {"rows": 1}, "2")
    assert world.store.token("iris") not in str(kernel.heard)


def test_a_kernel_ends_though_a_panel_watches(world: World) -> None:
    with running_kernel() as kernel:
        kernel.run("import autodeploy_magic as ad\ndep = ad.attach('iris')")
        comm = shown(kernel)
        kernel.tell(comm, {"watch": True})
        kernel.told(comm, lambda custom: "activities" in custom["live"])
        kernel.client.shutdown()
        until(lambda: not kernel.manager.is_alive(), 10.0)


# --- where there can be none


def test_a_terminal_is_told_what_it_has_instead(shell: InteractiveShell, world: World) -> None:
    with pytest.raises(InvalidOption, match="the panel needs a notebook") as told:
        Deployment("iris", store=world.store).panel()
    assert "autodeploy watch iris" in told.value.fix
    assert set(Deployment("iris", store=world.store)._repr_mimebundle_()) == {"text/plain", "text/html"}
    with pytest.raises(UnknownDeployment):
        Deployment("iriss", store=world.store).panel()
    assert "anywidget" not in sys.modules or panel._panel_class.cache_info().currsize == 0


def test_a_checkout_without_the_script_says_how_to_build_it_and_shows_the_card(kernel: Kernel) -> None:
    kernel.run(
        "from pathlib import Path\n"
        "from autodeploy_magic.notebook import panel\n"
        "panel._panel_class.cache_clear()\n"
        "files, panel.resources.files = panel.resources.files, lambda package: Path('/nowhere')"
    )
    try:
        request = kernel.begin("dep.panel()")
        kernel.idle(request)
        (error,) = kernel.outputs(request)
        assert error["ename"] == BrokenPackage.__name__
        assert "make labextension" in re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
        (output, *_) = kernel.run("dep")
        assert set(output["data"]) == {"text/html", "text/plain"}
    finally:
        kernel.run("panel.resources.files = files")
