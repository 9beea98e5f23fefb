"""What a job that ships tells while it works: a file of plain lines, which the supervisor reads as they come.

A line that begins with `STEP` is a `contracts.Progress` as JSON; each other one is what a tool had to say.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from autodeploy_magic.contracts import Progress
from autodeploy_magic.errors import AutodeployError

__all__ = ["STEP", "Telling", "read"]

STEP = "@step "


class Telling:
    """Writes to such a file. Each line is there at once, whole; "" for a file tells nobody."""

    def __init__(self, file: str | Path) -> None:
        self._file = Path(file) if str(file) else None

    def line(self, text: str) -> None:
        """Tell what a tool said: one line, or several."""
        for line in text.splitlines():
            self._write(f" {line}" if line.startswith(STEP) else line)

    def report(self, progress: Progress) -> None:
        """Tell progress; a `contracts.Report`."""
        self._write(STEP + msgspec.json.encode(progress).decode())

    @contextlib.contextmanager
    def step(self, step: str, detail: str = "") -> Iterator[None]:
        """Tell when a step begins, and how it ends."""
        started = time.perf_counter()
        self.report(Progress(step=step, state="started", detail=detail))
        try:
            yield
        except BaseException as error:
            what = error.what if isinstance(error, AutodeployError) else f"{type(error).__name__}: {error}"
            seconds = time.perf_counter() - started
            self.report(Progress(step=step, state="failed", seconds=seconds, detail=what))
            raise
        self.report(Progress(step=step, state="done", seconds=time.perf_counter() - started, detail=detail))

    def _write(self, line: str) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError), self._file.open("ab") as stream:  # a full disk is the job's to tell
                stream.write(line.encode("utf-8", "replace") + b"\n")


def read(data: bytes) -> tuple[list[Progress], list[str]]:
    """The progress and the plain lines among whole lines of such a file. What cannot be read is a plain line."""
    steps: list[Progress] = []
    lines: list[str] = []
    for line in data.decode("utf-8", "replace").splitlines():
        if line.startswith(STEP):
            try:
                steps.append(msgspec.json.decode(line.removeprefix(STEP), type=Progress))
                continue
            except msgspec.MsgspecError:
                pass
        lines.append(line)
    return steps, lines
