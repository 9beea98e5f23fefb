"""A page's call to the supervisor through the Jupyter Server: how long it takes, also while a kernel holds its GIL.

Everything is real: the Jupyter Server with its extension, a kernel in it, the supervisor, a deployment that serves.
While the kernel sleeps in C for 10 s without letting go of its lock, nothing in that kernel runs, be it a thread or the
handler of a message; the calls do not go through it.

Run: python benchmarks/relay.py [calls]
"""

from __future__ import annotations

import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from jupyter_client.blocking.client import BlockingKernelClient
from serving.models import IRIS, iris
from serving.ours import deployed
from serving.report import Target, at_most, grid, run, show
from state import temporary_home

TARGET_S = 0.2
HELD_S = 10
START_S = 60.0
NAME = "relay"
CALLS: dict[str, tuple[str, str, Any]] = {
    "is the extension there": ("GET", "api/hello", None),
    "all deployments": ("GET", "api/glances", None),
    "the panel of one": ("GET", f"api/deployments/{NAME}/view", None),
    "five minutes of it": ("GET", f"api/deployments/{NAME}/series?seconds=300&points=300", None),
    "send a row": ("POST", f"api/deployments/{NAME}/test", {"rows": 1}),
    "predict, by the proxy": ("POST", f"proxy/{NAME}/predict", {"inputs": IRIS[0][:1].tolist()}),
}
HOLD = """
import ctypes, pathlib
pathlib.Path({file!r}).touch()
ctypes.PyDLL(None).sleep({seconds});
"""


class Jupyter:
    """A Jupyter Server with the extension, and one kernel in it."""

    def __init__(self, folder: Path, port: int, token: str) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.http = httpx.Client(base_url=self.url, headers={"Authorization": f"token {token}"}, timeout=START_S)
        self._folder = folder

    def call(self, method: str, path: str, body: Any) -> float:
        """Seconds of one call, from sending it to the end of its answer. Raises where it is refused."""
        started = time.perf_counter()
        answer = self.http.request(method, f"autodeploy/{path}", json=body)
        elapsed = time.perf_counter() - started
        answer.raise_for_status()
        last = msgspec.json.decode(answer.content.splitlines()[-1])
        if not last.keys() & {"result", "predictions"}:
            raise RuntimeError(f"{method} {path}: {last}")
        return elapsed

    @contextmanager
    def held(self) -> Iterator[Callable[[], bool]]:
        """A kernel that runs a cell which holds its lock; what is yielded says whether it still does."""
        answer = self.http.post("api/kernels", json={"name": "python3"})
        answer.raise_for_status()
        client = BlockingKernelClient(connection_file=str(self._folder / f"kernel-{answer.json()['id']}.json"))
        client.load_connection_file()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=START_S)
            mark = self._folder / f"held-{answer.json()['id']}"
            code = HOLD.format(file=str(mark), seconds=HELD_S)
            cell = threading.Thread(target=client.execute_interactive, args=(code,), kwargs={"timeout": 10 * HELD_S})
            cell.start()
            wait_for(mark.exists)
            yield cell.is_alive
            cell.join()
        finally:
            client.stop_channels()


@contextmanager
def jupyter() -> Iterator[Jupyter]:
    """Start the server, and end it with its kernels."""
    with tempfile.TemporaryDirectory(prefix="bench-jupyter-") as name:
        folder, token = Path(name), secrets.token_hex(16)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        options = {
            "ServerApp.port": port,
            "ServerApp.port_retries": 0,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "ServerApp.root_dir": name,
            "ServerApp.jpserver_extensions": "autodeploy_magic.server_extension=True",
            "IdentityProvider.token": token,
        }
        own = {f"JUPYTER_{kind}_DIR": name for kind in ("CONFIG", "DATA", "RUNTIME")}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "jupyter_server", *(f"--{key}={value}" for key, value in options.items())],
                env={**os.environ, **own},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        server = Jupyter(folder, port, token)

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError((folder / "log").read_text())
            try:
                return server.http.get("autodeploy/api/hello").is_success
            except httpx.TransportError:
                return False

        try:
            wait_for(answers)
            yield server
        finally:
            server.http.close()
            process.terminate()
            process.wait(START_S)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for what another process does, which has no other way to tell."""
    deadline = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"it did not happen within {START_S:g} s")
        time.sleep(0.01)


def measure(server: Jupyter, calls: int, found: dict[str, list[float]], goes_on: Callable[[], bool]) -> None:
    """Add to `found` until there are `calls` of each of `CALLS`, in turns, or `goes_on` does not hold any more."""
    while len(found[next(reversed(CALLS))]) < calls:
        for what, call in CALLS.items():
            elapsed = server.call(*call)
            if not goes_on():
                return
            found[what].append(elapsed)


def judged(when: str, found: dict[str, list[float]]) -> Target:
    """Print a table; the target is for the slowest of the calls."""
    print(f"\n{when}")
    p95 = {what: statistics.quantiles(times, n=20)[-1] for what, times in found.items()}
    lines = []
    for what, times in found.items():
        figures = (statistics.median(times), p95[what], max(times))
        lines.append([what, str(len(times)), *(f"{seconds * 1000:.1f}" for seconds in figures)])
    print(grid(["call", "times", "median ms", "p95 ms", "slowest ms"], lines))
    what = f"a page's call through the Jupyter Server, {when}: p95"
    return at_most(what, max(p95.values()) * 1000, TARGET_S * 1000, "{:.0f} ms")


def main(calls: int = 200) -> int:
    """Measure with an idle kernel and with one that holds its lock."""
    with temporary_home(), deployed(NAME, iris(), IRIS[0]), jupyter() as server:
        for call in CALLS.values():
            server.call(*call)  # the first of each loads what it needs
        free: dict[str, list[float]] = {what: [] for what in CALLS}
        measure(server, calls, free, lambda: True)
        held: dict[str, list[float]] = {what: [] for what in CALLS}
        while min(map(len, held.values())) < calls:
            with server.held() as holds:
                measure(server, calls, held, holds)
    targets = [judged("no kernel runs", free), judged(f"a kernel holds its GIL for {HELD_S} s", held)]
    return show(targets, f"python benchmarks/relay.py {calls}")


if __name__ == "__main__":
    run(lambda: main(*map(int, sys.argv[1:])))
