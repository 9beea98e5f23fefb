"""Each format replayed in a clean process against the live object; the fastest that passes is kept.

Speed is the geometric mean of one row and a batch. A format may win the one and lose the other (a boosted model of 200
trees was measured 11 times faster in ONNX at one row, and 2 times slower at 256): it is kept where it loses neither
against the live object.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autodeploy_magic import settings
from autodeploy_magic.build.capture import Captured
from autodeploy_magic.build.compare import Comparison, compare
from autodeploy_magic.contracts import Candidate, CleanRunner
from autodeploy_magic.errors import AutodeployError, ExportFailed, ParityFailed, StoreFailed
from autodeploy_magic.formats import format_of

__all__ = ["BATCH_ROWS", "Verdict", "choose", "replay", "replay_by_providers"]

BATCH_ROWS = 256
_NEAR_TIE = 1.1

_AS_FAST = 1.05
"""A format that takes so many times as long as the live object, at one row or at a batch, is not kept for the other."""


@dataclass(frozen=True)
class Verdict:
    """One format's row of the table, and what its replay brought: what it was `seen` to reach for, or why it failed."""

    candidate: Candidate
    answers: dict[str, Any] = field(default_factory=dict)
    modules: frozenset[str] = frozenset()
    comparison: Comparison | None = None
    seen: Mapping[str, Sequence[str]] = field(default_factory=dict)
    failure: AutodeployError | None = None

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


def replay_by_providers(captured: Captured, verdict: Verdict, folder: Path, runner: CleanRunner) -> list[Verdict]:
    """Replay what passed by the CPU with each of the machine's other execution providers, one after the other."""
    kept = verdict.candidate
    return [
        _replay_one(captured, kept.format, kept.size_bytes, folder, runner, provider)
        for provider in verdict.seen.get("providers", ())
    ]


def choose(captured: Captured, verdicts: Sequence[Verdict]) -> tuple[Verdict, str]:
    """Return the verdict to serve, and why in a person's words.

    Raises `ExportFailed` where nothing could be written, `ParityFailed` where nothing answers as the live object does.
    """
    passed = [verdict for verdict in verdicts if verdict.candidate.passed]
    if not passed:
        raise _nothing_passed(captured, verdicts)
    fair = [verdict for verdict in passed if _nowhere_slower(verdict, passed)]
    fastest = min(fair, key=lambda verdict: verdict.seconds)
    near = [verdict for verdict in fair if verdict.seconds <= fastest.seconds * _NEAR_TIE] or [fastest]
    exporter, model = captured.exporter, captured.request.model
    # About as fast: what nobody has to trust goes before what may run code, then the closer one.
    winner = min(
        near, key=lambda v: (bool(exporter.opaque(model, v.candidate.format)), v.candidate.max_difference or 0.0)
    )
    return winner, _reason(winner, verdicts)


def _nowhere_slower(verdict: Verdict, passed: Sequence[Verdict]) -> bool:
    """Whether a format keeps up with the live object at one row and at a batch alike."""
    live = [other for other in passed if format_of(other.candidate.format).live and other.seconds < math.inf]
    if not live or verdict in live or verdict.seconds == math.inf:
        return True
    one, batch = verdict.candidate.one_row_s, verdict.candidate.batch_s
    assert one
    assert batch
    return all(
        one <= (other.candidate.one_row_s or 0.0) * _AS_FAST and batch <= (other.candidate.batch_s or 0.0) * _AS_FAST
        for other in live
    )


def _replay_one(
    captured: Captured, format: str, size_bytes: int, folder: Path, runner: CleanRunner, provider: str = ""
) -> Verdict:
    spec = {
        "folder": str(folder),
        "format": format,
        "provider": provider,
        "providers": not provider and format_of(format).runtime == "onnx",
        "outputs": [output.name for output in captured.outputs],
        "timings": True,
        "batch_rows": BATCH_ROWS,
        "sealed": False,  # it is still being made
    }
    try:
        result = runner.run(
            "autodeploy_magic.serve.clean.replay:main",
            spec,
            timeout_s=float(settings.get("build_timeout_s")),
        )
    except StoreFailed:
        raise
    except AutodeployError as error:  # this format cannot answer: a row of the table, and the next one's chance
        why = error.why.strip().splitlines()
        reason = f"{error.what}: {why[-1]}" if why else error.what
        row = Candidate(format=format, passed=False, reason=reason, size_bytes=size_bytes, provider=provider)
        return Verdict(row, failure=error)
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
        provider=provider,
    )
    seen = {key: result.get(key, ()) for key in ("libraries", "reads", "hosts", "providers")}
    return Verdict(candidate, result["answers"], frozenset(result.get("modules", ())), comparison, seen)


def title_of(candidate: Candidate) -> str:
    """What a candidate is called: "ONNX", "ONNX by OpenVINO"."""
    title = format_of(candidate.format).title
    by = candidate.provider.removesuffix("ExecutionProvider")
    return f"{title} by {by}" if by else title


def _reason(winner: Verdict, verdicts: Sequence[Verdict]) -> str:
    """ "ONNX: 240x faster than native at 1 row, 1.9x at 256; probabilities within 8e-07"."""
    title = title_of(winner.candidate)
    parts = []
    for other in verdicts:
        if other is winner:
            continue
        name = title_of(other.candidate)
        timed = other.seconds < math.inf and winner.seconds < math.inf
        if not other.candidate.passed and not (timed and other.comparison is None):
            parts.append(f"{name} {other.candidate.reason}")
        elif timed:
            parts.append(_speed_words(winner.candidate, other.candidate, name))
    passed = [verdict for verdict in verdicts if verdict.candidate.passed]
    if any(other.seconds < winner.seconds and _nowhere_slower(other, passed) for other in passed):
        parts.append("taken of those that are about as fast, as the closest that runs no code of its own")
    elif any(other.seconds < winner.seconds for other in passed):
        parts.append("kept, since it is slower at neither size")
    if winner.comparison is not None and not format_of(winner.candidate.format).live:
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
    lines = [f"{title_of(v.candidate)}: {v.candidate.reason}" for v in verdicts]
    if not compared:
        told = [verdict.failure for verdict in verdicts if isinstance(verdict.failure, ExportFailed)]
        if told and len({failure.what for failure in told}) == 1:  # it is the same, whichever format
            others = [line for line, v in zip(lines, verdicts, strict=True) if not isinstance(v.failure, ExportFailed)]
            return ExportFailed(told[0].what, why="; ".join([told[0].why, *others]), fix=told[0].fix)
        return ExportFailed(
            f"no format can hold {name} and answer in a clean process",
            why="; ".join(lines),
            fix=next((failure.fix for failure in reversed(told) if failure.fix), "")
            or "the reasons say what is missing: what the model needs must be importable, or defined in the notebook",
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
