"""Each format replayed in a clean process against the live object; the fastest that passes is kept.

Speed is the geometric mean of one row and a batch: a format may win the one and lose the other (a boosted model of 200
trees was measured 11 times faster in ONNX at one row, and 2 times slower at 256).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autodeploy_magic import settings
from autodeploy_magic.build.capture import Captured
from autodeploy_magic.build.compare import Comparison, compare
from autodeploy_magic.contracts import Candidate, CleanRunner
from autodeploy_magic.errors import AutodeployError, ExportFailed, ParityFailed, StoreFailed

__all__ = ["BATCH_ROWS", "Verdict", "choose", "replay"]

BATCH_ROWS = 256
_NEAR_TIE = 1.1

TITLES = {"native": "native", "onnx": "ONNX", "onnx-float64": "ONNX (float64)"}


@dataclass(frozen=True)
class Verdict:
    """One format's row of the table, and what its replay brought."""

    candidate: Candidate
    answers: dict[str, Any] = field(default_factory=dict)
    modules: frozenset[str] = frozenset()
    comparison: Comparison | None = None

    @property
    def seconds(self) -> float:
        """The geometric mean of a call on one row and on a batch; infinite where it was not measured."""
        one, batch = self.candidate.one_row_s, self.candidate.batch_s
        return math.sqrt(one * batch) if one and batch else math.inf


def replay(captured: Captured, formats: Sequence[tuple[str, int]], folder: Path, runner: CleanRunner) -> list[Verdict]:
    """Replay the rows through each of `formats` (name, size in bytes) in a clean process of its own, side by side."""

    def one(item: tuple[str, int]) -> Verdict:
        return _replay_one(captured, item[0], item[1], folder, runner)

    with ThreadPoolExecutor(max_workers=max(len(formats), 1), thread_name_prefix="replay") as pool:
        return list(pool.map(one, formats))


def choose(captured: Captured, verdicts: Sequence[Verdict]) -> tuple[Verdict, str]:
    """Return the verdict to serve, and why in a person's words.

    Raises `ExportFailed` where nothing could be written, `ParityFailed` where nothing answers as the live object does.
    """
    passed = [verdict for verdict in verdicts if verdict.candidate.passed]
    if not passed:
        raise _nothing_passed(captured, verdicts)
    fastest = min(passed, key=lambda verdict: verdict.seconds)
    near = [verdict for verdict in passed if verdict.seconds <= fastest.seconds * _NEAR_TIE] or [fastest]
    # About as fast: what nobody has to trust goes before what is unpickled, then the closer one.
    winner = min(near, key=lambda v: (v.candidate.format == "native", v.candidate.max_difference or 0.0))
    return winner, _reason(winner, verdicts)


def _replay_one(captured: Captured, format: str, size_bytes: int, folder: Path, runner: CleanRunner) -> Verdict:
    spec = {
        "folder": str(folder),
        "format": format,
        "outputs": [output.name for output in captured.outputs],
        "timings": True,
        "batch_rows": BATCH_ROWS,
    }
    try:
        result = runner.run(
            "autodeploy_magic.serve.replay:main",
            spec,
            timeout_s=float(settings.get("build_timeout_s")),
        )
    except StoreFailed:
        raise
    except AutodeployError as error:  # this format cannot answer: a row of the table, and the next one's chance
        why = error.why.strip().splitlines()
        reason = f"{error.what}: {why[-1]}" if why else error.what
        return Verdict(Candidate(format=format, passed=False, reason=reason, size_bytes=size_bytes))
    comparison = compare(captured.outputs, captured.live.plain, result["answers"])
    candidate = Candidate(
        format=format,
        passed=comparison.passed,
        reason=comparison.words,
        size_bytes=size_bytes,
        agreement=comparison.agreement,
        max_difference=comparison.max_difference,
        one_row_s=result.get("one_row_s"),
        batch_s=result.get("batch_s"),
        batch_rows=int(result.get("batch_rows") or 0),
    )
    return Verdict(candidate, result["answers"], frozenset(result.get("modules", ())), comparison)


def _reason(winner: Verdict, verdicts: Sequence[Verdict]) -> str:
    """ "ONNX: 240x faster than native at 1 row, 1.9x at 256; probabilities within 8e-07"."""
    title = TITLES.get(winner.candidate.format, winner.candidate.format)
    parts = []
    for other in verdicts:
        if other is winner:
            continue
        name = TITLES.get(other.candidate.format, other.candidate.format)
        timed = other.seconds < math.inf and winner.seconds < math.inf
        if not other.candidate.passed and not (timed and other.comparison is None):
            parts.append(f"{name} {other.candidate.reason}")
        elif timed:
            parts.append(_speed_words(winner.candidate, other.candidate, name))
    if any(verdict.candidate.passed and verdict.seconds < winner.seconds for verdict in verdicts):
        parts.append("taken of those that are about as fast, as the closest that needs no unpickling")
    if winner.comparison is not None and winner.candidate.format != "native":
        parts.append(winner.comparison.words)
    elif not parts:
        parts.append("the live object itself")
    return f"{title}: {'; '.join(parts)}"


def _speed_words(winner: Candidate, other: Candidate, name: str) -> str:
    assert winner.one_row_s
    assert winner.batch_s
    assert other.one_row_s
    assert other.batch_s
    one, batch = other.one_row_s / winner.one_row_s, other.batch_s / winner.batch_s
    if winner.batch_rows <= 1:
        return f"{_faster(one)} than {name} at 1 row"
    return f"{_faster(one)} than {name} at 1 row, {_faster(batch)} at {winner.batch_rows}"


def _faster(ratio: float) -> str:
    if 1 / _NEAR_TIE < ratio < _NEAR_TIE:
        return "as fast"
    return f"{_times(ratio)} faster" if ratio > 1 else f"{_times(1 / ratio)} slower"


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x"


def _nothing_passed(captured: Captured, verdicts: Sequence[Verdict]) -> AutodeployError:
    name = captured.model_type
    compared = [verdict for verdict in verdicts if verdict.comparison is not None]
    lines = [f"{TITLES.get(v.candidate.format, v.candidate.format)}: {v.candidate.reason}" for v in verdicts]
    if not compared:
        return ExportFailed(
            f"no format can hold {name} and answer in a clean process",
            why="; ".join(lines),
            fix="the reasons say what is missing: what the model needs must be importable, or defined in the notebook",
        )
    closest = max(compared, key=lambda verdict: verdict.candidate.agreement or 0.0)
    assert closest.comparison is not None
    rows = [
        captured.row_numbers[position]
        for position in closest.comparison.differing
        if position < len(captured.row_numbers)
    ]
    shown = ", ".join(map(str, rows[:8])) + (", …" if len(rows) > 8 else "")
    again = captured.request.format == "onnx"
    return ParityFailed(
        f"the packaged {name} does not answer what the live object answers (rows {shown} of the sample)",
        why="; ".join(lines),
        fix="use --format auto or native, which keeps the live object itself"
        if again
        else "a model must answer the same rows in the same way each time: does it draw random numbers, read the "
        "clock, or depend on something that only this kernel holds?",
        rows=rows[:100],
    )
