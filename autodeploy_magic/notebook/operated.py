"""What a handle has for the time after the deployment: its drills, re-tunes, and requests that were recorded."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.notebook.drift import ShownDrift, drifted
from autodeploy_magic.notebook.drills import Repro, Sent, ShownDrill, not_recorded, sent
from autodeploy_magic.notebook.objectives import ShownSlo, promised, shown
from autodeploy_magic.notebook.quality import ShownQuality, quality_of

if TYPE_CHECKING:
    from autodeploy_magic.contracts import Desired, Version
    from autodeploy_magic.notebook.alerts import ShownAlerts, ShownTest
    from autodeploy_magic.notebook.data import Exported, Forgotten, ShownData
    from autodeploy_magic.notebook.recovery import ShownIncidents, ShownRecovery
    from autodeploy_magic.notebook.retune import ShownRetune, ShownRetunes
    from autodeploy_magic.store import Store
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["Operated"]


class Operated:
    """The part of `Deployment` that looks after what serves."""

    name: str
    _store: Store

    if TYPE_CHECKING:

        @property
        def _supervisor(self) -> Supervisor: ...

        @property
        def _desired(self) -> Desired: ...

        def _version(self, number: int) -> Version: ...

        def _reported(self, title: str, job: Callable[[Any], Any]) -> Any: ...

    def slo(self, text: str | None = None) -> ShownSlo:
        """What it promises, and how it keeps that; with a `text` such as "p99<50ms, errors<0.1%", that from now on.

        "learn" has it learn what is usual, "off" promises nothing. No worker is restarted. Raises `InvalidOption`.
        """
        if text is None:
            return shown(self._supervisor, self.name, None, lambda _: None)
        promised(text)
        return self._reported("slo", lambda report: shown(self._supervisor, self.name, text, report))  # type: ignore[no-any-return]

    def quality(self, by: str | None = None) -> ShownQuality:
        """How right it answers, by labels or as its confidence lets expect; `by` a column for each of its values.

        Raises `InvalidOption` for a column that labelled rows do not have.
        """
        return quality_of(self._store, self._supervisor, self._version(self._desired.version), by)

    def drift(self) -> ShownDrift:
        """Whether the columns of the requests, and the answers, are still as they were, the worst first."""
        return drifted(self._supervisor, self.name)

    def alerts(
        self, silence: str | None = None, for_: str = "1h", unsilence: str | None = None, test: bool = False
    ) -> ShownAlerts | ShownTest:
        """What is wrong with it now and was lately: those that fire, those that are silenced, and those that are over.

        `silence` is a rule ("latency"; "drift" is all of its columns, too) or "all": nobody is told that it fires, for
        a period such as "2h"; `unsilence` ends that. With `test` every channel sends a message, and what is returned
        says which ones arrived. Raises `InvalidOption`.
        """
        from autodeploy_magic.notebook.alerts import alerts_of

        self._desired  # noqa: B018  # raises UnknownDeployment
        return alerts_of(self._supervisor, self.name, silence, for_, unsilence, test=test)

    def incidents(self, act: str | None = None, undo: str | None = None) -> ShownIncidents:
        """What was done about its faults, or is suggested, the newest first, and what came of it.

        `act` is the id of one whose suggestion is done now, `undo` of one whose action is taken back. Raises
        `InvalidOption` where that cannot be.
        """
        from autodeploy_magic.notebook.recovery import incidents_of

        if not (act or undo):
            return incidents_of(self._supervisor, self.name, None, None, lambda _: None)
        title = "act on an incident of" if act else "undo an incident of"
        return self._reported(title, lambda report: incidents_of(self._supervisor, self.name, act, undo, report))  # type: ignore[no-any-return]

    def recovery(self, mode: str | None = None) -> ShownRecovery:
        """What is done about which fault; with a `mode` ("off", "suggest", "act") that from now on.

        No worker is restarted. Raises `InvalidOption`.
        """
        from autodeploy_magic.notebook.recovery import recovery_of

        if mode is None:
            return recovery_of(self._supervisor, self.name, None, lambda _: None)
        return self._reported("recovery", lambda report: recovery_of(self._supervisor, self.name, mode, report))  # type: ignore[no-any-return]

    def drill(self, kind: str, seconds: int | None = None) -> ShownDrill:
        """Cause a fault for real, for `seconds` at most, and tell how long until it was seen and put right.

        `kind` is "kill", "hang", "leak", "slow", "errors" or "disk". Rows of the sample are sent meanwhile; requests of
        others may be lost, as with the real fault. What is left of it at the end is undone. Raises `InvalidOption`.
        """
        found = self._reported("drill", lambda report: self._supervisor.drill(self.name, kind, seconds, report))
        return ShownDrill(found)

    def retune(
        self,
        goal: str = "auto",
        *,
        budget: str | float = "5m",
        max_loss: str | float = "0.5%",
        promote: str = "ask",
        seed: int = 0,
        data: Any = None,
        labels: Any = None,
        background: bool = False,
        cancel: bool = False,
        show: str | None = None,
        take: str | None = None,
        undo: str | None = None,
        replay: str | None = None,
    ) -> ShownRetune | ShownRetunes:
        """Look for a version that is faster, smaller or better, prove it, and return what was found.

        `goal` is "auto", "latency", "size" or "quality"; `budget` how long it may take ("30s", "5m"); `max_loss` how
        much worse the answers may be ("0.5%", 0.005). What is better is served at once with `promote` "auto", else when
        `take` names it ("c3"). `data` and `labels` are rows to train with, kept for later re-tunes too. An interrupt
        cancels it, and nothing is changed then; with `background` it goes on by itself, and `cancel` ends it. `show` is
        "all" or the id of an earlier one, `undo` "last" or an id, `replay` an id. Raises `InvalidOption`.
        """
        from autodeploy_magic.notebook import retune
        from autodeploy_magic.notebook.training import keep_training

        asked = retune.Asked(background, cancel, show, take, undo, replay)
        asked.check()
        supervisor, name = self._supervisor, self.name
        champion = self._version(self._desired.version)
        if cancel:
            return retune.cancelled(supervisor, name)
        if take:
            return self._reported("take", lambda report: retune.taken(supervisor, name, take, show, report))  # type: ignore[no-any-return]
        if undo:
            return self._reported("undo", lambda report: retune.undone(supervisor, name, undo, report))  # type: ignore[no-any-return]
        if show:
            return retune.shown(supervisor, name, show)
        order = retune.order_of(goal, budget, max_loss, promote, seed)
        if (data is None) != (labels is None):
            raise InvalidOption("--data and --labels go together", fix="give the rows, and a label for each of them")
        if replay:
            order = retune.replayed(supervisor, name, replay)
        note = "" if data is None else keep_training(self._store, champion, data, labels)
        if background:
            return retune.background(supervisor, name, order, note)
        return self._reported("retune", lambda report: retune.looked_for(supervisor, name, order, report, note))  # type: ignore[no-any-return]

    def data(
        self,
        what: str = "show",
        file: str | os.PathLike[str] | None = None,
        before: str | None = None,
        yes: bool = False,
    ) -> ShownData | Exported | Forgotten | None:
        """What is recorded of its requests; with `what` "export" written to a file, with "forget" deleted for good.

        An export is a file of JSON lines, NAME-data.jsonl by default; "-" prints them. `before` ("7d") forgets only
        what is older; without `yes` nothing is forgotten. Raises `InvalidOption`.
        """
        from autodeploy_magic.notebook import data

        if what not in ("show", "export", "forget"):
            raise InvalidOption(f"{what!r} is nothing that can be done with data", fix="use show, export or forget")
        given = {"file": (file, "export"), "before": (before, "forget"), "yes": (yes or None, "forget")}
        for option, (value, verb) in given.items():
            if value is not None and what != verb:
                raise InvalidOption(f"--{option} goes with {verb}", fix=f"`%deploy data {self.name} {verb}`")
        self._desired  # noqa: B018  # raises UnknownDeployment
        if what == "export":
            return data.export(self._store, self.name, file)
        if what == "forget":
            return data.forget(self._store, self._supervisor, self.name, before, yes=yes)
        return data.shown(self._store, self.name)

    def repro(self, incident: str) -> Repro:
        """Write a cell with an incident's failing request, which sends it through the live object.

        Raises `InvalidOption` where there is no such incident, or no request to it.
        """
        code = self._supervisor.repro(self.name, incident)["code"]
        _next_cell(code)
        return Repro(code)

    def recorded(self, request: str) -> Sent:
        """Return a request that was recorded, by the id that its client was told. Raises `InvalidOption`."""
        from autodeploy_magic.reservoir import one

        found = one(self._store.requests_file(self.name), request)
        if found is None:
            raise not_recorded(self.name, request)
        return sent(self._version(found.version), found)


def _next_cell(code: str) -> None:
    """Put the code into a new cell, where there is a notebook to put it into."""
    from autodeploy_magic.notebook.screen import in_notebook

    if in_notebook():
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        if shell is not None:
            shell.set_next_input(code)
