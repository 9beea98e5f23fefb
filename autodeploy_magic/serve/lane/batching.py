"""Requests answered together: which of those that wait are joined into one run of the model, and when that pays.

A run costs something fixed and something for each row. Where the fixed part is large, one run for several requests is
quicker than one each; where it is not, joining them only makes the first wait for the last. So it is decided by the
version's `ServiceTime`, by what joining and splitting was measured to cost, and only for models whose rows are answered
each by itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from autodeploy_magic import settings
from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.serve.lane.service_time import INLINE_S, ServiceTime
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.wire import Batch, decode, to_plain
from autodeploy_magic.wire.join import join, part, shape_of, split

__all__ = ["Done", "Joining", "Waiting"]

log = logging.getLogger(__name__)

T = TypeVar("T")

PAYS = 0.8
"""Requests are joined where one run is expected to take less than this part of what one each would."""
GATHER_S = 15e-6
"""What it costs a request to be answered in the event loop's next turn instead of at once."""
CHECK_ROWS = 16
CHECK_S = 0.1
"""How long the check of a version may take, except that it needs two rows."""
EXPLORE = 64
"""Every so many times that joining is not expected to pay, but would by the record alone, it is tried again: what was
measured may have been another process's doing."""
PAUSE = 64
"""Runs without joining after one that failed: whoever sends rows that the model cannot take may send more of them."""


class Waiting(asyncio.Future[dict[str, Any]]):
    """A request whose rows wait for the model, and the answer that it will have. `since` is by `time.perf_counter`.

    `more` are outputs that it is given besides `names`, and that cost no run of their own: they are no reason to run it
    apart from others.

    `ran` is when it was taken from the queue, and when its run was over; None as long as it has no answer.

    Cancelling it tells `left` at once, so that it gives up its place.
    """

    ran: tuple[float, float] | None = None

    def __init__(
        self, batch: Batch, names: tuple[str, ...], left: Callable[[Waiting], None], more: tuple[str, ...] = ()
    ) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.batch = batch
        self.names = names
        self.more = more
        self.since = time.perf_counter()
        self._left = left
        self._key: Hashable = None

    @property
    def key(self) -> Hashable:
        """What must be equal for two of them to be joined."""
        if self._key is None:
            self._key = self.names, shape_of(self.batch)
        return self._key

    def cancel(self, msg: Any | None = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            self._left(self)
        return cancelled


@dataclass(slots=True)
class Done:
    """What came of requests, from `started`, when they left the queue, to `ended`: an answer or an error for each.

    `runs` are the model's: rows and seconds of each, and whether it failed. `joining_s` is what joining and splitting
    took.
    """

    group: list[Waiting]
    started: float
    ended: float = 0.0
    answers: list[dict[str, Any] | RequestRefused] = field(default_factory=list)
    runs: list[tuple[int, float, bool]] = field(default_factory=list)
    joining_s: float = 0.0


class Joining:
    """Chooses from what waits, and runs it. `allowed` says whether this version's requests are ever joined."""

    def __init__(self, served: ServedModel, times: ServiceTime) -> None:
        self._served = served
        self._times = times
        self._most_rows = int(settings.get("batch_rows"))
        self.costs = ServiceTime(10e-6, 3e-6)
        """Seconds of joining and splitting, by the number of requests."""
        self._declined = 0
        self._pause = 0
        self.allowed = self._might_pay() and self._checked()

    def choose(self, waiting: Iterable[Waiting]) -> list[Waiting]:
        """Of requests in their order, those that the next run is to answer: the first, and others that fit it."""
        first = next(iter(waiting))
        if not self.allowed or first.batch.rows >= self._most_rows:
            return [first]
        if self._pause:
            self._pause -= 1
            return [first]
        group, ends, rows = [first], [first.batch.rows], first.batch.rows
        for item in islice(waiting, 1, None):
            if rows + item.batch.rows <= self._most_rows and item.key == first.key:
                rows += item.batch.rows
                group.append(item)
                ends.append(rows)
        return group[: self._best(ends)]

    def pays(self, rows: int, count: int) -> bool:
        """Whether `count` requests of `rows` each are better gathered and joined than answered one after the other."""
        count = min(count, self._most_rows // rows)
        if count < 2:
            return False
        gather_s = count * GATHER_S
        alone = count * self._times.predict(rows)
        together = self._times.predict(count * rows) + self.costs.predict(count) + gather_s
        return together <= PAYS * alone or self._explores(count * rows, count, gather_s)

    def run(self, group: list[Waiting]) -> Done:
        """Answer requests in one run; where that fails, each in its own, so that only the bad ones fail."""
        done = Done(group, time.perf_counter())
        if len(group) > 1:
            try:
                self._together(done)
                done.ended = time.perf_counter()
                return done
            except Exception as error:  # noqa: BLE001 - the runs one by one tell whose error it is, and log it
                log.info("%d requests were run together and failed, and are run one by one: %s", len(group), error)
                self._pause = PAUSE
                done.answers.clear()
        for item in group:
            done.answers.append(self._alone(item, done))
        done.ended = time.perf_counter()
        return done

    def _best(self, ends: list[int]) -> int:
        """How many of the first requests to join, where the first k of them have `ends[k - 1]` rows."""
        best, least, count = 1, PAYS, len(ends)
        while count > 1:
            rows = ends[count - 1]
            alone = count * self._times.predict(-(-rows // count))
            share = (self._times.predict(rows) + self.costs.predict(count)) / alone
            if share < least:
                best, least = count, share
            count //= 2
        if best == 1 and len(ends) > 1 and self._explores(ends[-1], len(ends), 0.0):
            return len(ends)
        return best

    def _explores(self, rows: int, count: int, extra_s: float) -> bool:
        alone = count * self._times.line(-(-rows // count))
        if self._times.line(rows) + self.costs.line(count) + extra_s > PAYS * alone:
            return False
        self._declined += 1
        return self._declined % EXPLORE == 0

    def _together(self, done: Done) -> None:
        group = done.group
        batch = join([item.batch for item in group])
        more = tuple(dict.fromkeys([name for item in group for name in item.more]))
        start = time.perf_counter()
        failed = True
        try:
            outputs = self._served.run(batch, (*group[0].names, *more))
            failed = False
        finally:
            end = time.perf_counter()
            done.runs.append((batch.rows, end - start, failed))
        answers = split(outputs, [item.batch.rows for item in group])
        if more:
            pairs = zip(group, answers, strict=True)
            answers = [{name: answer[name] for name in (*item.names, *item.more)} for item, answer in pairs]
        done.answers = list(answers)
        done.joining_s = start - done.started + time.perf_counter() - end

    def _alone(self, item: Waiting, done: Done) -> dict[str, Any] | RequestRefused:
        start = time.perf_counter()
        failed = True
        try:
            outputs = self._served.run(item.batch, (*item.names, *item.more))
            failed = False
            return outputs
        except RequestRefused as error:
            return error
        finally:
            done.runs.append((item.batch.rows, time.perf_counter() - start, failed))

    def _might_pay(self) -> bool:
        """Whether it is worth to look closer: rows must be answered one by one, and a run must have a price."""
        served = self._served
        each = all(output.per_row and output.container in ("ndarray", "list") for output in served.version.outputs)
        if self._most_rows < 2 or served.has_code or not each:
            return False
        one = self._times.predict(1)
        if INLINE_S < one < float("inf"):
            return True  # the record is of one thread, and a run of several rows may use more of them than one of one
        return self._best([*range(1, min(CHECK_ROWS, self._most_rows) + 1)]) > 1

    def _checked(self) -> bool:
        """Whether rows of the version's sample get the same answers together as alone; measures both on the way."""
        served, version = self._served, self._served.version
        names = tuple(output.name for output in version.outputs)
        batch = decode(version.signature, served.sample(CHECK_ROWS))
        count = min(batch.rows, self._most_rows, max(2, int(CHECK_S / 2 / self._times.predict(1))))
        if count < 2:
            return False
        rows = [part(batch, i, i + 1) for i in range(count)]
        try:
            timed = [_timed(partial(served.run, row, names)) for row in rows]
            whole, join_s = _timed(lambda: join(rows))
            together, together_s = min((_timed(lambda: served.run(whole, names)) for _ in range(2)), key=lambda x: x[1])
            parts, split_s = _timed(lambda: split(together, [1] * count))
        except (RequestRefused, TypeError, ValueError) as error:
            log.info("requests are not answered together: %s", error)
            return False
        alone_s = sorted(seconds for _, seconds in timed)[count // 2]
        self._times.calibrate(1, alone_s)
        self._times.calibrate(count, together_s)
        self.costs.calibrate(count, join_s + split_s)
        expected, found = (
            {name: [item for answer in answers for item in to_plain(answer[name])] for name in names}
            for answers in ([answer for answer, _ in timed], parts)
        )
        where = served.first_difference(expected, found)
        if where is not None:
            log.info("requests are not answered together: of %d rows of the sample, %s", count, where)
        return where is None


def _timed(call: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start
