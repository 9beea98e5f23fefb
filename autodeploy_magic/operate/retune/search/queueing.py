"""A deployment as a simulated queue: workers that share processors, batches, a bounded queue, arrivals of a trace.

It is for proving the search: an exhaustive grid of real replays would take hours. How long a run takes is measured (see
`ServiceTable`). What is left out: how requests spread over connections (here each goes to a worker that is idle, else
to the shortest queue), and that a client takes processor time.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autodeploy_magic.operate.retune.search.search import Outcome, percentile
from autodeploy_magic.operate.retune.trace import Arrival
from autodeploy_magic.retuning import Layout

__all__ = ["ServiceTable", "simulated"]

PAYS = 0.8
"""As `serve.lane.batching.PAYS`."""
REQUEST_S = 0.0003
"""What reading a request and writing its answer takes a worker, beside the model."""
LIMIT_S = 30.0
_NOTHING_S = 1e-9


@dataclass(frozen=True)
class ServiceTable:
    """Measured seconds of a run, by (threads, spinning): for some sizes, between which a straight line is drawn."""

    times: Mapping[tuple[int, bool], Sequence[tuple[int, float]]]

    def seconds(self, rows: int, threads: int = 1, spinning: bool = False) -> float:
        """How long a run of `rows` takes on processors of its own."""
        points = self.times[threads, spinning and threads > 1]
        i = min(max(bisect.bisect_left(points, rows, key=lambda point: point[0]), 1), len(points) - 1)
        (few, low), (many, high) = points[i - 1], points[i]
        return max(low + (high - low) * (rows - few) / (many - few), 1e-6)


def simulated(
    arrivals: Sequence[Arrival], layout: Layout, table: ServiceTable, cores: int, *, wait_s: float = 0.0
) -> Outcome:
    """What would come of a trace with a layout. `wait_s` is how long a worker waits for more to join, at most.

    While the threads that run are more than processors, all of them are as much slower. Threads that spin run, whether
    there is something to do or not.
    """
    simulation = _Simulation(layout, table, cores, wait_s)
    simulation.run(arrivals)
    latencies = sorted(simulation.latencies)
    return Outcome(
        requests=len(latencies),
        failed=simulation.failed,
        p50_s=percentile(latencies, 0.5),
        p95_s=percentile(latencies, 0.95),
        p99_s=percentile(latencies, 0.99),
        limit_s=LIMIT_S,
        cpu_s=simulation.cpu_s,
    )


class _Worker:
    """What waits, what is run now, and how long that takes still, on processors of its own."""

    def __init__(self) -> None:
        self.queue: deque[Arrival] = deque()
        self.group: list[Arrival] = []
        self.left_s = 0.0


class _Simulation:
    """From event to event: a request comes, a run ends, or a worker has waited long enough for more to join."""

    def __init__(self, layout: Layout, table: ServiceTable, cores: int, wait_s: float) -> None:
        has = layout.settings
        self.latencies: list[float] = []
        self.failed = 0
        self.cpu_s = 0.0
        self._table, self._cores, self._wait_s = table, cores, wait_s
        self._threads = int(has.get("threads", 1.0)) or max(1, cores // layout.workers)
        self._spinning = bool(has.get("spinning", 0.0)) and self._threads > 1
        self._spun = layout.workers * (self._threads - 1) if self._spinning else 0
        self._most_rows, self._most_queue = int(has.get("batch_rows", 256.0)), int(has.get("max_queue", 256.0))
        self._workers = [_Worker() for _ in range(layout.workers)]
        self._alarms: list[tuple[float, int]] = []
        self._now = 0.0

    def run(self, arrivals: Sequence[Arrival]) -> None:
        place = 0
        while place < len(arrivals) or any(worker.group or worker.queue for worker in self._workers):
            self._pass(arrivals[place].at_s if place < len(arrivals) else math.inf)
            while self._alarms and self._alarms[0][0] <= self._now:
                self._start(self._workers[heapq.heappop(self._alarms)[1]])
            for worker in self._workers:
                if worker.group and worker.left_s <= _NOTHING_S:
                    self.latencies += [self._now - one.at_s for one in worker.group]
                    worker.group = []
                    self._start(worker)
            while place < len(arrivals) and arrivals[place].at_s <= self._now:
                self._come(arrivals[place])
                place += 1

    def _pass(self, next_s: float) -> None:
        """Let the time pass until something happens, a request at `next_s` for one."""
        running = [worker for worker in self._workers if worker.group]
        wanted = len(running) * (1 if self._spinning else self._threads) + self._spun
        speed = min(1.0, self._cores / wanted) if wanted else 1.0
        ends = self._now + min((worker.left_s for worker in running), default=math.inf) / speed
        then = min([ends, next_s, *(at_s for at_s, _ in self._alarms[:1])])
        for worker in running:
            worker.left_s -= (then - self._now) * speed
        self.cpu_s += (then - self._now) * min(wanted, self._cores)
        self._now = then

    def _come(self, arrival: Arrival) -> None:
        worker = min(self._workers, key=lambda one: (bool(one.group), len(one.queue)))
        if len(worker.queue) >= self._most_queue:
            self.failed += 1
            self.latencies.append(LIMIT_S)
            return
        worker.queue.append(arrival)
        self._start(worker)

    def _start(self, worker: _Worker) -> None:
        """Let it run what waits, if it is idle; or wait for more, where it may."""
        if worker.group or not worker.queue:
            return
        due = worker.queue[0].at_s + self._wait_s
        waits = self._wait_s > 0 and self._most_rows > 1 and self._now < due - _NOTHING_S
        if waits and sum(one.rows for one in worker.queue) < self._most_rows:
            heapq.heappush(self._alarms, (due, self._workers.index(worker)))
            return
        worker.group = self._joined(worker.queue)
        rows = sum(one.rows for one in worker.group)
        worker.left_s = self._seconds(rows) + REQUEST_S * len(worker.group)

    def _joined(self, queue: deque[Arrival]) -> list[Arrival]:
        """Take from a queue what is run together, by the rule of `serve.lane.batching`."""
        ends = [queue[0].rows]
        if self._most_rows >= 2:
            for one in itertools.islice(queue, 1, None):
                if ends[-1] + one.rows > self._most_rows:
                    break
                ends.append(ends[-1] + one.rows)
        best, least, count = 1, PAYS, len(ends)
        while count > 1:
            share = self._seconds(ends[count - 1]) / (count * self._seconds(-(-ends[count - 1] // count)))
            if share < least:
                best, least = count, share
            count //= 2
        return [queue.popleft() for _ in range(best)]

    def _seconds(self, rows: int) -> float:
        return self._table.seconds(rows, self._threads, self._spinning)
