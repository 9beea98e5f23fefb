"""A champion and challengers before the gate: answers to rows whose truth is known, without a model behind them."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from labelled import model

from autodeploy_magic.contracts import Version
from autodeploy_magic.operate.retune.gate.judge import judged
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.retuning import Contender, Family, Figures, Order

Array = np.ndarray[Any, Any]


class Contest:
    """Rows with labels (None for those without), the champion's answers, and what they cost (1 ms, 1 MB)."""

    def __init__(
        self, folder: Path, outputs: Mapping[str, Any], labels: Sequence[Any], version: Version | None = None
    ) -> None:
        self.folder, self.outputs = folder, dict(outputs)
        self.version = version or model(classes=len(outputs["probabilities"][0]) if "probabilities" in outputs else 0)
        rows = len(outputs["predictions"])
        self.rows = Rows(
            self.version.signature,
            [[0.0] * 4] * rows,
            rows,
            tuple(labels),
            tuple(2000.0 - i for i in range(rows)),
        )

    def measured(self, name: str, outputs: Mapping[str, Any], **cost: Any) -> dict[str, Any]:
        file = self.folder / f"{name}.json.gz"
        rows = len(outputs["predictions"])
        failed = cost.pop("failed", [])
        file.write_bytes(gzip.compress(msgspec.json.encode({"rows": rows, "outputs": outputs, "failed": failed})))
        usual = {"cpu_s": 1e-3, "pace_s": 1e-3, "size_bytes": 1_000_000, "memory_bytes": 100_000_000, "alike": 1.0}
        return {"answers": str(file), **usual, **cost}

    def judge(
        self,
        outputs: Mapping[str, Any],
        family: Family = "smaller",
        *,
        claims: str = "",
        max_loss: float = 0.005,
        tried: int = 1,
        goal: Any = "auto",
        memory_bytes: float | None = None,
        state: Any = "measuring",
        champion_cpu_s: float = 1e-3,
        changed: float = 0.0,
        **cost: Any,
    ) -> dict[str, Any]:
        """The gate's answer to a challenger with these outputs; it is twice as fast unless told otherwise."""
        return judged(
            self.version,
            self.rows,
            self.measured("a", self.outputs, cpu_s=champion_cpu_s),
            self.measured("b", {**self.outputs, **outputs}, **{"cpu_s": 0.5e-3, **cost}),
            Contender(id="c1", optimiser="x", claims=claims, title="x", family=family, state=state),
            Order(max_loss=max_loss, goal=goal),
            tried=tried,
            memory_bytes=memory_bytes,
            changed=changed,
        )


def fell_by(verdict: dict[str, Any]) -> set[str]:
    """The names of the conditions that it does not meet."""
    failed = {check["name"] for check in verdict["checks"] if not check["passed"]}
    assert verdict["passed"] == (not failed)
    return failed


def figures(verdict: dict[str, Any]) -> Figures:
    return msgspec.convert(verdict["figures"], Figures)


def classes(
    rows: int, seed: int = 0, *, kinds: int = 3, right: float = 0.95, shares: Sequence[float] | None = None
) -> tuple[Array, Array, Array]:
    """True classes, answers that are right so often, and probabilities whose likeliest class is the answer."""
    chance = np.random.default_rng(seed)
    truth = chance.choice(kinds, rows, p=shares)
    answers = np.where(chance.random(rows) < right, truth, (truth + chance.integers(1, kinds, rows)) % kinds)
    scores = chance.normal(0, 0.5, (rows, kinds))
    scores[np.arange(rows), answers] += 3.5
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return truth, probabilities.argmax(axis=1), probabilities
