"""All deployments, looked at once a second in a thread of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from autodeploy_magic.health import Alert
from autodeploy_magic.operate.alert.alerts import Alerts
from autodeploy_magic.operate.watch.watching import Seen, Watched, Watching
from autodeploy_magic.store import Store

__all__ = ["Seen", "Watch", "Watched"]

T = TypeVar("T")


class Watch:
    """What the supervisor drives. Calls return at once, with a future of what they ask for:

        look(t, deployments)     look at the second `t` of each; what was seen, by name; and alerts of others that ended
        do(work)                 anything else that touches `alerts`, in the same thread
        close()

    A look never raises. One of the deployments that is not among them any more is let go of, and its alerts end. The
    thread's CPU time is told by `cpu_s`.
    """

    def __init__(self, store: Store) -> None:
        self.alerts = Alerts(store)
        self.cpu_s = 0.0
        self._known: dict[str, Watching] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="watch")

    def look(self, t: int, deployments: Iterable[Watched]) -> Future[tuple[dict[str, Seen], list[Alert]]]:
        return self._thread.submit(self._look, t, tuple(deployments))

    def do(self, work: Callable[[], T]) -> Future[T]:
        return self._thread.submit(work)

    def close(self) -> Future[None]:
        done = self._thread.submit(self._close)
        self._thread.shutdown(wait=False)
        return done

    def _look(self, t: int, deployments: tuple[Watched, ...]) -> tuple[dict[str, Seen], list[Alert]]:
        began = time.thread_time()
        seen = {one.desired.name: self._see(t, one) for one in deployments}
        ended: list[Alert] = []
        for name in self._known.keys() - seen.keys():
            gone = self._known.pop(name)
            gone.close()
            with gone.faults.isolated("alerts"):
                ended += self.alerts.end(float(t), name)
        self.cpu_s += time.thread_time() - began
        return seen, ended

    def _see(self, t: int, watched: Watched) -> Seen:
        name = watched.desired.name
        known = self._known.get(name)
        if known is not None and known.stale:
            known.close()
            known = None
            self.alerts.forget(name)
        if known is None:
            known = self._known[name] = Watching(watched)
        moment, findings = known.see(t, watched)
        changed: tuple[Alert, ...] = ()
        alerts: tuple[Alert, ...] = ()
        with known.faults.isolated("alerts"):
            changed = tuple(self.alerts.update(float(t), name, findings, watched.drill))
            alerts = tuple(self.alerts.of(name))
        faults = known.faults.now
        if problem := self.alerts.problem(name):
            faults["alerts"] = problem
        return Seen(moment, findings, changed, alerts, faults)

    def _close(self) -> None:
        for known in self._known.values():
            known.close()
        self._known.clear()
