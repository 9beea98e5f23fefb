"""An objective that is a share of events: latency, errors, refused, availability. It has an error budget, which burns.

The objective is the champion's. Each version has windows of its own, that begin when it becomes champion: what the one
before did wrong is not held against it. The budget is the deployment's, whoever served. A canary is held to the same
objective, and named where it breaks it.
"""

from __future__ import annotations

from collections import deque

from autodeploy_magic.health import Finding, ObjectiveState, Severity
from autodeploy_magic.metrics.histogram import bucket
from autodeploy_magic.operate.detect.base import Answers
from autodeploy_magic.operate.slo.burn import BOOK_FAST_S, Alarm, Burn
from autodeploy_magic.operate.slo.history import Minute
from autodeploy_magic.operate.slo.recent import RECENT_S, Recent
from autodeploy_magic.operate.slo.seen import Judged, Second
from autodeploy_magic.operate.slo.windows import PERIOD_S
from autodeploy_magic.slo import METRICS, Objective, worded

__all__ = ["Events", "allowed_share"]

BROKEN_SHARE = 0.05
"""Of requests that fail: anybody would call that broken, whether or not an objective was given."""
_EVERY_S = 5  # values and rates that are only shown are read so often
_HOUR_S = 3600
_SET_BACK_S = 60  # a clock that is set back further begins new windows: the old ones would wait for it to catch up


def allowed_share(objective: Objective) -> float:
    """The share of events that may be bad."""
    quantile = METRICS[objective.metric].quantile
    if quantile:
        return round(1 - quantile, 9)
    return objective.limit if objective.op == "<" else round(1 - objective.limit, 9)


class Events:
    """One objective. `see` judges a second."""

    def __init__(self, objective: Objective, *, learned: bool, since: int) -> None:
        self.objective = objective
        self.champion = Burn(allowed_share(objective), since)
        self._learned = learned
        self._quantile = METRICS[objective.metric].quantile
        self.bound = bucket(objective.limit) if self._quantile else 0
        self._canary: tuple[int, Burn] = (0, Burn(self.champion.allowed, since))
        self._hours: deque[tuple[int, int, int]] = deque()
        self._spent = [0, 0]
        self._shown: ObjectiveState | None = None
        self._shown_at = 0
        self._fault: tuple[int, bool, float | None] = (0, False, None)

    def anew(self, since: int) -> None:
        """Another version is the champion since then."""
        self.champion = Burn(self.champion.allowed, since)
        self._shown = None

    def recall(self, minute: Minute, over: int, *, champion: bool) -> None:
        """A minute from before the first second: of the version that is the champion now, or of one before it."""
        bad = over if self._quantile else minute.refused if self.objective.metric == "refused" else minute.failed
        self._spend(minute.minute, minute.requests, bad)
        if champion:
            events = minute.requests
            self.champion.windows.add(minute.minute + 59, events, bad, min(events, 60), min(bad, 60))

    def see(self, second: Second) -> Judged:
        """How the objective stands, and the fault where it burns."""
        t, answers = second.moment.t, second.champion
        if t < self.champion.windows.now - _SET_BACK_S:
            self.anew(t)
        burn = self.champion
        if answers is None:
            burn.windows.skip(t)
        else:
            bad = self._bad(answers)
            burn.windows.add(t, answers.requests, bad)
            self._spend(t, answers.requests, bad)
        alarm, version, recent = burn.look(), second.moment.version.number, second.champion_recent
        if not second.canary:
            self._canary = 0, burn
        else:
            found = self._see_canary(second)
            if alarm is None and found is not None:
                alarm, version, recent = found, second.canary, second.canary_recent
        state = self._state(t, alarm if version == second.moment.version.number else None, second.champion_recent)
        if alarm is None:
            return state, None
        return state, self._finding(alarm, version, recent, t, of_canary=version == second.canary)

    def _see_canary(self, second: Second) -> Alarm | None:
        number, burn = self._canary
        if number != second.canary or second.moment.t < burn.windows.now - _SET_BACK_S:
            burn = Burn(self.champion.allowed, second.moment.t)
            self._canary = second.canary, burn
        answers = second.canary_answers
        if answers is None:
            burn.windows.skip(second.moment.t)
        else:
            burn.windows.add(second.moment.t, answers.requests, self._bad(answers))
        return burn.look()

    def _bad(self, answers: Answers) -> int:
        if not self._quantile:
            return answers.refused if self.objective.metric == "refused" else answers.failed
        bound = self.bound
        return sum([count for index, count in answers.latency.items() if index > bound])

    def _spend(self, second: int, events: int, bad: int) -> None:
        hours, hour = self._hours, second // _HOUR_S
        if hours and hours[-1][0] == hour:
            hours[-1] = hour, hours[-1][1] + events, hours[-1][2] + bad
        else:
            hours.append((hour, events, bad))
        self._spent[0] += events
        self._spent[1] += bad
        while hours[0][0] <= hour - PERIOD_S // _HOUR_S:
            _, gone, gone_bad = hours.popleft()
            self._spent[0] -= gone
            self._spent[1] -= gone_bad

    def _left(self) -> float | None:
        """What is left of the budget; None while it does not come to one event."""
        events, bad = self._spent
        budget = events * self.champion.allowed
        return max(0.0, 1 - bad / budget) if budget >= 1 else None

    def _state(self, t: int, alarm: Alarm | None, recent: Recent) -> ObjectiveState:
        """How the champion stands. Where all is well it is worked out every five seconds: quantiles take time."""
        if self._shown is not None and alarm is None and 0 <= t - self._shown_at < _EVERY_S:
            return self._shown
        burn = self.champion
        value = self._value(burn, recent, RECENT_S) if alarm is None else self._faulty(alarm, recent, t, canary=False)
        well = "met" if value is not None else "unknown"
        state = ObjectiveState(
            text=self.objective.text,
            metric=self.objective.metric,
            state=well if alarm is None else "broken" if alarm.severity == "critical" else "burning",  # type: ignore[arg-type]
            limit=self.objective.limit,
            value=value,
            burn_fast=burn.rate(BOOK_FAST_S),
            burn_slow=burn.rate(PERIOD_S),
            budget_left=self._left(),
            learned=self._learned,
        )
        self._shown, self._shown_at = (state if alarm is None else None), t
        return state

    def _value(self, burn: Burn, recent: Recent, seconds: int) -> float | None:
        if self._quantile:
            return recent.quantile(self._quantile, seconds)
        counted = burn.windows.over(seconds)
        if not counted.events:
            return None
        share = counted.bad / counted.events
        return share if self.objective.op == "<" else 1 - share

    def _faulty(self, alarm: Alarm, recent: Recent, t: int, *, canary: bool) -> float | None:
        """The value over the window that shows the fault, or as much of it as latencies are kept of."""
        at, of_canary, value = self._fault
        if not 0 <= t - at < _EVERY_S or of_canary != canary:
            burn = self._canary[1] if canary else self.champion
            value = self._value(burn, recent, min(alarm.long_s, RECENT_S) if self._quantile else alarm.long_s)
            self._fault = t, canary, value
        return value

    def _finding(self, alarm: Alarm, version: int, recent: Recent, t: int, *, of_canary: bool) -> Finding:
        value = self._faulty(alarm, recent, t, canary=of_canary)
        metric = self.objective.metric
        severity: Severity = alarm.severity
        if self._learned:
            share = alarm.counted.bad / max(1, alarm.counted.events)
            severity = "critical" if metric == "errors" and share > BROKEN_SHARE else "warning"
        who = f"canary v{version}: " if of_canary else ""
        return Finding(
            rule=f"slo:{metric}",
            detector="slo",
            metric=metric,
            severity=severity,
            text=f"{who}{self._words(alarm, value)}",
            value=value,
            limit=self.objective.limit,
            version=version,
            objective="learned" if self._learned else "given",
        )

    def _words(self, alarm: Alarm, value: float | None) -> str:
        objective, counted = self.objective, alarm.counted
        rate = f"{alarm.rate:.0f}" if alarm.rate >= 10 else f"{alarm.rate:.1f}"
        burns = f"the error budget burns {rate}× too fast"
        if alarm.rate < 1:
            burns = "the error budget burned too fast until just now"
        burns += f" (learned: {objective.text})" if self._learned else ""
        limit, over = worded(objective.metric, objective.limit), span(alarm.long_s)
        if self._quantile and alarm.long_s <= RECENT_S and value is not None and value > objective.limit:
            return f"{objective.metric} {worded(objective.metric, value)} > {limit} for {over}: {burns}"
        share = worded("errors", counted.bad / max(1, counted.events))
        done = {"errors": "failed", "availability": "failed", "refused": "were refused"}
        what = f"took over {limit}" if self._quantile else done[objective.metric]
        may = worded("errors", self.champion.allowed)
        return f"{share} of {counted.events:,} requests {what} within {over}, {may} may: {burns}"


def span(seconds: int) -> str:
    """A window as people say it: "15 s", "5 min", "6 h", "3 days"."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and unit != "days"):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds} s"
