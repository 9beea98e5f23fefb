"""What happens to deployments, written down beside their metrics and told to who watches."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable

from autodeploy_magic.contracts import Desired
from autodeploy_magic.live import Event, Kind, Severity
from autodeploy_magic.metrics.events import add_event
from autodeploy_magic.store import Store

__all__ = ["Journal", "told"]

log = logging.getLogger(__name__)


class Journal:
    """Notes events. `listen` is called with each; an event that cannot be written down is told all the same."""

    def __init__(self, store: Store) -> None:
        self.listen: Callable[[Event], None] = lambda _: None
        self._store = store
        self._unwritten = 0

    def note(self, name: str, kind: Kind, text: str, *, version: int = 0, severity: Severity = "info") -> None:
        at_s = time.time()
        try:
            number = add_event(
                self._store.metrics_file(name), at_s=at_s, kind=kind, severity=severity, version=version, text=text
            )
        except (sqlite3.Error, OSError) as error:
            log.warning("%s: an event is not written down (%s): %s %s", name, error, kind, text)
            self._unwritten -= 1
            number = self._unwritten
        self.listen(Event(id=number, name=name, at_s=at_s, kind=kind, severity=severity, version=version, text=text))


def told(before: Desired | None, after: Desired, *, fresh: bool) -> tuple[Kind, str]:
    """What a change is called, and what there is to say besides that and the version."""
    if before is None:
        return "deployed", ""
    if before.version != after.version:
        return "swapped", f"v{before.version} → v{after.version}"
    if before.state == "stopped":
        return "started", ""
    if before.workers != after.workers:
        return "scaled", f"{before.workers} → {after.workers} worker{'' if after.workers == 1 else 's'}"
    if before.traffic != after.traffic:
        return _steered(after)
    if before.settings != after.settings:
        names = sorted(name for name in after.settings if before.settings.get(name) != after.settings[name])
        return "tuned", ", ".join(f"{name} {after.settings[name]}" for name in names)
    return "restarted", "fresh workers" if fresh else "new workers"


def _steered(after: Desired) -> tuple[Kind, str]:
    traffic = after.traffic
    if traffic.canary:
        return "canary", f"v{traffic.canary} gets {traffic.share:.3g} of the requests"
    if traffic.shadow:
        return "shadow", f"v{traffic.shadow} gets copies"
    return "traffic", f"v{after.version} gets all requests"
