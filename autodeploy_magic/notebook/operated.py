"""What a handle has for the time after the deployment: its drills, and requests that were recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autodeploy_magic.notebook.drift import ShownDrift, drifted
from autodeploy_magic.notebook.drills import Repro, Sent, ShownDrill, not_recorded, sent
from autodeploy_magic.notebook.objectives import ShownSlo, promised, shown
from autodeploy_magic.notebook.quality import ShownQuality, quality_of

if TYPE_CHECKING:
    from autodeploy_magic.contracts import Desired, Version
    from autodeploy_magic.notebook.alerts import ShownAlerts, ShownTest
    from autodeploy_magic.notebook.recovery import ShownIncidents, ShownRecovery
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
