"""A worker by itself: a real process, told what a supervisor would tell it."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.serve.worker import Spec
from autodeploy_magic.supervisor.workers.processes import environment
from autodeploy_magic.zygote.child import Child
from autodeploy_magic.zygote.preload import QUIET

WAIT_S = 30.0
TOKEN = "a-token"


class Started:
    """A worker process, its channel and the socket it listens on; with `grpc`, it answers gRPC on that one too.

    `settings` are those that travel with a deployment.
    """

    def __init__(
        self,
        folder: Path,
        tmp_path: Path,
        drain_s: float,
        grpc: socket.socket | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.sockets = tmp_path / "sockets"
        self.metrics = tmp_path / "metrics"
        self.log = tmp_path / "worker.log"
        self.token_file = tmp_path / "token"
        self.token_file.write_text(TOKEN)
        self.sockets.mkdir()
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(WAIT_S)
        spec = Spec(
            name="iris",
            version=1,
            generation=7,
            folder=str(folder),
            bento_path="",
            token_file=str(self.token_file),
            control=str(self.sockets),
            prometheus=str(self.metrics),
            metrics=str(self.metrics.with_suffix(".sqlite")),
            log_file=str(self.log),
            settings={"drain_s": drain_s, **(settings or {})},
        )
        order = {
            "target": "autodeploy_magic.serve.worker:main",
            "spec": msgspec.to_builtins(spec),
            "paths": [],
            "env": {},
        }
        listening = [each.fileno() for each in (self.listening, grpc) if each is not None]
        child = Child("worker", theirs.fileno(), 2, tuple(listening))
        with theirs, self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "autodeploy_magic.zygote.child", msgspec.json.encode(child).decode()],
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno(), *listening],
                env=environment() | QUIET,
            )
        self.channel.sendall(msgspec.json.encode(order) + b"\n")

    def said(self) -> dict[str, Any]:
        with self.channel.makefile("rb") as stream:
            return dict(msgspec.json.decode(stream.readline(), type=dict[str, Any]))

    def serve(self) -> None:
        assert self.said()["ready"]["pid"] == self.process.pid
        self.channel.sendall(b"\n")
        self.channel.close()

    def end(self) -> int:
        return self.process.wait(WAIT_S)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.listening.getsockname(), timeout=WAIT_S)
