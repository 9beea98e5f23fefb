"""The process of the clients, as a script sees it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from serving import cores
from serving.job import Job, Outcome

__all__ = ["Clients", "clients"]

BENCHMARKS = Path(__file__).parent.parent


class Clients:
    """Does one job at a time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self._to, self._from = process.stdin, process.stdout
        self._ended_at_once: bytes | None = None

    def run(self, job: Job) -> Outcome:
        """Do a job to its end."""
        self.start(job)
        return self.result()

    def start(self, job: Job) -> None:
        """Begin a job; returns once each of its connections was answered once, or it has ended without that."""
        self._to.write(msgspec.json.encode(job) + b"\n")
        self._to.flush()
        line = self._line()
        self._ended_at_once = None if line == b'{"connected":true}\n' else line

    def stop(self) -> Outcome:
        """End the job that was started, now."""
        if self._ended_at_once is None:
            self._to.write(b"\n")
            self._to.flush()
        return self.result()

    def result(self) -> Outcome:
        """Wait for the end of the job that was started."""
        return msgspec.json.decode(self._ended_at_once or self._line(), type=Outcome)

    def _line(self) -> bytes:
        line = self._from.readline()
        if not line:
            raise RuntimeError("the clients' process has ended; what it said of that stands above")
        return line


@contextmanager
def clients(where: frozenset[int] = frozenset()) -> Iterator[Clients]:
    """The clients' process, on the cores `where`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "serving.load"]
    with cores.on(where):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
        )
    try:
        yield Clients(process)
    finally:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            process.stdin.close()  # which ends it
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
