"""CPU time and memory that jump without the requests to show for it; workers and queues at their limit."""

from __future__ import annotations

from collections.abc import Iterator

from autodeploy_magic.health import Finding, Severity
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.operate.detect.base import About, Moment
from autodeploy_magic.operate.detect.holding import Clock, Holding

__all__ = ["ResourceDetector"]

BLOCK_S = 5.0
LEAST_SPAN_S = 0.01
CPU_RISE, CPU_LEAST, CPU_NOISE = 1.0, 0.25, 6.0
"""More than expected by as much again, by so many cores, and by so many usual deviations."""
CPU_ON_S, CPU_OFF_S, CPU_WARM = 30.0, 30.0, 60
MEMORY_RISE, MEMORY_LEAST = 0.5, 100e6
MEMORY_ON_S, MEMORY_OFF_S, MEMORY_WARM_S = 30.0, 30.0, 120.0
LEVEL_S = 600.0
FORGET_S = 3600.0
FULL = 0.9
"""Of a core, for each worker: it computes without a pause."""
FULL_ON_S = QUEUE_OFF_S = 15.0
QUEUE, QUEUE_FULL, QUEUE_ON_S = 0.5, 0.95, 5.0


class ResourceDetector:
    """What the processes take, against what they took for as many requests before."""

    about = About(
        help="CPU time or memory jumps without the requests to show for it; all workers compute without a pause while "
        "requests wait; the queue is near its limit",
        defaults="CPU: twice what is usual for so many requests, 0.25 cores more at least, for 30 s; memory: 1.5 times "
        "what is usual, 100 MB more at least, for 30 s; 0.9 cores for each worker and requests waiting for 15 s; half "
        "of max_queue for 5 s, critical from 95 % on",
        detects="0.8 cores or 300 MB more at once: 30 s; a full queue: 5 s; saturation: 15 s",
        cost="5 µs",
    )

    def __init__(self, name: str) -> None:
        self._clock = Clock()
        self._cpu = _Cpu()
        self._memory = _Memory()
        self._full = Holding(FULL_ON_S, FULL_ON_S)
        self._queue = Holding(QUEUE_ON_S, QUEUE_OFF_S)
        self._queue_full = False

    def see(self, moment: Moment) -> Iterator[Finding]:
        passed_s = self._clock.tick(moment.t)
        used = moment.used if moment.used is not None and moment.used.processes > 0 else None
        workers = max(1, len(moment.status.workers) or moment.status.desired_workers)
        if used is not None and passed_s > 0:
            requests = moment.answers.requests if moment.answers is not None else None
            self._cpu.see(passed_s, used, requests)
            self._memory.see(passed_s, used, (moment.status.version, moment.status.generation))
        yield from self._saturated(moment, used, workers, passed_s)
        yield from self._queued(moment, workers, passed_s)
        if self._cpu.fault.on and not self._full.on:
            yield _finding(
                "cpu",
                self._cpu.now,
                self._cpu.expected,
                f"{self._cpu.now:.2f} cores are taken, {self._cpu.expected:.2f} are usual for so many requests",
            )
        if self._memory.fault.on:
            yield _finding(
                "memory",
                self._memory.now,
                self._memory.usual,
                f"Memory jumped to {self._memory.now / 1e6:.0f} MB a process; usual are "
                f"{self._memory.usual / 1e6:.0f} MB",
            )

    def _saturated(self, moment: Moment, used: Resources | None, workers: int, passed_s: float) -> Iterator[Finding]:
        cores = used.cpu_s / used.span_s if used is not None and used.span_s >= LEAST_SPAN_S else None
        known = cores is not None and moment.answers is not None
        full = cores is not None and cores >= FULL * workers and moment.waiting > 0
        if self._full.see(passed_s, full if known else None):
            yield _finding(
                "saturated",
                cores,
                FULL * workers,
                f"The workers ({workers}) compute without a pause ({cores or 0.0:.1f} cores), and "
                f"{moment.waiting} requests wait",
                metric="cpu",
            )

    def _queued(self, moment: Moment, workers: int, passed_s: float) -> Iterator[Finding]:
        most = moment.desired.settings.get("max_queue", 256)
        limit = (most if isinstance(most, int | float) and most > 0 else 256) * workers
        share = moment.waiting / limit
        if not self._queue.see(passed_s, share >= QUEUE if moment.answers is not None else None):
            self._queue_full = False
            return
        refused = moment.answers.refused if moment.answers is not None else 0
        self._queue_full = share >= (QUEUE if self._queue_full else QUEUE_FULL)
        yield _finding(
            "queue",
            float(moment.waiting),
            float(limit),
            f"{moment.waiting} requests wait, of {limit:.0f} that may"
            + (f"; {refused} were refused in a second" if refused and self._queue_full else ""),
            severity="critical" if self._queue_full else "warning",
        )


class _Cpu:
    """CPU time in blocks, and what is expected for as many requests: a line through what was seen before.

    Where the rate hardly changed, nothing says how much of it is fixed; then all of it is in proportion to the rate.
    """

    def __init__(self) -> None:
        self.fault = Holding(CPU_ON_S, CPU_OFF_S)
        self.now = self.expected = 0.0
        self._start()

    def _start(self) -> None:
        self._span_s = self._cpu_s = self._requests = 0.0
        self._count = 0
        self._rate = self._cores = self._spread = self._both = self._noise = 0.0

    def see(self, passed_s: float, used: Resources, requests: int | None) -> None:
        if requests is None or not LEAST_SPAN_S <= used.span_s < 2 * BLOCK_S:
            self._span_s = self._cpu_s = self._requests = 0.0
            return
        self._span_s += passed_s
        self._cpu_s += used.cpu_s / used.span_s * passed_s
        self._requests += requests * passed_s
        if self._span_s < BLOCK_S:
            return
        rate, cores, span_s = self._requests / self._span_s, self._cpu_s / self._span_s, self._span_s
        self._span_s = self._cpu_s = self._requests = 0.0
        self._judge(span_s, rate, cores)

    def _judge(self, span_s: float, rate: float, cores: float) -> None:
        expected = self._expect(rate)
        self.now, self.expected = cores, expected
        excess = cores - expected
        least = max(CPU_LEAST, CPU_RISE * expected, CPU_NOISE * self._noise)
        known = self._count >= CPU_WARM
        self.fault.see(span_s, known and excess > (least / 2 if self.fault.on else least))
        if self.fault.on:
            if self.fault.on_for_s > FORGET_S:
                self.fault = Holding(CPU_ON_S, CPU_OFF_S)
                self._start()
            return
        if known and excess > least:
            return  # it may be the first seconds of a fault
        self._count += 1
        gain = max(1 / self._count, BLOCK_S / LEVEL_S)
        away, off = rate - self._rate, cores - self._cores
        self._noise += gain * (min(abs(excess) * 1.25, 3 * self._noise + 0.05) - self._noise) if known else 0.0
        self._rate += gain * away
        self._cores += gain * off
        self._spread += gain * (away * away - self._spread)
        self._both += gain * (away * off - self._both)

    def _expect(self, rate: float) -> float:
        if self._rate <= 0:
            return self._cores
        pull = (0.1 * self._rate) ** 2
        slope = max(0.0, (self._both + pull * self._cores / self._rate) / (self._spread + pull))
        return max(0.0, self._cores + slope * (rate - self._rate))


class _Memory:
    """Memory a process, against its level of ten minutes. Another version or number of processes begins anew."""

    def __init__(self) -> None:
        self.fault = Holding(MEMORY_ON_S, MEMORY_OFF_S)
        self.now = self.usual = 0.0
        self._of: tuple[int, ...] = ()
        self._seen_s = 0.0

    def see(self, passed_s: float, used: Resources, serving: tuple[int, int]) -> None:
        if used.memory_bytes <= 0:
            return
        of = (*serving, used.processes)
        if of != self._of or self.fault.on_for_s > FORGET_S:
            self._of = of
            self._seen_s = 0.0
            self.fault = Holding(MEMORY_ON_S, MEMORY_OFF_S)
        self.now = used.memory_bytes / used.processes
        self._seen_s += passed_s
        excess = self.now - self.usual
        least = max(MEMORY_LEAST / used.processes, MEMORY_RISE * self.usual)
        known = self._seen_s > MEMORY_WARM_S
        bad = known and excess > (least / 2 if self.fault.on else least)
        self.fault.see(passed_s, bad)
        if not bad and not self.fault.on:
            self.usual += passed_s / min(self._seen_s, LEVEL_S) * excess


def _finding(
    rule: str, value: float | None, limit: float, text: str, *, metric: str = "", severity: Severity = "warning"
) -> Finding:
    return Finding(
        rule=rule,
        detector="resources",
        metric=metric or rule,
        severity=severity,
        text=text,
        value=value,
        limit=limit,
    )
