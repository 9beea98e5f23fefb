"""Two changes in one candidate: what made the model better or smaller, and what makes its ONNX file smaller still."""

from __future__ import annotations

from collections.abc import Sequence

from autodeploy_magic.retuning import Contender

__all__ = ["MOST", "chains"]

MOST = 3
"""So many are tried: each takes as long as one alone."""

_LAST = ("onnx_trees", "onnx_dynamic", "onnx_static")
"""What may come after another change, in this order: a smaller network is quantised, fewer trees are left of a better
forest."""


def chains(contenders: Sequence[Contender]) -> list[Contender]:
    """The candidates that are worth a second change, with it: the best of those that passed, after each other.

    A first change is any that passed and that is not of the same optimiser; the second one passed on the champion, or
    was not for it alone: quantising a network that was pruned is, where quantising the whole one lost too much.
    """
    passed = [one for one in contenders if one.state == "passed" and one.layout is None and one.base == "c0"]
    firsts = sorted((one for one in passed if one.optimiser not in _LAST[1:]), key=_cost)
    seconds = [
        one
        for name in _LAST
        for one in sorted(contenders, key=_cost)
        if one.optimiser == name and one.base == "c0" and one.state in ("passed", "fell")
    ]
    found = []
    for first in firsts:
        for second in seconds:
            if second.optimiser != first.optimiser and not (second.state == "fell" and first.family == "better"):
                found.append(_both(first, second))
                break
    return found[:MOST]


def _both(first: Contender, second: Contender) -> Contender:
    return Contender(
        id="",
        optimiser=second.optimiser,
        title=f"{first.title}, then {second.title}",
        family="better" if first.family == "better" else "smaller",
        settings=second.settings,
        base=first.id,
    )


def _cost(contender: Contender) -> float:
    """CPU time of a request, the cheapest first; what was not measured last."""
    return contender.figures.cpu_s if contender.figures.cpu_s is not None else float("inf")
