"""The conditions that a challenger must meet, each with what was found and what was asked.

    case.py      what is known of it
    sides.py     what both answered, side by side
    as_good.py   the answers of one that must be as good
    superior.py  of one that must be better
    cost.py      CPU time, size, memory
    paired.py    the statistics

Each alone let a bad candidate through when it was tried (labels agreed while probabilities were off by 0.07; int8 was a
quarter of the size and four times slower), so all are asked. "Keep the current one" is what remains.
"""

from __future__ import annotations

from collections.abc import Iterator

from autodeploy_magic.operate.retune.gate.as_good import as_good
from autodeploy_magic.operate.retune.gate.case import LEAST_ROWS, Case
from autodeploy_magic.operate.retune.gate.cost import cheaper, in_memory, not_much_slower
from autodeploy_magic.operate.retune.gate.superior import better
from autodeploy_magic.retuning import Check

__all__ = ["Case", "checks"]


def checks(case: Case) -> Iterator[Check]:
    """All of them, in the order in which a person asks."""
    yield _form(case)
    yield _enough(case)
    if case.family == "better":
        yield from better(case)
        yield not_much_slower(case)
    else:
        yield from as_good(case)
        yield cheaper(case)
    if case.memory_bytes:
        yield in_memory(case)


def _form(case: Case) -> Check:
    wrong, rows = case.sides.wrong_form, case.sides.rows
    if wrong:
        row, words = wrong[0]
        return Check(
            name="answers", passed=False, text=f"{len(wrong)} of {rows} rows are answered otherwise: row {row}, {words}"
        )
    alone = [side.get("alike") for side in (case.a, case.b)]
    if alone[1] is not None and alone[1] < (1.0 if alone[0] is None else alone[0]):
        text = f"{1 - alone[1]:.0%} of some rows are answered otherwise alone than among others"
        return Check(name="answers", passed=False, text=text)
    return Check(name="answers", passed=True, text=f"{rows:,} rows answered, in the champion's form")


def _enough(case: Case) -> Check:
    least = LEAST_ROWS[case.family]
    found = case.labelled if case.family == "better" else case.sides.rows
    what = "labelled rows" if case.family == "better" else "rows"
    passed = found >= least
    text = f"{found:,} {what} to judge by" + ("" if passed else f", of {least}: {least - found} are missing")
    return Check(name="rows", passed=passed, text=text)
