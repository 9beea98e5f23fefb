"""Real processes that do what they are told: use the CPU, hold memory, start others."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest
from world import World

from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

BODY = """
import os, subprocess, sys, threading, time
held, others = [], []
print("ready", flush=True)
for line in sys.stdin:
    word, _, value = line.strip().partition(" ")
    if word == "burn":
        end = time.process_time() + float(value)
        while time.process_time() < end:
            pass
    elif word == "hold":
        held.append(bytearray(os.urandom(1 << 20) * int(value)))
    elif word == "thread":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    elif word == "open":
        held.append(open(os.devnull))
    elif word == "fork":
        child = os.fork()
        if not child:
            for fd in (0, 1):
                os.close(fd)
            time.sleep(600)
        others.append(child)
        print(child, flush=True)
        continue
    elif word == "start":
        child = subprocess.Popen([sys.executable, "-c", f"import time\\n{value}\\ntime.sleep(600)"])
        others.append(child.pid)
        print(child.pid, flush=True)
        continue
    print(time.process_time(), flush=True)
"""


class Obedient:
    """A process that does what it is told, and answers when it has."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", BODY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self.created = psutil.Process(self.pid).create_time()
        self._hear()

    @property
    def root(self) -> tuple[int, float]:
        return self.pid, self.created

    def do(self, order: str) -> float:
        """Give an order, and wait; its CPU seconds until then, or the pid of what it started."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        return float(self._hear())

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def end(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in psutil.Process(self.pid).children(recursive=True):
                one.kill()
        self._process.kill()
        self._process.wait(10)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture
def start() -> Iterator[Callable[[], Obedient]]:
    """Starts processes, and ends them after the test."""
    with contextlib.ExitStack() as stack:

        def begin() -> Obedient:
            process = Obedient()
            stack.callback(process.end)
            return process

        yield begin


@pytest.fixture
def world(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A supervisor on a fresh state folder. Replaced workers wait for idle connections for a second only."""
    monkeypatch.setenv("AUTODEPLOY_DRAIN_S", "1.0")
    world = World(store, connect(store))
    yield world
    world.end()
