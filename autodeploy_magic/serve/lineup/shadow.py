"""A shadow: a version that is given copies of what the champion answers, compared with it, and heard by nobody.

Copies wait in a bounded queue for a thread of their own. Where that falls behind, or hangs, copies are dropped and
counted: the champion's road pays for one append. The thread takes them in short batches with pauses between, since
while it runs Python, nothing else in the process does.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import msgspec

from autodeploy_magic.metrics import ComparisonRow, bucket
from autodeploy_magic.serve.lineup.agreement import apart_by
from autodeploy_magic.serve.protocols import Inference
from autodeploy_magic.serve.road import Road

__all__ = ["Comparing"]

log = logging.getLogger(__name__)

QUEUE = 256
QUEUE_BYTES = 64 * 1024 * 1024
BATCH_S = 0.001
PAUSE_S = 0.005
PART = 4
"""The thread may run Python for this part of the time at most: a quarter. What ONNX computes meanwhile does not count,
for that lets go of the interpreter."""


class Copy(NamedTuple):
    """A request with what the champion answered."""

    read: Callable[[Road], Inference]
    inference: Inference
    outputs: dict[str, Any]
    seconds: float
    size: int


class Tally:
    """What was found since it was written down last."""

    __slots__ = ("challenger_latency", "champion_latency", "difference", "differing", "failed", "requests", "rows")

    def __init__(self) -> None:
        self.requests = self.rows = self.differing = self.failed = 0
        self.difference = 0.0
        self.champion_latency: dict[int, int] = {}
        self.challenger_latency: dict[int, int] = {}


class Comparing:
    """Compares a challenger with the champion; see `road.Shadow`. `compare` takes the rows to write down.

    `tick` is called about once a second by the thread that offers.
    """

    def __init__(
        self,
        champion: Road,
        challenger: Road,
        *,
        compare: Callable[[Iterable[ComparisonRow]], None],
        worker: int,
    ) -> None:
        self.champion = champion
        self.challenger = challenger
        self._write = compare
        self._worker = worker
        self._queue: SimpleQueue[Copy | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._tally = Tally()
        self._dropped = 0
        self._given_bytes = self._taken_bytes = 0  # each written by one thread alone
        self._complained = -1.0
        self._running_s = 0.0
        self._frees = challenger.version.format.startswith("onnx")
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def offer(
        self,
        read: Callable[[Road], Inference],
        inference: Inference,
        outputs: dict[str, Any],
        seconds: float,
        size: int,
    ) -> None:
        """Take a copy, or drop it where too many wait. Never blocks."""
        if self._queue.qsize() >= QUEUE or self._given_bytes - self._taken_bytes + size > QUEUE_BYTES:
            self._dropped += 1
            return
        self._given_bytes += size
        self._queue.put(Copy(read, inference, outputs, seconds, size))

    def tick(self) -> None:
        """Hand over what was found."""
        with self._lock:
            tally, self._tally = self._tally, Tally()
        dropped, self._dropped = self._dropped, 0
        if not tally.requests and not dropped:
            return
        row = ComparisonRow(
            second=int(time.time()),
            worker=self._worker,
            champion=self.champion.version.number,
            challenger=self.challenger.version.number,
            requests=tally.requests,
            rows=tally.rows,
            differing=tally.differing,
            failed=tally.failed,
            dropped=dropped,
            difference=tally.difference,
            champion_latency=_json(tally.champion_latency),
            challenger_latency=_json(tally.challenger_latency),
        )
        self._write([row])

    def close(self) -> None:
        """Compare no more: what waits is counted as dropped, and a challenger that hangs is left to itself."""
        with contextlib.suppress(Empty):
            while True:
                self._queue.get_nowait()
                self._dropped += 1
        self._ending.set()
        self._queue.put(None)
        self.tick()

    def _work(self) -> None:
        copy = self._queue.get()
        while copy is not None:
            held_s = 0.0
            while copy is not None and held_s < BATCH_S:
                self._taken_bytes += copy.size
                held_s += self._compare(copy)
                copy = None if self._queue.empty() else self._queue.get()
            if self._ending.wait(max(PAUSE_S, (PART - 1) * held_s)):
                return
            copy = copy or self._queue.get()

    def _compare(self, copy: Copy) -> float:
        """Run a copy; returns the seconds for which it held the interpreter, about."""
        began = time.perf_counter()
        self._running_s = 0.0
        rows, differing, difference, seconds = 0, 0, 0.0, None
        try:
            outputs, seconds = self._answer(copy)
            rows = copy.inference.batch.rows
            differing, difference = apart_by(self.champion.version, rows, copy.outputs, outputs)
        except Exception as error:  # noqa: BLE001 - whatever a challenger does, comparing goes on
            self._complain(error)
        with self._lock:
            tally = self._tally
            tally.requests += 1
            tally.rows += rows
            tally.differing += differing
            tally.difference += difference
            _count(tally.champion_latency, copy.seconds)
            if seconds is None:
                tally.failed += 1
            else:
                _count(tally.challenger_latency, seconds)
        return time.perf_counter() - began - (self._running_s if self._frees else 0.0)

    def _answer(self, copy: Copy) -> tuple[dict[str, Any], float]:
        """The challenger's answer and the seconds it took, from the request's bytes to the answer's."""
        started = time.perf_counter()
        inference = copy.read(self.challenger)
        runs = time.perf_counter()
        outputs = self.challenger.served.run(inference.batch, inference.names)
        self._running_s = time.perf_counter() - runs
        inference.encode(outputs)
        return outputs, time.perf_counter() - started

    def _complain(self, error: Exception) -> None:
        """Into the log, once a minute: all of them are counted."""
        now = time.monotonic()
        if self._complained < 0 or now - self._complained > 60:
            self._complained = now
            log.warning("the shadow v%d failed on a copy: %r", self.challenger.version.number, error)


def _count(histogram: dict[int, int], seconds: float) -> None:
    index = bucket(seconds)
    histogram[index] = histogram.get(index, 0) + 1


def _json(counts: dict[int, int]) -> str:
    return msgspec.json.encode(dict(sorted(counts.items()))).decode()
