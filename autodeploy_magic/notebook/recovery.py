"""What was done about faults, as a timeline; and what would be done about which, as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Incident, Recovery
from autodeploy_magic.notebook.html import Markup, card, element, table
from autodeploy_magic.notebook.text import ago_text, cores_text, count_text, grid, percent_text, seconds_text, size_text
from autodeploy_magic.notebook.views import View
from autodeploy_magic.policy import POLICY, Step

if TYPE_CHECKING:
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["ShownIncidents", "ShownRecovery", "check_mode", "incidents_of", "recovery_of"]

_MOST = 20
_HEAD = ("", "when", "what", "rule → action", "before → after", "outcome", "id")
_MARKS = {"helped": "✓", "resolved": "✓", "failed": "✗", "no_help": "✗", "undone": "↺", "open": "…"}
_OUTCOMES = {"no_help": "did not help", "open": "under way"}
_SHARES = ("errors", "refused", "accuracy", "precision", "recall", "f1")
_SIZES = ("memory", "disk_free")
_SHOWN = ("p99", "errors", "memory", "cpu", "workers", "waiting")
MODES = {
    "off": "nothing is done, and nothing suggested",
    "suggest": "everything is suggested, and nothing done before a person says so",
    "act": "what is marked so is done, the rest is suggested",
}


@dataclass(frozen=True)
class ShownIncidents(View):
    """The incidents of a deployment, the newest first."""

    name: str
    incidents: tuple[Incident, ...]

    def text(self) -> str:
        if not self.incidents:
            return f"{self.name}: nothing had to be done yet"
        return "\n".join([f"{self.name}: incidents", grid(_HEAD, self._rows()), *self._notes()])

    def html(self) -> Markup:
        title = element("b", f"{self.name}: incidents")
        if not self.incidents:
            return card(title, element("p", "nothing had to be done yet", class_="mut"), label="incidents")
        notes = element("div", *(element("p", note, class_="mut") for note in self._notes()))
        return card(title, table(_HEAD, self._rows()), notes, label=f"incidents of {self.name}")

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                _MARKS.get(one.outcome, "○"),
                f"{ago_text(one.opened_s)} ago",
                one.text,
                f"{one.rule} → {one.did or one.would or one.action or 'nothing'}",
                _change(one),
                "; ".join(filter(None, [_outcome(one), one.result, one.why])),
                one.id,
            )
            for one in self.incidents[:_MOST]
        ]

    def _notes(self) -> list[str]:
        notes = [f"{len(self.incidents) - _MOST} older ones are kept"] if len(self.incidents) > _MOST else []
        suggested = next((one for one in self.incidents if one.outcome in ("suggested", "held") and one.action), None)
        undone = next((one for one in self.incidents if one.undo), None)
        if suggested is not None:
            notes.append(f"to do it now: %deploy incidents {self.name} --act {suggested.id}")
        if undone is not None:
            notes.append(f"to take it back: %deploy incidents {self.name} --undo {undone.id}")
        return notes


@dataclass(frozen=True)
class ShownRecovery(View):
    """What recovery does about which fault, with the switch as it is. `faults` are parts of it that failed."""

    name: str
    mode: Recovery
    faults: dict[str, str]

    def text(self) -> str:
        return "\n".join([self._title(), grid(_POLICY_HEAD, self._rows()), *self._notes()])

    def html(self) -> Markup:
        notes = element("div", *(element("p", note, class_="mut") for note in self._notes()))
        title = element("b", self._title())
        return card(title, table(_POLICY_HEAD, self._rows()), notes, label=f"recovery of {self.name}")

    def _title(self) -> str:
        return f"{self.name}: recovery {self.mode}: {MODES[self.mode]}"

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (rule.name if first else "", rule.when if first else "", step.action, self._does(step), step.reason)
            for rule in POLICY.values()
            for first, step in zip((True, *(False,) * len(rule.steps)), rule.steps, strict=False)
        ]

    def _does(self, step: Step) -> str:
        if self.mode == "off":
            return "nothing"
        return "does it" if self.mode == "act" and step.mode == "act" else "suggests it"

    def _notes(self) -> list[str]:
        others = ", ".join(mode for mode in MODES if mode != self.mode)
        return [
            *(f"{part}: {why}" for part, why in self.faults.items()),
            f"another: %deploy recovery {self.name} {others}".replace(", ", " or "),
        ]


_POLICY_HEAD = ("rule", "when", "action", "", "why")


def incidents_of(
    supervisor: Supervisor, name: str, act: str | None, undo: str | None, report: Callable[[Any], None]
) -> ShownIncidents:
    """The incidents, after one was acted on or taken back. Raises `InvalidOption` where that cannot be."""
    if act and undo:
        raise InvalidOption("--act and --undo are one too many", fix="use one of them")
    if act:
        supervisor.act(name, act, report)
    if undo:
        supervisor.undo(name, undo, report)
    return ShownIncidents(name, supervisor.health(name).incidents)


def recovery_of(supervisor: Supervisor, name: str, mode: str | None, report: Callable[[Any], None]) -> ShownRecovery:
    """What is done about faults, after the switch was set to `mode`. Raises `InvalidOption`."""
    if mode is not None:
        check_mode(mode)
        supervisor.set_recovery(name, mode, report)
    health = supervisor.health(name)
    faults = {part: why for part, why in health.faults.items() if part.startswith(("action ", "recovery", "incidents"))}
    return ShownRecovery(name, health.recovery, faults)


def check_mode(mode: str) -> None:
    """Raises `InvalidOption`."""
    if mode not in get_args(Recovery):
        raise InvalidOption(
            f"recovery cannot be {mode!r}", fix="off does nothing, suggest proposes what to do, act does it"
        )


def _outcome(incident: Incident) -> str:
    return _OUTCOMES.get(incident.outcome, incident.outcome)


def _change(incident: Incident) -> str:
    """The figures before and after, of what it is about and what changed besides."""
    names = [incident.metric, *(name for name in _SHOWN if name != incident.metric)]
    parts = []
    for name in names:
        before, after = incident.before.get(name), incident.after.get(name)
        if after is None and (before is None or name != incident.metric):
            continue
        if name != incident.metric and not _differs(before, after):
            continue
        parts.append(f"{name} {_figure(name, before)}" + (f" → {_figure(name, after)}" if after is not None else ""))
    return ", ".join(parts[:3])


def _differs(before: float | None, after: float | None) -> bool:
    return before is not None and after is not None and abs(after - before) > 0.2 * max(abs(before), abs(after))


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name in _SHARES:
        return percent_text(value)
    if name in _SIZES:
        return size_text(value)
    if name == "cpu":
        return cores_text(value)
    return seconds_text(value) if name[:1] == "p" and name[1:].isdigit() else count_text(value)
