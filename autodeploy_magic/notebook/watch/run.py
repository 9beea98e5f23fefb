"""`autodeploy watch`: a live screen in a terminal, a line a second in a pipe, or one look."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from autodeploy_magic.errors import AutodeployError, SupervisorFailed
from autodeploy_magic.live import Glance
from autodeploy_magic.notebook.html import Markup, card, element
from autodeploy_magic.notebook.views import View
from autodeploy_magic.notebook.watch.look import LOOKING, Look
from autodeploy_magic.notebook.watch.screen import drawn, row_text
from autodeploy_magic.period import clock
from autodeploy_magic.store import Store

if TYPE_CHECKING:
    from rich.console import Console

    from autodeploy_magic.notebook.watch.keyboard import Keyboard
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["Seen", "watch"]

LOOK_AGAIN_S = 1.0
"""How long after the stream was lost a supervisor is looked for again."""
FRAME_S = 0.2
"""The screen is drawn at most so often."""
HISTORY_S = 240


class Seen(View, list[Glance]):
    """One look at all deployments."""

    lines: tuple[str, ...] = ()

    def text(self) -> str:
        return "\n".join(self.lines) or "Nothing is deployed."

    def html(self) -> Markup:
        return card(element("pre", self.text()), label="deployments")


def watch(name: str | None = None, once: bool = False) -> Seen | None:
    """Show all deployments live, or the one of that name, until q or Ctrl-C.

    No supervisor is started: where none runs that is said, and the screen waits for one. With `once` it is one look,
    which raises `SupervisorFailed` then; where the output is no terminal it is a line a second for each deployment.
    """
    store = Store()
    if name is not None:
        store.desired(name)  # raises UnknownDeployment with the nearest name
    if once:
        return _once(store, name)
    from rich.console import Console

    console = Console(highlight=False)
    with contextlib.suppress(KeyboardInterrupt):
        if console.is_terminal and not console.is_dumb_terminal:
            _live(store, name, console)
        else:
            _lines(store, name)
    return None


def _once(store: Store, name: str | None) -> Seen:
    from autodeploy_magic.supervisor.client import Supervisor

    supervisor = Supervisor(store, start=False)
    look = Look(lost="")
    found = [glance for glance in supervisor.glances() if name in (None, glance.status.name)]
    for glance in found:
        look.history(supervisor.series(glance.status.name, 60, 60))
    seen = Seen(found)
    seen.lines = tuple(row_text(look, glance) for glance in found)
    return seen


class _Reader:
    """Reads the supervisor's stream in a thread into a `Look`; `told` is called whenever there is news."""

    def __init__(self, store: Store, name: str | None, told: Callable[[], None]) -> None:
        self._store = store
        self._names = None if name is None else [name]
        self._told = told
        self._look = Look()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="autodeploy-watch", daemon=True).start()

    @contextlib.contextmanager
    def looking(self) -> Iterator[Look]:
        """The look, which stays as it is inside the `with`."""
        with self._lock:
            yield self._look

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
                why = "the supervisor has ended"
            except SupervisorFailed as error:
                why = error.what
            except AutodeployError as error:
                why = str(error)
            with self._lock:
                self._look.lose(why)
            self._told()
            self._stop.wait(LOOK_AGAIN_S)

    def _follow(self) -> None:
        from autodeploy_magic.supervisor.client import Supervisor

        supervisor = Supervisor(self._store, start=False)
        known: set[str] = set()
        for message in supervisor.live(self._names):
            with self._lock:
                self._look.take(message)
            new = {glance.status.name for glance in message.glances or ()} - known
            known |= new
            for name in sorted(new):
                self._before(supervisor, name)
            self._told()
            if self._stop.is_set():
                return

    def _before(self, supervisor: Supervisor, name: str) -> None:
        """Learn what was before the stream began."""
        try:
            series, events = supervisor.series(name, HISTORY_S, HISTORY_S), supervisor.events(name)
        except AutodeployError:
            return  # it was removed a moment ago; the stream says so
        with self._lock:
            self._look.history(series)
            for event in events:
                self._look.event(event)


def _live(store: Store, name: str | None, console: Console) -> None:
    from rich.live import Live

    from autodeploy_magic.notebook.watch.keyboard import Keyboard

    with Keyboard() as keyboard:
        reader = _Reader(store, name, keyboard.wake)
        screen = Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        try:
            screen.start()
            while True:
                with reader.looking() as look:
                    width, height = console.size
                    screen.update(drawn(look, name, width, height), refresh=True)
                shown = time.monotonic()
                keys = keyboard.wait(1.0)
                if not keys:  # news: what comes at once is drawn at once
                    keys = _quiet(keyboard, shown)
                if set(keys) & {"q", "Q", "\x04", "\x03"}:
                    return
                if "\x1a" in keys:
                    screen.stop()
                    with keyboard.paused():
                        screen.start()
        finally:
            reader.stop()
            screen.stop()


def _quiet(keyboard: Keyboard, shown: float) -> str:
    """Wait until the next frame is due; return the keys that were pressed meanwhile."""
    while (left := shown + FRAME_S - time.monotonic()) > 0:
        if keys := keyboard.wait(left):
            return keys
    return ""


def _lines(store: Store, name: str | None) -> None:
    """A line a second for each deployment, until the reader of the pipe goes away."""
    news = threading.Event()
    reader = _Reader(store, name, news.set)
    second, said = 0, ""
    try:
        while True:
            news.wait(1.0)
            news.clear()
            with reader.looking() as look:
                if look.lost != said:
                    said = look.lost
                    if said and said != LOOKING:
                        sys.stderr.write(f"{clock(time.time())}  {said}; waiting for one\n")
                now = int(time.time())
                if now == second or look.lost:
                    continue
                second = now
                lines = [row_text(look, glance) for _, glance in sorted(look.glances.items())]
            sys.stdout.writelines(f"{clock(now)}  {line}\n" for line in lines)
            sys.stdout.flush()
    except BrokenPipeError:  # `autodeploy watch | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        reader.stop()
