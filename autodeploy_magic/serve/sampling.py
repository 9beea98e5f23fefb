"""A sample of what is asked and answered: some requests of each second, chosen uniformly, and those that failed.

The road pays for a number that counts down, and a comparison. What is taken is a reference; encoding and writing belong
to a thread of their own, which holds the interpreter for short times only. Where the disk is full, requests are dropped
and counted, and the road goes on.

Source of the skips: K.-H. Li, "Reservoir-Sampling Algorithms of Time Complexity O(n(1 + log(N/n)))", algorithm L.
"""

from __future__ import annotations

import logging
import math
import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from autodeploy_magic import settings
from autodeploy_magic.reservoir.schema import open_for_writing
from autodeploy_magic.reservoir.writing import insert, trim
from autodeploy_magic.serve.sampled import BODY_BYTES, INPUT_BYTES, MOST_ROWS, Taken, evenly, rows_of
from autodeploy_magic.wire import Batch

if TYPE_CHECKING:
    from autodeploy_magic.reservoir.records import Recorded
    from autodeploy_magic.serve.lane.source import Source
    from autodeploy_magic.serve.redact import Redaction
    from autodeploy_magic.serve.road import Road

__all__ = ["Sampling", "Writing"]

log = logging.getLogger(__name__)

BURST = 10
"""After quiet seconds so many times more requests may be taken in one: a loop in a notebook is recorded as a whole."""
FAILED_EACH_SECOND = 5
QUEUE = 1000
"""Requests that may wait for the thread."""
KEPT_BACK = 100
"""Requests that wait for a disk that cannot be written, the newest."""
BURST_S = 0.0005
PAUSE_S = 0.002
"""The thread runs Python for this long at most, and then lets the event loop go first."""
BUDGET_S = 0.01
"""When it has worked so long on a second's requests, it keeps a few rows only of each that is left."""
FEW_ROWS = 4
TRIM_EVERY_S = 60.0
TRIM_SHARE = 64
"""It is trimmed, too, when this part of what the file may have was written since."""
_DAY_S = 24 * 3600.0


class Writing(Protocol):
    """Where records go. All of it is called by the thread of a `Sampling`."""

    def write(self, recorded: Sequence[Recorded]) -> bool:
        """Take all of them; false where that cannot be done now, and then none is."""

    def close(self) -> None: ...


class Sampling:
    """Takes requests on the event loop, and writes them down. `start` it in the worker's process, and `close` it.

    The road counts `left` down with each request; below 0 the request is taken: it asks `begin`, and tells `answered`
    of what came of it, or nothing where it was refused. `share` of what was taken is recorded (0 to 1), by chance; `to`
    a file, or what brings it to one elsewhere.
    """

    def __init__(
        self, to: Path | Writing, *, each_second: int, share: float = 1.0, redaction: Redaction | None = None
    ) -> None:
        self.left = 0
        self._each_second = each_second
        self._spare = (BURST - 1) * each_second
        self._most = each_second + self._spare
        self._share = 1.0
        self._recorded_share = share
        self._redaction = redaction
        self._begun = 0
        self._taken: list[Taken] = []
        self._failed: list[Taken] = []
        self._queue: deque[Taken] = deque()
        self._news = threading.Event()
        self._ending = threading.Event()
        self._dropped = self._lost = 0  # the one counted by the loop's thread, the other by the writer's
        self._writing: Writing = _Writing(to) if isinstance(to, Path) else to
        self._thread = threading.Thread(target=self._work, name="sampling", daemon=True)

    @property
    def dropped(self) -> int:
        """Requests that were taken and are not recorded."""
        return self._dropped + self._lost

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write what is left and end the thread, if it was started; waits at most a few seconds."""
        self.tick()
        self._ending.set()
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5.0)

    # --- the event loop's side

    def begin(self, road: Road, names: Sequence[str]) -> tuple[str, ...]:
        """Take the request that begins now, and return what it is asked for besides: what its run computes anyway."""
        self._begun += 1
        if self._begun < self._most:
            self.left = 0
        else:
            # Both logarithms are of uniform numbers, neither 0 nor 1.
            self._share *= math.exp(math.log(_uniform()) / self._most)
            skipped = math.log(_uniform()) / math.log1p(-min(self._share, 1.0 - 1e-12))
            self.left = int(min(skipped, 1e12))
        return tuple(name for name in road.served.at_hand if name not in names)

    def answered(self, request_id: str, road: Road, seconds: float, batch: Batch, outputs: Mapping[str, Any]) -> None:
        """The request that was taken has its answer."""
        indices = None
        if batch.rows > MOST_ROWS:
            indices = evenly(batch.rows, MOST_ROWS)
            outputs = {name: _only(values, indices, batch.rows) for name, values in outputs.items()}
        taken = Taken(
            id=request_id,
            at_s=time.time(),
            version=road.version,
            status=200,
            seconds=seconds,
            rows=batch.rows,
            indices=indices,
            batch=_held(batch, indices),
            outputs=outputs,
        )
        if len(self._taken) < self._most:
            self._taken.append(taken)
        else:
            self._taken[random.randrange(self._most)] = taken

    def streamed(self, request_id: str, road: Road, status: int, seconds: float, source: Source) -> None:
        """An answer that came item by item has ended: it is counted, and taken if it is its turn."""
        if status >= 500:
            words = source.error.what if source.error is not None else ""
            self.failed(request_id, road, status, seconds, words, batch=source.batch)
            return
        if status >= 400 or source.batch is None:
            return
        self.left -= 1
        if self.left < 0:
            self.begin(road, ("predictions",))
            items = source.kept_items
            self.answered(request_id, road, seconds, source.batch, {} if items is None else {"predictions": items})

    def failed(
        self,
        request_id: str,
        road: Road,
        status: int,
        seconds: float,
        error: str,
        *,
        batch: Batch | None = None,
        body: bytes | bytearray = b"",
        content_type: str = "",
    ) -> None:
        """A request was answered 5xx. The first few of each second are kept, with what was sent."""
        if len(self._failed) >= FAILED_EACH_SECOND:
            return
        indices = evenly(batch.rows, MOST_ROWS) if batch is not None and batch.rows > MOST_ROWS else None
        self._failed.append(
            Taken(
                id=request_id,
                at_s=time.time(),
                version=road.version,
                status=status,
                seconds=seconds,
                rows=batch.rows if batch is not None else 0,
                indices=indices,
                batch=_held(batch, indices) if batch is not None else None,
                outputs={},
                error=error,
                body=body if len(body) <= BODY_BYTES else b"",
                content_type=content_type,
            )
        )

    def tick(self) -> None:
        """Hand over what was taken in the second that is over; called soon after each second begins."""
        self._spare = min(self._spare + self._each_second - len(self._taken), (BURST - 1) * self._each_second)
        self._most = self._each_second + max(0, self._spare)
        taken, self._taken, self._failed = [*self._failed, *self._taken], [], []
        self.left, self._begun, self._share = 0, 0, 1.0
        if self._recorded_share < 1.0:
            taken = [one for one in taken if random.random() < self._recorded_share]
        room = QUEUE - len(self._queue)
        self._dropped += max(0, len(taken) - room)
        if taken:
            self._queue.extend(taken[:room])
            self._news.set()

    # --- the thread's side

    def _work(self) -> None:
        waiting: list[Recorded] = []
        while True:
            self._news.wait(None if not waiting else 1.0)
            self._news.clear()
            ending = self._ending.is_set()
            waiting += self._encoded()
            if waiting and self._writing.write(waiting):
                waiting = []
            self._lost += max(0, len(waiting) - (0 if ending else KEPT_BACK))
            del waiting[:-KEPT_BACK]
            if ending:
                self._writing.close()
                return

    def _encoded(self) -> list[Recorded]:
        """What waits, as records."""
        found = []
        started, spent_s = time.perf_counter(), time.thread_time()
        while self._queue:
            taken = self._queue.popleft()
            most = MOST_ROWS if time.thread_time() - spent_s < BUDGET_S else FEW_ROWS
            try:
                recorded = taken.recorded(most)
                if self._redaction is not None:
                    recorded = self._redaction.cleaned(recorded, taken.version.signature)
                found.append(recorded)
            except Exception:  # the model's values may be of any library
                self._lost += 1
                log.exception("request %s could not be recorded", taken.id)
            if time.perf_counter() - started > BURST_S:
                self._ending.wait(PAUSE_S)
                started = time.perf_counter()
        found.sort(key=lambda request: request.at_s)
        return found


class _Writing:
    """The file, as the thread writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keep_s = float(settings.get("record_days")) * _DAY_S
        self._most_bytes = int(settings.get("record_bytes"))
        self._connection: sqlite3.Connection | None = None
        self._complaint = ""
        self._trimmed = -math.inf
        self._since = 0

    def write(self, recorded: Sequence[Recorded]) -> bool:
        """Write requests down; false where that cannot be done now, and then none is."""
        try:
            if self._connection is None or not self._path.exists():
                self.close()
                self._connection = open_for_writing(self._path)
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._since += insert(self._connection, recorded)
            written = True
        except (sqlite3.Error, OSError) as error:
            self._complain(error, f"{len(recorded)} requests are not recorded yet")
            self.close()  # the file may have been replaced: the next time opens what is there then
            return False
        if self._since * TRIM_SHARE > self._most_bytes or time.monotonic() - self._trimmed > TRIM_EVERY_S:
            self._trim()
        else:
            self._complaint = ""
        return written

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _trim(self) -> None:
        assert self._connection is not None
        self._trimmed, self._since = time.monotonic(), 0
        try:
            trim(self._connection, time.time(), keep_s=self._keep_s, most_bytes=self._most_bytes)
            self._complaint = ""
        except (sqlite3.Error, OSError) as error:
            self._complain(error, "what is old could not be deleted")

    def _complain(self, error: Exception, what: str) -> None:
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.warning("%s: %s: %s", self._path.name, what, error)


def _uniform() -> float:
    return min(max(random.random(), 1e-300), 1.0 - 1e-15)


def _held(batch: Batch, indices: Sequence[int] | None) -> Batch | None:
    """The batch, or the chosen rows of a large one, so that the others need not be held; None for rows of pictures."""
    arrays = [batch.matrix] if batch.matrix is not None else list(batch.columns.values())
    if sum(values.nbytes for values in arrays) > 2 * INPUT_BYTES * batch.rows:
        return None
    if indices is None:
        return batch
    rows = list(indices)
    if batch.matrix is not None:
        return Batch(batch.signature, len(rows), None, batch.matrix[rows])
    return Batch(batch.signature, len(rows), {name: values[rows] for name, values in batch.columns.items()})


def _only(values: Any, indices: Sequence[int], rows: int) -> Any:
    """An output's items of the chosen rows; a table's with `iloc`."""
    if hasattr(values, "iloc"):
        return values.iloc[list(indices)]
    if hasattr(values, "toarray") or not hasattr(values, "__len__") or len(values) != rows:
        return values
    return rows_of(values, indices)[0]
