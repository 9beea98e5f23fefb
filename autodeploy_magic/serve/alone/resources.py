"""What the processes of a container take, written down every second: nobody outside of it does that."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from autodeploy_magic.metrics.ledger import Ledger
from autodeploy_magic.serve.usage import EVERY_S, Usage

__all__ = ["EVERY_S", "Resourced", "watched"]

_DISK_EVERY = 60
_FIRST = 1


class Resourced:
    """Looks at this process and those below it. `look` is called about once a second, always by one thread."""

    def __init__(self, name: str, state: Path) -> None:
        self._state = state
        self._usage = Usage()
        self._ledger = Ledger(name, state / "metrics.sqlite", time.monotonic())
        self._rows = 0
        self._disk = (-1, -1)

    def look(self) -> None:
        """Take a row, and write those that wait where it is time to."""
        row = self._usage.look()
        if row is None:
            return
        if self._rows % _DISK_EVERY == 0:
            self._disk = _disk(self._state)
        self._rows += 1
        self._ledger.add(row._replace(disk_bytes=self._disk[0], disk_free_bytes=self._disk[1]))
        now = time.monotonic()
        if self._rows == _FIRST:
            self._ledger.write(now)  # who asks soon after the start is told something
        self._ledger.write_due(now)

    def close(self) -> None:
        """Write what waits."""
        self._ledger.write(time.monotonic())
        self._ledger.close()


@contextlib.contextmanager
def watched(name: str, state: Path) -> Iterator[None]:
    """Look from a thread of its own meanwhile: for a process that forks no other."""
    ended = threading.Event()

    def run() -> None:
        resourced = Resourced(name, state)
        while not ended.wait(EVERY_S):
            resourced.look()
        resourced.close()

    thread = threading.Thread(target=run, name="resources", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(EVERY_S)


def _disk(folder: Path) -> tuple[int, int]:
    """What the state folder holds, and what is free there, in bytes."""
    try:
        held = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        return held, shutil.disk_usage(folder).free
    except OSError:
        return -1, -1
