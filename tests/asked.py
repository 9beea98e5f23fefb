"""Moments in which requests and labels are recorded, for what looks at them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from records import make_status, make_version

from autodeploy_magic.contracts import Column, Desired, Signature
from autodeploy_magic.health import Finding
from autodeploy_magic.operate.detect.base import Answers, Detector, Moment, Reference
from autodeploy_magic.reservoir import Labelled, Recorded

START = 1_800_000_000


def column(name: str, dtype: str = "float64", **more: Any) -> Column:
    return Column(name=name, dtype=dtype, **more)


def request(row: Any, t: float, *, version: int = 1, answer: Any = 0, status: int = 200, **more: Any) -> Recorded:
    """A request of one row, or of several where it is a list."""
    rows = row if isinstance(row, list) else [row]
    found = Recorded(
        id=f"r{t}",
        at_s=float(t),
        version=version,
        status=status,
        seconds=0.01,
        rows=len(rows),
        kept=tuple(range(len(rows))),
        inputs=rows,
        outputs={"predictions": [answer] * len(rows)},
    )
    return found._replace(**more)


class Watched:
    """One deployment and one detector, second by second. `sample` is by column."""

    def __init__(
        self,
        detector: Detector,
        columns: Sequence[Column] = (),
        sample: Mapping[str, Sequence[Any]] | None = None,
        outputs: Mapping[str, Sequence[Any]] | None = None,
        task: str = "classification",
    ) -> None:
        self.detector = detector
        self.t = START
        self.rows = 0
        self.found: list[Finding] = []
        self.moment: Moment | None = None
        self.reference = Reference(sample or {}, outputs or {})
        self.version = msgspec.structs.replace(
            make_version(), task=task, signature=Signature(container="dataframe", columns=tuple(columns))
        )

    def second(
        self, recorded: Sequence[Recorded] = (), labelled: Sequence[Labelled] = (), *, passed_s: int = 1
    ) -> list[Finding]:
        self.t += passed_s
        self.moment = Moment(
            t=self.t,
            name="iris",
            desired=Desired(name="iris", version=1, executable="python"),
            status=make_status(),
            version=self.version,
            answers=Answers(),
            reference=lambda: self.reference,
            recorded=recorded,
            labelled=labelled,
        )
        self.found = list(self.detector.see(self.moment))
        return self.found

    def ask(self, rows: Iterable[Any], until: str = "", *, per_s: int = 20, **more: Any) -> int | None:
        """Send rows, `per_s` requests a second; how many it took until the rule `until` was told, None for never."""
        rows, more = list(rows), {"version": self.version.number} | more
        answers = more.pop("answers", None) or [more.pop("answer", 0)] * len(rows)
        for start in range(0, len(rows), per_s):
            part = range(start, min(start + per_s, len(rows)))
            self.second([request(rows[i], self.t + 1, answer=answers[i], **more) for i in part])
            if until and until in self.rules:
                return start + per_s
        return None

    @property
    def rules(self) -> set[str]:
        return {finding.rule for finding in self.found}

    def told(self, rule: str) -> Finding:
        return next(finding for finding in self.found if finding.rule == rule)
