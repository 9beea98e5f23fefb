"""Take the README's pictures: a real JupyterLab and real deployments, photographed by a real browser.

    pip install playwright && apt-get install chromium
    python docs/picture.py docs/quickstart.png        the quickstart's deploy cell
    python docs/picture.py docs/panel.png             the panel in JupyterLab, with the sidebar
    python docs/picture.py docs/panel-dark.png        the same, dark

Runs in a state folder of its own and cleans up after itself. JupyterLab, the browser and the load are those of tests/.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

if TYPE_CHECKING:
    from labpage import Lab, Panel

PREPARE = """%load_ext autodeploy_magic
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

X, y = load_wine(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)"""
DEPLOY = """%%deploy wine --sample X_test --labels y_test --slo "p99<50ms, errors<0.1%, f1>0.9" --out dep
model = RandomForestClassifier(300, random_state=0).fit(X_train, y_train)"""
OTHERS = """import autodeploy_magic as ad
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression

for name, (rows, labels) in {"iris": load_iris(return_X_y=True), "digits": load_digits(return_X_y=True)}.items():
    ad.deploy(LogisticRegression(max_iter=5000).fit(rows, labels), name, rows[::3], quiet=True)
ad.attach("digits").stop()"""

LOOK_S = 125
"""How long there is load before the picture: as long as the lines in the sidebar are."""


def main() -> None:
    """Write the picture that is named on the command line."""
    target = Path(sys.argv[1]).resolve()
    dark = "--dark" in sys.argv or target.stem.endswith("-dark")
    take, width, height = (_panel, 1280, 975) if target.stem.startswith("panel") else (_quickstart, 1000, 1300)
    with _in_front_of_lab(dark=dark, width=width, height=height) as lab:
        take(lab, target)
    _shrink(target)


def _quickstart(lab: Lab, target: Path) -> None:
    notebook = lab.notebook(PREPARE, DEPLOY, name="quickstart.ipynb")
    lab.command("application:toggle-left-area")
    notebook.run_all()
    panel = notebook.panel(1).live()
    panel.node.locator(".adm-jobs").wait_for(state="hidden")
    bottom = panel.node.bounding_box()
    assert bottom is not None
    lab.page.screenshot(
        path=target, clip={"x": 0, "y": 56, "width": 968, "height": bottom["y"] + bottom["height"] - 44}
    )


def _panel(lab: Lab, target: Path) -> None:
    from sklearn.datasets import load_iris, load_wine

    others = lab.notebook(OTHERS, name="others.ipynb")
    others.run_all()
    others.save()
    lab.command("application:close")
    notebook = lab.notebook(PREPARE, DEPLOY, name="wine.ipynb")
    notebook.run_all()
    panel = notebook.panel(1).live()
    sidebar = lab.sidebar
    sidebar.state("wine", "running")
    lab.page.evaluate("() => document.activeElement.blur()")
    with (
        _visitors("wine", load_wine(as_frame=True).data.to_dict("records"), 40, load_wine().target.tolist()),
        _visitors("iris", load_iris().data.tolist(), 14),
    ):
        lab.page.wait_for_timeout(LOOK_S * 600)
        panel.press("Scale · 1")
        panel.node.get_by_label("Workers").fill("2")
        panel.node.get_by_role("button", name="Apply").click()
        panel.button("Scale · 2").wait_for()
        lab.page.wait_for_timeout(LOOK_S * 400)
        _show(panel)
        lab.page.screenshot(path=target)


def _show(panel: Panel) -> None:
    """Have the whole panel in the picture, with nothing pointed at."""
    panel.window("1 min")
    panel.page.mouse.move(5, 5)
    panel.node.evaluate("(node) => { document.activeElement.blur(); node.scrollIntoView({ block: 'end' }) }")
    panel.page.wait_for_timeout(1500)


def _shrink(picture: Path) -> None:
    """256 colours are all that such a picture has use for."""
    from PIL import Image

    with Image.open(picture) as found:
        few = found.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(picture, optimize=True)


@contextlib.contextmanager
def _visitors(name: str, rows: list[object], most: float, labels: list[object] | None = None) -> Iterator[None]:
    """Requests of one to eight rows while the block runs, in waves of up to `most` a second; some are labelled."""
    import autodeploy_magic as ad

    over = threading.Event()
    deployment = ad.attach(name)

    def send() -> None:
        turn = 0
        import httpx

        headers = {"authorization": f"Bearer {deployment.token}"}
        with httpx.Client(base_url=deployment.url, headers=headers, timeout=30) as client:
            while not over.wait(1 / (most * (0.65 + 0.35 * math.sin(turn / most / 5)))):
                size = 1 + turn * 7 % 8
                start = turn * 5 % (len(rows) - size)
                answer = client.post("/predict", json={"inputs": rows[start : start + size]}).json()
                if labels is not None and turn % 10 == 0:
                    client.post("/feedback", json={"id": answer["id"], "labels": labels[start : start + size]})
                turn += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _in_front_of_lab(*, dark: bool, width: int, height: int) -> Iterator[Lab]:
    from browsing import browser, new_context
    from labpage import Lab
    from labserver import jupyterlab

    from autodeploy_magic.store import Store
    from autodeploy_magic.supervisor.client import connect

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["AUTODEPLOY_HOME"] = f"{folder}/home"
        try:
            with jupyterlab(Path(folder) / "jupyter") as server, browser() as found:
                if dark:
                    server.settings({"@jupyterlab/apputils-extension/themes": {"theme": "JupyterLab Dark"}})
                yield Lab(server, new_context(found, viewport={"width": width, "height": height}).new_page())
        finally:
            connect(Store()).shutdown(stop_deployments=True)


if __name__ == "__main__":
    main()
