"""A real JupyterLab in a process of its own, in folders of its own; Notebook 7 is on the same port.

The tests in browser/ look at it, and so do docs/picture.py and benchmarks/panel.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import nbformat
import psutil

__all__ = ["EXTENSION", "LabServer", "jupyterlab"]

EXTENSION = "autodeploy_magic.server_extension"
START_S = 60.0
STOP_S = 20.0
QUIET: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"kernelShutdown": False},
}
"""What Lab would ask of a person at the first start, or say over what is looked at."""


class LabServer:
    """The server and what is on its disk, all of it in `folder`. Without `extended` our part of it is off."""

    def __init__(self, folder: Path, *, extended: bool = True, host: str = "127.0.0.1", base_url: str = "/") -> None:
        self.root = folder / "files"
        self.token = secrets.token_hex(16)
        self._config = folder / "config"
        self._settings = self._config / "lab" / "user-settings"
        self._workspaces = self._config / "lab" / "workspaces"
        self.root.mkdir(parents=True)
        self._config.mkdir()
        if not extended:
            off = {"ServerApp": {"jpserver_extensions": {EXTENSION: False}}}
            (self._config / "jupyter_server_config.json").write_text(json.dumps(off))
        self.settings({})
        with socket.create_server((host, 0)) as free:
            port = free.getsockname()[1]
        self.base = f"http://{host}:{port}{base_url}"
        options = {
            "ServerApp.ip": host,
            "ServerApp.port": port,
            "ServerApp.port_retries": 0,
            "ServerApp.base_url": base_url,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "ServerApp.root_dir": str(self.root),
            "IdentityProvider.token": self.token,
            "LabApp.expose_app_in_browser": True,
            "LabApp.news_url": "",
            "JupyterNotebookApp.expose_app_in_browser": True,
        }
        own = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
        self.log = folder / "jupyter.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())],
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        headers = {"Authorization": f"token {self.token}"}
        self.http = httpx.Client(base_url=self.base, headers=headers, timeout=START_S)
        try:
            self._wait_for(self._answers, START_S)
        except BaseException:
            self.close()
            raise

    # --- where things are

    def lab(self, notebook: str = "", *, workspace: str = "") -> str:
        """The address of JupyterLab, of a notebook in it, or of the workspace with its layout."""
        room = f"lab/workspaces/{workspace}" if workspace else "lab"
        fresh = "" if workspace else "reset&"  # none of what was open before
        return f"{self.base}{room}{f'/tree/{notebook}' if notebook else ''}?{fresh}token={self.token}"

    def notebook7(self, notebook: str = "") -> str:
        """The address of a notebook in Notebook 7, or of its list of files."""
        return f"{self.base}{f'notebooks/{notebook}' if notebook else 'tree'}?token={self.token}"

    # --- what is on its disk

    def write(self, name: str, cells: Sequence[str], *, outputs: dict[int, list[Any]] | None = None) -> str:
        """Write a notebook of code cells, and return its name."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        for index, found in (outputs or {}).items():
            notebook.cells[index].outputs = found
        nbformat.write(notebook, self.root / name)
        return name

    def read(self, name: str) -> Any:
        """A notebook as it is saved."""
        return nbformat.read(self.root / name, as_version=4)

    def settings(self, values: dict[str, dict[str, Any]]) -> None:
        """Make these a person's settings, by "package/plugin", and all others the defaults."""
        shutil.rmtree(self._settings, ignore_errors=True)
        shutil.rmtree(self._workspaces, ignore_errors=True)
        for plugin, found in {**QUIET, **values}.items():
            package, _, name = plugin.rpartition("/")
            folder = self._settings / package
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.jupyterlab-settings").write_text(json.dumps(found))

    def setting(self, plugin: str) -> dict[str, Any]:
        """What the person has set of a plugin."""
        package, _, name = plugin.rpartition("/")
        file = self._settings / package / f"{name}.jupyterlab-settings"
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return found

    # --- its kernels

    def kernels(self) -> list[psutil.Process]:
        """The processes of its kernels."""
        found = psutil.Process(self.process.pid).children()
        return [child for child in found if any("ipykernel" in word for word in child.cmdline())]

    def end_kernels(self) -> None:
        """End all kernels and sessions, and wait until they are gone."""
        running = self.kernels()
        for session in self.http.get("api/sessions").json():
            self.http.delete(f"api/sessions/{session['id']}")
        for kernel in self.http.get("api/kernels").json():
            self.http.delete(f"api/kernels/{kernel['id']}")
        psutil.wait_procs(running, timeout=STOP_S)

    def close(self) -> None:
        """End the server and its kernels."""
        children = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        self.http.close()
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        self.process.kill()
        self.process.wait()
        for child in children:
            with contextlib.suppress(psutil.Error):
                if "ipykernel" in " ".join(child.cmdline()):
                    child.kill()  # a supervisor that a kernel started is not the server's to end

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"JupyterLab ended at its start:\n{self.log.read_text()}")
        try:
            return self.http.get("api/status").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _wait_for(self, condition: Callable[[], bool], within_s: float) -> None:
        end = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f"JupyterLab did not answer within {within_s:g} s:\n{self.log.read_text()}")
            time.sleep(0.05)


@contextlib.contextmanager
def jupyterlab(folder: Path, **options: Any) -> Iterator[LabServer]:
    """A server that ends with the block. See `LabServer`."""
    server = LabServer(folder, **options)
    try:
        yield server
    finally:
        server.close()
