"""Streams of what is in the requests, and of labels, with faults put into them at a known request or label.

Rows are drawn anew from one distribution each (`steady`, so that nothing but the fault changes): of normal numbers, and
of real tables: scikit-learn's diabetes, wine and breast cancer, and palmerpenguins with its texts and gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import msgspec
import numpy as np

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.operate.detect.base import Moment, Reference
from autodeploy_magic.reservoir import Labelled, Recorded
from detect.measure import Case, Quiet
from detect.streams import DAY_S, START, Scene, Shape, daily, moments, steady

__all__ = ["CASES", "QUIET", "Labels", "Requests", "labels", "requests"]

SAMPLE_ROWS = 100
BEFORE_S = 120
"""The fault begins after so many seconds; at 20 rows a second these are 2 400 rows."""

Array = np.ndarray[Any, np.dtype[Any]]
Rows = list[dict[str, Any]]
Fault = Callable[[Rows, np.random.Generator], None]
"""Changes rows in place."""


@dataclass(frozen=True)
class Requests:
    """`per_s` requests of one row a second, with rows of `table`, which `fault` changes from `BEFORE_S` on."""

    table: str
    seconds: int
    per_s: float = 20.0
    fault: Fault | None = None
    shape: Shape = steady


@dataclass(frozen=True)
class Labels:
    """`per_s` labels a second, of which the share `wrong` says that the answer was, and `after` from `BEFORE_S` on.

    With `numbers` the answers are numbers, and `wrong` and `after` by how much they are off, as a normal's σ.
    """

    seconds: int
    wrong: float
    after: float
    per_s: int = 5
    numbers: bool = False


@cache
def _real(table: str) -> Rows:
    if table == "penguins":
        from palmerpenguins import load_penguins

        frame = load_penguins().drop(columns="year").astype(object)
        return _records(frame.where(frame.notna(), None))
    from sklearn import datasets

    return _records(getattr(datasets, f"load_{table}")(as_frame=True).data)


def _records(frame: Any) -> Rows:
    rows: Rows = frame.to_dict("records")
    return rows


def _drawn(table: str, rows: int, chance: np.random.Generator) -> Rows:
    """Rows of a table: "30 numbers", "500 numbers", or the name of a real one, from which rows are drawn."""
    if table.endswith(" numbers"):
        names = [f"x{i}" for i in range(int(table.split(maxsplit=1)[0]))]
        return [dict(zip(names, values, strict=True)) for values in chance.normal(size=(rows, len(names))).tolist()]
    all_of_them = _real(table)
    return [dict(all_of_them[i]) for i in chance.integers(0, len(all_of_them), rows)]


@cache
def _first() -> Moment:
    return next(iter(moments(Scene(seconds=1), 0)))


def _dtype(values: list[Any]) -> str:
    return "str" if any(isinstance(value, str) for value in values) else "float64"


def requests(stream: Requests, seed: int) -> Iterator[Moment]:
    """The stream, second by second. The answers are the sign of the first column, nine of ten times."""
    chance = np.random.default_rng(seed)
    sample = _drawn(stream.table, SAMPLE_ROWS, chance)
    columns = {name: [row[name] for row in sample] for name in sample[0]}
    signature = Signature(
        container="dataframe", columns=tuple(Column(name=name, dtype=_dtype(columns[name])) for name in columns)
    )
    version = msgspec.structs.replace(_first().version, signature=signature)
    reference = Reference(columns, {})
    times = START + np.arange(stream.seconds)
    counts = chance.poisson(stream.per_s * stream.shape(times, chance))
    for begin in range(0, stream.seconds, 600):
        drawn = iter(_drawn(stream.table, int(counts[begin : begin + 600].sum()), chance))
        for second in range(begin, min(begin + 600, stream.seconds)):
            rows = [next(drawn) for _ in range(counts[second])]
            if stream.fault is not None and second >= BEFORE_S:
                stream.fault(rows, chance)
            t = START + second
            yield replace(
                _first(),
                t=t,
                version=version,
                reference=lambda: reference,
                recorded=[_recorded(t, row) for row in rows],
            )


def _recorded(t: int, row: dict[str, Any]) -> Recorded:
    value = next(iter(row.values()))
    answer = "yes" if isinstance(value, float) and value > 0 else "no"
    return Recorded("", float(t), 1, 200, 0.005, 1, (0,), [row], {"predictions": [answer]})


def labels(stream: Labels, seed: int) -> Iterator[Moment]:
    """The stream, second by second."""
    chance = np.random.default_rng(seed)
    version = msgspec.structs.replace(_first().version, task="regression") if stream.numbers else _first().version
    for second in range(stream.seconds):
        t, off = START + second, stream.after if second >= BEFORE_S * 2 else stream.wrong
        if stream.numbers:
            true = [(0.0, error) for error in chance.normal(scale=off, size=stream.per_s).tolist()]
        else:
            true = [(1, int(right)) for right in chance.random(stream.per_s) >= off]
        came = [Labelled(f"{t}-{i}", 0, 1, t - 1.0, float(t), p, label, {}) for i, (p, label) in enumerate(true)]
        yield replace(_first(), t=t, version=version, labelled=came)


# --- faults


def shifted(column: str, by: float, rows: Rows, chance: np.random.Generator) -> None:  # noqa: ARG001  # a `Fault`
    """Add to a number."""
    for row in rows:
        if row[column] is not None:
            row[column] += by


def replaced(column: str, value: Any, share: float, rows: Rows, chance: np.random.Generator) -> None:
    """Put a value into a share of the rows."""
    for row in rows:
        if chance.random() < share:
            row[column] = value


def _sigma(table: str, column: str) -> float:
    return float(np.std([row[column] for row in _real(table) if row[column] is not None]))


def _asked(moment: Moment) -> int:
    return len(moment.recorded)


def _labelled(moment: Moment) -> int:
    return len(moment.labelled)


def _case(name: str, table: str, fault: Fault, rule: str, detector: str, target: float | None) -> Case:
    stream = partial(requests, Requests(table, BEFORE_S + 120, fault=fault))
    return Case(name, stream, START + BEFORE_S, (rule,), (detector,), target, "requests", _asked)


def _real_shift(table: str, column: str) -> Case:
    def fault(rows: Rows, chance: np.random.Generator) -> None:
        shifted(column, _sigma(table, column), rows, chance)

    return _case(f"1 σ in {column}, {table}", table, fault, f"drift:{column}", "drift", 500.0)


def _concept(name: str, stream: Labels, target: float | None) -> Case:
    change = START + 2 * BEFORE_S
    return Case(name, partial(labels, stream), change, ("concept",), ("concept",), target, "labels", _labelled)


OF_DATA = ("drift", "values", "outputs")

CASES: list[Case] = [
    _case("1 σ in one of 4 columns", "4 numbers", partial(shifted, "x1", 1.0), "drift:x1", "drift", 500.0),
    _case("1 σ in one of 30 columns", "30 numbers", partial(shifted, "x1", 1.0), "drift:x1", "drift", 500.0),
    _case("½ σ in one of 4 columns", "4 numbers", partial(shifted, "x1", 0.5), "drift:x1", "drift", None),
    _real_shift("diabetes", "bmi"),
    _real_shift("wine", "alcohol"),
    _real_shift("breast_cancer", "mean texture"),
    _real_shift("penguins", "bill_length_mm"),
    _case(
        "an island 15 → 50 %",
        "penguins",
        partial(replaced, "island", "Torgersen", 0.41),
        "drift:island",
        "drift",
        500.0,
    ),
    _case("10 % unseen", "penguins", partial(replaced, "island", "Ross", 0.1), "unseen:island", "values", None),
    _case("10 % out of range", "4 numbers", partial(replaced, "x2", -999.0, 0.1), "range:x2", "values", 500.0),
    _case("15 % missing", "4 numbers", partial(replaced, "x2", None, 0.15), "missing:x2", "values", 500.0),
    _case("answers 50 → 80 %", "4 numbers", partial(shifted, "x0", 0.84), "outputs", "outputs", 500.0),
    _concept("wrong labels 5 → 20 %", Labels(400, 0.05, 0.2), 300.0),
    _concept("errors of numbers ×2", Labels(400, 1.0, 2.0, numbers=True), 300.0),
]

QUIET: list[Quiet] = [
    Quiet("rows of 4 columns, 20/s", partial(requests, Requests("4 numbers", DAY_S)), 1.0, OF_DATA),
    Quiet(
        "rows of 4 columns, daily to 20/s", partial(requests, Requests("4 numbers", DAY_S, 20, None, daily)), 1, OF_DATA
    ),
    Quiet("rows of 30 columns, 2 hours", partial(requests, Requests("30 numbers", DAY_S // 12)), 1 / 12, OF_DATA),
    *(
        Quiet(f"rows of {table}, 2 hours", partial(requests, Requests(table, DAY_S // 12)), 1 / 12, OF_DATA)
        for table in ("diabetes", "wine", "breast_cancer", "penguins")
    ),
    Quiet("a label a second, 5 % wrong", partial(labels, Labels(DAY_S, 0.05, 0.05, 1)), 1.0, ("concept",)),
    Quiet("a label a second, 30 % wrong", partial(labels, Labels(DAY_S, 0.3, 0.3, 1)), 1.0, ("concept",)),
    Quiet("a label a second, numbers", partial(labels, Labels(DAY_S, 1.0, 1.0, 1, True)), 1.0, ("concept",)),
]
