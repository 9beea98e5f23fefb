"""How fast the live object is, in the kernel that holds it: enough to know when native would clearly be slower."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

from autodeploy_magic.build.capture import Captured
from autodeploy_magic.build.live import live_answers
from autodeploy_magic.build.sample import head
from autodeploy_magic.build.verify import Verdict
from autodeploy_magic.contracts import Candidate

__all__ = ["CLEARLY_SLOWER", "slower_live"]

CLEARLY_SLOWER = 3.0
"""A native model that is this many times slower is not replayed: a clean process would not turn that around, and to
import a framework there takes longer than all the rest of a build."""

_BUDGET_S = 0.05
_MOST_CALLS = 5


def slower_live(captured: Captured, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Native as a row that need not be replayed, where the live object is clearly slower than what passed."""
    timed = [verdict for verdict in verdicts if verdict.candidate.passed and verdict.seconds < math.inf]
    if not timed:
        return []
    best = min(timed, key=lambda verdict: verdict.seconds)
    one, batch = (_median_s(captured, head(captured.rows, rows)) for rows in (1, best.candidate.batch_rows))
    ratio = math.sqrt(one * batch) / best.seconds
    if ratio < CLEARLY_SLOWER:
        return []
    candidate = Candidate(
        format="native",
        passed=False,
        reason=f"not replayed ({ratio:.0f}x slower, timed as the live object)",
        size_bytes=captured.native.size_bytes if captured.native else 0,
        one_row_s=one,
        batch_s=batch,
        batch_rows=best.candidate.batch_rows,
    )
    return [Verdict(candidate)]


def _median_s(captured: Captured, rows: Any) -> float:
    """Median seconds of an answer of the live object, over `_MOST_CALLS` or about `_BUDGET_S`."""
    times: list[float] = []
    end = time.perf_counter() + _BUDGET_S
    while len(times) < _MOST_CALLS and (not times or time.perf_counter() < end):
        start = time.perf_counter()
        live_answers(captured.request, captured.exporter, rows, captured.sample)
        times.append(time.perf_counter() - start)
    return statistics.median(times)
