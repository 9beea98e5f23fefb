"""Steady requests to a deployment while a drill goes on: rows of its sample, one after the other."""

from __future__ import annotations

import random
import threading
import time

from autodeploy_magic.calling.probe import connection_to
from autodeploy_magic.calling.snippets import first_rows, sample_of
from autodeploy_magic.contracts import Desired, Version
from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.store import Store

__all__ = ["DrillLoad"]

RATE = 20.0
"""Requests a second: enough that a second without answers is seen, and nothing to a machine."""
ROWS = 200
THREADS = 4
TIMEOUT_S = 5.0
"""An answer that takes longer is lost: so long, at most, a person waits for a page."""


class DrillLoad:
    """Sends from `start` until `close`. Each request goes over a connection that is kept, as most clients do."""

    def __init__(self, store: Store, desired: Desired, version: Version) -> None:
        sample = sample_of(store, version)
        rows = min(len(next(iter(sample.values())) if isinstance(sample, dict) else sample), ROWS)
        # Evenly over all of it: where a sample is sorted, its first rows would be seen as drift.
        length = version.sample_rows or rows
        starts = [i * length // rows for i in range(rows)]
        self._bodies = [{"inputs": first_rows(sample, 1, start=start)} for start in starts]
        random.Random(0).shuffle(self._bodies)
        self._connection = connection_to(store, desired, timeout_s=TIMEOUT_S)
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(i,), name="drill") for i in range(THREADS)]
        self._requests = self._lost = 0

    @property
    def sent(self) -> tuple[int, int]:
        """How many were sent and ended, and how many of them were lost."""
        with self._lock:
            return self._requests, self._lost

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Send no more; waits for what is under way, some seconds at most."""
        self._ending.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S + 1.0)

    def _send(self, index: int) -> None:
        due = time.monotonic() + index / RATE
        turn = index
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            due = max(due + THREADS / RATE, time.monotonic())
            lost = 0
            try:
                self._connection.post("/predict", self._bodies[turn % len(self._bodies)])
            except (AutodeployError, OSError):
                lost = 1
            turn += THREADS
            with self._lock:
                self._requests += 1
                self._lost += lost
        self._connection.close()
