"""Tells the sidebar and other terminals how a build goes on that this process performs.

The supervisor passes it on. The build never waits for it: one thread sends how things are now, and what it could not
send in time is never sent, since the next record says more.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec

from autodeploy_magic.contracts import Progress, Report
from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.live import Activity
from autodeploy_magic.store import Store

if TYPE_CHECKING:
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["Telling"]

log = logging.getLogger(__name__)

REPEAT_S = 60.0
"""How often a step that takes long is told again: a kernel that is silent for longer is taken for dead."""

LAST_WORD_S = 0.5
"""How long the end of a build waits for its last word to be out: a script may end right after it."""


class Telling:
    """Progress of one build, for everybody who watches; passed on to `onward` first.

    Nothing is started to be told: what is heard before `connecting` is done is told once it is, and nothing at all
    where no supervisor can be reached.
    """

    def __init__(self, name: str, title: str, store: Store, connecting: Future[Supervisor], onward: Report) -> None:
        self._onward = onward
        self._store = store
        self._connecting = connecting
        self._activity = Activity(
            id=secrets.token_hex(8), name=name, title=title, started_s=time.time(), where="kernel"
        )
        self._changed = threading.Condition()
        self._news = True
        self._thread = threading.Thread(target=self._run, name="autodeploy-telling", daemon=True)
        self._thread.start()

    def __call__(self, event: Progress) -> None:
        self._onward(event)
        others = tuple(step for step in self._activity.steps if step.step != event.step)
        self._change(steps=(*others, event))

    def end(self, error: BaseException | None = None) -> None:
        """Tell how it ended."""
        if error is None:
            self._change(state="done")
        else:
            told = error.what if isinstance(error, AutodeployError) else type(error).__name__
            text = "interrupted" if isinstance(error, KeyboardInterrupt) else told
            self._change(state="failed", error=text)
        if self._connecting.done():
            self._thread.join(LAST_WORD_S)

    def _change(self, **changes: Any) -> None:
        with self._changed:
            self._activity = msgspec.structs.replace(self._activity, **changes)
            self._news = True
            self._changed.notify()

    def _next(self) -> Activity:
        """How it is now, once that is other than what was told, or was told long ago."""
        with self._changed:
            self._changed.wait_for(lambda: self._news, REPEAT_S)
            self._news = False
            return self._activity

    def _run(self) -> None:
        from autodeploy_magic.supervisor.client import Supervisor

        try:
            self._connecting.result()
            supervisor = Supervisor(self._store, start=False)
            while True:
                activity = self._next()
                try:
                    supervisor.activity(activity)
                except AutodeployError as error:
                    log.info("%s: nobody was told: %s", activity.title, error.what)
                if activity.state != "running":
                    return
        except BaseException as error:  # noqa: BLE001  # the build itself says what is wrong
            log.info("%s: nobody is told: %r", self._activity.title, error)
