"""The SLO: objectives that a person gave, or that were learned, and whether they are kept. See `operate.slo`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from autodeploy_magic.health import Finding, ObjectiveState, SloState
from autodeploy_magic.operate.detect.base import About, Answers, Moment
from autodeploy_magic.operate.slo.events import Events
from autodeploy_magic.operate.slo.gauges import Gauge
from autodeploy_magic.operate.slo.history import minutes
from autodeploy_magic.operate.slo.learned import Learner
from autodeploy_magic.operate.slo.recent import Recent
from autodeploy_magic.operate.slo.scores import Score
from autodeploy_magic.operate.slo.seen import Second
from autodeploy_magic.operate.slo.windows import PERIOD_S
from autodeploy_magic.slo import METRICS, Objective, parse

__all__ = ["SloDetector", "state"]

_QUALITY = ("score", "target")
_NOTHING = Answers()


def state(objectives: Iterable[ObjectiveState]) -> SloState:
    """The worst of the objectives; "unset" where there is none, or nothing is known of any yet."""
    states = {objective.state for objective in objectives}
    if "broken" in states:
        return "broken"
    if "burning" in states:
        return "burning"
    return "met" if "met" in states else "unset"


class SloDetector:
    """One deployment's. Sets `moment.objectives`."""

    about = About(
        help="An objective of the SLO line is not kept, or its error budget burns too fast.",
        defaults="burn rates 14.4× over 15 s & 5 s, 3× over 30 s & 10 s, 14.4× over 1 h & 5 min, 6× over 6 h & 30 min,"
        " 1× over 3 d & 6 h, each beyond chance (p < 1e-6) and in 5 seconds; memory and disk_free after 10 s, cpu"
        " (a mean of 30 s) after 15 s, clear at 95 % for 30 s; quality from 50 labels on; learned where none is given",
        detects="errors 0 → 2 % at 100 requests/s with errors<0.1%: 6 s a warning, 12 s critical",
        cost="20 µs",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self._text: str | None = None
        self._given: tuple[Objective, ...] = ()
        self._learner = Learner()
        self._judges: dict[tuple[bool, Objective], Events | Gauge | Score] = {}
        self._serving: tuple[int, float] | None = None
        self._champion = Recent()
        self._canary = 0
        self._canary_recent = Recent()
        self._timed = False
        self._fires = False

    def recall(self, file: Path, moment: Moment) -> None:
        """Fill the windows with what is written down of the time before `moment`, the first that will be seen.

        Reads a file, once: what calls it may wait for that. Raises `sqlite3.Error`; then the windows begin empty.
        """
        self._heed(moment)
        judges = [judge for judge in self._judges.values() if isinstance(judge, Events)]
        if not judges:
            return
        since = moment.t - PERIOD_S
        became = int(moment.swapped_s) if moment.swapped_s else since
        found = minutes(file, since, moment.t, [judge.bound for judge in judges])
        own = [minute.minute for minute in found if minute.version == moment.version.number and minute.minute >= became]
        for judge in judges:
            judge.anew(own[0] if own else moment.t)
        apart = {moment.desired.traffic.canary, *moment.desired.traffic.loaded} - {0, moment.version.number}
        for minute in found:
            if minute.version not in apart:  # its answers were never the deployment's own
                for i, judge in enumerate(judges):
                    judge.recall(minute, minute.over[i], champion=minute.minute >= (own[0] if own else moment.t))

    def see(self, moment: Moment) -> list[Finding]:
        """Judge a second by every objective."""
        self._heed(moment)
        second = self._second(moment)
        if self._text == "":
            fires = self._fires or bool(moment.findings)
            if self._learner.see(second, fires=fires):
                self._arrange(moment)
        states, findings = [], []
        for judge in self._judges.values():
            stands, finding = judge.see(second)
            states.append(stands)
            if finding is not None:
                findings.append(finding)
        moment.objectives = tuple(states)
        self._fires = bool(findings)
        return findings

    def _heed(self, moment: Moment) -> None:
        """Take note of another line, another champion, another canary."""
        if moment.desired.slo != self._text:
            self._given = parse(moment.desired.slo).objectives
            self._text = moment.desired.slo
            self._learner = Learner()
            self._arrange(moment)
        serving = (moment.version.number, moment.swapped_s)
        if serving != self._serving:
            if self._serving is not None:
                self._champion = Recent()
                for judge in self._judges.values():
                    judge.anew(moment.t)
            self._serving = serving
        if moment.desired.traffic.canary != self._canary:
            self._canary = moment.desired.traffic.canary
            self._canary_recent = Recent()

    def _arrange(self, moment: Moment) -> None:
        """Have one judge for each objective. One that was there before goes on with what it knows."""
        learned = self._text == ""
        wanted = self._learner.objectives if learned else self._given
        keys = [(learned, objective) for objective in wanted]
        self._judges = {key: self._judges.get(key) or _judge(*key, moment.t) for key in keys}
        self._timed = any(METRICS[objective.metric].quantile for objective in wanted)

    def _second(self, moment: Moment) -> Second:
        """What the champion and the canary answered, apart."""
        champion = canary = None
        if moment.answers is not None:
            by_version = moment.by_version
            champion = by_version.get(moment.version.number, _NOTHING) if by_version else moment.answers
            if self._timed:
                self._champion.add(moment.t, champion.latency)
            if self._canary:
                canary = by_version.get(self._canary, _NOTHING)
            if canary is not None and self._timed:
                self._canary_recent.add(moment.t, canary.latency)
        return Second(moment, champion, self._champion, self._canary, canary, self._canary_recent)


def _judge(learned: bool, objective: Objective, since: int) -> Events | Gauge | Score:
    metric = METRICS[objective.metric]
    if metric.budget:
        return Events(objective, learned=learned, since=since)
    if objective.metric == "r2" or metric.kind in _QUALITY:
        return Score(objective, since=since)
    return Gauge(objective, learned=learned, since=since)
