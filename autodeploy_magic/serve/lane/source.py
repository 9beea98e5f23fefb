"""An answer that comes item by item: pulled from the model by a thread, read by whoever writes it to its client.

    thread   model → item → event of the protocol, into a bounded buffer; waits where the client does not read
    loop     buffer → client (`take`, told by `news`); a watch over both ends

A client that goes away, or reads nothing for as long as a request may take, ends the generator at its next step.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from autodeploy_magic.errors import ModelFailed, RequestRefused
from autodeploy_magic.serve.lane.pool import SWITCH_S
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.wire import Batch

__all__ = ["AT_ONCE", "Events", "Source", "Sources"]

log = logging.getLogger(__name__)

AT_ONCE = 64
"""Streams of a version that are under way at once, each with a thread; more wait in the lane's queue."""
MOST_PARTS = 16
MOST_BYTES = 256 * 1024
"""What is buffered of one stream, before its generator waits for the client: so many items, or about so many bytes."""
KEPT_ROWS = 64
KEPT_ITEMS = 1000
KEPT_BYTES = 64 * 1024


class Events(Protocol):
    """How a protocol words a stream. `item` is called by the stream's thread."""

    def item(self, value: object) -> bytes: ...

    def end(self, source: Source) -> bytes: ...

    def error(self, error: RequestRefused) -> bytes: ...


class Source:
    """One stream. All but `_work` and what it calls runs on the event loop's thread.

    `opened` is done when there is something to answer with: its exception is the refusal of a request that failed
    before its first item. `news` is called when there is more to `take`, or when there is nothing to wait for.
    `first_s` is when the first item was there and `seconds` when the last, both since the request was read.
    """

    def __init__(self, served: ServedModel, batch: Batch, events: Events, left: Callable[[Source], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = self.loop.create_future()
        self.news: Callable[[], None] = lambda: None
        self.rows = batch.rows
        self.since = time.perf_counter()
        self.started = 0.0  # when it got its thread
        self.run_s = 0.0
        self.first_s: float | None = None
        self.seconds = 0.0
        self.items = 0
        self.bytes_out = 0
        self.ended = False
        self.stalled = False
        self.error: RequestRefused | None = None
        self._served = served
        self._batch: Batch | None = batch
        self.batch = batch if batch.rows <= KEPT_ROWS else None
        """Its rows, and its items as long as they are few and small, for who records it."""
        self.kept_items: list[object] | None = []
        self._kept_bytes = 0
        self._events = events
        self._left = left
        self._changed = threading.Condition()
        self._parts: list[bytes] = []
        self._size = 0
        self._done = False  # the generator gives no more
        self._closed = False  # nobody wants more
        self._told = False
        self._moved = self.loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._late: tuple[float, RequestRefused]

    # --- the event loop's side

    def start(self) -> None:
        """Begin to pull, in a thread of its own."""
        sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
        self.started = time.perf_counter()
        threading.Thread(target=self._work, name="stream", daemon=True).start()

    def take(self) -> bytes:
        """What there is by now, which makes room for more; with the last of it `ended` becomes true."""
        with self._changed:
            parts, self._parts, self._size = self._parts, [], 0
            done = self._done
            self._changed.notify()
        self._moved = self.loop.time()
        if done and not self.ended:
            self.ended = True
            self._unwatch()
            parts.append(self._events.error(self.error) if self.error is not None else self._events.end(self))
        found = b"".join(parts)
        self.bytes_out += len(found)
        return found

    def watch(self, within_s: float, late: RequestRefused) -> None:
        """End it with the error `late` where no item follows the one before within so long.

        Where it is the client that takes nothing for so long, it is `stalled`, and closed.
        """
        self._moved = self.loop.time()
        self._late = within_s, late
        self._timer = self.loop.call_later(within_s, self._look)

    def stop(self, error: RequestRefused) -> None:
        """End it with an error, after what has come so far."""
        with self._changed:
            if self._done:
                return
            self._done = self._closed = True
            self.error = error
            self.seconds = time.perf_counter() - self.since
            self._changed.notify()
        self._tell()

    def close(self) -> None:
        """Nobody reads it any more."""
        self._unwatch()
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._parts.clear()
            self._changed.notify()
        self.opened.cancel()
        if not self.started:
            self._left(self)

    def _look(self) -> None:
        within_s, late = self._late
        left_s = within_s - (self.loop.time() - self._moved)
        if left_s > 0:
            self._timer = self.loop.call_later(left_s, self._look)
        elif self._parts or self._done:
            self.stalled = True
            self.close()
            self.news()
        else:
            self.stop(late)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _heard(self) -> None:
        """There is more than before."""
        with self._changed:
            self._told = False
            failed = self.error if self._done and not self._parts else None
        self._moved = self.loop.time()
        if self.opened.done():
            self.news()
        elif failed is not None:
            self.opened.set_exception(failed)
        else:
            self.opened.set_result(None)

    def _tell(self) -> None:
        """Call `_heard`, from whichever thread; several calls before it runs are one."""
        with self._changed:
            told, self._told = self._told, True
        if not told:
            self.loop.call_soon_threadsafe(self._heard)

    # --- the thread's side

    def _work(self) -> None:
        error: RequestRefused | None = None
        try:
            self._pull()
        except RequestRefused as refused:
            error = refused
        except Exception:  # a mistake of ours is one request's failure
            log.exception("a stream could not be answered")
            error = ModelFailed("the server failed on this request", fix="the owner can see why in the log")
        with self._changed:
            if not self._done:
                self._done, self.error = True, error
                self.seconds = time.perf_counter() - self.since
        try:
            self._tell()
            self.loop.call_soon_threadsafe(self._left, self)
        except RuntimeError:  # the loop has ended, and with it everybody who waited for this
            log.info("a stream ended after the event loop had")

    def _pull(self) -> None:
        assert self._batch is not None
        stream = self._served.stream(self._batch)
        self._batch = None
        try:
            while True:
                asked = time.perf_counter()
                item = next(stream, _NOTHING)
                now = time.perf_counter()
                self.run_s += now - asked
                if item is _NOTHING:
                    return
                part = self._events.item(item)
                self._keep(item, len(part))
                if not self._put(part, now):
                    return
        finally:
            stream.close()  # type: ignore[attr-defined]  # it is a generator of ours

    def _keep(self, item: object, size: int) -> None:
        """Keep it with those before it, or none of them where they have become many."""
        if self.kept_items is None:
            return
        self._kept_bytes += size
        if len(self.kept_items) < KEPT_ITEMS and self._kept_bytes <= KEPT_BYTES:
            self.kept_items.append(item)
        else:
            self.kept_items = None

    def _put(self, part: bytes, now: float) -> bool:
        """Let the client have it once it has taken what is before it; false where nobody wants it."""
        with self._changed:
            while self._parts and (len(self._parts) >= MOST_PARTS or self._size >= MOST_BYTES) and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._parts.append(part)
            self._size += len(part)
            self.items += 1
            if self.first_s is None:
                self.first_s = now - self.since
        self._tell()
        return True


_NOTHING = object()


class Sources:
    """The streams of a lane: so many under way at once, the others wait. `started` and `left` tell the lane of each."""

    def __init__(self, started: Callable[[Source], None], left: Callable[[Source], None]) -> None:
        self.at_once = AT_ONCE
        self.under_way: OrderedDict[Source, None] = OrderedDict()
        self.waiting: OrderedDict[Source, None] = OrderedDict()
        self._started = started
        self._left = left

    def push(self, source: Source) -> None:
        self.waiting[source] = None
        self._start()

    def leave(self, source: Source) -> None:
        """It has ended, or has given up its place."""
        self.waiting.pop(source, None)
        self.under_way.pop(source, None)
        self._left(source)
        self._start()

    def stop(self, error: RequestRefused) -> None:
        """End all of them."""
        for source in [*self.waiting, *self.under_way]:
            source.stop(error)
        waiting, self.waiting = self.waiting, OrderedDict()
        for source in waiting:
            self._left(source)

    def _start(self) -> None:
        while self.waiting and len(self.under_way) < self.at_once:
            source, _ = self.waiting.popitem(last=False)
            self.under_way[source] = None
            source.start()
            self._started(source)
