"""Answers that are no longer distributed as they were: the classes or numbers that are predicted, and the confidence.

Compared like the columns of the inputs (see `comparison`), for each version anew: with its first answers, and with what
the live object answered to the sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autodeploy_magic.contracts import Column
from autodeploy_magic.health import ColumnDrift, Finding
from autodeploy_magic.operate.detect.base import About, Moment
from autodeploy_magic.operate.detect.comparison import FIRST, LIMIT, Table, Verdict
from autodeploy_magic.operate.detect.drift import shown, tell, words
from autodeploy_magic.operate.detect.gathering import Gathered, OfRequests
from autodeploy_magic.reservoir import Recorded

__all__ = ["OutputsDetector"]

PARTS = 8
"""Answers that are several numbers have their first ones looked at."""


CLASS = Column(name="predictions", dtype="str", known=())
"""Classes that are numbers have no order."""


class OutputsDetector(OfRequests):
    """Rule "outputs"."""

    about = About(
        help="answers that are no longer distributed as they were: classes, numbers, and the confidence",
        defaults=f"PSI above {LIMIT:g} after chance is taken off, as for drift; the first {FIRST} answers of a version",
        detects="a class from 50 % to 80 %: 340 requests",
        cost="0.1 ms at 20 recorded requests/s",
    )

    def see(self, moment: Moment) -> Iterable[Finding]:
        number = moment.version.number
        looked = False
        if number != self._version:
            self._version, past, self._past = number, self._past, []
            known = {"predictions": CLASS} if moment.version.task == "classification" else {}
            self._table = Table(known, _columns_of(_sampled(moment.reference().outputs)), LIMIT)
            self._gathered = Gathered(_answers, _columns_of)
            self._findings: list[Finding] = []
            self._shown: tuple[ColumnDrift, ...] = ()
            looked = self._take(past, moment.t)
        if self._take(moment.recorded, moment.t) or looked:
            self._tell()
        tell(moment, self._shown)
        return self._findings

    def _take(self, recorded: Sequence[Recorded], t: int) -> bool:
        looked = False
        answered = [request for request in recorded if request.version == self._version and request.status < 400]
        for start in range(0, max(len(answered), 1), 100):
            for batch in self._gathered.add(answered[start : start + 100], t):
                looked |= self._table.add(batch)
        return looked

    def _tell(self) -> None:
        verdicts = self._table.verdicts()
        if not verdicts:
            return
        for verdict in verdicts:
            if verdict.describe is not None:
                verdict.describe()
        worst = max(verdicts, key=lambda one: (one.state == "drifted", one.value))
        self._shown = (shown(worst, ""),)
        drifted = [one for one in verdicts if one.state == "drifted"]
        self._findings = [self._finding(drifted)] if drifted else []

    def _finding(self, drifted: list[Verdict]) -> Finding:
        told = "; ".join(f"{one.column}: {words(one)}" for one in drifted[:3])
        return Finding(
            rule="outputs",
            detector="outputs",
            metric="drift",
            severity="warning",
            text=f"the answers of v{self._version} are not distributed as they were: {told}",
            value=max(one.value for one in drifted),
            limit=LIMIT,
            version=self._version,
        )


def _answers(request: Recorded) -> list[tuple[Any, Any]]:
    """Each row's prediction and confidence."""
    predictions = request.outputs.get("predictions")
    if not isinstance(predictions, Sequence) or isinstance(predictions, str):
        return []
    confidence = request.confidence if len(request.confidence) == len(predictions) else [None] * len(predictions)
    return list(zip(predictions, confidence, strict=True))


def _sampled(outputs: Mapping[str, Sequence[Any]]) -> list[tuple[Any, Any]]:
    """The same of what the live object answered to the sample."""
    predictions, probabilities = outputs.get("predictions"), outputs.get("probabilities")
    if not isinstance(predictions, Sequence) or isinstance(predictions, str):
        return []
    confidence: list[Any] = [None] * len(predictions)
    if isinstance(probabilities, Sequence) and len(probabilities) == len(predictions):
        confidence = [_largest(row) for row in probabilities]
    return list(zip(predictions, confidence, strict=True))


def _largest(probabilities: Any) -> float | None:
    if not isinstance(probabilities, Sequence) or isinstance(probabilities, str):
        return None
    numbers = [value for value in probabilities if isinstance(value, int | float)]
    return max(numbers) if numbers else None


def _columns_of(answers: Sequence[tuple[Any, Any]]) -> dict[str, Sequence[Any]]:
    """The answers by column: a number or a class each, or the first parts of an answer that is a list."""
    if not answers:
        return {}
    predictions, confidence = [answer[0] for answer in answers], [answer[1] for answer in answers]
    columns: dict[str, Sequence[Any]] = {"predictions": predictions}
    if all(isinstance(value, list) for value in predictions):
        width = min(PARTS, max(len(value) for value in predictions))
        columns = {
            f"predictions[{i}]": [value[i] if i < len(value) else None for value in predictions] for i in range(width)
        }
    if any(value is not None for value in confidence):
        columns["confidence"] = confidence
    return columns
