"""Recording: what a worker answered, in one-second roll-ups written by a thread of its own.

The road pays for a few additions. A second that is over goes to the writer, through a bounded queue; where the disk is
full, or the writer cannot keep up, its answers are counted as dropped and the road goes on.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.metrics import INSERT, INSERT_COMPARISON, ComparisonRow, Rollup, bucket, forget, open_for_writing

__all__ = ["Recorder", "Tally"]

log = logging.getLogger(__name__)

QUEUE = 3600
"""Seconds that may wait for the writer: an hour of a disk that is full."""
KEEP_S = 7 * 24 * 3600
TRIM_EVERY_S = 3600


class Tally:
    """What one version answered within one second."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "latency",
        "requests",
        "rows",
        "seconds",
        "statuses",
        "unanswered_s",
        "version",
    )

    def __init__(self, version: int) -> None:
        self.version = version
        self.requests = self.rows = self.bytes_in = self.bytes_out = 0
        self.seconds = self.unanswered_s = 0.0
        self.latency: dict[int, int] = {}
        self.statuses: dict[int, int] = {}


class Recorder:
    """Writes one worker's roll-ups. `start` it in the worker's process, `close` it to write what is left.

    `observe` and `tick` are called by one thread, the event loop's. `lanes` tells, for each version, what its lane did
    since it was asked last.
    """

    def __init__(self, path: Path, *, worker: int) -> None:
        self.dropped = 0
        self.lanes: Callable[[], dict[int, Any]] = dict
        self._path = path
        self._worker = worker
        self._second = int(time.time())
        self._tallies: dict[int, Tally] = {}
        self._queue: deque[tuple[str, tuple[Any, ...], int]] = deque()
        self._news = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write what is left and end the thread, if it was started; waits at most a few seconds."""
        self._roll()
        self._ending = True
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5.0)

    def observe(self, version: int, status: int, seconds: float, rows: int, bytes_in: int, bytes_out: int) -> None:
        """Note one answer. Never blocks and never raises."""
        if int(time.time()) != self._second:
            self._roll()
        tally = self._tallies.get(version)
        if tally is None:
            tally = self._tallies[version] = Tally(version)
        tally.requests += 1
        if status < 400:
            tally.rows += rows
        else:
            tally.unanswered_s += seconds
        tally.bytes_in += bytes_in
        tally.bytes_out += bytes_out
        tally.seconds += seconds
        latency, statuses = tally.latency, tally.statuses
        index = bucket(seconds)
        latency[index] = latency.get(index, 0) + 1
        statuses[status] = statuses.get(status, 0) + 1

    def tick(self) -> None:
        """Hand over a second that is over though nothing was asked since; called about once a second."""
        if self._tallies and int(time.time()) != self._second:
            self._roll()

    def compare(self, rows: Iterable[ComparisonRow]) -> None:
        """Write down what shadows answered beside the champion. May be called by any thread."""
        for row in rows:
            self._put(INSERT_COMPARISON, row, 0)
        self._news.set()

    def _roll(self) -> None:
        second, tallies = self._second, self._tallies
        self._second, self._tallies = int(time.time()), {}
        if not tallies:
            return
        lanes = self.lanes()
        for tally in tallies.values():
            self._put(INSERT, self._rollup(second, tally, lanes.get(tally.version)), tally.requests)
        self._news.set()

    def _put(self, statement: str, row: tuple[Any, ...], requests: int) -> None:
        if len(self._queue) >= QUEUE:
            self.dropped += requests
            return
        self._queue.append((statement, row, requests))

    def _rollup(self, second: int, tally: Tally, lane: Any) -> Rollup:
        return Rollup(
            second=second,
            worker=self._worker,
            version=tally.version,
            requests=tally.requests,
            rows=tally.rows,
            refused=sum(count for status, count in tally.statuses.items() if 400 <= status < 500),
            failed=sum(count for status, count in tally.statuses.items() if status >= 500),
            bytes_in=tally.bytes_in,
            bytes_out=tally.bytes_out,
            dropped=0,
            seconds=tally.seconds,
            unanswered_s=tally.unanswered_s,
            latency=_json(tally.latency),
            statuses=_json(tally.statuses),
            executions=lane.executions if lane is not None else 0,
            queue_s=lane.queue_s if lane is not None else 0.0,
            run_s=lane.run_s if lane is not None else 0.0,
            batches=_json(lane.batches if lane is not None else {}),
            waiting=lane.waiting if lane is not None else 0,
        )

    def _write(self) -> None:
        """Write what comes, and keep what cannot be written for the next time."""
        connection: sqlite3.Connection | None = None
        trimmed = -math.inf
        ending = False
        while not ending:
            self._news.wait(TRIM_EVERY_S)
            self._news.clear()
            ending = self._ending
            taken = [self._queue.popleft() for _ in range(len(self._queue))]
            trim = time.monotonic() - trimmed >= TRIM_EVERY_S
            try:
                if connection is None or not self._path.exists():
                    connection = open_for_writing(self._path)
                with connection:
                    connection.execute("BEGIN")
                    self._insert(connection, taken)
                    if trim:
                        forget(connection, int(time.time() - KEEP_S))
                        trimmed = time.monotonic()
            except (sqlite3.Error, OSError) as error:
                log.warning("%d seconds are not recorded yet: %s", len(taken), error)
                self._queue.extendleft(reversed(taken))
                if connection is not None:
                    connection.close()
                    connection = None  # the file may have been replaced: the next time opens what is there then
        if connection is not None:
            connection.close()
        self.dropped += sum(requests for _, _, requests in self._queue)

    def _insert(self, connection: sqlite3.Connection, taken: list[tuple[str, tuple[Any, ...], int]]) -> None:
        for statement, row, _ in taken:
            if self.dropped and isinstance(row, Rollup):
                dropped, self.dropped = self.dropped, 0
                row = row._replace(dropped=dropped)  # noqa: PLW2901
            connection.execute(statement, row)


def _json(counts: dict[int, int]) -> str:
    return msgspec.json.encode(dict(sorted(counts.items()))).decode()
