"""One deployment that is observed, from one second to the next."""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from pathlib import Path
from typing import NamedTuple

from autodeploy_magic.live import Point
from autodeploy_magic.metrics.follow import Follower, identity
from autodeploy_magic.metrics.ledger import Ledger
from autodeploy_magic.metrics.points import LATE_S, Used, line
from autodeploy_magic.metrics.resources import UNKNOWN, Resources
from autodeploy_magic.operate.observe.disk import Disks
from autodeploy_magic.operate.observe.gpu import Gpus
from autodeploy_magic.operate.observe.processes import Tree, Usage

__all__ = ["State", "Subject"]

log = logging.getLogger(__name__)

LIVE_S = 120
"""How late a worker may write a second and have its point told again; a panel that was just opened has a series."""
BEGIN_S = 5
"""How many seconds back the points of a deployment begin that is watched from now on."""
ELSEWHERE_S = 10
"""How late what processes elsewhere take may be told of. Of a second that nobody has told of by then, none is known."""
_SET_BACK_S = 3
"""A clock that goes back by more was set; by less, the same second was observed twice."""


class Subject(NamedTuple):
    """A deployment to observe. `processes`: those of its workers that live, as (pid, start time since the epoch).

    `recorded`: whether its workers write down what they answer. `elsewhere`: None where its processes are on this
    machine; else what they took in the seconds that have become known since the last time, oldest first.
    """

    name: str
    processes: tuple[tuple[int, float], ...]
    folder: Path
    file: Path
    recorded: bool = True
    elsewhere: tuple[Resources, ...] | None = None


class State:
    """What is known of a deployment. All of it in one thread; `now` is in monotonic seconds."""

    def __init__(self, subject: Subject, now: float) -> None:
        self.subject = subject
        self.tree = Tree()
        self.ledger = Ledger(subject.name, subject.file, now)
        self.rows: deque[Resources] = deque(maxlen=LIVE_S)
        self.folder_then = identity(subject.folder)
        self._second = 0
        self._observed_at: float | None = None
        self._follower: Follower | None = None
        self._told = 0
        self._late: set[int] = set()
        self._troubles: set[str] = set()

    def observe(self, subject: Subject, second: int, now: float, disks: Disks, gpus: Gpus) -> None:
        """Take the row whose last second is `second` (since the epoch). The first time there is only a beginning."""
        self.subject = subject
        if subject.elsewhere is not None:
            self._observe_elsewhere(subject.elsewhere, second, now, disks)
            return
        if self._second - _SET_BACK_S < second <= self._second:
            return
        try:
            usage = self.tree.read(subject.processes, now)
        except OSError as error:  # no more files may be opened: a second that nobody watched
            self._say_once(f"its processes cannot be observed: {error}")
            self._observed_at = None
            return
        size, free = disks.look(subject.folder, now)
        before, self._observed_at, self._second = self._observed_at, now, second
        if before is not None:
            self._add(self._row(second, now - before, usage, size, free, gpus))

    def _observe_elsewhere(self, given: tuple[Resources, ...], second: int, now: float, disks: Disks) -> None:
        """Take the rows that came, which are of seconds long over; those are told again to who watches."""
        size, free = (UNKNOWN if found is None else found for found in disks.look(self.subject.folder, now))
        self._observed_at = None  # processes here, if there are some again, begin anew
        self.tree.close()
        late = second - ELSEWHERE_S
        begin = max(self._second or late - 1, late - ELSEWHERE_S)
        given = tuple(row for row in given if row.second > begin)
        untold = range(begin + 1, min(late, given[0].second - 1 if given else late) + 1)
        nothing = (Resources(each, 1.0, *Usage()) for each in untold)
        for row in (*nothing, *given):
            self._add(row._replace(disk_bytes=size, disk_free_bytes=free))
            self._second = row.second
            if self._follower is not None:
                self._late.add(row.second)

    def _add(self, row: Resources) -> None:
        self.rows.append(row)
        self.ledger.add(row)

    def points(self, now_s: float) -> list[Point]:
        """The points that are due to who watches: of seconds that are complete, and of those that came late.

        A file that cannot be read now is read the next time. `now_s` is in seconds since the epoch.
        """
        complete = int(now_s) - LATE_S
        try:
            if self._follower is None:
                self._follower = Follower(self.subject.file)
                self._told = complete - BEGIN_S
            self._late |= self._follower.news()
            late = sorted(second for second in self._late if complete - LIVE_S < second <= self._told)
            begin = max(self._told, complete - LIVE_S) if self._told <= complete else complete - BEGIN_S
            found = [self.point(second) for second in (*late, *range(begin + 1, complete + 1))]
        except sqlite3.Error as error:
            self._say_once(f"what was answered cannot be read: {error}")
            return []
        self._told = complete
        self._late.clear()
        return found

    def point(self, second: int) -> Point:
        """What is known of a second. Raises `sqlite3.Error`."""
        follower = self._follower or Follower(self.subject.file)
        try:
            answered = follower.answered(second)
        finally:
            if follower is not self._follower:
                follower.close()
        used = None
        for row in reversed(self.rows):
            if row.covers(second):
                used = Used()
                used.add(row)
                break
        return Point(name=self.subject.name, t=second, v=line(answered, used, 1.0, recorded=self.subject.recorded))

    def unwatch(self) -> None:
        """Nobody watches any more."""
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def close(self) -> None:
        self.unwatch()
        self.tree.close()
        self.ledger.close()

    def _row(
        self, second: int, span_s: float, usage: Usage, size: int | None, free: int | None, gpus: Gpus
    ) -> Resources:
        gpu = gpus.use(self.tree.pids)
        return Resources(
            second,
            span_s,
            *usage,
            disk_bytes=UNKNOWN if size is None else size,
            disk_free_bytes=UNKNOWN if free is None else free,
            gpu_share=gpu.share,
            gpu_memory_bytes=gpu.memory_bytes,
        )

    def _say_once(self, trouble: str) -> None:
        if trouble not in self._troubles:
            self._troubles.add(trouble)
            log.warning("%s: %s", self.subject.name, trouble)
