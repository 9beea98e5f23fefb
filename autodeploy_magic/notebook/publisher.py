"""Passes the supervisor's live stream on to the panels of this kernel that watch over their comm."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from autodeploy_magic.errors import AutodeployError, SupervisorFailed
from autodeploy_magic.live import Message
from autodeploy_magic.notebook.background import in_thread
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["Publisher", "Watcher", "publisher_of"]

log = logging.getLogger(__name__)

UNHEARD_S = 1800.0
"""After so long without a word from a browser it is taken for closed: what nobody reads piles up in the Jupyter Server.
One that is there asks again by itself when it hears nothing.
"""

FREE_S = 2.0
"""A main thread that has not come back to its loop after this long runs a cell, and cannot hear the browser."""

LOOK_AGAIN_S = 1.0
"""How long after a stream was lost the publisher looks for a supervisor again."""


class Watcher(Protocol):
    """Who is told. `heard_s` is when its browser was heard last, on the monotonic clock."""

    heard_s: float

    @property
    def name(self) -> str:
        """The deployment that it wants to hear of."""

    def live(self, message: dict[str, Any]) -> None:
        """Take one message; called from the publisher's thread, and raises nothing."""

    def forget(self) -> None:
        """Take it that nobody watches, until somebody asks again."""


class Publisher:
    """One thread that tells all panels that watch. There is none while none watches."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._watching: list[Watcher] = []
        self._joined = 0
        self._runs = False

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` from now on: the whole picture first, which others that watch are told anew, too."""
        with self._lock:
            if watcher not in self._watching:
                self._watching.append(watcher)
            self._joined += 1
            self._changed.set()
            if self._runs:
                return
            self._runs = True
        in_thread("autodeploy-live", self._run)

    def unwatch(self, watcher: Watcher) -> None:
        """Tell `watcher` no more. Where nobody is left the thread ends, with the next message: within two seconds."""
        with self._lock:
            if watcher in self._watching:
                self._watching.remove(watcher)
                self._changed.set()

    def _run(self) -> None:
        supervisor = Supervisor(self._store, start=False)
        while (watched := self._watched()) is not None:
            try:
                self._pass_on(supervisor, *watched)
            except Exception as error:
                log.debug("no live stream: %s", error, exc_info=not isinstance(error, AutodeployError))
                self._tell(Message(glances=()), whole=True)  # nothing is known; and a sign that we look again
                self._changed.wait(LOOK_AGAIN_S)

    def _watched(self) -> tuple[list[str], int] | None:
        """What is watched now, as of which joining; None where nothing is: this thread is the publisher no longer."""
        with self._lock:
            self._changed.clear()
            self._runs = bool(self._watching)
            return (sorted({watcher.name for watcher in self._watching}), self._joined) if self._runs else None

    def _pass_on(self, supervisor: Supervisor, names: Sequence[str], joined: int) -> None:
        """Tell what comes, until somebody joins, nobody is left, or the stream is lost (`SupervisorFailed`)."""
        whole = False
        messages = supervisor.live(names)
        with contextlib.closing(messages):
            for message in messages:
                self._let_go()
                whole = whole or message.hello is not None
                self._tell(message, whole=whole)
                whole = whole and message.activities is None  # the last part of the whole picture
                if self._joined != joined or not self._watching:
                    return
        raise SupervisorFailed("the live stream ended")

    def _let_go(self) -> None:
        """Tell those no more whose browser has not been heard for long, though it could have been."""
        now = time.monotonic()
        for watcher in [watcher for watcher in self._watching if now - watcher.heard_s > UNHEARD_S]:
            if _main_thread_is_free():
                watcher.forget()
                self.unwatch(watcher)
            else:
                watcher.heard_s = now

    def _tell(self, message: Message, *, whole: bool) -> None:
        with self._lock:
            watching = tuple(self._watching)
        for watcher in watching:
            told = _for(watcher.name, message, whole=whole)
            if told is not None:
                watcher.live(told)


def _for(name: str, message: Message, *, whole: bool) -> dict[str, Any] | None:
    """What a panel of `name` is told; None for nothing. Of the whole picture it is told that there is nothing of it."""
    if message.glances is not None:
        mine = tuple(glance for glance in message.glances if glance.status.name == name)
        message = Message(glances=mine) if mine or whole else Message()
    elif message.activities is not None:
        own = tuple(activity for activity in message.activities if activity.name == name)
        message = Message(activities=own)
    elif message.gone is not None:
        message = Message(gone=(name,)) if name in message.gone else Message()
    else:
        of = message.point or message.event or message.activity
        message = message if of is None or of.name == name else Message()
    return msgspec.to_builtins(message) or None


def _main_thread_is_free() -> bool:
    """Whether the kernel has read all that was sent to it: it has where its loop gets to do what it is given now."""
    from IPython.core.getipython import get_ipython

    loop = getattr(getattr(get_ipython(), "kernel", None), "io_loop", None)
    if loop is None:
        return False
    turned = threading.Event()
    loop.add_callback(turned.set)
    return turned.wait(FREE_S)


_publishers: dict[Path, Publisher] = {}
_making = threading.Lock()


def publisher_of(store: Store) -> Publisher:
    """The one publisher of this process for a state folder."""
    with _making:
        return _publishers.setdefault(store.home, Publisher(store))
