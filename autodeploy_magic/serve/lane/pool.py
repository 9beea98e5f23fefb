"""The threads of a lane, and the queue before them.

Everything but `_work` runs on the event loop's thread. A thread takes from the queue under the lock, together with what
is to be answered in the same run, and gives back through the loop. None waits for more to come. An idle one is woken by
a token, of which there are never more than threads.
"""

from __future__ import annotations

import logging
import math
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from autodeploy_magic.serve.lane.batching import Done, Joining, Waiting

__all__ = ["SWITCH_S", "Pool"]

log = logging.getLogger(__name__)

SWITCH_S = 0.0005
"""How long a thread may hold the interpreter while the event loop asks for it. Beside a model of plain Python each turn
of the loop waits as long: an echo took 5.2 ms with Python's own 5 ms, and takes 0.7 ms, and the model is as fast."""


class Pool:
    """At most `threads` threads, started when they are needed. `take` is called on the loop with what they bring back.

    `running` is the number of requests that they are answering now.
    """

    def __init__(self, joining: Joining, threads: int, take: Callable[[Done], None]) -> None:
        self.threads = threads
        self.running = 0
        self._joining = joining
        self._take = take
        self._lock = threading.Lock()
        self._waiting: OrderedDict[Waiting, None] = OrderedDict()
        self._runs: dict[int, list[Waiting]] = {}
        self._started: list[threading.Thread] = []
        self._idle = 0
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._closed = False

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def oldest(self) -> float:
        """Since when the oldest request waits or runs, by `time.perf_counter`; infinite where there is none."""
        with self._lock:
            waiting = next(iter(self._waiting), None)
            runs = [group[0].since for group in self._runs.values()]
        return min([*runs, waiting.since if waiting is not None else math.inf])

    def push(self, items: Sequence[Waiting]) -> None:
        """Let them wait for a thread, in their order."""
        with self._lock:
            for item in items:
                self._waiting[item] = None
            wake = self._idle > 0
            self._idle -= wake
        if wake:
            self._wake.put(None)
        elif len(self._started) < self.threads:
            sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
            thread = threading.Thread(target=self._work, name="lane", daemon=True)
            self._started.append(thread)
            thread.start()

    def give_up(self, item: Waiting) -> bool:
        """Take it out of the queue; false where it does not wait there."""
        with self._lock:
            return self._waiting.pop(item, item) is None

    def close(self) -> list[Waiting]:
        """End the threads, and return what waited: at once where none is running, else when that run is over."""
        with self._lock:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            for _ in range(self._idle):
                self._wake.put(None)
            self._idle = 0
            running = self.running
        if not running:
            for thread in self._started:
                thread.join()
        return left

    def _work(self) -> None:
        while True:
            with self._lock:
                group = self._joining.choose(self._waiting) if self._waiting else []
                for item in group:
                    del self._waiting[item]
                self.running += len(group)
                if group:
                    self._runs[id(group)] = group
                else:
                    if self._closed:
                        return
                    self._idle += 1
            if not group:
                self._wake.get()
                continue
            loop = group[0].get_loop()
            done = self._joining.run(group)
            try:
                loop.call_soon_threadsafe(self._bring, done)
            except RuntimeError:  # the loop has ended, and with it everybody who waited for these answers
                log.info("%d answers came after the event loop had ended", len(group))
            del group, done  # a thread that waits holds nobody's rows

    def _bring(self, done: Done) -> None:
        with self._lock:
            self.running -= len(done.group)
            del self._runs[id(done.group)]
        self._take(done)
