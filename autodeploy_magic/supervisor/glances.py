"""Deployments as a page shows them: in one line, and with everything there is to know."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from autodeploy_magic import settings, tls
from autodeploy_magic.address import is_loopback, url_of
from autodeploy_magic.calling.snippets import snippets
from autodeploy_magic.contracts import Desired, Status, Version
from autodeploy_magic.errors import StoreFailed, UnknownVersion
from autodeploy_magic.health import Alert, Recovery, SloState
from autodeploy_magic.live import Glance, Knob, VersionLine, View
from autodeploy_magic.metrics.events import events
from autodeploy_magic.ship.image.engines import engines
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.moves import TUNABLE, previous
from autodeploy_magic.supervisor.retune.records import known

__all__ = ["Glances", "Outlook"]

EVENTS_S = 7 * 24 * 3600.0
_MOST_EVENTS = 200
_RETUNES = 5


class Outlook(NamedTuple):
    """How a deployment does, in a line; see `live.Glance`."""

    slo: str = ""
    slo_state: SloState = "unset"
    alerts: tuple[Alert, ...] = ()
    quality: str = ""
    recovery: Recovery = "act"
    retune: str = ""


class Glances:
    """Makes glances and views. A version never changes, so that what is read of it is kept.

    `outlook` tells how a deployment does.
    """

    def __init__(self, store: Store, outlook: Callable[[str], Outlook]) -> None:
        self._store = store
        self._outlook = outlook
        self._versions: dict[tuple[str, int], Version] = {}
        self._states: dict[str, tuple[str, float]] = {}

    def glance(self, status: Status) -> Glance:
        """The line of one deployment. Never raises: of what cannot be read nothing is said."""
        version = self._version(status)
        changed_s = self._changed(status)
        outlook = self._outlook(status.name)
        alerts = outlook.alerts
        if status.state in ("degraded", "failed") and not any(alert.metric == "workers" for alert in alerts):
            alerts = (_state_alert(status, changed_s), *alerts)
        if version is None:
            return Glance(
                status=status,
                alerts=alerts,
                recovery=outlook.recovery,
                retune=outlook.retune,
                changed_s=changed_s,
                local=_is_local(status.url),
            )
        return Glance(
            status=status,
            framework=version.framework,
            model_type=version.model_type,
            task=version.task,
            trust=version.trust.level,
            slo=outlook.slo,
            slo_state=outlook.slo_state,
            alerts=alerts,
            quality=outlook.quality,
            recovery=outlook.recovery,
            retune=outlook.retune,
            changed_s=changed_s,
            local=_is_local(status.url),
        )

    def view(self, status: Status, desired: Desired) -> View:
        """Everything of one deployment. Reads files: not for the event loop. Raises `StoreFailed`."""
        store, name = self._store, desired.name
        versions = store.versions(name)
        serving = next((version for version in versions if version.number == status.version), None)
        file = store.metrics_file(name)
        texts: dict[str, str] = {}
        if serving is not None:
            trusted = tls.trusted_file(desired.tls, store.tls_folder(name)) if desired.tls else None
            made = snippets(store, serving, url_of(desired), auth=desired.auth, trusted=trusted)
            texts = {"curl": made.curl, "python": made.python, "javascript": made.javascript}
        return View(
            glance=self.glance(status),
            versions=tuple(_line(version, desired) for version in reversed(versions)),
            events=tuple(events(file, name, time.time() - EVENTS_S)[-_MOST_EVENTS:]),
            candidates=serving.candidates if serving is not None else (),
            snippets=texts,
            knobs=_knobs(desired),
            rollback_to=previous(store, desired) or 0,
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            engines=engines(),
            retunes=tuple(known(store, name, _RETUNES)),
        )

    def forget(self, name: str) -> None:
        """A deployment was removed; another may take its name."""
        self._versions = {key: version for key, version in self._versions.items() if key[0] != name}
        self._states.pop(name, None)

    def _version(self, status: Status) -> Version | None:
        key = (status.name, status.version)
        if key not in self._versions:
            try:
                self._versions[key] = self._store.version(status.name, status.version)
            except (StoreFailed, UnknownVersion):
                return None
        return self._versions[key]

    def _changed(self, status: Status) -> float:
        """When a deployment came into the state that it is in; from the supervisor's start on."""
        known = self._states.get(status.name)
        if known is None or known[0] != status.state:
            known = (status.state, status.since if known is None and status.since else time.time())
            self._states[status.name] = known
        return known[1]


def _state_alert(status: Status, changed_s: float) -> Alert:
    """That it does not serve as it should, until a detector has seen why."""
    return Alert(
        id=f"{status.name}-state",
        name=status.name,
        rule="state",
        detector="",
        metric="workers",
        severity="critical" if status.state == "failed" else "warning",
        text=status.reason or status.state,
        since_s=changed_s,
        version=status.version,
    )


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("", "localhost") or is_loopback(host)


def _line(version: Version, desired: Desired) -> VersionLine:
    traffic = desired.traffic
    roles = dict.fromkeys(traffic.loaded, "loaded")
    roles |= {traffic.shadow: "shadow", traffic.canary: "canary", desired.version: "champion"}
    return VersionLine(
        number=version.number,
        created_at=version.created_at,
        format=version.format,
        note=version.note,
        role=roles.get(version.number, ""),  # type: ignore[arg-type]  # each is one of the words
        size_bytes=version.size_bytes,
        trust=version.trust.level,
    )


def _knobs(desired: Desired) -> tuple[Knob, ...]:
    found = []
    for name in TUNABLE:
        knob = settings.KNOBS[name]
        assert isinstance(knob.default, int | float)
        value = desired.settings.get(name, knob.default)
        assert isinstance(value, int | float)
        # One that is on or off is tuned as 1 or 0.
        default = int(knob.default) if isinstance(knob.default, bool) else knob.default
        value = int(value) if isinstance(value, bool) else value
        found.append(Knob(name=name, value=value, default=default, unit=knob.unit, help=knob.help))
    return tuple(found)
