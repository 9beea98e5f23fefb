"""All deployments, observed once a second: what they take is written down, and told live to who watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from autodeploy_magic.live import Point
from autodeploy_magic.metrics.follow import identity
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.operate.observe.disk import Disks
from autodeploy_magic.operate.observe.gpu import Gpus
from autodeploy_magic.operate.observe.state import State, Subject

__all__ = ["Observatory", "Subject"]

T = TypeVar("T")


class Observatory:
    """What the supervisor drives. Every call returns at once, with a future of what it asks for:

        await asyncio.wrap_future(observatory.observe(time.time(), subjects, watched))     # once a second

        observe(now_s, subjects, watched)   take a row of each deployment; the points that are due of those watched
        point(name, second)     one second as it is known now; None for a name that is not observed
        latest(name)            the newest row, from memory; None before the second reading
        flush(name)             write down what waits (of all without a name): before a series is read from the file
        forget(name)            let go of a deployment that is removed: before its folder goes
        close()                 write down what waits, and end

    The work is done by one thread of its own, so it never keeps a loop waiting, and a second that takes longer delays
    the next and loses nothing: a row tells how long it covers. Nothing is raised for a disk that is full, slow or gone.
    A deployment that is not among the subjects any more is let go of; one that was removed and made again under the
    same name begins anew. Subjects without processes are down, and have rows that say so.
    """

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._disks = Disks()
        self._gpus = Gpus()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="observatory")

    def observe(self, now_s: float, subjects: Iterable[Subject], watched: Collection[str] = ()) -> Future[list[Point]]:
        """Take a row of each; points of the `watched` come in the order of their time. `now_s` is since the epoch.

        The row's last second is the one that is just over: call this shortly after the clock's seconds change.
        """
        return self._do(self._observe, now_s, tuple(subjects), frozenset(watched))

    def point(self, name: str, second: int) -> Future[Point | None]:
        return self._do(lambda: self._states[name].point(second) if name in self._states else None)

    def latest(self, name: str) -> Resources | None:
        """May be called by any thread, and returns the row itself."""
        state = self._states.get(name)
        return state.rows[-1] if state is not None and state.rows else None

    def flush(self, name: str = "") -> Future[None]:
        return self._do(self._flush, name)

    def forget(self, name: str) -> Future[None]:
        return self._do(self._forget, name)

    def close(self) -> Future[None]:
        done = self._do(self._close)
        self._thread.shutdown(wait=False)
        return done

    def _do(self, work: Callable[..., T], *arguments: object) -> Future[T]:
        return self._thread.submit(work, *arguments)

    def _observe(self, now_s: float, subjects: tuple[Subject, ...], watched: frozenset[str]) -> list[Point]:
        now, second = time.monotonic(), round(now_s) - 1
        for subject in subjects:
            self._state(subject, now).observe(subject, second, now, self._disks, self._gpus)
        for name in self._states.keys() - {subject.name for subject in subjects}:
            self._states[name].ledger.write(now)
            self._forget(name)
        self._gpus.look((pid for state in self._states.values() for pid in state.tree.pids), now)
        for state in self._states.values():
            state.ledger.write_due(now)
        return self._points(now_s, watched)

    def _state(self, subject: Subject, now: float) -> State:
        state = self._states.get(subject.name)
        if state is not None and state.folder_then != identity(subject.folder):
            self._forget(subject.name)
            state = None
        if state is None:
            state = self._states[subject.name] = State(subject, now)
        return state

    def _points(self, now_s: float, watched: frozenset[str]) -> list[Point]:
        found: list[Point] = []
        for name, state in self._states.items():
            if name in watched:
                found += state.points(now_s)
            else:
                state.unwatch()
        return found

    def _flush(self, name: str) -> None:
        for state in list(self._states.values()):
            if name in ("", state.subject.name):
                state.ledger.write(time.monotonic())

    def _forget(self, name: str) -> None:
        state = self._states.pop(name, None)
        if state is not None:
            state.close()
            self._disks.forget(state.subject.folder)

    def _close(self) -> None:
        self._flush("")
        for name in list(self._states):
            self._forget(name)
        self._disks.close()
        self._gpus.close()
