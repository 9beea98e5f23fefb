"""One deployment that is watched: its detectors, what they are given each second, and what they found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from autodeploy_magic import registry
from autodeploy_magic.contracts import Desired, Status, Version
from autodeploy_magic.health import Alert, Finding
from autodeploy_magic.metrics.follow import identity
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.operate.detect.base import Detector, Moment, Reference, WorkerSight
from autodeploy_magic.operate.quality.tracker import Tracker
from autodeploy_magic.operate.watch.faults import Faults
from autodeploy_magic.operate.watch.feed import Feed
from autodeploy_magic.reservoir import Labelled, Reader, Recorded, recent, recent_labelled

__all__ = ["Seen", "Watched", "Watching"]

WARM = 3000
"""Recorded requests, and labelled rows, that detectors are shown when they begin."""


class Watched(NamedTuple):
    """A deployment as the supervisor knows it now; see `detect.base.Moment`. `metrics` and `requests` are its files."""

    desired: Desired
    status: Status
    version: Version
    metrics: Path
    requests: Path
    reference: Callable[[], Reference]
    used: Resources | None = None
    workers: tuple[WorkerSight, ...] = ()
    swapped_s: float = 0.0
    drill: str = ""


class Seen(NamedTuple):
    """What was seen of a deployment in a second.

    `changed` are alerts that fired, got worse or ended; `alerts` all that are known. `faults` are parts that failed.
    """

    moment: Moment
    findings: tuple[Finding, ...]
    changed: tuple[Alert, ...]
    alerts: tuple[Alert, ...]
    faults: dict[str, str]


class Watching:
    """What is known of a deployment from second to second. All of it in one thread."""

    def __init__(self, watched: Watched) -> None:
        self.name = watched.desired.name
        self.faults = Faults(self.name)
        self._folder = watched.metrics.parent
        self._folder_then = identity(self._folder)
        self._feed = Feed(watched.metrics)
        self._reader: tuple[int, Reader] | None = None
        self._quality = Tracker(self.name, watched.requests)
        self._detectors: dict[str, Detector] = {}
        for name, reference in registry.table("detectors").items():
            with self.faults.isolated(f"detector {name}"):
                self._detectors[name] = registry.load(reference)(self.name)
        self._last = 0
        self._began = False

    @property
    def stale(self) -> bool:
        """Whether it was removed, and another may have its name."""
        return identity(self._folder) != self._folder_then

    def see(self, t: int, watched: Watched) -> tuple[Moment, tuple[Finding, ...]]:
        """Look at the second `t`. Never raises: what fails is among the `faults`."""
        moment = self._moment(t, watched)
        self._last = t
        with self.faults.isolated("quality"):
            moment.quality = self._quality.see(moment)
        found: list[Finding] = []
        moment.findings = found
        if not self._began:
            self._began = True
            self._recall(watched, moment)
        for name, detector in self._detectors.items():
            with self.faults.isolated(f"detector {name}"):
                found += detector.see(moment)
        return moment, tuple(found)

    def close(self) -> None:
        self._feed.close()
        self._quality.close()
        if self._reader is not None:
            self._reader[1].close()

    def _recall(self, watched: Watched, moment: Moment) -> None:
        """Let detectors know what was before this supervisor began, where they want to."""
        recorded: list[Recorded] = []
        labelled: list[Labelled] = []
        number, signature = watched.version.number, watched.version.signature
        with self.faults.isolated("requests"):
            recorded = recent(watched.requests, WARM, version=number)
            labelled = recent_labelled(watched.requests, signature, WARM, version=number)
        for name, detector in self._detectors.items():
            with self.faults.isolated(f"detector {name}"):
                if hasattr(detector, "recall"):
                    detector.recall(watched.metrics, moment)
                if hasattr(detector, "warm"):
                    detector.warm(recorded, labelled)

    def _moment(self, t: int, watched: Watched) -> Moment:
        desired, status = watched.desired, watched.status
        moment = Moment(
            t=t,
            name=self.name,
            desired=desired,
            status=status,
            version=watched.version,
            answers=None,
            reference=watched.reference,
            used=watched.used,
            workers=watched.workers,
            swapped_s=watched.swapped_s,
            drill=watched.drill,
        )
        with self.faults.isolated("metrics"):
            read = self._feed.read(t)
            recorded = bool(desired.settings.get("metrics", True)) and bool(status.workers)
            if read.by_version or (recorded and self._last == t - 1):
                moment.answers, moment.by_version = read.answers, read.by_version
                moment.waiting, moment.in_flight = read.waiting, read.in_flight
        with self.faults.isolated("requests"):
            moment.recorded, moment.labelled = self._news(watched)
        return moment

    def _news(self, watched: Watched) -> tuple[list[Recorded], list[Labelled]]:
        number = watched.version.number
        if self._reader is None or self._reader[0] != number:
            if self._reader is not None:
                self._reader[1].close()
            self._reader = number, Reader(watched.requests, watched.version.signature)
        return self._reader[1].news()
