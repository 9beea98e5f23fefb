"""A real Jupyter Server in a process of its own."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from world import until

__all__ = ["WAIT_S", "Jupyter"]

WAIT_S = 60.0


class Jupyter:
    """The server, and the kernels that it started through its REST API. `extensions` are the modules it loads."""

    def __init__(self, folder: Path, *, extensions: tuple[str, ...] = (), base_url: str = "/") -> None:
        self.token = token = secrets.token_hex(16)
        self.runtime = folder / f"runtime-{token[:6]}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        options = {
            "ServerApp.port": port,
            "ServerApp.port_retries": 0,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "ServerApp.root_dir": str(folder),
            "ServerApp.base_url": base_url,
            "IdentityProvider.token": token,
        }
        self.log = (folder / "jupyter.log").open("ab")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyter_server",
                *(f"--{name}={value}" for name, value in options.items()),
                *(f"--ServerApp.jpserver_extensions={module}=True" for module in extensions),
            ],
            env=os.environ | {"JUPYTER_RUNTIME_DIR": str(self.runtime)},
            stdout=self.log,
            stderr=self.log,
        )
        headers = {"Authorization": f"token {token}"}
        self.url = f"http://127.0.0.1:{port}{base_url}"
        self.http = httpx.Client(base_url=self.url, headers=headers, timeout=WAIT_S)
        self.kernels: list[psutil.Process] = []
        self.clients: list[BlockingKernelClient] = []
        until(self._answers, WAIT_S)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (Path(self.log.name)).read_text()
        try:
            return self.http.get("api/status").status_code == 200
        except httpx.ConnectError:
            return False

    def kernel(self) -> Callable[[str], str]:
        """Start a kernel; what is returned runs a cell in it and returns what it shows."""
        answer = self.http.post("api/kernels", json={"name": "python3"})
        answer.raise_for_status()
        file = str(self.runtime / f"kernel-{answer.json()['id']}.json")
        children = psutil.Process(self.process.pid).children()
        (kernel,) = [child for child in children if any(file in word for word in child.cmdline())]
        self.kernels.append(kernel)
        client = BlockingKernelClient(connection_file=file)
        client.load_connection_file()
        client.start_channels()
        _wait_for_ready(client, kernel)
        self.clients.append(client)

        def run(cell: str) -> str:
            shown: list[str] = []

            def output(message: dict[str, Any]) -> None:
                content = message["content"]
                shown.append(str(content.get("text") or content.get("data", {}).get("text/plain", "")))
                shown.extend(content.get("traceback", []))

            reply = client.execute_interactive(cell, timeout=120, output_hook=output, allow_stdin=False)["content"]
            assert reply["status"] == "ok", "\n".join(shown)
            return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(shown))

        return run

    def kill(self) -> None:
        """SIGKILL the server and what it started, as the end of a session or of a container would."""
        for process in [psutil.Process(self.process.pid), *self.kernels]:
            process.send_signal(signal.SIGKILL)
        self.process.wait(WAIT_S)
        psutil.wait_procs(self.kernels, timeout=WAIT_S)
        self.close()

    def close(self) -> None:
        for client in self.clients:
            client.stop_channels()
        self.clients = []
        self.http.close()
        self.log.close()


def _wait_for_ready(client: BlockingKernelClient, kernel: psutil.Process) -> None:
    """Wait until it answers; without a heartbeat for a second it is not dead while its process lives."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            client.wait_for_ready(timeout=WAIT_S)
        except RuntimeError:
            if time.monotonic() > end or not kernel.is_running() or kernel.status() == psutil.STATUS_ZOMBIE:
                raise
        else:
            return
