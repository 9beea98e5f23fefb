"""Decisions: what is done about which fault now, if anything. No clock, no hands, no files.

What was done before is all that is remembered, and it is the incidents: so a supervisor that starts again decides as
the one before it would have.

- One action at a time. The next waits until what came of the last is known, but for an urgent one.
- No more than so many within an hour; and of a group, none before its cool-down has passed.
- What did not help, or was taken back, is not tried again for the same rule and version for a day.
- A fault that began with an action of ours is given time to pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from autodeploy_magic.health import Alert, Incident, Recovery
from autodeploy_magic.operate.recover.actions.base import Action
from autodeploy_magic.operate.recover.case import Case, Figures
from autodeploy_magic.operate.recover.policy import IDLE, rules
from autodeploy_magic.policy import Step

__all__ = ["Decision", "Verdict", "decide", "judge", "seen_before", "spent"]

HOUR_S, DAY_S = 3600.0, 24 * 3600.0
LINGER_S = 300.0
"""A fault is told for a while after what helped against it: burn rates look minutes back."""
GRACE_S = 15.0
"""So long a fault that began with an action of ours is left alone."""
RETRY_S = 300.0
"""After an action that failed."""
_ELSE = 10
"""Times its cool-down for which an action that did not help against one fault is not tried against another."""
_RANK = {"critical": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Decision:
    """What becomes of a fault. "held" would be done and may not yet; "none" is one that nothing is known against."""

    alert: Alert
    rule: str
    action: str
    mode: Literal["act", "suggest", "held", "none"]
    would: str = ""
    why: str = ""


@dataclass(frozen=True)
class Verdict:
    """What came of an action. `undo` says that it is to be taken back, where that can be."""

    outcome: Literal["helped", "no_help", "held"]
    undo: bool = False
    why: str = ""


def decide(
    now_s: float,
    mode: Recovery,
    alerts: Iterable[Alert],
    incidents: Sequence[Incident],
    case_of: Callable[[Alert], Case],
    actions: Mapping[str, Action],
    per_hour: int,
) -> Decision | None:
    """The next thing to do or to say about one deployment; None for nothing. `incidents` are its own, in any order."""
    if mode == "off" or any(one.outcome == "open" and not one.did for one in incidents):
        return None
    settling = any(one.outcome == "open" for one in incidents)
    acted = sum(one.acted_s > now_s - HOUR_S for one in incidents)
    full = f"{acted} actions within an hour are the most there may be" if acted >= per_hour else ""
    wanted = [alert for alert in alerts if alert.state == "firing" and alert.silenced_until_s <= now_s]
    for alert in sorted(wanted, key=lambda one: (_RANK[one.severity], one.since_s)):
        if (alert.severity == "info" and alert.rule != IDLE) or _left_alone(now_s, alert, incidents):
            continue
        found = _about(now_s, mode, case_of(alert), incidents, actions, full, settling=settling)
        if found is not None:
            return found
    return None


def judge(
    now_s: float,
    incident: Incident,
    action: Action,
    done_s: float,
    limit: float | None,
    after: Figures,
    *,
    firing: bool,
) -> Verdict | None:
    """What came of an action that was done at `done_s`; None while that is not known."""
    waited_s = now_s - done_s
    if waited_s < 1.0:
        return None
    if not firing:
        return Verdict("helped")
    if waited_s < action.settle_s:
        return None
    better = action.helps(incident, limit, after)
    if better:
        return Verdict("helped", why="its alert looks some minutes back, and ends by itself")
    if better is None:
        if waited_s < 3 * action.settle_s:
            return None
        return Verdict("held", why="nothing was asked since that would tell whether it helped")
    return Verdict("no_help", undo=True, why=f"{incident.metric} was not better after {waited_s:.0f} s")


def seen_before(now_s: float, decision: Decision, version: int, incidents: Iterable[Incident]) -> Incident | None:
    """An incident without an action that says the same, and is open or ended within the hour: it is continued."""
    for one in incidents:
        same = (one.rule, one.action, one.version) == (decision.alert.rule, decision.action, version)
        if same and not one.acted_s and (not one.closed_s or now_s - one.closed_s < HOUR_S):
            return one
    return None


def spent(now_s: float, action: Action, rule: str, version: int, incidents: Iterable[Incident]) -> str:
    """Why an action is not tried again for this rule and version; "" where it may be.

    What did not help against one fault is left alone for a while against the others too: two faults of one cause would
    have it done and undone in turn.
    """
    for one in incidents:
        if (one.action, one.version) != (action.name, version) or not one.acted_s:
            continue
        passed_s = now_s - one.closed_s
        if one.outcome in ("no_help", "undone") and passed_s < (
            DAY_S if one.rule == rule else _ELSE * action.cool_down_s
        ):
            return "it did not help" if one.outcome == "no_help" else "it was undone"
        if one.outcome == "failed" and one.rule == rule and passed_s < RETRY_S:
            return "it failed"
    return ""


def _left_alone(now_s: float, alert: Alert, incidents: Iterable[Incident]) -> bool:
    """Whether a fault is being dealt with, or follows from what was done."""
    for one in incidents:
        if one.rule == alert.rule and one.acted_s:
            if one.outcome == "open":
                return True
            if one.outcome == "helped" and one.opened_s >= alert.since_s - 1 and now_s - one.closed_s < LINGER_S:
                return True
        ended = one.closed_s or now_s
        ours = one.acted_s and one.rule != alert.rule and one.acted_s <= alert.since_s <= ended + 1
        if ours and not alert.worker and now_s - ended < GRACE_S:
            return True
    return False


def _about(
    now_s: float,
    mode: Recovery,
    case: Case,
    incidents: Sequence[Incident],
    actions: Mapping[str, Action],
    full: str,
    *,
    settling: bool,
) -> Decision | None:
    alert, notes = case.alert, []
    suggestion: Decision | None = None
    held: Decision | None = None
    applying = rules(case)
    for rule in applying:
        for step in rule.steps:
            action = actions.get(step.action)
            if action is None:
                continue
            reason = action.fits(case) or spent(now_s, action, alert.rule, case.version, incidents)
            if reason:
                notes.append(f"{action.name}: {reason}")
                continue
            would = action.would(case)
            if mode == "act" and _may(step, case):
                if settling and not action.urgent:
                    return None
                waits = full or _cooling(now_s, action, incidents, actions)
                if not waits:
                    return Decision(alert, rule.name, action.name, "act", would, step.reason)
                held = held or Decision(alert, rule.name, action.name, "held", would, waits)
            else:
                why = step.reason if step.mode == "suggest" else f"{step.reason}; recovery only suggests here"
                suggestion = suggestion or Decision(alert, rule.name, action.name, "suggest", would, why)
    for found in (suggestion, held):
        if found is not None and not _said(found, case.version, incidents):
            return found
    if suggestion is None and held is None and (alert.severity == "critical" or _tried(alert, incidents)):
        why = "; ".join(notes) or "nothing is known that could be done about it"
        nothing = Decision(alert, applying[0].name if applying else "", "", "none", "", why)
        return None if _said(nothing, case.version, incidents) else nothing
    return None


def _may(step: Step, case: Case) -> bool:
    """Whether it is done without asking: as the table says, but for a re-tune, where the deployment says so."""
    if step.action == "retune":
        return case.desired.settings.get("retune_incidents") == "act"
    return step.mode == "act"


def _cooling(now_s: float, action: Action, incidents: Iterable[Incident], actions: Mapping[str, Action]) -> str:
    """Why it is too early for an action of this group; "" where it is not."""
    group = action.group or action.name
    for one in incidents:
        other = actions.get(one.action)
        if other is not None and one.acted_s and (other.group or other.name) == group:
            passed = now_s - one.acted_s
            if passed < action.cool_down_s:
                return f"{one.action} was done {passed:.0f} s ago, and {action.cool_down_s:.0f} s have to pass"
    return ""


def _said(decision: Decision, version: int, incidents: Iterable[Incident]) -> bool:
    """Whether it stands on the timeline already."""
    key = (decision.alert.rule, decision.action, version)
    return any((one.rule, one.action, one.version) == key and not one.acted_s and not one.closed_s for one in incidents)


def _tried(alert: Alert, incidents: Iterable[Incident]) -> bool:
    return any(one.rule == alert.rule and one.acted_s and one.opened_s >= alert.since_s - 1 for one in incidents)
