"""Findings become alerts: told when they begin and when they are over, and not each time they flicker.

A finding fires an alert at once. One that is no longer found is over after `HOLD_S`. What comes back within `AGAIN_S`
is the same alert, and people are not told of every turn of it:

    it fires                         told at once
    it gets worse than what was told told at once
    it is over for the first time    told at once
    it fires again                   told once it has stood for `STANDS_S`, and four times as long each further time
    it is over again                 told once it has stayed away for `QUIET_S`

So whoever was told that it fires is told once that it is over, and a rule that flickers all day makes some messages an
hour. A silence holds back what begins; that something is over is told to those who know of it all the same, and what
still fires when a silence ends is told then.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from autodeploy_magic.errors import StoreFailed
from autodeploy_magic.health import Alert, Finding, Severity
from autodeploy_magic.store import Store

__all__ = ["AGAIN_S", "DAY_S", "HOLD_S", "MOST", "QUIET_S", "RANK", "STANDS_S", "Alerts"]

log = logging.getLogger(__name__)

HOLD_S = 5.0
"""Detectors have a hysteresis of their own; this is for one that misses a second."""
RESTART_HOLD_S = 60.0
"""A new supervisor's detectors know nothing yet: what fired before it came has this long to be found again."""
AGAIN_S = 1800.0
STANDS_S = 60.0
STANDS_MOST_S = 900.0
QUIET_S = 300.0
DAY_S = 24 * 3600.0
MOST = 200
"""Alerts that are kept of a deployment, and silences."""
_TRY_AGAIN_S = 60.0

RANK: dict[Severity, int] = {"info": 0, "warning": 1, "critical": 2}


class _Known(msgspec.Struct, kw_only=True):
    """An alert, and what people believe of it.

    `open` is the severity they were last told it fires with, "" where they think that it is over or never heard of it.
    `worst` is the worst they ever heard, -1 for nothing; `again` how often they were told that it is back.
    """

    alert: Alert
    seen_s: float
    open: Severity | Literal[""] = ""
    worst: int = -1
    again: int = 0


class _File(msgspec.Struct, kw_only=True):
    """What is on the disk of a deployment's alerts."""

    schema: int = 1
    alerts: list[_Known] = []
    past: list[Alert] = []
    silences: dict[str, float] = {}


class _State:
    """A deployment's alerts by rule, those that were there before of the same rules, and its silences."""

    def __init__(self, kept: _File, hold_s: float) -> None:
        self.known = {one.alert.rule: one for one in kept.alerts}
        self.past = kept.past
        self.silences = kept.silences
        self.hold_s = hold_s  # of those that were read from the disk
        self.restored = {one.alert.rule for one in kept.alerts if one.alert.state == "firing"}
        self.first_s: float | None = None
        self.changed = False
        self.unsaved_s: float | None = None
        self.problem = ""
        self.full = False

    def silenced_until(self, rule: str) -> float:
        """A silence of "drift" holds for "drift:petal_width" too; that of "" for every rule."""
        ends = [self.silences.get(name, 0.0) for name in ("", rule, rule.partition(":")[0])]
        return max(ends)


class Alerts:
    """The alerts of all deployments. All calls in one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._states: dict[str, _State] = {}

    def update(self, now_s: float, name: str, findings: Iterable[Finding], drill: str = "") -> list[Alert]:
        """Take what is found at `now_s` (seconds since the epoch), and return the alerts that are to be told of.

        Those fired, got worse or are over (`state`). `drill` names the fault that is being caused on purpose.
        """
        state = self._state(name)
        found: dict[str, Finding] = {}
        for finding in findings:
            other = found.get(finding.rule)
            if other is None or RANK[finding.severity] > RANK[other.severity]:
                found[finding.rule] = finding
        if not found and not state.known and not state.silences:
            return self._saved(state, name, now_s, [])
        if state.first_s is None:
            state.first_s = now_s
        told: list[Alert] = []
        for finding in found.values():
            self._see(state, name, now_s, finding, drill, told)
        for rule, known in list(state.known.items()):
            if rule not in found and known.alert.state == "firing" and self._gone(state, known, now_s):
                self._end(state, known, state.first_s if rule in state.restored else min(known.seen_s, now_s))
        self._silences(state, now_s)
        for known in state.known.values():
            self._tell(state, known, now_s, told)
        self._tidy(state, now_s)
        return self._saved(state, name, now_s, told)

    def end(self, now_s: float, name: str) -> list[Alert]:
        """The deployment is stopped: all its alerts are over, at once. Returns those whom people were told of."""
        state = self._state(name)
        told: list[Alert] = []
        for known in state.known.values():
            if known.alert.state == "firing":
                self._end(state, known, now_s)
            if known.open:
                told.append(self._over(state, known))
        return self._saved(state, name, now_s, told)

    def of(self, name: str) -> tuple[Alert, ...]:
        """The alerts that fire, the worst first, then those that are over, the latest first."""
        state = self._state(name)
        alerts = [known.alert for known in state.known.values()]
        firing = [alert for alert in alerts if alert.state == "firing"]
        over = [alert for alert in alerts if alert.state == "resolved"] + state.past
        firing.sort(key=lambda alert: (-RANK[alert.severity], alert.since_s, alert.rule))
        over.sort(key=lambda alert: -alert.until_s)
        return (*firing, *over)

    def silence(self, name: str, rule: str, until_s: float) -> None:
        """Tell nobody that this rule fires until then, in seconds since the epoch; 0.0 ends a silence.

        A `rule` with parts ("drift:petal_width") can be silenced by its first one, and "" is every rule there is.
        """
        state = self._state(name)
        if until_s > 0:
            state.silences[rule] = until_s
            while len(state.silences) > MOST:
                del state.silences[min(state.silences, key=state.silences.__getitem__)]
        elif rule:
            state.silences.pop(rule, None)
        else:
            state.silences.clear()
        state.changed = True
        self._silences(state, now_s=None)
        self._saved(state, name, 0.0, [])

    def did(self, name: str, rule: str, incident: str) -> None:
        """Something was done about an alert: the id of the incident that says what."""
        state = self._state(name)
        known = state.known.get(rule)
        if known is not None and known.alert.incident != incident:
            known.alert = msgspec.structs.replace(known.alert, incident=incident)
            state.changed = True

    def forget(self, name: str) -> None:
        """The deployment is removed, and its file with it."""
        self._states.pop(name, None)

    def problem(self, name: str) -> str:
        """Why its alerts would be lost if the supervisor ended now, or were lost; "" where all is well."""
        state = self._states.get(name)
        return state.problem if state is not None else ""

    # --- one finding, one alert

    def _see(self, state: _State, name: str, now_s: float, finding: Finding, drill: str, told: list[Alert]) -> None:
        known = state.known.get(finding.rule)
        if known is not None and known.alert.state == "resolved" and now_s - known.alert.until_s > AGAIN_S:
            if known.open:
                told.append(self._over(state, known))
            state.past.append(known.alert)
            del state.known[finding.rule]
            known = None
        if known is None:
            if not self._room(state, name):
                return
            alert = Alert(
                id=secrets.token_hex(6),
                name=name,
                since_s=now_s,
                drill=bool(drill),
                **_facts(finding),
            )
            state.known[finding.rule] = _Known(alert=alert, seen_s=now_s)
            state.changed = True
            return
        known.seen_s = now_s
        state.restored.discard(finding.rule)
        was, facts = known.alert, _facts(finding)
        if was.state == "resolved":
            known.alert = msgspec.structs.replace(
                was,
                **facts,
                state="firing",
                since_s=now_s,
                until_s=0.0,
                times=was.times + 1,
                drill=bool(drill),
                incident="",
            )
            state.changed = True
            return
        if RANK[was.severity] > RANK[finding.severity]:
            facts["severity"] = was.severity  # as bad as it was since it began
        elif was.severity != finding.severity:
            state.changed = True
        known.alert = msgspec.structs.replace(was, **facts)

    def _gone(self, state: _State, known: _Known, now_s: float) -> bool:
        if known.alert.rule in state.restored:
            assert state.first_s is not None
            return now_s - state.first_s >= state.hold_s
        return now_s - known.seen_s >= HOLD_S

    def _end(self, state: _State, known: _Known, at_s: float) -> None:
        until_s = max(at_s, known.alert.since_s)
        known.alert = msgspec.structs.replace(known.alert, state="resolved", until_s=until_s)
        state.restored.discard(known.alert.rule)
        state.changed = True

    # --- what people are told

    def _tell(self, state: _State, known: _Known, now_s: float, told: list[Alert]) -> None:
        alert, rank = known.alert, RANK[known.alert.severity]
        if alert.state == "resolved":
            if known.open and (alert.times == 1 or now_s - alert.until_s >= QUIET_S):
                told.append(self._over(state, known))
            return
        if alert.silenced_until_s > now_s:
            return
        if known.open:
            news = rank > RANK[known.open]
        elif rank > known.worst:  # they never heard of it, or not that it is this bad
            news = True
        else:
            news = now_s - alert.since_s >= min(STANDS_S * 4**known.again, STANDS_MOST_S)
            known.again += news
        if news:
            known.open, known.worst = alert.severity, max(rank, known.worst)
            state.changed = True
            told.append(alert)

    def _over(self, state: _State, known: _Known) -> Alert:
        """What people are told of an alert that is over: with the severity that they know it by."""
        assert known.open
        alert = msgspec.structs.replace(known.alert, severity=known.open)
        known.open = ""
        state.changed = True
        return alert

    def _silences(self, state: _State, now_s: float | None) -> None:
        if now_s is not None:
            ended = [rule for rule, until_s in state.silences.items() if until_s <= now_s]
            for rule in ended:
                del state.silences[rule]
                state.changed = True
        for known in state.known.values():
            until_s = state.silenced_until(known.alert.rule)
            if known.alert.silenced_until_s != until_s:
                known.alert = msgspec.structs.replace(known.alert, silenced_until_s=until_s)

    # --- how many, and where they are kept

    def _room(self, state: _State, name: str) -> bool:
        """Make room for one more: what is over gives way, the oldest first; not what is still to be told."""
        if len(state.known) + len(state.past) < MOST:
            state.full = False
            return True
        if state.past:
            state.past.sort(key=lambda alert: alert.until_s)
            del state.past[0]
            return True
        over = [one for one in state.known.values() if one.alert.state == "resolved" and not one.open]
        if over:
            del state.known[min(over, key=lambda one: one.alert.until_s).alert.rule]
            return True
        if not state.full:
            state.full = True
            log.warning("%s: %d alerts fire at once; more are not taken", name, MOST)
        return False

    def _tidy(self, state: _State, now_s: float) -> None:
        """Forget what is over for a day."""
        kept = [alert for alert in state.past if now_s - alert.until_s < DAY_S]
        old = [
            rule
            for rule, known in state.known.items()
            if known.alert.state == "resolved" and not known.open and now_s - known.alert.until_s >= DAY_S
        ]
        for rule in old:
            del state.known[rule]
        if old or len(kept) != len(state.past):
            state.past, state.changed = kept, True

    def _state(self, name: str) -> _State:
        state = self._states.get(name)
        if state is None:
            state = self._states[name] = self._read(name)
        return state

    def _read(self, name: str) -> _State:
        file = self._store.alerts_file(name)
        try:
            return _State(msgspec.json.decode(file.read_bytes(), type=_File), RESTART_HOLD_S)
        except FileNotFoundError:
            return _State(_File(), RESTART_HOLD_S)
        except (OSError, msgspec.MsgspecError) as error:
            state = _State(_File(), RESTART_HOLD_S)
            state.problem = f"the alerts of before cannot be read, and are begun anew ({error})"
            log.warning("%s: %s: %s", name, file, state.problem)
            return state

    def _saved(self, state: _State, name: str, now_s: float, told: Sequence[Alert]) -> list[Alert]:
        """Write it down where something has changed, and return what is told: also where the disk is full."""
        waits = state.unsaved_s is not None and not told and 0 <= now_s - state.unsaved_s < _TRY_AGAIN_S
        if state.changed and not waits:
            kept = _File(alerts=list(state.known.values()), past=state.past, silences=state.silences)
            try:
                if self._store.exists(name):  # a deployment that is being removed is not brought back by a file
                    self._store.write_json(self._store.alerts_file(name), msgspec.to_builtins(kept))
            except StoreFailed as error:
                if state.unsaved_s is None:
                    log.warning("%s: its alerts are kept in memory alone: %s", name, error.what)
                state.unsaved_s = now_s
                state.problem = f"alerts are kept in memory alone: {error.what}"
            else:
                state.changed, state.unsaved_s, state.problem = False, None, ""
        return list(told)


def _facts(finding: Finding) -> dict[str, Any]:
    """What an alert says of the fault, as a finding has it."""
    return {name: getattr(finding, name) for name in finding.__struct_fields__}
