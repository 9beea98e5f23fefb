"""What a terminal knows of all deployments: the messages of the supervisor's stream, put together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from autodeploy_magic.live import COLUMNS, Activity, Event, Glance, Message, Point, Series

__all__ = ["KEPT_S", "LOOKING", "Look", "Now"]

LOOKING = "looking for the supervisor"
KEPT_S = 300
"""Seconds of points that are kept: what the widest terminal has room for."""
RATE_S = 10
ERRORS_S = 60
LATENCY_S = 60
STALE_S = 10
MOST_EVENTS = 200
LATE_S = 2
"""A second is complete this long after it began."""
DONE_S = 15.0
"""How long an activity that has ended is still shown."""


@dataclass(frozen=True)
class Now:
    """A deployment's figures now; None: not measured lately. Rates are over ten seconds, `errors` over a minute."""

    rate: float | None
    errors: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    cpu_cores: float | None
    memory_bytes: float | None
    in_flight: float | None
    waiting: float | None


@dataclass
class Look:
    """How all deployments are. `lost` says why nothing is known, "" while the supervisor tells."""

    lost: str = LOOKING
    release: str = ""
    glances: dict[str, Glance] = field(default_factory=dict)
    events: dict[tuple[str, int], Event] = field(default_factory=dict)
    activities: dict[str, Activity] = field(default_factory=dict)
    _ended: dict[str, float] = field(default_factory=dict)
    _points: dict[str, dict[int, tuple[float | None, ...]]] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        """Learn what a message tells."""
        if message.hello is not None:
            self.release = message.hello.release
        if message.glances is not None:
            self.lost = ""
            self.glances |= {glance.status.name: glance for glance in message.glances}
        for name in message.gone or ():
            self.glances.pop(name, None)
            self._points.pop(name, None)
        if message.point is not None:
            self.point(message.point)
        if message.event is not None:
            self.event(message.event)
        told = [*(message.activities or ()), *([message.activity] if message.activity is not None else [])]
        for activity in told:
            self._activity(activity)

    def point(self, point: Point) -> None:
        """Add a second; a later point of the same second replaces it."""
        kept = self._points.setdefault(point.name, {})
        kept[point.t] = point.v
        for old in [t for t in kept if t < point.t - KEPT_S]:
            del kept[old]

    def history(self, series: Series) -> None:
        """Add what was measured before the stream began; what the stream has told of a second stays."""
        kept = self._points.setdefault(series.name, {})
        for i, values in enumerate(zip(*series.values, strict=True)):
            if any(value is not None for value in values):
                kept.setdefault(int(series.start_s + i * series.step_s), values)

    def event(self, event: Event) -> None:
        self.events[event.name, event.id] = event
        while len(self.events) > MOST_EVENTS:
            del self.events[next(iter(self.events))]

    def lose(self, why: str) -> None:
        """Nothing is known any more: what was known may not be so now."""
        self.lost = why
        self.glances.clear()
        self.activities.clear()
        self._points.clear()

    def now(self, name: str, now_s: float | None = None) -> Now:
        """The deployment's latest figures."""
        now_s = time.time() if now_s is None else now_s
        return Now(
            rate=_mean(self._last(name, "requests_per_s", now_s, RATE_S)),
            errors=self._errors(name, now_s),
            p50_s=_latest(self._last(name, "p50_s", now_s, LATENCY_S)),
            p95_s=_latest(self._last(name, "p95_s", now_s, LATENCY_S)),
            p99_s=_latest(self._last(name, "p99_s", now_s, LATENCY_S)),
            cpu_cores=_mean(self._last(name, "cpu_cores", now_s, RATE_S)),
            memory_bytes=_latest(self._last(name, "memory_bytes", now_s, STALE_S)),
            in_flight=_latest(self._last(name, "in_flight", now_s, STALE_S)),
            waiting=_latest(self._last(name, "waiting", now_s, STALE_S)),
        )

    def spark(self, name: str, column: str, seconds: int, now_s: float | None = None) -> list[float | None]:
        """The last seconds of a column, one value each; the newest that is complete is the last."""
        return self._last(name, column, time.time() if now_s is None else now_s, seconds)

    def under_way(self, name: str | None = None, now_s: float | None = None) -> list[Activity]:
        """Activities that are running, and those that ended a moment ago."""
        now_s = time.time() if now_s is None else now_s
        for id_, at in list(self._ended.items()):
            if now_s - at > DONE_S:
                self._ended.pop(id_)
                self.activities.pop(id_, None)
        found = [activity for activity in self.activities.values() if name in (None, activity.name)]
        return sorted(found, key=lambda activity: activity.started_s)

    def latest(self, count: int, name: str | None = None) -> list[Event]:
        """The latest events, the newest first."""
        found = [event for event in self.events.values() if name in (None, event.name)]
        return sorted(found, key=lambda event: (-event.at_s, -event.id))[: max(0, count)]

    def _activity(self, activity: Activity) -> None:
        self.activities[activity.id] = activity
        if activity.state == "running":
            self._ended.pop(activity.id, None)
        else:
            self._ended.setdefault(activity.id, time.time())

    def _errors(self, name: str, now_s: float) -> float | None:
        requests = sum(value or 0.0 for value in self._last(name, "requests_per_s", now_s, ERRORS_S))
        failed = sum(value or 0.0 for value in self._last(name, "failed_per_s", now_s, ERRORS_S))
        return failed / requests if requests else None

    def _last(self, name: str, column: str, now_s: float, seconds: int) -> list[float | None]:
        kept = self._points.get(name, {})
        newest = int(now_s) - LATE_S
        index = COLUMNS.index(column)
        return [kept[t][index] if t in kept else None for t in range(newest - seconds + 1, newest + 1)]


def _mean(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found else None


def _latest(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)
