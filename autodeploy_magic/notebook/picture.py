"""The still picture below a live panel: a saved notebook, nbconvert, GitHub and mail show it in the panel's place.

The browser hides it where the panel is live (by its class, adm-static). It is drawn in a thread: after what changes the
deployment, at the end of a cell when it has become old, and when the first request was answered. Without a picture
there is no thread and no hook.
"""

from __future__ import annotations

import logging
import threading
import time

from autodeploy_magic.errors import AutodeployError, SupervisorFailed, UnknownDeployment
from autodeploy_magic.metrics import recent
from autodeploy_magic.notebook.background import in_thread
from autodeploy_magic.notebook.chart.paint import ready
from autodeploy_magic.notebook.chart.paint import warm as warm_paint
from autodeploy_magic.notebook.screen import Output, after_each_cell, after_no_cell, in_notebook
from autodeploy_magic.notebook.shot import Shot, taken
from autodeploy_magic.store import Store

__all__ = ["StaticPicture", "below_cell", "changed", "forget", "warm"]

log = logging.getLogger(__name__)

OLD_S = 30.0
"""A picture that is older than this is drawn again at the end of a cell."""
WRITTEN_AFTER_S = 2.0
"""How much later than it was answered a request is written down at most."""
LOOK_S = 1.0
"""How often a picture that shows no request looks for the first."""
AT_MOST_S = 0.1
"""How long the end of a cell waits for the picture, so that who runs the notebook without a browser gets it, too."""
FIRST_REQUEST_S = 900.0
"""How long a picture without a request looks for the first one while no cell runs."""


class StaticPicture:
    """The still picture of one deployment; `update` may be called from any thread."""

    def __init__(self, name: str, store: Store | None = None) -> None:
        self.name = name
        self.drawn_at = 0.0
        self._store = store or Store()
        self._output = Output()
        self._drawing = threading.Lock()
        self._shot: Shot | None = None

    def show(self) -> None:
        """Display it below the cell that is running now; from then on it is kept up to date.

        At first it may be figures alone: the picture follows, once what paints it is imported.
        """
        painted = ready()
        with self._drawing:
            self._draw(anew=True, painted=painted)
        _keeper.keep(self)
        if not painted:
            _keeper.due(self.name)

    def update(self) -> None:
        """Draw it again in its place. What cannot be told now leaves the picture as it is."""
        with self._drawing:
            self._draw(anew=False, painted=True)

    @property
    def answered(self) -> bool:
        """Whether it shows that a request was answered."""
        return self._shot is not None and self._shot.window.answered

    @property
    def gone(self) -> bool:
        """Whether it shows that the deployment was removed: it never changes again."""
        return self._shot is not None and self._shot.gone

    def is_old(self, now: float) -> bool:
        """Whether it is to be drawn again at the end of a cell."""
        return now - self.drawn_at > OLD_S or self.misses_first_request()

    def misses_first_request(self) -> bool:
        """Whether it shows no request, and one was answered since."""
        if self.answered:
            return False
        found = recent(self._store.metrics_file(self.name), time.time() - self.drawn_at + WRITTEN_AFTER_S)
        return found is not None and found.requests > 0

    def _draw(self, *, anew: bool, painted: bool) -> None:
        from autodeploy_magic.supervisor.client import Supervisor

        self.drawn_at = time.time()
        try:
            self._shot = taken(self._store, Supervisor(self._store, start=False), self.name)
        except UnknownDeployment:
            if self._shot is None:
                return
            self._shot = self._shot.removed()
        except SupervisorFailed as error:
            log.info("%s: the picture stays as it is: %s", self.name, error.what)
            if not anew or self._shot is None:
                return
        bundle, metadata = self._shot.bundle(painted=painted)
        self._output.show(bundle, metadata, anew=anew)


class _Keeper:
    """Keeps the pictures of this kernel up to date. Its thread is there while there is something to draw or await."""

    def __init__(self) -> None:
        self._pictures: dict[str, StaticPicture] = {}
        self._changed = threading.Condition()
        self._due: set[str] = set()
        self._below: dict[str, Store] = {}
        self._awaited_until = 0.0
        self._runs = False

    def keep(self, picture: StaticPicture) -> None:
        with self._changed:
            self._pictures[picture.name] = picture
            if not picture.answered:
                self._awaited_until = time.time() + FIRST_REQUEST_S
                self._wake()
        after_each_cell(self._after_cell)

    def below_cell(self, store: Store, name: str) -> None:
        with self._changed:
            self._below[name] = store
        after_each_cell(self._after_cell)

    def due(self, name: str) -> None:
        with self._changed:
            if name in self._pictures:
                self._due.add(name)
                self._wake()

    def forget(self) -> None:
        with self._changed:
            self._pictures.clear()
            self._below.clear()
            self._due.clear()
            self._changed.notify_all()
        after_no_cell(self._after_cell)

    def _after_cell(self, _result: object) -> None:
        """At the end of a cell: ask for the pictures that have become old, and wait for them a moment."""
        try:
            below, self._below = self._below, {}
            for name, store in below.items():
                (self._pictures.get(name) or StaticPicture(name, store)).show()
        except AutodeployError as error:
            log.info("no picture: %s", error)
        now = time.time()
        with self._changed:
            old = {picture.name for picture in self._pictures.values() if picture.is_old(now)}
            if old:
                self._due |= old
                self._wake()
                self._changed.wait_for(lambda: not self._due, AT_MOST_S)

    def _wake(self) -> None:
        self._changed.notify_all()
        if not self._runs:
            self._runs = True
            threading.Thread(target=self._run, name="autodeploy-picture", daemon=True).start()

    def _run(self) -> None:
        while (picture := self._next()) is not None:
            try:
                picture.update()
            except Exception:  # of a picture nothing is lost, and a traceback would land in somebody's cell
                log.debug("the picture of %s could not be drawn", picture.name, exc_info=True)
            with self._changed:
                self._due.discard(picture.name)
                if picture.gone:
                    self._pictures.pop(picture.name, None)
                self._changed.notify_all()

    def _next(self) -> StaticPicture | None:
        """Wait for the next picture to draw; None where there is none to wait for, and then the thread has ended."""
        with self._changed:
            while True:
                awaited = [picture for picture in self._pictures.values() if not picture.answered]
                ready = [self._pictures[name] for name in self._due if name in self._pictures]
                self._due &= {picture.name for picture in ready}
                ready += [picture for picture in awaited if picture.misses_first_request()]
                if ready:
                    return ready[0]
                if not awaited or time.time() > self._awaited_until:
                    self._runs = False
                    return None
                self._changed.wait(LOOK_S)


_keeper = _Keeper()


def below_cell(store: Store, name: str) -> None:
    """Show the picture of a deployment below what the cell that is running now shows, once it has ended."""
    if in_notebook():
        _keeper.below_cell(store, name)


def warm() -> None:
    """Import in a thread what a picture needs, while something else takes its time."""
    if in_notebook() and not ready():
        in_thread("autodeploy-paint", warm_paint)


def changed(name: str) -> None:
    """A deployment was changed from here: its picture, where there is one, is drawn again."""
    _keeper.due(name)


def forget() -> None:
    """Keep no picture up to date any more."""
    _keeper.forget()
