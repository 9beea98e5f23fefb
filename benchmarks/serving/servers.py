"""A server that is measured: where it listens, what it is asked, and which processes are its own."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from serving import cores, processes
from serving.clients import BENCHMARKS, Clients
from serving.cores import Cores
from serving.environments import Missing, python_of
from serving.job import Exchange, Job, post
from serving.registry import PEERS

__all__ = ["Server", "exchange_of", "peer"]

START_S = 120.0
PORTS = range(12_000, 19_000)
"""Below those that our deployments take, and those that the system gives to outgoing connections."""


@dataclass(frozen=True)
class Server:
    """One line of a table. Those that `pauses` are stopped by a signal while others are asked."""

    name: str
    label: str
    port: int
    exchanges: tuple[Exchange, ...]
    roots: Callable[[], Sequence[int]]
    pauses: bool = True


def exchange_of(name: str, rows: Sequence[Sequence[float]], value: object) -> Exchange:
    """The peer's own form of a request with `rows`, whose right predictions are `value`."""
    one = PEERS[name]
    return Exchange(post(one.path, msgspec.json.encode(one.words(rows))), value, at=one.at)


@contextmanager
def peer(
    name: str,
    model: Path,
    exchange: Exchange,
    clients: Clients,
    where: Cores,
    envs: Path,
    *,
    threads: int = 1,
    variant: str = "",
    also: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Start a peer and wait until it gives the right answer; end it with all its processes afterwards.

    `threads` are onnxruntime's, 0 for as many as it chooses itself. A `variant` has that added to its name and label,
    and environment variables `also`. Raises `Missing`.
    """
    one = PEERS[name]
    python = python_of(one.environment, envs) if one.environment else Path(sys.executable)
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-", ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "server.log"
        with log.open("wb") as output, cores.on(where.server):
            process = subprocess.Popen(
                [str(python), "-m", f"serving.peers.{name}"],
                cwd=folder,
                env={**_environment(port, model, threads, Path(folder), pinned=bool(where.server)), **(also or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            _wait_for_answer(process, Job(port=port, exchanges=(exchange,), keep_alive=1, most=1), clients, log)
            names = (f"{name} {variant}", f"{one.label}, {variant}") if variant else (name, one.label)
            yield Server(*names, port, (exchange,), lambda: [process.pid])
        finally:
            processes.end(process)


def _environment(port: int, model: Path, threads: int, folder: Path, *, pinned: bool) -> dict[str, str]:
    """The same for every peer: no telemetry, and no thread pools beside onnxruntime's where there is one core."""
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} if pinned else {}
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AUTODEPLOY", "VIRTUAL_ENV"))},
        **one,
        "PYTHONPATH": str(BENCHMARKS),
        "BENCH_PORT": str(port),
        "BENCH_MODEL": str(model),
        "BENCH_THREADS": str(threads),
        "ORT_DISABLE_TELEMETRY": "1",
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _wait_for_answer(process: subprocess.Popen[bytes], job: Job, clients: Clients, log: Path) -> None:
    deadline = time.monotonic() + START_S
    seen = "no answer"
    while process.poll() is None and time.monotonic() < deadline:
        outcome = clients.run(job)
        if outcome.ok:
            return
        seen = ", ".join([*outcome.failed, *outcome.examples])
        if outcome.examples:
            break  # it serves, and something else than the right answer: waiting will not help
        time.sleep(0.05)  # nothing tells when a stranger is ready but asking
    lines = log.read_text("utf-8", "replace").strip().splitlines()[-3:]
    ended = f"it ended with {process.returncode}" if process.poll() is not None else f"it gave {seen}"
    raise Missing(f"it did not serve: {ended}; its last lines: {' / '.join(lines)[-300:]}")


def _free_port() -> int:
    """A port that was free a moment ago, with two more behind it."""
    for port in random.sample(PORTS, 200):
        try:
            for offset in range(3):
                with socket.socket() as listener:
                    listener.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return port
    raise RuntimeError(f"no port between {PORTS.start} and {PORTS.stop} is free")
