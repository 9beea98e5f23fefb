"""What happens to deployments, written down beside their metrics and told to who watches."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from autodeploy_magic.contracts import Desired
from autodeploy_magic.health import Severity
from autodeploy_magic.live import Event, Kind
from autodeploy_magic.metrics.events import add_event
from autodeploy_magic.settings import of_workers
from autodeploy_magic.store import Store

__all__ = ["Journal", "told"]

log = logging.getLogger(__name__)


class Journal:
    """Notes events in the order they happen. `listen` is called with each, in the loop that noted it.

    A thread writes them: the file may be one of an earlier release, which is put in order when it is first opened. An
    event that cannot be written down is told all the same.
    """

    def __init__(self, store: Store) -> None:
        self.listen: Callable[[Event], None] = lambda _: None
        self._store = store
        self._unwritten = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    def note(self, name: str, kind: Kind, text: str, *, version: int = 0, severity: Severity = "info") -> None:
        """Write an event down and tell it. Returns at once."""
        event = Event(id=0, name=name, at_s=time.time(), kind=kind, severity=severity, version=version, text=text)
        with contextlib.suppress(RuntimeError):  # closed: the supervisor ends, and takes nobody's word any more
            self._thread.submit(self._write, event, asyncio.get_running_loop())

    def flush(self, timeout_s: float) -> None:
        """Wait until all that was noted so far is written down; not for the loop. Raises `TimeoutError`."""
        self._thread.submit(lambda: None).result(timeout_s)

    def close(self) -> None:
        """Take no more, and write down what was noted."""
        self._thread.shutdown(wait=True)

    def _write(self, event: Event, loop: asyncio.AbstractEventLoop) -> None:
        try:
            number = add_event(self._store.metrics_file(event.name), event)
        except (sqlite3.Error, OSError) as error:
            log.warning("%s: an event is not written down (%s): %s %s", event.name, error, event.kind, event.text)
            self._unwritten -= 1
            number = self._unwritten
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(self._tell, msgspec.structs.replace(event, id=number))

    def _tell(self, event: Event) -> None:
        self.listen(event)


def told(before: Desired | None, after: Desired, *, fresh: bool) -> tuple[Kind, str]:
    """What a change is called, and what there is to say besides that and the version."""
    if before is None:
        return "deployed", ""
    if before.version != after.version:
        return "swapped", f"v{before.version} → v{after.version}"
    if before.state == "stopped" and after.state == "running":
        return "started", ""
    if before.workers != after.workers:
        return "scaled", f"{before.workers} → {after.workers} worker{'' if after.workers == 1 else 's'}"
    if before.traffic != after.traffic:
        return _steered(after)
    if before.settings != after.settings:
        names = sorted(name for name in after.settings if before.settings.get(name) != after.settings[name])
        known = of_workers(after.settings)  # an address that alerts go to is nothing to show around
        return "tuned", ", ".join(f"{name} {after.settings[name]}" if name in known else name for name in names)
    if before.slo != after.slo:
        return "slo", after.slo or "learned"
    if before.recovery != after.recovery:
        return "recovery", f"{before.recovery} → {after.recovery}"
    return "restarted", "fresh workers" if fresh else "new workers"


def _steered(after: Desired) -> tuple[Kind, str]:
    traffic = after.traffic
    if traffic.canary:
        return "canary", f"v{traffic.canary} gets {traffic.share:.3g} of the requests"
    if traffic.shadow:
        return "shadow", f"v{traffic.shadow} gets copies"
    return "traffic", f"v{after.version} gets all requests"
