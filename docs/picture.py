"""Take the README's picture: the quickstart's deploy cell in a real JupyterLab, photographed by a real browser.

    pip install playwright && apt-get install chromium
    python docs/picture.py docs/quickstart.png [--dark]

Runs in a state folder of its own and cleans up after itself.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import nbformat
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
CELLS = [
    """%load_ext autodeploy_magic
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

X, y = load_wine(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)""",
    """%%deploy wine --sample X_test --labels y_test --out dep
model = RandomForestClassifier(300, random_state=0).fit(X_train, y_train)""",
]


def main() -> None:
    """Write the picture to the path given on the command line."""
    target, dark = Path(sys.argv[1]).resolve(), "--dark" in sys.argv
    folder = Path(tempfile.mkdtemp())
    environment = {**os.environ, "AUTODEPLOY_HOME": str(folder / "home"), "JUPYTER_CONFIG_DIR": str(folder / "config")}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "picture.ipynb")
    settings = folder / "config/lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    if dark:
        (settings / "themes.jupyterlab-settings").write_text('{"theme": "JupyterLab Dark"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_urlsafe(16)
    lab = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"),
            *(f"--port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"),
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        _wait_for(f"{base}/api?token={token}")
        _photograph(f"{base}/doc/tree/picture.ipynb?token={token}", target)
    finally:
        command = [sys.executable, "-m", "autodeploy_magic", "rm", "wine"]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
        stop = "from autodeploy_magic.supervisor.client import connect; from autodeploy_magic.store import Store; "
        stop += "connect(Store()).shutdown(stop_deployments=True)"
        subprocess.run([sys.executable, "-c", stop], env=environment, check=False)
        lab.terminate()
        lab.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _photograph(url: str, target: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport={"width": 900, "height": 1000})
        page.goto(url, timeout=60_000)
        page.wait_for_selector(".jp-Notebook .jp-CodeCell .cm-content", timeout=60_000)
        page.wait_for_selector("text=(ipykernel) | Idle", timeout=60_000)
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")
        page.wait_for_selector(".jp-OutputArea-output >> text=first prediction", state="attached", timeout=60_000)
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']", timeout=60_000)
        page.screenshot(path=str(target), clip={"x": 0, "y": 56, "width": 868, "height": 695})
        browser.close()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(url, timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main()
