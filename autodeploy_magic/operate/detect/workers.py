"""Workers that are missing, crash again and again, or are there and do not answer.

A worker is stuck where waiting does not help. One that the system stopped, or that is silent without taking CPU time,
is so within seconds. One that takes CPU time may only have much to do: it has until `busy_s`, which is longer than any
request may take. And where the machine itself is slow, all are given `PATIENCE` times as long, for killing a worker
that starves makes it worse. It is taken to be slow while several workers are all silent at once, and while the watch's
own seconds come late (a gap between moments, or a reading of resources that covers more than one and a half seconds),
and for `CALM_S` after that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from autodeploy_magic.health import Finding
from autodeploy_magic.operate.detect.base import About, Moment, WorkerSight
from autodeploy_magic.operate.detect.holding import Clock, Holding

__all__ = ["WorkerDetector"]

DEAD_S = 3.0
BUSY_S = 10.0
PATIENCE = 3.0
CALM_S = 15.0
LATE_S = 1.5
DEGRADED_S = 5.0
STARTING_S = 60.0
"""As `start_timeout_s`: a deployment that has been starting for longer does not come up."""


class WorkerDetector:
    """Looks at the state of the deployment, and at each of its workers."""

    about = About(
        help="workers that crash, are missing, or do not answer though they run",
        defaults="stopped: at the 2nd sight; silent without CPU time: 3 s; silent, or with a request under way, though "
        "it takes CPU time: 1.5 × request_timeout_s, 10 s at least; 3 times as long while the machine itself is slow; "
        "fewer workers than wanted: 5 s",
        detects="stopped: 2 s; deadlocked: 3 s; crash loop: 1 s",
        cost="5 µs",
    )

    def __init__(self, name: str) -> None:
        self._clock = Clock()
        self._stuck: dict[int, _Stuck] = {}
        self._slow_for_s = DEAD_S  # the first seconds: nothing is known of the machine yet
        self._few = Holding(DEGRADED_S, 2.0)
        self._starting = Holding(STARTING_S, 0.0)

    def see(self, moment: Moment) -> Iterator[Finding]:
        passed_s = self._clock.tick(moment.t)
        if moment.desired.state != "running":
            self._stuck.clear()
            return
        late = self._clock.gap or (moment.used is not None and moment.used.span_s > LATE_S)
        self._slow_for_s = CALM_S if late else max(0.0, self._slow_for_s - passed_s)
        yield from self._crashed(moment, passed_s)
        yield from self._stuck_ones(moment, passed_s)

    def _crashed(self, moment: Moment, passed_s: float) -> Iterator[Finding]:
        status = moment.status
        serving = sum(worker.ready for worker in status.workers)
        few = self._few.see(passed_s, status.state == "degraded" and serving < status.desired_workers)
        starting = self._starting.see(passed_s, status.state == "starting")
        if status.state == "failed":
            why = (status.reason.splitlines() or ["no reason is known"])[0]
            text = f"No worker serves: {why}"
        elif few:
            text = f"{serving} of {status.desired_workers} workers serve" + _why(status.reason)
        elif starting:
            text = "No worker is ready yet, after a minute" + _why(status.reason)
        else:
            return
        yield Finding(
            rule="workers",
            detector="workers",
            metric="workers",
            severity="warning" if few and serving and status.state != "failed" else "critical",
            text=text,
            value=float(serving),
            limit=float(status.desired_workers),
            version=status.version,
        )

    def _stuck_ones(self, moment: Moment, passed_s: float) -> Iterator[Finding]:
        timeout_s = moment.desired.settings.get("request_timeout_s", 30.0)
        busy_s = max(BUSY_S, 1.5 * timeout_s) if isinstance(timeout_s, int | float) else BUSY_S
        all_silent = len(moment.workers) > 1 and all(sight.silent_s > 0 for sight in moment.workers)
        patience = PATIENCE if self._slow_for_s > 0 or all_silent else 1.0
        before, self._stuck = self._stuck, {}
        for sight in moment.workers:
            known = before.get(sight.pid) or _Stuck()
            self._stuck[sight.pid] = known
            why = known.see(sight, min(1.0, passed_s), busy_s * patience, DEAD_S * patience)
            if why:
                yield Finding(
                    rule=f"worker:{sight.pid}",
                    detector="workers",
                    metric="workers",
                    severity="critical",
                    text=f"Worker {sight.pid} {why}",
                    value=_finite(sight.silent_s),
                    limit=DEAD_S,
                    version=sight.version,
                    worker=sight.pid,
                )


class _Stuck:
    """One worker: whether it is stuck, and in which words."""

    def __init__(self) -> None:
        self._held = Holding(1.5, 2.0)  # the second sight, and not the same one twice
        self._why = ""

    def see(self, sight: WorkerSight, passed_s: float, busy_s: float, dead_s: float) -> str:
        why = _stuck(sight, busy_s, dead_s)
        # Silence has lasted when it is seen: only what a single sight tells is looked at twice.
        fault = self._held.see(passed_s if sight.stopped or not why else 2.0, bool(why))
        self._why = why or self._why
        return self._why if fault else ""


def _stuck(sight: WorkerSight, busy_s: float, dead_s: float) -> str:
    if sight.stopped:
        return "is stopped by the system (SIGSTOP), and answers nothing"
    if sight.silent_s >= dead_s and sight.idle_s >= dead_s:
        return f"has not answered for {sight.silent_s:.0f} s and takes no CPU time: it waits for what does not come"
    if sight.silent_s >= busy_s:
        return f"has not answered for {sight.silent_s:.0f} s, though it takes CPU time"
    if sight.held_s >= busy_s:
        return f"has had a request under way for {sight.held_s:.0f} s, longer than any may take"
    return ""


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _why(reason: str) -> str:
    return f": {reason.splitlines()[0]}" if reason else ""
