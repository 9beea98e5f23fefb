"""Several workers that share the sockets: the first process of the container imports once, forks them, and stays.

One that ends is replaced, later each time. Where they end again and again soon after their start, all is given up: who
runs the container is to know, and to start it again.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import logging
import os
import random
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from autodeploy_magic.contracts import Version
from autodeploy_magic.formats import format_of
from autodeploy_magic.registry import load, table
from autodeploy_magic.serve.alone.resources import EVERY_S, Resourced

__all__ = ["Crew"]

log = logging.getLogger(__name__)

SOON_S = 10.0
"""A worker that ends within this time counts towards giving up."""
MOST_SOON = 5
PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
GRACE_S = 15.0
"""Beyond the drain: what a worker itself gives to requests that are being answered, and to writing down its records."""

_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCHLD)
_MODULES = (
    "numpy",
    "uvloop",
    "httptools",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
    "autodeploy_magic.serve.exposition",
    "autodeploy_magic.serve.control",
    "autodeploy_magic.serve.redact",
    "autodeploy_magic.serve.sampling",
    "autodeploy_magic.serve.http.app",
    "autodeploy_magic.serve.http.secure",
    "autodeploy_magic.serve.http.server",
    "autodeploy_magic.serve.lineup.repository",
    "autodeploy_magic.serve.lineup.versions",
)


@dataclass
class _Worker:
    pid: int
    started: float
    channel: socket.socket

    def said(self) -> bytes:
        """What it has told so far."""
        self.channel.setblocking(False)
        for _ in range(2):
            try:
                return self.channel.recv(1 << 20, socket.MSG_PEEK)
            except BlockingIOError:
                return b""
            except ConnectionResetError:
                continue  # it ended before it read that it may serve, which is told once; what it said is still there
        return b""


class Crew:
    """`workers` processes that serve `spec` on `listening`, from `run` to its end."""

    def __init__(
        self,
        spec: dict[str, Any],
        listening: Sequence[socket.socket],
        workers: int,
        version: Version,
        resourced: Resourced,
    ) -> None:
        self._spec = spec
        self._listening = listening
        self._wanted = workers
        self._version = version
        self._resourced = resourced
        self._workers: dict[int, _Worker] = {}
        self._soon = 0
        self._not_before = 0.0
        self._served = False
        self._until: float | None = None  # since it is told to end
        self._code = 0

    def run(self) -> int:
        """Serve until told to stop; 1 where it was given up."""
        _preload(self._version)
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        while self._until is None or self._workers:
            self._fill()
            told = signal.sigtimedwait(_SIGNALS, self._patience())
            if told is not None and told.si_signo != signal.SIGCHLD:
                self._end(told.si_signo)
            self._reap()
            self._resourced.look()
            if self._until is not None and time.monotonic() > self._until:
                self._kill()
        self._resourced.close()
        log.info("ended")
        return self._code

    def _fill(self) -> None:
        if self._until is None and time.monotonic() >= self._not_before:
            while len(self._workers) < self._wanted:
                self._fork()

    def _patience(self) -> float:
        """How long nothing is to be done unless something happens."""
        now = time.monotonic()
        if self._until is not None:
            return max(0.0, self._until - now) + 0.01
        waits_s = max(0.0, self._not_before - now) if len(self._workers) < self._wanted else EVERY_S
        return min(waits_s, EVERY_S)

    def _fork(self) -> None:
        ours, theirs = socket.socketpair()
        ours.sendall(b"\n")  # it may serve as soon as it can
        sys.stdout.flush()
        first = os.getpid()
        pid = os.fork()
        if pid == 0:
            ours.close()
            for other in self._workers.values():
                other.channel.close()
            _work(self._spec, theirs, self._listening, first)
        theirs.close()
        self._workers[pid] = _Worker(pid, time.monotonic(), ours)

    def _reap(self) -> None:
        """Take leave of those that have ended; also of processes that the model's code has left to us."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            worker = self._workers.pop(pid, None)
            if worker is not None:
                self._gone(worker, os.waitstatus_to_exitcode(status))

    def _gone(self, worker: _Worker, code: int) -> None:
        self._served = self._served or any(b'"serving"' in each.said() for each in (worker, *self._workers.values()))
        worker.channel.close()
        shutil.rmtree(Path(self._spec["prometheus"]) / str(worker.pid), ignore_errors=True)
        if self._until is not None:
            return
        lived_s = time.monotonic() - worker.started
        words = f"signal {-code}" if code < 0 else f"exit code {code}"
        log.error("worker %d ended after %.1f s: %s", worker.pid, lived_s, words)
        self._soon = self._soon + 1 if lived_s < SOON_S else 0
        if self._soon >= MOST_SOON or not self._served:
            log.error("given up: %s", "it cannot start" if not self._served else "workers end soon after their start")
            self._code = 1
            self._end(signal.SIGTERM)
            return
        pause_s = min(PAUSE_S * 2 ** max(0, self._soon - 1), LONGEST_PAUSE_S)
        self._not_before = time.monotonic() + pause_s

    def _end(self, number: int) -> None:
        """Pass it on: a worker that is told twice ends at once."""
        if self._until is None:
            from autodeploy_magic import settings

            for each in self._listening:
                each.close()
            drain_s = float(self._spec["settings"].get("drain_s", settings.KNOBS["drain_s"].default))
            self._until = time.monotonic() + self._spec["linger_s"] + drain_s + GRACE_S
        for pid in self._workers:
            os.kill(pid, number)

    def _kill(self) -> None:
        for pid in self._workers:
            log.error("worker %d has not ended in time: it is killed, and its last requests are lost", pid)
            self._code = 1
            os.kill(pid, signal.SIGKILL)
        self._until = time.monotonic() + GRACE_S


def _work(spec: dict[str, Any], channel: socket.socket, listening: Sequence[socket.socket], first: int) -> NoReturn:
    """Be a worker, in the process that was forked for it by the process `first`."""
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda told, _: os._exit(0 if told == signal.SIGTERM else 128 + told))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        _end_with(first)
        random.seed()
        sys.modules["numpy"].random.seed()
        from autodeploy_magic.serve.worker import main

        code = main(spec, {"channel": channel, "listen": [each.detach() for each in listening]})
    except BaseException:  # nothing of this process may go on in what the first process was about to do
        log.exception("a worker failed")
    finally:
        sys.stdout.flush()
        os._exit(code)


def _end_with(first: int) -> None:
    """Be told to end when the first process dies: outside a container, nothing else takes its workers along."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != first:
        os._exit(0)  # it was too late to be told


def _preload(version: Version) -> None:
    """Import what all workers need, so that they share its memory and are there at once."""
    for name in _MODULES:
        importlib.import_module(name)
    for reference in table("protocols").values():
        load(reference)
    runtime = format_of(version.format).runtime
    load(table("runtimes")[runtime])
    if runtime == "onnx":
        importlib.import_module("onnxruntime")
    gc.collect()
    gc.freeze()
