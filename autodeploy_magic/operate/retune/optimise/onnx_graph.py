"""Graph optimisation, done once and kept: constants folded, operators fused, dead ends gone.

onnxruntime does the same whenever it loads a file, so that calls gain little (1.01 to 1.15 times was measured); what is
gained is the time to load, with which a worker starts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from autodeploy_magic.errors import NotApplicable, RetuneFailed
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Replaced
from autodeploy_magic.operate.retune.optimise.onnx_answers import checked, cpu_s, feeds
from autodeploy_magic.operate.retune.optimise.onnx_file import nodes, read, session, tidy, write
from autodeploy_magic.retuning import Family

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = ["Graph"]

_FEW = 3
_WORTH = 0.95
"""Fewer operators than this share of those of before, or it is the same graph."""


class Graph(Optimiser):
    """The extended level, which runs on any processor; the level above is made for the one that it was made on."""

    name: ClassVar[str] = "onnx_graph"
    family: ClassVar[Family] = "smaller"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        if _count(read(champion)) <= _FEW:
            raise NotApplicable("its graph has a few operators, and nothing to fold")
        return [Offer("graph optimised beforehand", {"level": "ORT_ENABLE_EXTENDED"})]

    def make(self, champion: Champion, given: Given) -> Made:
        model = read(champion)
        found = tidy(model, given.folder, str(given.settings["level"]))
        before, after = _count(model), _count(found)
        if after > before * _WORTH:
            raise RetuneFailed(f"onnxruntime finds nothing to fold in its {before} operators")
        file = write(found, given.folder)
        fed = feeds(champion, given.holdings.calibration)
        apart = checked(champion, file, fed)
        old, new = cpu_s([session(champion.needs_onnx()), session(file)], fed[:4])
        loads = _load_s(champion.needs_onnx()) / _load_s(file)
        note = f"{after} operators and not {before}: loaded {loads:.1f} times and run {old / new:.2f} times as fast"
        return Replaced(file, f"{note}; {apart.words}", {"operators": after})


def _count(model: Any) -> int:
    """Operators that do something when the graph runs."""
    return sum(node.op_type != "Constant" for node in nodes(model.graph))


def _load_s(file: Path) -> float:
    """Seconds of the processor to make a session of it, the better of two."""
    best = float("inf")
    for _ in range(2):
        start = time.process_time()
        session(file)
        best = min(best, time.process_time() - start)
    return best
