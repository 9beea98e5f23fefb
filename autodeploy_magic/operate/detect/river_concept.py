"""Answers that are wrong more often than they were: what the model learned is no longer so.

ADWIN (A. Bifet and R. Gavaldà, "Learning from Time-Changing Data with Adaptive Windowing", SDM 2007) watches the errors
of the labelled rows, in the order in which their labels came: for classes whether the answer was wrong, for numbers
e / (e + s), with the absolute error e and the median s of the first 50. It keeps as many labels as belong together, and
tells when older ones do not; the newest 100 have to confirm that, which spares its few false alarms.

Measured at a label a second, with 5 → 20 % wrong labels after 1 000: told after 112 labels (median; 248 the most of 60
streams), one false alarm in 18 days of 2, 10 and 30 % wrong. River's others alone: Page-Hinkley 153 labels, 5 of 100
later than 300, and 8 false alarms in two days where 40 % are always wrong, for its threshold fits one share of errors;
DDM told 74 times of nothing before the change, in 60 streams.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from autodeploy_magic.health import Finding
from autodeploy_magic.operate.detect.base import About, Moment
from autodeploy_magic.registry import need
from autodeploy_magic.reservoir import Labelled, Recorded

__all__ = ["ConceptDetector"]

DELTA = 0.01
CLOCK = 8
SCALED_BY = 50
RECENT = 200
AT_LEAST = 50
"""Labels since the change before it can be over."""


CONFIRMED_BY = 100
SIGMAS = 3.0
LEAST_RISE = 0.03
LEAST_PART = 0.25


class _Suspected(NamedTuple):
    """What ADWIN told: the errors `before`, of so many rows, and at which label."""

    before: float
    rows: int
    since: int


class ConceptDetector:
    """Rule "concept", for each version anew. Only what becomes worse is a fault."""

    about = About(
        help="answers that are wrong more often than they were, by the labels that came: ADWIN on their errors",
        defaults=f"ADWIN, delta {DELTA:g}, each {CLOCK} labels; the newest 100: 3 points, a quarter and 3 σ more",
        detects="wrong labels from 5 % to 20 %: 90 labels",
        cost="2 µs a label",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self._version = 0
        self._past: list[Labelled] = []

    def warm(self, recorded: Sequence[Recorded], labelled: Sequence[Labelled] = ()) -> None:
        """Look at labels from before this process when their version is seen."""
        self._past = list(labelled)

    def see(self, moment: Moment) -> Iterable[Finding]:
        if moment.version.number != self._version:
            self._version, past, self._past = moment.version.number, self._past, []
            self._numbers = moment.version.task == "regression"
            self._adwin: Any = None
            self._first: list[float] = []
            self._scale = 0.0
            self._recent: deque[float] = deque(maxlen=RECENT)
            self._usual: float | None = None
            self._worst = 0.0
            self._suspected: _Suspected | None = None
            self._labels = self._since = 0
            self._take([one._replace(before=None) for one in past])  # the newest label of each row
        if moment.labelled:
            self._take(moment.labelled)
        return [self._finding()] if self._usual is not None else []

    def _take(self, labelled: Sequence[Labelled]) -> None:
        """Look at labels in the order of their time; one that replaces another was counted already."""
        mine = [one for one in labelled if one.version == self._version and one.before is None]
        for one in sorted(mine, key=lambda one: (one.labelled_s, one.answered_s, one.row)):
            if not self._numbers:
                self._count(0.0 if is_same(one.prediction, one.label) else 1.0)
            elif (apart := distance(one.prediction, one.label)) is not None:
                self._count_distance(apart)

    def _count_distance(self, apart: float) -> None:
        if self._scale:
            self._count(apart / (apart + self._scale))
            return
        self._first.append(apart)
        if len(self._first) == SCALED_BY:
            first, self._first = self._first, []
            self._scale = max(statistics.median(first), 1e-12)
            for one in first:
                self._count(one / (one + self._scale))

    def _count(self, error: float) -> None:
        if self._adwin is None:
            drift = need("river.drift", "the detector of concept drift")
            self._adwin = drift.ADWIN(delta=DELTA, clock=CLOCK)
        adwin = self._adwin
        rows, total = adwin.width + 1, adwin.total + error
        adwin.update(error)
        self._recent.append(error)
        self._labels += 1
        if self._usual is not None:
            self._follow(self._usual)
            return
        left = rows - adwin.width
        if adwin.drift_detected and left > 0:
            before = max(0.0, (total - adwin.total) / left)
            if adwin.estimation > before and self._suspected is None:
                self._suspected = _Suspected(before, int(left), self._labels)
        if self._suspected is not None:
            self._confirm(self._suspected)

    def _confirm(self, suspected: _Suspected) -> None:
        """The newest labels alone say that it is so, and by how much: ADWIN's own window has older ones, too."""
        now, rows = self._newest(CONFIRMED_BY), min(len(self._recent), CONFIRMED_BY)
        rise = now - suspected.before
        chance = math.sqrt(max(self._adwin.variance, 1e-9) * (1 / rows + 1 / suspected.rows))
        if rise >= max(LEAST_RISE, LEAST_PART * suspected.before) and rise > SIGMAS * chance:
            self._usual, self._worst, self._since = suspected.before, now, self._labels
            self._suspected = None
        elif self._labels - suspected.since > RECENT:
            self._suspected = None

    def _follow(self, usual: float) -> None:
        """Whether it is over."""
        now, since = self._newest(RECENT), self._labels - self._since
        if since >= RECENT:
            self._worst = max(self._worst, now)
        if since >= AT_LEAST and self._newest(max(since, CONFIRMED_BY)) < usual + (self._worst - usual) / 4:
            self._usual = None

    def _newest(self, most: int) -> float:
        """The mean error of the newest labels."""
        recent = list(self._recent)[-most:]
        return sum(recent) / len(recent)

    def _finding(self) -> Finding:
        assert self._usual is not None
        now, rows = self._newest(CONFIRMED_BY), min(len(self._recent), CONFIRMED_BY)
        value, usual = (1 - now, 1 - self._usual)
        text = f"v{self._version} is wrong more often than it was: {self._usual:.0%} → {now:.0%} of the answers"
        if self._numbers:
            value, usual = self._unscaled(now), self._unscaled(self._usual)
            text = f"v{self._version} is further off than it was: typically by {usual:.3g} → {value:.3g}"
        return Finding(
            rule="concept",
            detector="concept",
            metric="mae" if self._numbers else "accuracy",
            severity="warning",
            text=f"{text}, by the newest {rows} labels",
            value=value,
            limit=usual,
            version=self._version,
        )

    def _unscaled(self, error: float) -> float:
        return self._scale * error / max(1 - error, 1e-9)


def is_same(prediction: Any, label: Any) -> bool:
    """Whether the answer is the label: 1, 1.0 and "1" are, and True and "true"."""
    if type(prediction) is type(label):
        return bool(prediction == label)
    if isinstance(prediction, str) or isinstance(label, str):
        return _as_text(prediction) == _as_text(label)
    return bool(prediction == label)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def distance(prediction: Any, label: Any) -> float | None:
    """How far a number, or a list of them, is off; None for what is none."""
    if isinstance(prediction, list) and isinstance(label, list) and len(prediction) == len(label) > 0:
        parts = [distance(one, other) for one, other in zip(prediction, label, strict=True)]
        return None if any(part is None for part in parts) else sum(part or 0.0 for part in parts) / len(parts)
    if isinstance(prediction, int | float) and isinstance(label, int | float):
        try:
            apart = abs(float(prediction) - float(label))
        except OverflowError:
            return None
        return apart if apart < float("inf") else None
    return None
