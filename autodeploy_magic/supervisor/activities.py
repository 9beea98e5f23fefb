"""Long jobs that are under way or ended a moment ago: the same events for notebook, sidebar and terminal."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import msgspec

from autodeploy_magic.contracts import Progress, Report
from autodeploy_magic.errors import AutodeployError, ShipCancelled
from autodeploy_magic.live import Activity

__all__ = ["Activities"]

KEPT_S = 30.0
"""How long one that has ended is told to those who come to look."""
LOST_S = 180.0
"""After so long without a word, one that a kernel performs is over: kernels are killed. They speak once a minute."""
MOST = 100
LOG_LINES = 200


class Activities:
    """Activities by id. `changed` is called with one that has begun, gone on or ended."""

    def __init__(self, changed: Callable[[Activity], None]) -> None:
        self._changed = changed
        self._known: dict[str, tuple[Activity, float]] = {}

    def current(self) -> tuple[Activity, ...]:
        """What is under way, and what ended a moment ago, in the order of their beginning."""
        self._forget()
        return tuple(sorted((known for known, _ in self._known.values()), key=lambda one: one.started_s))

    def begin(self, name: str, title: str) -> Running:
        """Note that the supervisor begins something for the deployment `name`."""
        running = Running(self, Activity(id=secrets.token_hex(8), name=name, title=title, started_s=time.time()))
        self.tell(running.activity)
        return running

    def tell(self, activity: Activity) -> None:
        """Note how an activity is now, whoever performs it."""
        self._forget()
        if len(self._known) < MOST or activity.id in self._known:
            self._known[activity.id] = (activity, time.monotonic())
            self._changed(activity)

    def _forget(self) -> None:
        now = time.monotonic()
        for key, (activity, told) in list(self._known.items()):
            keep_s = LOST_S if activity.where == "kernel" else float("inf")
            if now - told > (keep_s if activity.state == "running" else KEPT_S):
                del self._known[key]


class Running:
    """One activity that the supervisor performs. `report` passes progress on, besides noting it."""

    def __init__(self, activities: Activities, activity: Activity) -> None:
        self.activity = activity
        self._activities = activities

    def report(self, onward: Report) -> Report:
        def noted(progress: Progress) -> None:
            others = tuple(step for step in self.activity.steps if step.step != progress.step)
            plain = msgspec.structs.replace(progress, lines=())
            log = (*self.activity.log, *progress.lines)[-LOG_LINES:]
            self._tell(steps=(*others, plain), log=log)
            onward(progress)

        return noted

    def end(self, error: BaseException | None = None) -> None:
        """Note its end, with what went wrong where something did."""
        if error is None:
            self._tell(state="done")
        else:
            text = error.what if isinstance(error, AutodeployError) else f"{type(error).__name__}: {error}"
            self._tell(state="cancelled" if isinstance(error, ShipCancelled) else "failed", error=text)

    def _tell(self, **changes: object) -> None:
        self.activity = msgspec.structs.replace(self.activity, **changes)
        self._activities.tell(self.activity)
