"""Recording: what a worker answered, in one-second roll-ups written by a thread of its own.

The road pays for one append to a bounded queue. Where the writer cannot keep up, or the disk is full, answers are
counted as dropped and the road goes on.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import Counter, defaultdict, deque
from contextlib import closing
from pathlib import Path

import msgspec

from autodeploy_magic.metrics import INSERT, Rollup, bucket, open_for_writing

__all__ = ["Recorder"]

log = logging.getLogger(__name__)

QUEUE = 100_000
"""Answers waiting for the writer: several seconds of the fastest worker."""
FLUSH_S = 1.0
KEEP_S = 7 * 24 * 3600
TRIM_EVERY_S = 3600

Row = tuple[float, int, float, int, int, int]


class Recorder:
    """Writes one worker's roll-ups. `start` it in the worker's process, `close` it to write what is left."""

    def __init__(self, path: Path, *, worker: int, version: int) -> None:
        self.dropped = 0
        self._path = path
        self._worker = worker
        self._version = version
        self._queue: deque[Row] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write what is queued and end the thread, if it was started; waits at most a few seconds."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5.0)

    def observe(self, *, status: int, seconds: float, rows: int, bytes_in: int, bytes_out: int) -> None:
        """Note one answer. Never blocks and never raises."""
        if len(self._queue) >= QUEUE:
            self.dropped += 1
            return
        self._queue.append((time.time(), status, seconds, rows, bytes_in, bytes_out))

    def _write(self) -> None:
        trimmed = 0.0
        last = False
        while not last:
            last = self._stop.wait(FLUSH_S)
            rollups, count = self._drain()
            if not rollups and time.monotonic() - trimmed < TRIM_EVERY_S:
                continue
            try:
                with closing(open_for_writing(self._path)) as connection:
                    connection.executemany(INSERT, rollups)
                    if time.monotonic() - trimmed >= TRIM_EVERY_S:
                        connection.execute("DELETE FROM rollups WHERE second < ?", (int(time.time() - KEEP_S),))
                        trimmed = time.monotonic()
            except (sqlite3.Error, OSError) as error:
                self.dropped += count
                log.warning("%d answers were not recorded: %s", count, error)

    def _drain(self) -> tuple[list[Rollup], int]:
        """Take what is queued, grouped by second."""
        # A second that a flush cuts in two becomes two rows; readers add them up.
        by_second: defaultdict[int, list[Row]] = defaultdict(list)
        count = len(self._queue)
        for _ in range(count):
            row = self._queue.popleft()
            by_second[int(row[0])].append(row)
        dropped, self.dropped = self.dropped, 0
        rollups = [self._rollup(second, rows) for second, rows in by_second.items()]
        if dropped and rollups:
            rollups[-1] = rollups[-1]._replace(dropped=dropped)
        elif dropped:
            self.dropped += dropped
        return rollups, count

    def _rollup(self, second: int, rows: list[Row]) -> Rollup:
        latency = Counter(bucket(row[2]) for row in rows)
        return Rollup(
            second=second,
            worker=self._worker,
            version=self._version,
            requests=len(rows),
            rows=sum(row[3] for row in rows),
            refused=sum(400 <= row[1] < 500 for row in rows),
            failed=sum(row[1] >= 500 for row in rows),
            bytes_in=sum(row[4] for row in rows),
            bytes_out=sum(row[5] for row in rows),
            dropped=0,
            latency=msgspec.json.encode(dict(sorted(latency.items()))).decode(),
        )
