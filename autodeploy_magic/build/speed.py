"""How fast the live object is, in the kernel that holds it: enough to know when native would clearly be slower."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from autodeploy_magic.build.capture import Captured
from autodeploy_magic.build.live import live_answers
from autodeploy_magic.build.sample import head
from autodeploy_magic.build.verify import Verdict
from autodeploy_magic.contracts import Candidate
from autodeploy_magic.formats import format_of

__all__ = ["clearly_slower", "slower_live"]

CLEARLY_SLOWER = 3.0
"""A native model that is this many times slower is not replayed: a clean process would not turn that around, and to
import a framework there takes longer than all the rest of a build."""

AT_EACH_SIZE = 1.25
"""And at one row and at a batch alike by as much: what wins the one and loses the other is measured with care."""

_BUDGET_S = 0.05
_MOST_CALLS = 5


def slower_live(captured: Captured, live: Sequence[Verdict], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """A row for the live object that need not be replayed, where it is clearly slower than what passed; else none.

    `live` are its formats, where they were written.
    """
    timed = [verdict for verdict in verdicts if verdict.candidate.passed and verdict.seconds < math.inf]
    if not timed:
        return []
    best = min(timed, key=lambda verdict: verdict.seconds)
    with captured.exporter.ready(captured.request.model):
        one, batch = (_least_s(captured, head(captured.rows, rows)) for rows in (1, best.candidate.batch_rows))
    best_one, best_batch = best.candidate.one_row_s, best.candidate.batch_s
    assert best_one
    assert best_batch
    if not clearly_slower(one / best_one, batch / best_batch):
        return []
    ratio = math.sqrt(one * batch) / best.seconds
    written = next((item.candidate for item in live if item.candidate.passed), None)
    formats = [format for format in captured.formats if format_of(format).live]
    pickled = captured.native is not None and "native" in formats
    candidate = Candidate(
        format=written.format if written else "native" if pickled else formats[0],
        passed=False,
        reason=f"not replayed ({ratio:.0f}x slower, timed as the live object)",
        size_bytes=written.size_bytes if written else captured.native.size_bytes if captured.native else 0,
        one_row_s=one,
        batch_s=batch,
        batch_rows=best.candidate.batch_rows,
    )
    return [Verdict(candidate)]


def clearly_slower(one: float, batch: float) -> bool:
    """Whether a model is, that takes so many times as long at one row, and at a batch."""
    return math.sqrt(one * batch) >= CLEARLY_SLOWER and min(one, batch) >= AT_EACH_SIZE


def _least_s(captured: Captured, rows: Any) -> float:
    """Least seconds of an answer of the live object, over `_MOST_CALLS` or about `_BUDGET_S`.

    The least, since the kernel may be busy otherwise: what is left out by mistake is never looked at again.
    """
    times: list[float] = []
    end = time.perf_counter() + _BUDGET_S
    while len(times) < _MOST_CALLS and (not times or time.perf_counter() < end):
        start = time.perf_counter()
        live_answers(captured.request, captured.exporter, rows, captured.sample)
        times.append(time.perf_counter() - start)
    return min(times)
