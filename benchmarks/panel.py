"""The panel: how soon it is there and its buttons work, and what it costs the browser and the kernel.

Run: python benchmarks/panel.py [seconds of each measurement]
"""

from __future__ import annotations

import base64
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from looking.harness import BROWSER, LOAD, WHAT_TO_INSTALL, Lab, browser, jupyterlab, new_context
from looking.meters import Meters
from looking.stage import on_stage
from serving import processes
from serving.clients import clients
from serving.job import Job
from serving.models import IRIS, iris
from serving.ours import Ours, deployed, rows
from serving.report import Target, at_most, missing, run, show
from state import temporary_home

from autodeploy_magic.metrics import INSERT, Rollup, bucket, open_for_writing
from autodeploy_magic.metrics.resources import Resources, insert_resources
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import Supervisor, connect

BUTTON_MS, SHOWN_MS, DAY_MS = 200.0, 300.0, 300.0
BROWSER_SHARE, KERNEL_SHARE = 0.02, 0.005
MESSAGE_BYTES, HEAP_MB = 1000.0, 10.0
POINTS = 600
HOURS, FASTER = 1.0, 40
"""How long a panel is left open for its heap, and how much faster than a clock."""
HELD_S = 20
DAY_S = 86_400
BINARY = 2
"""What RFC 6455 calls a frame that is no text."""
COMMAND = "python benchmarks/panel.py"

SHOWN = """(name) => {
    window.shownAt = new Promise((done) => {
        const watcher = new MutationObserver(() => {
            const drawn = `.adm-panel[aria-label='Deployment ${name}'] .adm-charts canvas`
            if (document.querySelector(drawn) === null) return
            watcher.disconnect()
            requestAnimationFrame(() => setTimeout(() => done(Date.now() / 1000)))
        })
        watcher.observe(document.body, { childList: true, subtree: true })
    })
}"""
"""Tells when a panel was painted for the first time: the frame after its charts came into the page has ended."""

DRAWN = """() => {
    window.drawnAfter = new Promise((done) => {
        let begun = 0
        document.addEventListener('change', () => { begun = performance.now() }, { capture: true, once: true })
        new PerformanceObserver((list, observer) => {
            if (!list.getEntries().some((entry) => entry.name.includes('seconds=86400'))) return
            observer.disconnect()
            requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)))
        }).observe({ type: 'resource' })
    })
}"""
"""Tells how long it took from the choice of the window of a day to the end of the frame that shows what was read."""

CLICKS = "() => document.addEventListener('click', () => { window.clickedAt = Date.now() / 1000 }, true)"


def main(seconds: float = 30.0) -> int:
    """Measure each, and print it beside its target."""
    if BROWSER is None:
        return show([missing("the panel", "measured", WHAT_TO_INSTALL)], COMMAND)
    with (
        temporary_home(),
        tempfile.TemporaryDirectory() as folder,
        browser() as chromium,
        deployed("iris", iris(), IRIS[0]) as ours,
    ):
        supervisor = connect(Store())
        view = msgspec.to_builtins(supervisor.view("iris"))
        targets = [*stage_targets(chromium, view, seconds)]
        with jupyterlab(Path(folder) / "lab") as server:
            lab = Lab(server, new_context(chromium).new_page())
            targets += [*shown_target(lab, supervisor), *held_target(lab, supervisor)]
            targets += [*kernel_targets(lab, ours, seconds), *day_target(lab)]
            server.end_kernels()
    return show(targets, f"{COMMAND} {seconds:g}")


# --- the panel alone, its points made up


def stage_targets(chromium: Any, view: dict[str, Any], seconds: float) -> Iterator[Target]:
    """What the panel costs a browser."""
    name = f"browser, 9 lines × {POINTS} points"
    for rate in (1, 2):
        with on_stage(chromium, view, POINTS, rate=rate) as stage:
            stage.page.wait_for_timeout(3000)
            meters = Meters(stage.page)
            before, begun = meters.busy_s(), time.perf_counter()
            stage.page.wait_for_timeout(2 * seconds * 1000)
            share = (meters.busy_s() - before) / (time.perf_counter() - begun)
        often = "one point a second, as they come" if rate == 1 else "two a second"
        yield at_most(f"{name}, {often}: share of a core", share, BROWSER_SHARE, "{:.1%}")
    with on_stage(chromium, view, POINTS, rate=FASTER, speed=FASTER) as stage:
        meters = Meters(stage.page)
        stage.page.wait_for_timeout(2 * POINTS / FASTER * 1000)  # every ring is full
        before_bytes, before_nodes, begun = meters.heap_bytes(), meters.nodes(), time.perf_counter()
        points = stage.sent()[0]
        stage.page.wait_for_timeout(HOURS * 3600 / FASTER * 1000 * seconds / 30)
        passed_h = (time.perf_counter() - begun) * FASTER / 3600
        grown = (meters.heap_bytes() - before_bytes) / 1e6
        points = stage.sent()[0] - points
        print(
            f"left open, its clock {FASTER} times as fast: {passed_h:.2f} hours, {points} points: {grown:+.2f} MB, ",
            end="",
        )
        print(f"{meters.nodes() - before_nodes:+} nodes; {before_bytes / 1e6:.1f} MB at the beginning")
    yield at_most("heap of a panel that is left open, an hour", grown / passed_h, HEAP_MB, "{:.2f} MB")


# --- JupyterLab, a kernel and the supervisor


def shown_target(lab: Lab, supervisor: Supervisor) -> Iterator[Target]:
    """From the event that tells of a deployment to its panel's first picture under the cell."""
    train = "from sklearn.datasets import load_iris\nfrom sklearn.linear_model import LogisticRegression\n"
    train += "X, y = load_iris(return_X_y=True)\nmodel = LogisticRegression(max_iter=500).fit(X, y)"
    cells = [f"%%deploy shown-{number} --model model --sample X" for number in range(4)]
    notebook = lab.notebook(f"{LOAD}\n{train}", *cells, name="shown.ipynb")
    notebook.run(0)
    found = []
    for number in range(len(cells)):
        name = f"shown-{number}"
        lab.page.evaluate(SHOWN, name)
        notebook.run(number + 1)
        shown_s = float(lab.page.evaluate("window.shownAt"))
        found.append(1000 * (shown_s - supervisor.events(name)[0].at_s))
        supervisor.remove(name)
    first, *others = found
    print(f"the panel is shown after {', '.join(f'{ms:.0f}' for ms in found)} ms; the first has its script to load")
    median = statistics.median(others)
    yield at_most("panel shown after the deployment is ready", median, SHOWN_MS, "{:.0f} ms")
    yield at_most("the same, the first of a page", first, SHOWN_MS, "{:.0f} ms")


def held_target(lab: Lab, supervisor: Supervisor) -> Iterator[Target]:
    """From a click to the beginning of its work in the supervisor, while a cell holds the GIL."""
    hold = f"import ctypes; ctypes.PyDLL(None).sleep({HELD_S})"
    notebook = lab.notebook(f"{LOAD}\n%deploy panel iris", hold, name="held.ipynb")
    notebook.run(0)
    panel = notebook.panel(0).live()
    lab.page.evaluate(CLICKS)
    notebook.run(1, wait=False)
    ends = time.monotonic() + HELD_S - 1
    began: list[float] = []
    with started(supervisor) as starts:
        while len(began) < 9 and time.monotonic() < ends:
            text = ("Restart", "Stop", "Start")[len(began) % 3]
            before = len(starts)
            panel.press(text)
            while len(starts) == before:
                lab.page.wait_for_timeout(5)
            clicked_s = float(lab.page.evaluate("window.clickedAt"))
            began.append(1000 * (starts[-1] - clicked_s))
    panel.live()
    print(f"{len(began)} clicks while a cell held the GIL: {', '.join(f'{ms:.0f}' for ms in began)} ms")
    notebook.idle()
    median = statistics.median(began) if len(began) >= 5 else float("inf")
    yield at_most("button pressed while the kernel holds the GIL", median, BUTTON_MS, "{:.0f} ms")


@contextmanager
def started(supervisor: Supervisor) -> Iterator[list[float]]:
    """Collects when the supervisor began each of its jobs."""
    found: dict[str, float] = {}
    begun: list[float] = []
    over, watching = threading.Event(), threading.Event()

    def look() -> None:
        for message in supervisor.live(["iris"]):
            watching.set()
            if message.activity is not None and message.activity.id not in found:
                found[message.activity.id] = message.activity.started_s
                begun.append(message.activity.started_s)
            if over.is_set():
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    watching.wait(10)
    try:
        yield begun
    finally:
        over.set()
        thread.join(10)


def kernel_targets(lab: Lab, ours: Ours, seconds: float) -> Iterator[Target]:
    """What a kernel does for its panel, and how large what it is sent is."""
    cells = [LOAD, "import autodeploy_magic as ad\npanel = ad.attach('iris').panel()\npanel"]
    notebook = lab.notebook(*cells, "panel.comm_only = True\npanel", name="kernel.ipynb")
    notebook.run(0)
    exchange = rows(ours, IRIS[0][:1].tolist(), IRIS[1][:1].tolist())
    with clients() as load:
        load.start(Job(port=ours.port, exchanges=(exchange,), keep_alive=1, seconds=20 * seconds))
        idle = kernel_share(lab, seconds)
        print(f"a kernel without a panel uses {idle:.2%} of a core")
        sizes = listen(lab)
        for cell, road in ((1, "the Jupyter Server"), (2, "the kernel's comm")):
            lab.page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
            notebook.run(cell)
            notebook.panel(cell).live()
            lab.page.wait_for_timeout(3000)
            sizes.clear()
            share = kernel_share(lab, seconds)
            assert sizes, f"no point came through {road}"
            largest = max(sizes)
            print(f"through {road}: {share:.2%} of a core, {len(sizes) / seconds:.1f} messages with a point a second")
            yield at_most(f"kernel with a panel through {road}: share of a core", share, KERNEL_SHARE, "{:.2%}")
            yield at_most(f"message of a point through {road}", largest, MESSAGE_BYTES, "{:.0f} bytes")
        load.stop()


def listen(lab: Lab) -> list[int]:
    """The sizes of messages with a point, as they come over the page's sockets."""
    session = lab.page.context.new_cdp_session(lab.page)
    session.send("Network.enable")
    sizes: list[int] = []

    def received(event: dict[str, Any]) -> None:
        frame = event["response"]
        text = str(frame["payloadData"])
        data = base64.b64decode(text) if frame["opcode"] == BINARY else text.encode()
        if b'"point"' in data:
            sizes.append(len(data))

    session.on("Network.webSocketFrameReceived", received)
    return sizes


def kernel_share(lab: Lab, seconds: float) -> float:
    """CPU time of the notebook's kernel, as a share of one core; the page goes on meanwhile."""
    kernel = max(lab.server.kernels(), key=lambda process: process.create_time())
    before, begun = processes.cpu_seconds([kernel.pid]), time.perf_counter()
    lab.page.wait_for_timeout(seconds * 1000)
    return processes.spent(before, processes.cpu_seconds([kernel.pid])) / (time.perf_counter() - begun)


def day_target(lab: Lab) -> Iterator[Target]:
    """A day of seconds, chosen in a panel that shows five minutes."""
    fill(Store(), "iris", DAY_S)
    panel = lab.panel_tab("iris").live()
    found = []
    for _ in range(5):
        panel.window("5 min")
        lab.page.wait_for_timeout(500)
        lab.page.evaluate(DRAWN)
        panel.window("24 h")
        found.append(float(lab.page.evaluate("window.drawnAfter")))
    print(f"the window of a day is drawn after {', '.join(f'{ms:.0f}' for ms in found)} ms")
    yield at_most("24 hours drawn", statistics.median(found), DAY_MS, "{:.0f} ms")


def fill(store: Store, name: str, seconds: int) -> None:
    """Write a past into the deployment's metrics, as its workers and the supervisor would have."""
    end = int(time.time()) - 60
    draw = random.Random(1)
    connection = open_for_writing(store.metrics_file(name))
    with connection:
        connection.execute("BEGIN")
        for second in range(end - seconds, end):
            count = draw.randrange(1, 40)
            latency = msgspec.json.encode({bucket(draw.lognormvariate(-6, 0.5)): 1 for _ in range(8)}).decode()
            totals = (count, count, 0, 0, 200 * count, 300 * count, 0, 0.002 * count, 0.0)
            row = Rollup(second, 1, 1, *totals, latency, "{}", count, 0.0, 0.001 * count, "{}", 0, 1)
            connection.execute(INSERT, row)
        taken = (Resources(second, 1.0, 1, 0.1, 60_000_000, 60_000_000, 4, 20) for second in range(end - seconds, end))
        insert_resources(connection, taken)
    connection.close()


if __name__ == "__main__":
    run(lambda: main(*map(float, sys.argv[1:2])))
