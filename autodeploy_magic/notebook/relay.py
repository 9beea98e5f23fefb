"""The kernel between a panel and the supervisor, where the browser has no other road: over the widget's comm.

    browser → kernel   {"id", "call": {"method", "path", "body"}}     {"watch": true | false, "view"?}
    kernel → browser   {"id", "progress" | "beat"}* {"id", "result" | "error"}   {"live": Message}

All of it happens in threads: the kernel's main thread runs the person's cells.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from autodeploy_magic.contracts import Progress, Record
from autodeploy_magic.errors import AutodeployError, BadInput, SupervisorFailed
from autodeploy_magic.notebook.background import in_thread
from autodeploy_magic.notebook.publisher import publisher_of
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["MOST_CALLS", "Relay"]

log = logging.getLogger(__name__)

MOST_CALLS = 16
"""Calls of one panel under way at once. A person has two hands."""

BEAT_S = 10.0
"""How often a call that takes long is said to be under way."""

Send = Callable[[dict[str, Any]], None]


class Call(Record, frozen=True, kw_only=True):
    """One of the supervisor's calls, as a page makes it."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    body: Any = None


class _Asked(Record, frozen=True, kw_only=True):
    id: str
    call: Call


class _Watching(Record, frozen=True, kw_only=True):
    """`view` tells the views of one widget apart: a notebook may show it in several places."""

    watch: bool
    view: str = ""


class Relay:
    """What one panel asks, answered with `send`, which may be called from any thread."""

    def __init__(self, name: Callable[[], str], store: Store, send: Send) -> None:
        self._name = name
        self._store = store
        self._send = send
        self._room = threading.Semaphore(MOST_CALLS)
        self._views: set[str] = set()
        self._closed = False
        self._heard = contextvars.copy_context()
        self.heard_s = time.monotonic()

    @property
    def name(self) -> str:
        """The deployment that the panel shows."""
        return self._name()

    def receive(self, content: Any) -> None:
        """Take one message of the panel. Returns at once; what is none of the two kinds gets an error back."""
        self._heard = contextvars.copy_context()
        self.heard_s = time.monotonic()
        try:
            if isinstance(content, dict) and "watch" in content:
                self._watch(msgspec.convert(content, _Watching))
                return
            asked = msgspec.convert(content, _Asked)
        except msgspec.ValidationError as error:
            self._refuse(content, BadInput("the panel's message cannot be read", why=str(error), fix="reload the page"))
            return
        if not self._room.acquire(blocking=False):
            busy = BadInput(
                f"{MOST_CALLS} calls of this panel are under way", fix="wait for one of them, and try again"
            )
            self._refuse(content, busy)
            return
        in_thread("autodeploy-call", lambda: self._answer(asked))

    def live(self, message: dict[str, Any]) -> None:
        """Pass on what the supervisor tells.

        It is sent as an answer to what was heard last: ipykernel gives what the browser sends next to the subshell that
        was answered last, and there a call is heard while the main shell runs a cell.
        """
        self._heard.copy().run(self.send, {"live": message})

    def forget(self) -> None:
        """Take it that nobody watches, until somebody asks again."""
        self._views.clear()

    def close(self) -> None:
        """Send nothing any more. Calls that are under way end by themselves, unheard."""
        self._closed = True
        publisher_of(self._store).unwatch(self)

    def send(self, message: dict[str, Any]) -> None:
        """Send, unless the panel is closed."""
        if self._closed:
            return
        try:
            self._send(message)
        except Exception:  # the kernel is on its way out, or the widget was closed a moment ago
            log.debug("a panel of %s could not be told", self.name, exc_info=True)

    def _watch(self, asked: _Watching) -> None:
        publisher = publisher_of(self._store)
        if asked.watch and not self._closed:
            self._views.add(asked.view)
            publisher.watch(self)
            return
        self._views.discard(asked.view)
        if not self._views:
            publisher.unwatch(self)

    def _answer(self, asked: _Asked) -> None:
        over = threading.Event()
        in_thread("autodeploy-beat", lambda: self._beat(asked, over))
        try:
            self.send({"id": asked.id, "result": self._made(asked)})
        except AutodeployError as error:
            self.send({"id": asked.id, "error": error.to_payload()})
        except Exception as error:
            log.debug("%s %s failed", asked.call.method, asked.call.path, exc_info=True)
            failure = SupervisorFailed(
                f"{asked.call.method} {asked.call.path} failed in the kernel", why=f"{type(error).__name__}: {error}"
            )
            self.send({"id": asked.id, "error": failure.to_payload()})
        finally:
            over.set()
            self._room.release()

    def _beat(self, asked: _Asked, over: threading.Event) -> None:
        while not over.wait(BEAT_S):
            self.send({"id": asked.id, "beat": True})

    def _made(self, asked: _Asked) -> Any:
        def report(progress: Progress) -> None:
            self.send({"id": asked.id, "progress": msgspec.to_builtins(progress)})

        call = asked.call
        # Looking starts nothing; a person who pressed a button wants it done.
        supervisor = Supervisor(self._store, start=call.method != "GET")
        return msgspec.to_builtins(supervisor.page_call(call.method, call.path, call.body, report))

    def _refuse(self, content: Any, error: AutodeployError) -> None:
        told = content.get("id") if isinstance(content, dict) else None
        self.send({"id": told if isinstance(told, str) else None, "error": error.to_payload()})
