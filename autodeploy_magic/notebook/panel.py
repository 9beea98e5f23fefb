"""The live panel of a deployment, as a widget: what it shows comes from the supervisor, wherever the kernel is busy.

The widget's script asks the Jupyter Server's extension where there is one, and the kernel where there is none (see
`relay`). The kernel gives it what a saved notebook shows: how the deployment was when the panel was shown.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodeploy_magic.errors import AutodeployError, BrokenPackage, InvalidOption
from autodeploy_magic.notebook.background import in_thread
from autodeploy_magic.notebook.relay import Relay
from autodeploy_magic.notebook.screen import in_notebook
from autodeploy_magic.registry import need
from autodeploy_magic.store import Store

if TYPE_CHECKING:
    import anywidget  # for the type alone

__all__ = ["HISTORY_S", "panel_class", "panel_of", "warm", "with_panel"]

log = logging.getLogger(__name__)

HISTORY_S = 300
"""How far back the panel looks at first, in seconds."""

FILLING_S = 0.15
"""How long a panel waits for what it shows at first, before it is shown without and told later."""

FRESH_S = 1.0
"""How old what it shows at first may be when it is shown once more."""

WIDGET = "application/vnd.jupyter.widget-view+json"

Looking = Future[dict[str, Any]]

_defining = threading.Lock()


def panel_of(store: Store, name: str, fallback: Callable[[], dict[str, Any]]) -> Any:
    """Return the panel of a deployment: one widget in each kernel, which may be shown in several places.

    `fallback` gives the MIME bundle for front ends without widgets. Raises `InvalidOption` outside a notebook, and
    `MissingPackage` or `BrokenPackage` where the panel cannot be made.
    """
    if not in_notebook():
        raise InvalidOption(
            "the panel needs a notebook",
            why="it is drawn by JupyterLab, Notebook or VS Code, and this is a terminal",
            fix=f"`autodeploy watch {name}` shows the same here, live",
        )
    key = (store.home, name)
    panel = _panels.get(key)
    if panel is None:
        panel = _panels[key] = panel_class()(store, name)
    panel.fallback = fallback
    return panel


_panels: dict[tuple[Path, str], Any] = {}


def with_panel(store: Store, name: str, fallback: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the MIME bundle of a deployment that is being shown, with its panel where this is a notebook."""
    if not in_notebook() or not store.exists(name):
        return fallback()
    try:
        panel = panel_of(store, name, fallback)
    except AutodeployError as error:
        log.info("no panel: %s", error)  # `dep.panel()` says why
        return fallback()
    shown: dict[str, Any] = panel.bundle()
    return shown


def warm() -> None:
    """Import in a thread what a panel needs, while something else takes its time."""
    if in_notebook():
        in_thread("autodeploy-warm", _warm)


def _warm() -> None:
    try:
        panel_class()
    except AutodeployError as error:
        log.info("no panel: %s", error)  # who asks for one is told


def panel_class() -> type[anywidget.AnyWidget]:
    """Return the class of the widget, made when it is first needed: its bases are slow to import."""
    with _defining:
        return _panel_class()


@cache
def _panel_class() -> type[anywidget.AnyWidget]:
    script = _script()
    base: type[anywidget.AnyWidget] = need("anywidget", "the live panel").AnyWidget
    from traitlets import Bool, Dict, Int, Unicode

    class DeploymentPanel(base):  # type: ignore[valid-type, misc]  # a class that is known at run time only
        """The live panel of one deployment."""

        _esm = script

        name = Unicode(help="the deployment").tag(sync=True)
        seconds = Int(HISTORY_S, help="how far back the charts look").tag(sync=True)
        history = Dict(default_value=None, allow_none=True, help="a `live.Series`, as it was when shown").tag(sync=True)
        view = Dict(default_value=None, allow_none=True, help="a `live.View`, as it was when shown").tag(sync=True)
        comm_only = Bool(False, help="ask the kernel even where the Jupyter Server could be asked").tag(sync=True)

        def __init__(self, store: Store, name: str) -> None:
            self.fallback: Callable[[], dict[str, Any]] = dict
            self._store = store
            self._looked_s = time.monotonic()
            self._relay = Relay(lambda: str(self.name), store, self.send)
            looking = _look(store, name, HISTORY_S)
            wait([looking], FILLING_S)
            known = looking.result() if looking.done() else {}
            super().__init__(name=name, **known)
            self.on_msg(lambda _widget, content, _buffers: self._relay.receive(content))
            if not known:
                looking.add_done_callback(self._fill)

        def close(self) -> None:
            """Take the panel away wherever it is shown."""
            if _panels.get((self._store.home, str(self.name))) is self:
                del _panels[self._store.home, str(self.name)]
            self._relay.close()
            super().close()

        def bundle(self) -> dict[str, Any]:
            """The panel as it is shown, and what stands in for it where it cannot be; a still picture will follow."""
            from autodeploy_magic.notebook.picture import below_cell

            now = time.monotonic()
            if now - self._looked_s > FRESH_S:
                self._looked_s = now
                _look(self._store, str(self.name), int(self.seconds)).add_done_callback(self._fill)
            below_cell(self._store, str(self.name))
            return self.fallback() | {WIDGET: {"version_major": 2, "version_minor": 0, "model_id": self.model_id}}

        def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
            return self.bundle()

        def __repr__(self) -> str:
            return f"DeploymentPanel({self.name!r})"

        def _fill(self, looking: Looking) -> None:
            with self.hold_sync():
                for trait, value in looking.result().items():
                    self.set_trait(trait, value)

    return DeploymentPanel


def _look(store: Store, name: str, seconds: int) -> Looking:
    """Ask in a thread how the deployment is: the values of traits, none of them where that cannot be told."""
    looking: Looking = Future()

    def look() -> None:
        try:
            looking.set_result(_looked(store, name, seconds))
        except Exception as error:  # noqa: BLE001  # the panel is shown all the same, and asks again by itself
            log.info("%s: the panel begins empty: %r", name, error)
            looking.set_result({})

    in_thread("autodeploy-look", look)
    return looking


def _looked(store: Store, name: str, seconds: int) -> dict[str, Any]:
    import msgspec

    from autodeploy_magic.supervisor.client import Supervisor

    supervisor = Supervisor(store, start=False)
    view = supervisor.view(name)
    history = supervisor.series(name, seconds=seconds, points=min(seconds, HISTORY_S))
    return {"view": msgspec.to_builtins(view), "history": msgspec.to_builtins(history)}


def _script() -> str:
    """The widget's script, built from labextension/."""
    file = resources.files("autodeploy_magic.notebook").joinpath("static", "panel.js")
    try:
        return file.read_text("utf-8") + "\n"  # a text of one line might be taken for the path of a file
    except FileNotFoundError:
        raise BrokenPackage(
            "the live panel's script is not there",
            why="it is built from labextension/, which a checkout has not done yet",
            fix="run `make labextension` in the checkout, then this again",
        ) from None
