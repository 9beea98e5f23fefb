"""A version's lane: where and when the rows of its requests go through the model.

A run that is short is made at once, on the event loop. A longer one waits in a bounded queue for a thread (`pool`),
where what has come meanwhile is answered together with it, if that pays (`batching`). Short runs of which several are
better made together are gathered for one turn of the loop.

Everything here runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from autodeploy_magic import settings
from autodeploy_magic.errors import Overloaded, RequestRefused, Unavailable
from autodeploy_magic.serve.lane.batching import Done, Joining, Waiting
from autodeploy_magic.serve.lane.pool import Pool
from autodeploy_magic.serve.lane.service_time import recorded
from autodeploy_magic.serve.lane.source import Events, Source, Sources
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.wire import Batch

__all__ = ["Lane", "LaneStats"]

_TOGETHER = 8
"""So many requests in one turn of the loop are not rare: short runs that joining as many would not speed up are not
gathered."""
_LONGEST_DIRECT = 255
"""How many runs are made at once, at most, before it is looked again how many requests come together."""


@dataclass(slots=True)
class LaneStats:
    """What a lane did in some time: `batches` are its runs by their number of rows, `waiting` the most that waited.

    `in_flight` are the most that waited or were in the model at once. `queue_s` and `run_s` are sums over the requests
    that waited, and over the runs. `overloaded` requests were refused, `cancelled` ones given up while they waited.
    """

    batches: dict[int, int] = field(default_factory=dict)
    run_s: float = 0.0
    queue_s: float = 0.0
    waiting: int = 0
    in_flight: int = 0
    overloaded: int = 0
    cancelled: int = 0

    @property
    def executions(self) -> int:
        """Runs of the model."""
        return sum(self.batches.values())


class Lane:
    """Runs one version. `threads` is how many of its longer runs are made at a time.

    Making one may run the model on some rows of its sample (see `batching`): not on a loop that has other work.
    """

    def __init__(self, served: ServedModel, *, threads: int = 1) -> None:
        self._served = served
        self._times = recorded(served.version)
        self._joining = Joining(served, self._times)
        self._pool = Pool(self._joining, threads, self._take)
        self._sources = Sources(self._stream_began, self._stream_left)
        self._max_queue = int(settings.get("max_queue"))
        self._gathered: OrderedDict[Waiting, None] = OrderedDict()
        self._direct = self._direct_next = 0
        self._request_s = self._times.predict(1)
        self._under_way = 0  # that wait, or are in a run that others wait for too
        self._began = 0.0  # the run that is made at once now
        self._stats = LaneStats()
        self._drained: list[asyncio.Future[None]] = []
        self._closed = False

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return len(self._pool) + len(self._gathered) + len(self._sources.waiting)

    @property
    def running(self) -> int:
        """How many requests a thread is answering now."""
        return self._pool.running + len(self._sources.under_way)

    @property
    def run_s(self) -> float:
        """How long runs have taken since `take_stats` was asked last."""
        return self._stats.run_s

    def run(
        self, batch: Batch, names: Sequence[str], more: tuple[str, ...] = ()
    ) -> dict[str, Any] | asyncio.Future[dict[str, Any]]:
        """Answer decoded rows with the outputs `names`: at once where that is quick, else with a future.

        `more` are outputs that the same run gives (`ServedModel.at_hand`) and that are answered besides.

        Raises `ModelFailed`, `Overloaded` where too many wait, and `Unavailable` once it is closed; the future's
        exceptions are the same. Cancelling the future gives its place in the queue to another.
        """
        if self._closed:
            raise _closed()
        rows = batch.rows
        if not self._times.is_short(rows):
            item = self._make(batch, names, more)
            self._pool.push([item])
            return item
        if self._joining.allowed:
            if self._direct:
                self._direct -= 1
            elif self._gathered or self._joining.pays(rows, _TOGETHER):
                return self._gather(batch, names, more)
            else:
                self._direct = _LONGEST_DIRECT
        self._began = start = time.perf_counter()
        try:
            outputs = self._served.run(batch, (*names, *more) if more else names)
        except RequestRefused:
            self._began = 0.0
            self._note(rows, time.perf_counter() - start, failed=True)
            raise
        self._began = 0.0
        seconds = time.perf_counter() - start
        self._times.note(rows, seconds)
        stats = self._stats
        if self._under_way:
            stats.in_flight = max(stats.in_flight, self._under_way + 1)
        stats.run_s += seconds
        stats.batches[rows] = stats.batches.get(rows, 0) + 1
        return outputs

    def stream(self, batch: Batch, events: Events) -> Source:
        """Answer decoded rows item by item, as `events` words them. Closing it gives its place to another.

        Raises `Overloaded` where too many wait, and `Unavailable` once the lane is closed.
        """
        if self._closed:
            raise _closed()
        self._count()
        source = Source(self._served, batch, events, self._sources.leave)
        self._sources.push(source)
        return source

    def take_stats(self) -> LaneStats:
        """What it did since it was asked last."""
        taken, self._stats = self._stats, LaneStats(waiting=self.queued, in_flight=self._under_way)
        if taken.batches:
            taken.in_flight = max(taken.in_flight, 1)
        return taken

    def held(self, seconds: float) -> int:
        """How many requests have been under way for so long, if the event loop has stood still since.

        For another thread, to tell of a run that does not end.
        """
        began = self._began
        return self._under_way + (0.0 < began <= time.perf_counter() - seconds)

    def oldest_s(self) -> float:
        """For how long the oldest request that waits or is in a thread has been under way. Streams do not count."""
        gathered = next(iter(self._gathered), None)
        since = min(self._pool.oldest, gathered.since if gathered is not None else math.inf)
        return max(0.0, time.perf_counter() - since) if since < math.inf else 0.0

    async def drained(self) -> None:
        """Return when nothing waits and nothing runs."""
        while self.queued or self.running:
            future = asyncio.get_running_loop().create_future()
            self._drained.append(future)
            await future

    def close(self) -> None:
        """Refuse what waits, and end its threads: at once where none is running, else when that run is over.

        What is running is still answered, but for streams: they end with the refusal.
        """
        self._closed = True
        self._sources.stop(_closed())
        left = [*self._gathered, *self._pool.close()]
        self._under_way -= len(left)
        self._gathered.clear()
        for item in left:
            if not item.done():
                item.set_exception(_closed())
        self._tell_drained()

    def _make(self, batch: Batch, names: Sequence[str], more: tuple[str, ...]) -> Waiting:
        self._count()
        return Waiting(batch, tuple(names), self._give_up, more)

    def _count(self) -> None:
        """Count one more that waits. Raises `Overloaded` where too many do."""
        waiting = self.queued + 1
        if waiting > self._max_queue:
            self._stats.overloaded += 1
            raise self._overloaded()
        self._under_way += 1
        stats = self._stats
        stats.waiting = max(stats.waiting, waiting)
        stats.in_flight = max(stats.in_flight, self._under_way)

    def _stream_began(self, source: Source) -> None:
        self._stats.queue_s += source.started - source.since

    def _stream_left(self, source: Source) -> None:
        self._under_way -= 1
        if source.started:
            self._stats.run_s += source.run_s
            self._stats.batches[source.rows] = self._stats.batches.get(source.rows, 0) + 1
        else:
            self._stats.cancelled += 1
        self._tell_drained()

    def _give_up(self, item: Waiting) -> None:
        """Somebody cancelled it: its place is free."""
        if self._gathered.pop(item, item) is None or self._pool.give_up(item):
            self._stats.cancelled += 1
            self._under_way -= 1
            self._tell_drained()

    def _gather(self, batch: Batch, names: Sequence[str], more: tuple[str, ...]) -> Waiting:
        """Let a short run wait for the loop's next turn, with others that come in this one."""
        item = self._make(batch, names, more)
        if not self._gathered:
            item.get_loop().call_soon(self._flush)
        self._gathered[item] = None
        return item

    def _flush(self) -> None:
        """Run what was gathered: here if it is short, else in a thread.

        Where they were too few to gain by it, the next ones are run at once: twice as many each time.
        """
        if not self._gathered:
            return
        group = self._joining.choose(self._gathered)
        for item in group:
            del self._gathered[item]
        if self._gathered:
            group[0].get_loop().call_soon(self._flush)
        rows = sum([item.batch.rows for item in group])
        if self._joining.pays(-(-rows // len(group)), len(group)):
            self._direct_next = 0
        else:
            self._direct = self._direct_next
            self._direct_next = min(2 * self._direct_next + 1, _LONGEST_DIRECT)
        if self._times.is_short(rows):
            self._deliver(self._joining.run(group))
        else:
            self._pool.push(group)

    def _take(self, done: Done) -> None:
        """What a thread brings back."""
        each_s = sum([seconds for _, seconds, _ in done.runs]) / len(done.group)
        self._request_s = each_s if self._request_s == math.inf else 0.9 * self._request_s + 0.1 * each_s
        self._deliver(done)

    def _deliver(self, done: Done) -> None:
        self._under_way -= len(done.group)
        ran = (done.started, done.ended)
        for item, answer in zip(done.group, done.answers, strict=True):
            self._stats.queue_s += done.started - item.since
            if item.done():
                continue  # cancelled while it ran
            item.ran = ran
            if isinstance(answer, dict):
                item.set_result(answer)
            else:
                item.set_exception(answer)
        for rows, seconds, failed in done.runs:
            self._note(rows, seconds, failed=failed)
        if done.joining_s:
            self._joining.costs.note(len(done.group), done.joining_s)
        self._tell_drained()

    def _note(self, rows: int, seconds: float, *, failed: bool) -> None:
        """Count a run. One that failed may have failed early, and says something of the others only if it took long."""
        if not failed or seconds > self._times.predict(rows):
            self._times.note(rows, seconds)
        self._stats.run_s += seconds
        self._stats.batches[rows] = self._stats.batches.get(rows, 0) + 1

    def _tell_drained(self) -> None:
        if self._drained and not self.queued and not self.running:
            for future in self._drained:
                if not future.done():
                    future.set_result(None)
            self._drained.clear()

    def _overloaded(self) -> Overloaded:
        waiting = self.queued
        seconds = (waiting + self.running) * self._request_s / self._pool.threads
        retry_after_s = max(1, math.ceil(seconds)) if seconds < math.inf else 1
        return Overloaded(
            f"{waiting} requests wait for the model, which is as many as may",
            fix=f"try again in {retry_after_s} s; the owner can add workers, or raise AUTODEPLOY_MAX_QUEUE",
            retry_after_s=retry_after_s,
        )


def _closed() -> Unavailable:
    return Unavailable("this version is being taken out of service here", fix="send the request again")
