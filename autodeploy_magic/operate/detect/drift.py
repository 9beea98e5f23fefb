"""Columns whose values are no longer distributed as they were.

Numbers by PSI with chi² or Kolmogorov and Smirnov's test, categories and booleans by PSI with chi², texts by their
length and by their share of unseen words, dates by how long ago they were; see `comparison` for what they are compared
with, and when they drift. Pictures, sequences and nested values are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.health import ColumnDrift, Finding
from autodeploy_magic.operate.detect.base import About, Moment, Reference
from autodeploy_magic.operate.detect.comparison import FIRST, LIMIT, Table, Verdict
from autodeploy_magic.operate.detect.gathering import Inputs, OfRequests
from autodeploy_magic.reservoir import Recorded

__all__ = ["DriftDetector", "shown", "tell", "told_with"]

MOST_SHOWN = 50
MOST_TOLD = 20
"""Findings at once: who has more columns that drift reads the table."""
DESCRIBED_S = 30
"""How old the words may be about a column in which nothing is wrong."""
TOLD_S = 600
"""How long it is told that the sample is not like the first traffic."""


class DriftDetector(OfRequests):
    """Rules "drift:COLUMN", and "sample" where the first traffic is not like the sample."""

    about = About(
        help="columns whose values are no longer distributed as in the first traffic and the sample: "
        "PSI with chi² or KS; categories, dates and texts too",
        defaults=f"PSI above {LIMIT:g} after chance is taken off, in the newest 200 or 1000 rows, significant at a "
        f"level for all columns and looks of a day, twice; the first {FIRST} rows settle what is usual",
        detects="1 σ in one of 30 columns: 280 requests",
        cost="0.25 ms at 20 recorded requests/s of 30 columns, 0.9 ms of 500",
    )

    def see(self, moment: Moment) -> Iterable[Finding]:
        version = moment.version
        looked = False
        if version.number != self._version:
            self._begin(moment.version.signature, moment.reference())
            self._version, past, self._past = version.number, self._past, []
            looked = self._take(past, moment.t)
        if self._take(moment.recorded, moment.t) or looked:
            self._tell(moment.t)
        tell(moment, self._shown)
        if self._said_until and moment.t < self._said_until:
            return [self._unlike, *self._findings]
        return self._findings

    def _begin(self, signature: Signature, reference: Reference) -> None:
        self._table = Table(columns_by_name(signature), reference.columns, LIMIT)
        self._gathered = Inputs(signature)
        self._findings: list[Finding] = []
        self._order: list[str] = []
        self._shown: tuple[ColumnDrift, ...] = ()
        self._said_until = 0
        self._described = 0

    def _take(self, recorded: Sequence[Recorded], t: int) -> bool:
        looked = False
        answered = [request for request in recorded if request.version == self._version and request.status < 400]
        for start in range(0, max(len(answered), 1), 100):
            for batch in self._gathered.add(answered[start : start + 100], t):
                looked |= self._table.add(batch)
        return looked

    def _tell(self, t: int) -> None:
        verdicts = sorted(self._table.verdicts(), key=_worst_first)
        all_of_them = t >= self._described + DESCRIBED_S or not self._table.settled
        if all_of_them:
            self._described = t
        for verdict in verdicts[:MOST_SHOWN]:
            if verdict.describe is not None and (all_of_them or verdict.state != "same"):
                verdict.describe()
        self._shown = tuple(shown(verdict, verdict.column) for verdict in verdicts[:MOST_SHOWN])
        drifted = {verdict.column: verdict for verdict in verdicts if verdict.state == "drifted"}
        self._order = [name for name in self._order if name in drifted]
        self._order += [name for name in drifted if name not in self._order]
        self._findings = [self._finding(drifted[name]) for name in self._order[:MOST_TOLD]]
        if not self._said_until and self._table.settled:
            self._said_until = t  # whatever there is to say, it is said now and not again
            if unlike := self._table.unlike():
                self._said_until = t + TOLD_S
                self._unlike = self._about_sample(unlike)

    def _finding(self, verdict: Verdict) -> Finding:
        if verdict.describe is not None:
            verdict.describe()
        return Finding(
            rule=f"drift:{verdict.column}",
            detector="drift",
            metric="drift",
            severity="warning",
            text=f"{told_with(verdict.column)} is not distributed as it was: {words(verdict)}",
            value=verdict.value,
            limit=LIMIT,
            version=self._version,
        )

    def _about_sample(self, unlike: list[Verdict]) -> Finding:
        names = ", ".join(f"{told_with(one.column)} ({words(one)})" for one in unlike[:3])
        more = f" and {len(unlike) - 3} more" if len(unlike) > 3 else ""
        return Finding(
            rule="sample",
            detector="drift",
            metric="drift",
            severity="info",
            text=f"the first requests are not distributed as the sample: {names}{more}; "
            "from now on requests are compared with these first ones",
            value=max(one.value for one in unlike),
            limit=LIMIT,
            version=self._version,
        )


def columns_by_name(signature: Signature) -> dict[str, Column]:
    """What the signature says of each column, by the names that `columns_of` gives: those of an array are numbers."""
    if signature.container in ("dataframe", "dict"):
        return {column.name: column for column in signature.columns}
    column = signature.columns[0] if signature.columns else None
    if column is None or not column.shape:
        return {} if column is None else dict.fromkeys(("0", "text", column.name), column)
    return {str(i): column for i in range(max(column.shape[0], 0))} if len(column.shape) == 1 else {}


def told_with(column: str) -> str:
    """A column's name in a sentence: the columns of an array are numbers."""
    return f"x[{column}]" if column.isdigit() else column


def words(verdict: Verdict) -> str:
    """ "PSI 0.31, mean 32 → 41"."""
    return f"PSI {verdict.value:.2f}, {verdict.text}"


def shown(verdict: Verdict, column: str) -> ColumnDrift:
    """The record of what was found. Its index is what an objective is compared with, whichever test told."""
    return ColumnDrift(
        column=column,
        method="psi",
        value=verdict.value,
        limit=LIMIT,
        state=verdict.state,
        p_value=verdict.p_value,
        rows=verdict.rows,
        reference=verdict.reference,
        text=verdict.text,
    )


def tell(moment: Moment, rows: Sequence[ColumnDrift]) -> None:
    """Put these among those that the detectors before left in the moment, the worst first."""
    if not rows:
        return
    if not moment.drift:
        moment.drift = tuple(rows)
    elif all(one.state == "same" for one in rows):
        moment.drift = (*moment.drift[: MOST_SHOWN - len(rows)], *rows)
    else:
        moment.drift = tuple(sorted([*moment.drift, *rows], key=_worst_first)[:MOST_SHOWN])


_STATES = {"drifted": 0, "drifting": 1, "same": 2}


def _worst_first(one: Verdict | ColumnDrift) -> tuple[int, float]:
    limit = one.limit if isinstance(one, ColumnDrift) else LIMIT
    return _STATES[one.state], -one.value / (limit or 1.0)
