"""The gate, as a job: what a challenger answered and cost, against the champion, on rows that nobody trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from autodeploy_magic import slo
from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.operate.quality.rows import Rows as Scored
from autodeploy_magic.operate.quality.tracker import class_count
from autodeploy_magic.operate.retune import data
from autodeploy_magic.operate.retune.change import changed_s
from autodeploy_magic.operate.retune.gate.conditions import Case, checks
from autodeploy_magic.operate.retune.gate.sides import Answers, Sides
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.retuning import Check, Contender, Figures, Order
from autodeploy_magic.store import Store

__all__ = ["figures_of", "judged", "main", "since"]


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Judge one contender; of the champion itself (state "champion") only tell its figures.

    In `spec`: `home`, `name`, `version` (the champion's number), `folder` (the re-tune's), `order`, `contender`,
    `measured` and `champion` (what `serve.clean.measure` returned of the two), `tried` (how many candidates are to be
    better). Returns `figures`, `checks`, `passed` and `reason` (in one line), as JSON values.
    """
    store = Store(spec["home"])
    version = store.version(spec["name"], spec["version"])
    contender = msgspec.convert(spec["contender"], Contender)
    rows = data.evidence(Path(spec["folder"]) / "data", version.signature)
    limits = _limits(store, spec["name"])
    order = msgspec.convert(spec["order"], Order)
    return judged(
        version,
        rows,
        spec["champion"],
        spec["measured"],
        contender,
        order,
        tried=int(spec.get("tried") or 1),
        p99_s=limits.get("p99"),
        memory_bytes=limits.get("memory"),
        changed=data.changed_s(Path(spec["folder"]) / "data"),
    )


def judged(
    version: Version,
    rows: Rows,
    champion: dict[str, Any],
    measured: dict[str, Any],
    contender: Contender,
    order: Order,
    *,
    tried: int = 1,
    p99_s: float | None = None,
    memory_bytes: float | None = None,
    changed: float = 0.0,
) -> dict[str, Any]:
    """The same from what `main` reads."""
    a = Answers.read(Path(champion["answers"]))
    itself = contender.state == "champion"
    b = a if itself else Answers.read(Path(measured["answers"]))
    labels = since(version, a, rows, changed)
    sides = Sides(version, a, b, labels)
    case = Case(
        sides,
        contender.family,
        champion,
        measured,
        claims=contender.claims,
        goal=order.goal,
        max_loss=order.max_loss,
        tried=tried,
        seed=order.seed,
        p99_s=p99_s,
        memory_bytes=memory_bytes,
    )
    found = [] if itself else list(checks(case))
    return {
        "figures": msgspec.to_builtins(figures_of(version, case)),
        "checks": msgspec.to_builtins(found),
        "passed": all(check.passed for check in found),
        "reason": "" if itself else _reason(found),
    }


def since(version: Version, answers: Answers, rows: Rows, changed: float = 0.0) -> list[Any]:
    """The labels of the evidence, None for those of before the champion's errors became others for the last time.

    It is one model, the champion, that answers all rows here: that its errors are more, or fewer, is not its doing.
    `changed` is such a moment that is known already.
    """
    labels = list(rows.labels) or [None] * rows.count
    scored = Sides(version, answers, answers, labels).scored
    if scored is None or not rows.at_s:
        return labels
    last = max(changed, changed_s(scored[0].loss, np.array(rows.at_s)[scored[0].slots]))
    return [None if at_s < last else label for label, at_s in zip(labels, rows.at_s, strict=True)]


def figures_of(version: Version, case: Case) -> Figures:
    """What was measured of the challenger. Times are as if it had been measured at the champion's pace."""
    sides, b = case.sides, case.b
    metrics: dict[str, float] = {}
    leading = None
    if sides.scored is not None:
        found = sides.scored[1].figures(_positive(sides.scored[1], sides, version))
        leading = found[0] if found else None
        metrics = {figure.metric: figure.value for figure in found}
    if sides.losses is not None:
        metrics["log_loss"] = float(sides.losses[1].mean())
    pace = (case.a.get("pace_s") or 1.0) / (b.get("pace_s") or case.a.get("pace_s") or 1.0)
    return Figures(
        metric=leading.metric if leading else "",
        value=leading.value if leading else None,
        low=leading.low if leading else None,
        high=leading.high if leading else None,
        labelled=case.labelled,
        metrics=metrics,
        agreement=float(sides.same.mean()) if sides.rows else None,
        difference=_difference(sides),
        cosine=float(sides.cosine.mean()) if sides.cosine is not None and len(sides.cosine) else None,
        rows=sides.rows,
        cpu_s=_scaled(b.get("cpu_s"), pace),
        one_row_s=_scaled(b.get("one_row_s"), pace),
        batch_s=_scaled(b.get("batch_s"), pace),
        batch_rows=int(b.get("batch_rows") or 0),
        size_bytes=b.get("size_bytes"),
        packed_bytes=b.get("packed_bytes"),
        memory_bytes=b.get("memory_bytes"),
    )


def _positive(scored: Scored, sides: Sides, version: Version) -> str | None:
    return scored.positive(sides.known, class_count(version))


def _difference(sides: Sides) -> float | None:
    """The largest difference of a probability, else of a number, relative to the champion's spread."""
    if sides.moved is not None:
        return float(sides.moved.max()) if sides.rows else None
    if sides.kind == "numbers" and sides.numbers is not None and sides.rows:
        largest = float(sides.gaps.max())
        return largest if np.isfinite(largest) else None
    return None


def _scaled(value: float | None, pace: float) -> float | None:
    return None if value is None else value * pace


def _limits(store: Store, name: str) -> dict[str, float]:
    """The limits of what the person has promised, by metric."""
    try:
        return {one.metric: one.limit for one in slo.parse(store.desired(name).slo).objectives}
    except AutodeployError:  # a deployment that is being removed, or a line of another release
        return {}


def _reason(found: Sequence[Check]) -> str:
    """Why it fell: the first condition that it does not meet; or what was proved."""
    bad = next((check for check in found if not check.passed), None)
    if bad is not None:
        return bad.text
    return "; ".join(check.text for check in found if check.name in ("quality", "calibration", "cosine", "cost"))
