"""A real supervisor on a fresh state folder, with really trained models; and a look at what is left behind."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic.contracts import Desired, Progress, Status, Version, encode
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import Supervisor, connect
from autodeploy_magic.supervisor.workers.watch import wait_gone

log = logging.getLogger(__name__)

WAIT_S = 30.0


@dataclass
class World:
    """A store, its supervisor, and what tests do to them."""

    store: Store
    supervisor: Supervisor

    def version(self, name: str = "iris", *, c: float = 1.0, format: str = "onnx", **code: Callable[..., Any]) -> int:
        """Build and commit one more version of the deployment; its number."""
        model = LogisticRegression(C=c, max_iter=1000).fit(X, NAMES[Y])
        with self.store.building(name), self.store.staging(name) as staging:
            number = self.store.next_number(name)
            made = write_version(staging, model, X, format=format, number=number, code=code)
            version: Version = msgspec.structs.replace(made, deployment=name)
            (staging / "version.json").write_bytes(encode(version))
            self.store.commit(version, staging)
        return number

    def serve(
        self,
        number: int,
        name: str = "iris",
        *,
        seen: list[Progress] | None = None,
        fresh: bool = False,
        **more: Any,
    ) -> Status:
        desired = Desired(name=name, version=number, executable=sys.executable, **more)
        return self.supervisor.serve(desired, (seen if seen is not None else []).append, fresh=fresh)

    def predict(self, name: str = "iris", client: httpx.Client | None = None) -> httpx.Response:
        with contextlib.ExitStack() as stack:
            if client is None:
                client = stack.enter_context(httpx.Client(timeout=WAIT_S))
            return client.post(
                f"{self.supervisor.status(name).url}/predict",
                json={"inputs": X[:3].tolist()},
                headers=self.headers(name),
            )

    def headers(self, name: str = "iris") -> dict[str, str]:
        return {"authorization": f"Bearer {self.store.token(name)}"}

    def pid(self) -> int:
        return int(self.supervisor.ping()["pid"])

    def end(self) -> None:
        """End all, and look: no process, no socket may be left."""
        sockets = self.store.runtime_dir
        log.info("%s", self.store.supervisor_log.read_text())  # which pytest shows where the test failed
        try:
            connect(self.store).shutdown(stop_deployments=True)
            until(lambda: processes_of(self.store.home) == [])
            assert not sockets.exists() or list(sockets.iterdir()) == []
            assert not self.store.supervisor_file.exists()
        finally:
            for process in processes_of(self.store.home):
                process.send_signal(signal.SIGKILL)

    def kill_supervisor(self) -> None:
        """SIGKILL, and wait until it is gone."""
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        assert wait_gone(pid, WAIT_S)


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process whose environment names this state folder, except for this one."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("AUTODEPLOY_HOME") == str(home):
                found.append(process)
    return found


def until(condition: Callable[[], object], within_s: float = WAIT_S) -> None:
    """Wait until something that others do has happened."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
