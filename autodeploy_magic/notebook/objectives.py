"""What a deployment promises, and how it keeps it: `%deploy slo NAME`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autodeploy_magic.health import ObjectiveState, SloState
from autodeploy_magic.notebook.html import Markup, card, element, table
from autodeploy_magic.notebook.text import UNKNOWN, grid
from autodeploy_magic.notebook.views import View
from autodeploy_magic.slo import METRICS, OFF, parse, worded

if TYPE_CHECKING:
    from autodeploy_magic.contracts import Report
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["ShownSlo", "promised", "shown"]


@dataclass(frozen=True)
class ShownSlo(View):
    """The objectives of a deployment as they are now. `text` was typed by the person, "" where they are learned."""

    name: str
    slo: str
    state: SloState
    objectives: tuple[ObjectiveState, ...]

    def text(self) -> str:
        rows = [_row(one) for one in self.objectives]
        return "\n".join([f"{self.name}: {self._title()}", *([grid(_HEAD, rows)] if rows else []), *self._notes()])

    def html(self) -> Markup:
        tone = {"met": "ok", "burning": "warn", "broken": "bad"}.get(self.state, "mut")
        title = element(
            "div",
            element("span", self.name, class_="name"),
            element("span", self._title(), class_=tone),
            class_="row",
        )
        rows = [_row(one, mark=True) for one in self.objectives]
        notes = element("div", *(element("p", note, class_="mut") for note in self._notes()))
        drawn = table(_HEAD, rows, numeric=(2, 3, 4, 5)) if rows else ""
        return card(title, drawn, notes, label=f"objectives of {self.name}")

    def _title(self) -> str:
        if self.slo == OFF:
            return "promises nothing, and nothing is learned"
        whose = self.slo or "learned from its first minutes"
        words = {"unset": "nothing is known yet", "met": "kept", "burning": "burning", "broken": "broken"}
        return f"{whose}: {words[self.state]}"

    def _notes(self) -> list[str]:
        change = f'%deploy slo {self.name} "p99<50ms, errors<0.1%"'
        if self.slo == OFF:
            return [f"next: {change}, or learn"]
        windows = "burn: how many times too fast the error budget is used up, over the last hour and three days"
        burns = [windows] if any(METRICS[one.metric].budget for one in self.objectives) else []
        return [*burns, f"next: {change}, or off, or learn"]


_HEAD = ("objective", "", "now", "burn 1 h", "burn 3 d", "budget left", "")
_MARKS = {"met": ("✓ kept", "ok"), "burning": ("! burning", "warn"), "broken": ("✗ broken", "bad")}


def _row(one: ObjectiveState, *, mark: bool = False) -> tuple[str, ...]:
    word, tone = _MARKS.get(one.state, ("· unknown", "mut"))
    left = UNKNOWN if one.budget_left is None else f"{100 * one.budget_left:.0f} %"
    return (
        one.text,
        element("span", word, class_=tone) if mark else word,
        UNKNOWN if one.value is None else worded(one.metric, one.value),
        _times(one.burn_fast),
        _times(one.burn_slow),
        left if METRICS[one.metric].budget else "",
        "learned" if one.learned else "",
    )


def _times(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.0f}×" if rate >= 10 else f"{rate:.2g}×"


def promised(text: str | None) -> str | None:
    """The line in its usual form; None where none was given. Raises `InvalidOption`."""
    return None if text is None else parse(text).text


def shown(supervisor: Supervisor, name: str, text: str | None, report: Report) -> ShownSlo:
    """Change what a deployment promises, where `text` is given, and tell how it keeps it."""
    if text is not None:
        supervisor.set_slo(name, parse(text).text, report)
    health = supervisor.health(name)
    known = {one.text: one for one in health.objectives}
    return ShownSlo(name, health.slo, health.slo_state, tuple(_objectives(health.slo, known)))


def _objectives(slo: str, known: dict[str, ObjectiveState]) -> Iterable[ObjectiveState]:
    """Those of the line, also those that the supervisor has not judged yet; without a line those that were learned."""
    if not slo:
        return [one for one in known.values() if one.learned]
    return [
        known.get(one.text) or ObjectiveState(text=one.text, metric=one.metric, state="unknown", limit=one.limit)
        for one in parse(slo).objectives
    ]
