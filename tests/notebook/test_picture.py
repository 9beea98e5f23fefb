"""The still picture: what it tells, that it is kept up to date, and that a saved notebook shows it."""

from __future__ import annotations

import base64
import io
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from kernel import execute
from kernels import WIDGET, Kernel, running_kernel
from metered import alive, rollup, write
from PIL import Image
from windows import END, nothing, series, view
from world import World, until

from autodeploy_magic.notebook import picture
from autodeploy_magic.notebook.chart import Window
from autodeploy_magic.notebook.figures import Figures
from autodeploy_magic.notebook.shot import NOTHING, Shot
from autodeploy_magic.store import Store

FIGURES = Figures(
    start_s=END - 60,
    seconds=60,
    requests=12_720,
    refused=3,
    failed=1,
    p50_s=0.0019,
    p95_s=0.0027,
    p99_s=0.0034,
    cpu_cores=0.34,
    memory_bytes=6.4e7,
    disk_bytes=1.8e6,
    disk_free_bytes=1.2e9,
    in_flight=3.0,
    waiting=0.0,
)


def shot(window: Window | None = None) -> Shot:
    return Shot(float(END), view(), window or Window.of(series()), FIGURES, FIGURES)


# --- what it tells


def test_it_tells_state_figures_and_events_with_and_without_html() -> None:
    bundle, metadata = shot().bundle()
    for fact in ("iris", "v4", "12,720", "212 /s", "1.9 ms", "3.4 ms", "34 %", "64 MB", "0.01 %", "v4 swapped in"):
        assert fact in bundle["text/plain"]
        assert fact in bundle["text/html"]
    assert "2025-11-21" in bundle["text/plain"]
    assert "worker 5120 was ended by SIGKILL" in bundle["text/plain"]
    assert metadata == {"image/png": {"width": 820, "height": 462}}


def test_the_figure_is_known_by_its_class_and_its_deployment_and_holds_the_picture() -> None:
    bundle, _ = shot().bundle()
    html = bundle["text/html"]
    assert html.startswith('<figure class="adm-static" data-deployment="iris"')
    (inside,) = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert inside == bundle["image/png"]
    (alt,) = re.findall(r'alt="([^"]+)"', html)
    assert "latency" in alt
    assert "p99 3.4 ms" in alt
    assert "<script" not in html
    assert "<style" not in html  # a page that drops styles, or keeps them, shows the same


def test_what_an_event_says_never_becomes_markup() -> None:
    html = shot().bundle()[0]["text/html"]
    assert "&lt;no&gt; workers" in html
    assert "<no>" not in html


def test_the_png_is_small_and_white_for_light_and_for_dark_pages() -> None:
    data = base64.b64decode(shot().bundle()[0]["image/png"])
    assert len(data) <= 80_000
    found = Image.open(io.BytesIO(data)).convert("RGB")
    assert found.size == (1230, 693)
    corners = [found.getpixel(place) for place in ((2, 2), (1227, 2), (2, 690), (1227, 690))]
    assert corners == [(255, 255, 255)] * 4


def test_without_measurements_there_is_a_card_that_says_so_and_no_picture() -> None:
    bundle, metadata = shot(Window.of(nothing())).bundle()
    assert "image/png" not in bundle
    assert metadata == {}
    assert NOTHING in bundle["text/html"]
    assert NOTHING in bundle["text/plain"]
    assert "http://127.0.0.1:3131" in bundle["text/html"]
    assert "<img" not in bundle["text/html"]


def test_what_paints_may_follow_later_the_figures_are_there_at_once() -> None:
    bundle, _ = shot().bundle(painted=False)
    assert "image/png" not in bundle
    assert "212 /s" in bundle["text/html"]


def test_one_that_was_removed_keeps_its_last_picture() -> None:
    bundle, _ = shot().removed().bundle()
    assert "removed since" in bundle["text/html"]
    assert "image/png" in bundle


# --- kept up to date


class Shown:
    """Takes the place of the notebook's output: what was shown, and from which thread."""

    def __init__(self) -> None:
        self.bundles: list[dict[str, Any]] = []
        self.anew: list[bool] = []
        self.threads: list[str] = []

    def show(self, bundle: dict[str, Any], metadata: object = None, *, anew: bool = False) -> None:
        self.bundles.append(bundle)
        self.anew.append(anew)
        self.threads.append(threading.current_thread().name)


@pytest.fixture
def iris(world: World) -> Iterator[str]:
    """A deployment that nobody has asked yet, and no picture of it."""
    name = f"iris-{time.time_ns() % 10**9}"
    world.serve(world.version(name), name)
    yield name
    picture.forget()
    until(lambda: not _threads())
    if world.store.exists(name):
        world.supervisor.remove(name)


def made(world: World, name: str) -> tuple[picture.StaticPicture, Shown]:
    one = picture.StaticPicture(name, world.store)
    shown = Shown()
    one._output = shown  # type: ignore[assignment]
    return one, shown


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "autodeploy-picture"]


def answered(world: World, name: str, ago_s: int = 30) -> None:
    """Requests that were answered a while ago."""
    now = int(time.time())
    rows = [rollup(now - s, [0.002] * 5) for s in range(ago_s, ago_s + 20)]
    write(world.store.metrics_file(name), rows, [alive(now - s) for s in range(ago_s, ago_s + 20)])


def test_it_is_drawn_again_when_the_first_request_was_answered(world: World, iris: str) -> None:
    one, shown = made(world, iris)
    one.show()
    assert not one.answered
    assert _threads()
    assert world.predict(iris).status_code == 200
    until(lambda: one.answered)
    until(lambda: not _threads())  # there is nothing to wait for any more
    assert "image/png" in shown.bundles[-1]
    assert shown.anew[0] is True
    assert shown.threads[-1] == "autodeploy-picture"


def test_what_changes_the_deployment_draws_it_again(world: World, iris: str) -> None:
    answered(world, iris)
    one, shown = made(world, iris)
    one.show()
    one.update()
    before = len(shown.bundles)
    world.supervisor.stop(iris)
    picture.changed(iris)
    until(lambda: len(shown.bundles) > before)
    assert "stopped" in shown.bundles[-1]["text/plain"]
    assert shown.anew[-1] is False


def test_the_end_of_a_cell_draws_only_what_is_old_and_waits_a_moment_at_most(world: World, iris: str) -> None:
    answered(world, iris)
    one, shown = made(world, iris)
    one.show()
    one.update()
    before = len(shown.bundles)
    picture._keeper._after_cell(None)
    assert len(shown.bundles) == before
    one.drawn_at -= picture.OLD_S + 1
    with one._drawing:  # a drawing that takes its time
        started = time.perf_counter()
        picture._keeper._after_cell(None)
        took = time.perf_counter() - started
    assert took < picture.AT_MOST_S + 0.4
    until(lambda: len(shown.bundles) == before + 1)


def test_a_removed_deployment_is_said_once_and_then_no_more(world: World, iris: str) -> None:
    answered(world, iris)
    one, shown = made(world, iris)
    one.show()
    world.supervisor.remove(iris)
    picture.changed(iris)
    until(lambda: one.gone)
    until(lambda: not _threads())
    assert "removed" in shown.bundles[-1]["text/plain"]
    before = len(shown.bundles)
    picture.changed(iris)
    assert len(shown.bundles) == before
    assert not _threads()


def test_where_no_supervisor_answers_the_picture_stays_as_it_is(home: Path) -> None:
    Store(home)
    one = picture.StaticPicture("iris", Store(home))
    shown = Shown()
    one._output = shown  # type: ignore[assignment]
    one.update()
    one.show()
    assert shown.bundles == []
    picture.forget()
    until(lambda: not _threads())


def test_without_a_picture_nothing_is_done(world: World) -> None:
    picture.changed("nobody")
    picture._keeper._after_cell(None)
    assert _threads() == []


# --- in a real kernel

SETUP = "%load_ext autodeploy_magic\nfrom sklearn.datasets import load_iris\nX, y = load_iris(return_X_y=True)"
DEPLOY = """\
%%deploy iris --sample X --out dep
from sklearn.linear_model import LogisticRegression
model = LogisticRegression(max_iter=1000).fit(X, y)
"""
ASK = """\
import time
end = time.monotonic() + 4
while time.monotonic() < end:
    dep.predict(X[:3])
"""


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_a_notebook_that_is_run_and_converted_shows_the_picture(world: World, tmp_path: Path) -> None:
    from nbconvert import HTMLExporter

    cells = [SETUP, DEPLOY, ASK, "dep.scale(2)", "time.sleep(0.5)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    try:
        execute(notebook, tmp_path)
    finally:
        if world.store.exists("iris"):
            world.supervisor.remove("iris")
    pictures = [output for output in notebook.cells[1].outputs if "adm-static" in output.data.get("text/html", "")]
    assert len(pictures) == 1
    assert "scaled: 1 → 2 workers" in pictures[0].data["text/plain"]  # drawn after the cell before last
    assert "image/png" in pictures[0].data
    page, _ = HTMLExporter().from_notebook_node(notebook)
    figures = re.findall(r'<figure class="adm-static" data-deployment="iris".*?</figure>', page, re.DOTALL)
    assert figures
    assert all("data:image/png;base64," in figure for figure in figures)


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_the_panel_s_cell_shows_it_below_and_other_cells_pay_nothing(world: World) -> None:
    with running_kernel() as kernel:
        try:
            kernel.run(SETUP)
            assert _hooks(kernel) == "0"
            outputs = kernel.run(DEPLOY)
            kinds = [WIDGET in output["data"] for output in outputs]
            (below,) = [i for i, output in enumerate(outputs) if "adm-static" in output["data"].get("text/html", "")]
            assert kinds.index(True) < below
            assert _hooks(kernel) == "1"
            (again,) = [o for o in kernel.run("dep") if "adm-static" in o["data"].get("text/html", "")]
            assert again["transient"] == outputs[below]["transient"]  # one picture, shown twice
            assert kernel.value("'matplotlib.pyplot' in __import__('sys').modules") == "False"
            kernel.run("%unload_ext autodeploy_magic")
            assert _hooks(kernel) == "0"
        finally:
            world.supervisor.remove("iris")


def _hooks(kernel: Kernel) -> str:
    return kernel.value("sum('picture' in str(call) for call in get_ipython().events.callbacks['post_run_cell'])")
