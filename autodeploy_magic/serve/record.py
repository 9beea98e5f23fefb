"""Recording: what a worker answered, in one-second roll-ups written by a thread of its own.

The road pays for a few additions. A second that is over goes to the writer, through a bounded queue; where the disk is
full, or the writer cannot keep up, its answers are counted as dropped and the road goes on.

A second in which requests were under way and none was answered is written down too: a model that is stuck is seen. If
it holds up the event loop itself, the writer sees that the loop no longer ticks, and writes for it; of the last such
seconds, which ended before the writer looked again, the answer tells that came of it.
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
from typing import TYPE_CHECKING, Any

import msgspec

from autodeploy_magic.metrics import (
    INSERT,
    INSERT_COMPARISON,
    INSERT_FIRST,
    ComparisonRow,
    FirstRow,
    Rollup,
    bucket,
    forget,
    open_for_writing,
)

if TYPE_CHECKING:
    from autodeploy_magic.serve.lane.lane import LaneStats

__all__ = ["Recorder", "Tally"]

log = logging.getLogger(__name__)

QUEUE = 3600
"""Seconds that may wait for the writer: an hour of a disk that is full."""
TRIM_EVERY_S = 3600
LOOK_S = 1.0
"""How often the writer looks whether the event loop still ticks."""
STUCK_S = 0.9
"""How long a request has been under way, at least, if the loop is held up by it: its tick is late by as much."""
LONGEST_S = 5
"""Seconds that the writer tells of, at most: where there are more, it stood still itself, and knows nothing of them."""


class Tally:
    """What one version answered within one second."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "first_s",
        "firsts",
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
        self.seconds = self.unanswered_s = self.first_s = 0.0
        self.firsts: dict[int, int] = {}
        self.latency: dict[int, int] = {}
        self.statuses: dict[int, int] = {}


class Recorder:
    """Writes one worker's roll-ups. `start` it in the worker's process, `close` it to write what is left.

    `observe` and `tick` are called by one thread, the event loop's. `lanes` tells, for each version, what its lane did
    since it was asked last. `held` tells any thread how many requests of each version have been under way for so many
    seconds, if the loop has stood still since.
    """

    def __init__(self, path: Path, *, worker: int) -> None:
        self.lanes: Callable[[], dict[int, LaneStats]] = dict
        self.held: Callable[[float], dict[int, int]] = lambda _: {}
        self._path = path
        self._worker = worker
        self._second = self._told = int(time.time())
        self._telling = threading.Lock()  # of seconds in which the loop stood still: both threads may know of them
        self._dropped = self._dropped_told = 0  # the one counted by the loop's thread, the other by the writer's
        self._tallies: dict[int, Tally] = {}
        self._queue: deque[tuple[str, tuple[Any, ...], int]] = deque()
        self._news = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)

    @property
    def dropped(self) -> int:
        """Answers that were given and are not written down, nor is that they are not."""
        return self._dropped - self._dropped_told

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write what is left and end the thread, if it was started; waits at most a few seconds."""
        self._roll()
        self._ending = True
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5.0)

    def observe(
        self,
        version: int,
        status: int,
        seconds: float,
        rows: int,
        bytes_in: int,
        bytes_out: int,
        first_s: float | None = None,
    ) -> None:
        """Note one answer; `first_s` is when the first item of a streamed one was there. Never blocks, never raises."""
        if int(time.time()) != self._second:
            self._tell(int(time.time() - seconds), lambda: {version: 1})  # that it took from the loop
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
        if first_s is not None:
            index = bucket(first_s)
            tally.firsts[index] = tally.firsts.get(index, 0) + 1
            tally.first_s += first_s

    def tick(self) -> None:
        """Hand over a second that is over though nothing was asked since; called soon after each second begins."""
        if int(time.time()) != self._second:
            self._roll()

    def compare(self, rows: Iterable[ComparisonRow]) -> None:
        """Write down what shadows answered beside the champion. May be called by any thread."""
        for row in rows:
            self._put(INSERT_COMPARISON, row, 0)
        self._news.set()

    def _tell(self, since: int, held: Callable[[], dict[int, int]]) -> None:
        """Write down the seconds after `since` that are over and that nobody has told of, with what was under way."""
        with self._telling:
            now = int(time.time())
            seconds = range(max(self._second, self._told, since) + 1, now)
            for version, count in held().items() if seconds else ():
                for second in seconds if count else ():
                    self._put(INSERT, _rollup(self._worker, second, Tally(version), in_flight=count), 0)
            self._told = max(self._told, now - 1)

    def _roll(self) -> None:
        second, tallies = self._second, self._tallies
        self._second, self._tallies = int(time.time()), {}
        lanes = self.lanes()
        busy = [version for version, lane in lanes.items() if lane.in_flight and version not in tallies]
        for tally in (*tallies.values(), *map(Tally, busy)):
            self._put(INSERT, _rollup(self._worker, second, tally, lanes.get(tally.version)), tally.requests)
            if tally.firsts:
                first = FirstRow(second, self._worker, tally.version, tally.first_s, _json(tally.firsts))
                self._put(INSERT_FIRST, first, 0)
        if tallies or busy:
            self._news.set()

    def _put(self, statement: str, row: tuple[Any, ...], requests: int) -> None:
        if len(self._queue) >= QUEUE:
            self._dropped += requests
            return
        self._queue.append((statement, row, requests))

    def _write(self) -> None:
        """Write what comes, and keep what cannot be written for the next time."""
        connection: sqlite3.Connection | None = None
        trimmed = -math.inf
        complaint = ""
        ending = False
        while not ending:
            self._news.wait(LOOK_S)
            self._news.clear()
            ending = self._ending
            self._look()
            taken = [self._queue.popleft() for _ in range(len(self._queue))]
            trim = time.monotonic() - trimmed >= TRIM_EVERY_S
            if not taken and (connection is None or not trim):
                continue
            try:
                if connection is None or not self._path.exists():
                    connection = open_for_writing(self._path)
                with connection:
                    connection.execute("BEGIN")
                    dropped = self._insert(connection, taken)
                    if trim:
                        forget(connection, time.time())
                        trimmed = time.monotonic()
                self._dropped_told += dropped
                complaint = ""
            except (sqlite3.Error, OSError) as error:
                if str(error) != complaint:
                    complaint = str(error)
                    log.warning("%d seconds are not recorded yet: %s", len(taken), error)
                self._queue.extendleft(reversed(taken))
                if connection is not None:
                    connection.close()
                    connection = None  # the file may have been replaced: the next time opens what is there then
        if connection is not None:
            connection.close()
        self._dropped += sum(requests for _, _, requests in self._queue)

    def _look(self) -> None:
        """Tell of the seconds of which the loop has not told since it stands still."""
        self._tell(int(time.time()) - LONGEST_S, lambda: self.held(STUCK_S))

    def _insert(self, connection: sqlite3.Connection, taken: list[tuple[str, tuple[Any, ...], int]]) -> int:
        """Insert them, with the number of those that were dropped before, which is returned."""
        dropped = told = self.dropped
        for statement, row, _ in taken:
            if dropped and isinstance(row, Rollup):
                row = row._replace(dropped=dropped)  # noqa: PLW2901
                dropped = 0
            connection.execute(statement, row)
        return told - dropped


def _rollup(worker: int, second: int, tally: Tally, lane: LaneStats | None = None, *, in_flight: int = 0) -> Rollup:
    return Rollup(
        second=second,
        worker=worker,
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
        in_flight=max(in_flight, lane.in_flight if lane is not None else 0, 1 if tally.requests else 0),
    )


def _json(counts: dict[int, int]) -> str:
    return msgspec.json.encode(dict(sorted(counts.items()))).decode()
