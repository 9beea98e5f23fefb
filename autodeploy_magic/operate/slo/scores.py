"""An objective of quality: accuracy, precision, recall, F1, MAE, RMSE, R².

It burns while the measured value is worse than the limit, and is broken where even the better end of its 95 %
confidence interval is: then it is not the labels' chance. There is nothing to say of less than `LEAST_LABELS`, nor of
what is only estimated, without labels.
"""

from __future__ import annotations

from autodeploy_magic.health import Figure, Finding, ObjectiveState
from autodeploy_magic.operate.detect.base import Moment
from autodeploy_magic.operate.slo.seen import Judged, Second
from autodeploy_magic.slo import Objective

__all__ = ["LEAST_LABELS", "Score"]

LEAST_LABELS = 50
"""Of fewer the interval itself is a guess: of 50 labels that are all right, 7 % may still be wrong (rule of three)."""
CLEARS_S = 60
"""How long the value has to be good again: a few labels tip it from one side to the other."""


class Score:
    """One objective. `see` judges a second."""

    def __init__(self, objective: Objective, *, since: int) -> None:
        self.objective = objective
        self._bad_until = 0
        self._broken_until = 0

    def anew(self, since: int) -> None:
        """Another version is the champion: its answers are judged by labels of their own."""
        self._bad_until = self._broken_until = 0

    def see(self, second: Second) -> Judged:
        """How the objective stands, and the fault where it burns."""
        t, figure = second.moment.t, _figure(second.moment, self.objective.metric)
        enough = figure is not None and figure.labels >= LEAST_LABELS
        if figure is not None and enough:
            better = figure.low if self.objective.op == "<" else figure.high
            if self._worse(figure.value):
                self._bad_until = t + CLEARS_S
            if better is not None and self._worse(better):
                self._broken_until = t + CLEARS_S
        broken = enough and t < self._broken_until
        bad = enough and (broken or t < self._bad_until)
        state = ObjectiveState(
            text=self.objective.text,
            metric=self.objective.metric,
            state="broken" if broken else "burning" if bad else "met" if enough else "unknown",
            limit=self.objective.limit,
            value=figure.value if figure is not None else None,
        )
        if not bad or figure is None:
            return state, None
        return state, self._finding(figure, second.moment.version.number, broken=broken)

    def _worse(self, value: float) -> bool:
        return value > self.objective.limit if self.objective.op == "<" else value < self.objective.limit

    def _finding(self, figure: Figure, version: int, *, broken: bool) -> Finding:
        metric, limit = self.objective.metric, self.objective.limit
        sign = ">" if self.objective.op == "<" else "<"
        ends = f", 95 % interval {figure.low:.3g} to {figure.high:.3g}" if _has_interval(figure) else ""
        if not self._worse(figure.value):
            sign = "just back within"
        return Finding(
            rule=f"slo:{metric}",
            detector="slo",
            metric=metric,
            severity="critical" if broken else "warning",
            text=f"{metric} {figure.value:.3g} {sign} {limit:g} over {figure.labels} labels{ends}",
            value=figure.value,
            limit=limit,
            version=version,
            objective="given",
        )


def _has_interval(figure: Figure) -> bool:
    return figure.low is not None and figure.high is not None


def _figure(moment: Moment, metric: str) -> Figure | None:
    """The champion's figure where versions are told apart, else of all."""
    if moment.quality is None:
        return None
    own = (one for one in moment.quality.versions if one.version == moment.version.number)
    quality = next(own, None) or (moment.quality if not moment.quality.versions else None)
    figures = quality.figures if quality is not None else ()
    return next((figure for figure in figures if figure.metric == metric and not figure.estimated), None)
