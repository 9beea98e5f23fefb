"""The disk that holds the deployment has little room, or will be full soon; or metrics are not written any more."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from statistics import median

from autodeploy_magic.health import Finding, Severity
from autodeploy_magic.operate.detect.base import About, Moment
from autodeploy_magic.operate.detect.holding import Clock, Holding

__all__ = ["NONE_LEFT", "DiskDetector"]

LOW, CRITICAL = 1 << 30, 256 << 20
VERSIONS = 2
"""Room for so many more of the champion's size is little room: a build needs the model twice."""
BACK = 1.1
STEP_S, POINTS = 10.0, 30
SOON_S, CRITICAL_S = 3600.0, 600.0
LEAST_BYTES = 256 << 20
UNWRITTEN_S = 30.0
NONE_LEFT = 1 << 20
"""With less than this nothing can be written, metrics neither."""


class DiskDetector:
    """Follows the free space, which is looked at every five seconds."""

    about = About(
        help="the disk has little room, or will be full soon; metrics are not written any more",
        defaults="less than 1 GiB free, or than twice what the version takes; critical: 256 MiB; full within 1 hour at "
        "the pace of the last 5 minutes (256 MiB of them at least), critical: 10 minutes; no metrics for 30 s",
        detects="little room: 5 s; filling: 3 minutes",
        cost="2 µs",
    )

    def __init__(self, name: str) -> None:
        self._clock = Clock()
        self._low = self._critical = False
        self._points: deque[float] = deque(maxlen=POINTS)
        self._filled_s = 0.0
        self._left_s: float | None = None
        self._fill = Holding(2 * STEP_S, 3 * STEP_S)
        self._unwritten = Holding(UNWRITTEN_S, 5.0)

    def see(self, moment: Moment) -> Iterator[Finding]:
        passed_s = self._clock.tick(moment.t)
        runs = moment.desired.state == "running" and moment.status.state in ("running", "degraded")
        lives = runs and moment.used is not None and moment.used.processes > 0
        unwritten = bool(moment.desired.settings.get("metrics", True)) and lives and moment.answers is None
        if self._unwritten.see(passed_s, unwritten):
            yield Finding(
                rule="metrics",
                detector="disk",
                metric="disk_free",
                severity="warning",
                text="No metrics are written though the workers run: nobody knows how many requests are answered",
            )
        if moment.used is None or moment.used.disk_free_bytes < 0:
            return
        free = float(moment.used.disk_free_bytes)
        self._follow(free, passed_s)
        low = float(max(LOW, VERSIONS * max(0, moment.version.size_bytes)))
        self._low = free < low * (BACK if self._low else 1.0)
        self._critical = free < CRITICAL * (BACK if self._critical else 1.0)
        if self._low or self._critical:
            words = f"{_size(free)} of the disk are free"
            if free < NONE_LEFT:
                words = "The disk is full: metrics are not written any more, nor requests recorded"
            yield _finding("disk", free, low, words, critical=self._critical)
        if self._fill.on and self._left_s is not None:
            yield _finding(
                "disk:filling",
                free,
                low,
                f"The disk will be full in {self._left_s / 60:.0f} minutes at the pace of the last minutes; "
                f"{_size(free)} are free",
                critical=self._left_s < CRITICAL_S,
            )

    def _follow(self, free: float, passed_s: float) -> None:
        if self._clock.gap:
            self._points.clear()
        self._filled_s += passed_s
        if self._filled_s < STEP_S and self._points:
            return
        self._filled_s = 0.0
        self._points.append(free)
        left_s = self._left()
        if left_s is not None:
            self._left_s = left_s
        self._fill.see(STEP_S, left_s is not None and left_s < SOON_S * (1.5 if self._fill.on else 1.0))

    def _left(self) -> float | None:
        """Seconds until it is full; None where it does not fill steadily. Each third of the time has its part in it."""
        points = list(self._points)
        third = len(points) // 3
        if third < 4:
            return None
        levels = [median(points[index * third : (index + 1) * third]) for index in range(3)]
        first, last = levels[0] - levels[1], levels[1] - levels[2]
        if first <= 0 or last < first / 2 or points[0] - points[-1] < LEAST_BYTES:
            return None
        return points[-1] / ((first + last) / (2 * third * STEP_S))


def _finding(rule: str, free: float, limit: float, text: str, *, critical: bool) -> Finding:
    severity: Severity = "critical" if critical else "warning"
    return Finding(
        rule=rule, detector="disk", metric="disk_free", severity=severity, text=text, value=free, limit=limit
    )


def _size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
