"""Fewer trees: the first of a forest's, or the first rounds of a boosted ensemble (early stopping after the fact).

A forest's time and size are proportional to its trees, and its error falls ever more slowly with them: the first 100 of
300 were measured 3.7 times as fast and 3.1 times as small for 0.9 points of accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autodeploy_magic.errors import NotApplicable, RetuneFailed
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Replaced
from autodeploy_magic.operate.retune.optimise.onnx_answers import answers, apart, checked, feeds, spread
from autodeploy_magic.operate.retune.optimise.onnx_ensemble import Ensemble, ensembles
from autodeploy_magic.operate.retune.optimise.onnx_file import read, session, write
from autodeploy_magic.retuning import Family

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion
    from autodeploy_magic.operate.retune.rows import Rows

__all__ = ["FewerTrees"]

_FRACTIONS = {"averaged": (1 / 2, 1 / 3, 1 / 6), "summed": (3 / 4, 1 / 2, 1 / 4)}
_LADDER = (1 / 12, 1 / 8, 1 / 6, 1 / 5, 1 / 4, 1 / 3, 2 / 5, 1 / 2, 2 / 3, 3 / 4)
"""What is tried, from few trees to many, to find the fewest that do."""
_FEWEST = 4
_ENOUGH, _MOST = 64, 512
"""Rows that the fewest are found by: with less, one of them is more than is to be lost."""
_COSINE = 0.99
"""Between probabilities, which a boosted ensemble moves long before its labels."""


class FewerTrees(Optimiser):
    """Offers fractions, and as many as the rows at hand ask for. A round has a tree for each class where classes have
    trees of their own; `settings` count rounds: {"trees": 100, "of": 300}, or {"trees": "fewest", "of": 300}."""

    name: ClassVar[str] = "onnx_trees"
    family: ClassVar[Family] = "smaller"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        found = _found(read(champion), champion.version.model_type)
        way, of = found[0].way, max(len(one.rounds) for one in found)
        word = "trees" if way == "averaged" else "rounds"
        counts = sorted({max(round(of * share), 1) for share in _FRACTIONS[way]}, reverse=True)
        fixed = [Offer(f"first {k} of {of} {word}", {"trees": k, "of": of}) for k in counts if k < of]
        if _rows(holdings).count < _ENOUGH:
            return fixed
        return [Offer(f"the fewest {word} that do", {"trees": "fewest", "of": of}), *fixed]

    def make(self, champion: Champion, given: Given) -> Made:
        model = read(champion)
        found = _found(model, champion.version.model_type)
        of, asked = max(len(one.rounds) for one in found), given.settings["trees"]
        fed = feeds(champion, given.holdings.calibration)
        if asked == "fewest":
            k, why = _fewest(champion, given, lambda k: _cut(model, found, k / of).SerializeToString(), of)
        else:
            k, why = int(asked), ""
        file = write(_cut(model, found, k / of), given.folder)
        found_apart = checked(champion, file, fed)
        return Replaced(file, f"first {k} of {of}{why}: {found_apart.words}", {"trees": k})


def _found(model: Any, model_type: str) -> list[Ensemble]:
    """Its ensembles, if they can be cut. Raises `NotApplicable`."""
    found = ensembles(model, model_type)
    if not found:
        raise NotApplicable("it has no trees")
    if "IsolationForest" in model_type:
        raise NotApplicable("its answer is made from the depth of each of its trees, which stand apart")
    if max(len(one.rounds) for one in found) < _FEWEST:
        raise NotApplicable("it has no more than a few trees" if len(found) == 1 else "its trees stand apart")
    if len({one.way for one in found}) > 1:
        raise NotApplicable("some of its trees are averaged and some are summed")
    return found


def _cut(model: Any, found: Sequence[Ensemble], share: float) -> Any:
    """The graph with that share of each ensemble's rounds."""
    cut = type(model)()
    cut.CopyFrom(model)
    position = {id(one.node): i for i, one in enumerate(found)}
    kept = [one.first(max(round(len(one.rounds) * share), 1)) for one in found]
    nodes = [kept[position[id(node)]] if id(node) in position else node for node in model.graph.node]
    del cut.graph.node[:]
    cut.graph.node.extend(nodes)
    return cut


def _fewest(champion: Champion, given: Given, cut: Callable[[int], bytes], of: int) -> tuple[int, str]:
    """The fewest rounds that lose no more than `max_loss` on the rows at hand, and what was found.

    Labelled rows say what is lost; but a forest was often made from those very rows, and knows them by heart, so the
    answers have to stay the champion's besides. A row in doubt is lost about as often as it is won, which lets twice
    as many labels change; three times that where the champion errs on the rows, so that its loss can be seen. Of
    numbers: an independent difference of d adds d²/2 of the error (both relative to it), and
    where no labels tell the error it is taken as a fifth of the answers' spread.
    """
    holdings = given.holdings
    rows = _rows(holdings)
    rows = rows.taken(spread(rows.count, _MOST))
    fed = feeds(champion, rows)
    ours = answers(session(champion.needs_onnx()), fed)
    loss = _loss(ours, rows)
    changes = max((6 if loss else 2) * holdings.max_loss, 1 / rows.count)
    drift = math.sqrt(2 * holdings.max_loss) * (0.2 if loss is None else 1.0)
    labelled = any(part[0].dtype.kind != "f" for part in ours)
    for k in sorted({max(round(of * share), 1) for share in _LADDER}):
        theirs = answers(session(cut(k)), fed)
        found, lost = apart(ours, theirs), _loss(theirs, rows)
        near = found.disagreement <= changes and found.cosine >= _COSINE if labelled else found.error <= drift
        if near and (loss is None or lost is None or _within(lost, loss, holdings.max_loss, labelled)):
            return k, ", the fewest of those tried that keep the answers"
    asked = f"{changes:.1%} of the labels" if labelled else f"the numbers by {drift:.1%} of their spread"
    raise RetuneFailed(f"no fewer than {of} do: three quarters of them change more than {asked}, or lose too much")


def _rows(holdings: Holdings) -> Rows:
    """The rows that the fewest are found by: the labelled ones where they are enough."""
    return holdings.training if holdings.training.count >= _ENOUGH else holdings.calibration


def _loss(found: list[list[Any]], rows: Rows) -> float | None:
    """What the first output loses by the labels: the share of wrong ones, or the root mean square of the errors."""
    first = np.concatenate([np.asarray(part).reshape(len(part), -1)[:, 0] for part in found[0]])
    if not rows.labels:
        return None
    if first.dtype.kind != "f":
        return float(np.mean([str(a) != str(b) for a, b in zip(first.tolist(), rows.labels, strict=True)]))
    truth = rows.y()
    return float(np.sqrt(np.mean((first - truth) ** 2))) if truth.dtype.kind in "fiu" else None


def _within(lost: float, loss: float, max_loss: float, labelled: bool) -> bool:
    return lost <= loss + max_loss if labelled else lost <= loss * (1 + max_loss)
