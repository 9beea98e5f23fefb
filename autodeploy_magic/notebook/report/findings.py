"""Everything that a report is made of, asked once: from the supervisor, the store and what was measured."""

from __future__ import annotations

import time
from dataclasses import dataclass

from autodeploy_magic.contracts import Desired, Version
from autodeploy_magic.live import Event, View
from autodeploy_magic.metrics import Comparison, comparison, totals
from autodeploy_magic.metrics.whole import statuses, whole
from autodeploy_magic.notebook.chart import Window
from autodeploy_magic.notebook.figures import Figures
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["POINTS", "Findings", "found"]

POINTS = 360
"""Points of a chart: about two pixels each on paper."""


@dataclass(frozen=True)
class Findings:
    """A deployment over a period that ends at `at_s` (seconds since the epoch).

    `by_version` has those versions that answered within it; `statuses` counts its answers by HTTP status. `shadow` is
    the comparison of the one that runs beside the champion now.
    """

    name: str
    at_s: float
    seconds: int
    view: View
    desired: Desired
    versions: tuple[Version, ...]
    window: Window
    figures: Figures
    by_version: dict[int, Figures]
    statuses: dict[int, int]
    events: tuple[Event, ...]
    shadow: Comparison | None

    @property
    def serving(self) -> Version | None:
        """The version that serves, where its record can be read."""
        number = self.view.glance.status.version
        return next((version for version in self.versions if version.number == number), None)


def found(store: Store, supervisor: Supervisor, name: str, seconds: int) -> Findings:
    """Look at a deployment's last period. Raises `UnknownDeployment`."""
    now = time.time()
    desired = store.desired(name)
    series = supervisor.series(name, seconds, min(POINTS, seconds), until=now)
    window = Window.of(series)
    file, recorded = store.metrics_file(name), bool(desired.settings.get("metrics", True))
    versions = {number: Figures.of(whole(file, series, version=number)) for number in totals(file)}
    traffic = desired.traffic
    return Findings(
        name=name,
        at_s=now,
        seconds=seconds,
        view=supervisor.view(name),
        desired=desired,
        versions=tuple(store.versions(name)),
        window=window,
        figures=Figures.of(whole(file, series, recorded=recorded)),
        by_version={number: figures for number, figures in sorted(versions.items()) if figures.requests},
        statuses=statuses(file, window.start_s, window.end_s),
        events=tuple(event for event in supervisor.events(name, seconds) if event.at_s <= now),
        shadow=comparison(file, desired.version, traffic.shadow, window.start_s) if traffic.shadow else None,
    )
