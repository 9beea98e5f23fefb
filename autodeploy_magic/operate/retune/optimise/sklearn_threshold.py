"""From which probability a classifier of two classes says yes: 0.5 is seldom best where one of them is rare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.optimise.sklearn_parts import answers_of
from autodeploy_magic.operate.retune.optimise.sklearn_probable import FOLDS, Probable, probable
from autodeploy_magic.operate.retune.weights import imbalanced

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Threshold", "best_threshold"]

_TITLES = {"f1": "F1", "balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}
_POSITIVE = 1
"""The second class is the one that F1 is of, as in all figures of a deployment; see `quality.rows.Rows.positive`."""
_MOST_TRIED = 200
_DRAWS = 300
_SURE = 0.95


class Threshold(Optimiser):
    """`FixedThresholdClassifier` around the frozen model; probabilities and classes stay as they are.

    The threshold is chosen by F1, or where that gains nothing by balanced accuracy; where both
    classes are frequent by accuracy. It is offered where thresholds that were chosen on four fifths of the rows do
    better on the last fifth than today's, in 95 of 100 draws of the rows.
    """

    name = "sklearn_threshold"
    family = "better"
    claims = "f1"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        found = _two_classes(champion, holdings)
        codes = found.rows.codes
        metrics = ("f1", "balanced_accuracy") if imbalanced(codes) else ("accuracy",)
        tried = []
        for metric in metrics:
            before, after, sure = _gain(found, metric)
            figures = f"{_TITLES[metric]} {before:.3f}, {after:.3f} by cross-validation"
            tried.append(figures)
            if after > before and sure >= _SURE:
                settings = {"metric": metric, "since_s": found.since_s}
                return [Offer(f"threshold for {_TITLES[metric]} ({figures})", settings)]
        raise NotApplicable(f"no threshold is surely better than today's ({'; '.join(tried)})")

    def make(self, champion: Champion, given: Given) -> Made:
        from sklearn.frozen import FrozenEstimator
        from sklearn.model_selection import FixedThresholdClassifier

        found = _two_classes(champion, given.holdings, float(given.settings.get("since_s", 0.0)))
        metric, positive = str(given.settings["metric"]), _POSITIVE
        threshold = best_threshold(found.probabilities[:, positive], found.rows.codes == positive, metric)
        label = found.rows.mapped.classes[positive]
        decided = FixedThresholdClassifier(
            FrozenEstimator(found.last), threshold=threshold, pos_label=label, response_method="predict_proba"
        )
        model = found.around(decided.fit(found.last_x, found.rows.y))
        said = f"{label!r} from a probability of {threshold:.3f}, for {_TITLES[metric]} on {found.rows.count} rows"
        note = "; ".join(word for word in (said, found.note) if word)
        return Rebuilt(model, note=note, changed={"threshold": threshold, "class": label})


def best_threshold(scores: np.ndarray, positive: np.ndarray, metric: str) -> float:
    """The threshold with the best `metric` on these rows, half-way between two scores; of equal ones nearest to 0.5.

    At most 200 are tried, at quantiles of the scores.
    """
    import numpy as np

    values = np.unique(scores)
    between = (values[1:] + values[:-1]) / 2
    if len(between) > _MOST_TRIED:
        between = between[np.linspace(0, len(between) - 1, _MOST_TRIED).astype(int)]
    tried = np.concatenate([[0.5], between[np.argsort(np.abs(between - 0.5), kind="stable")]])
    reached = [_score(positive, scores >= threshold, metric) for threshold in tried]
    return float(tried[int(np.argmax(reached))])


def _two_classes(champion: Champion, holdings: Holdings, since_s: float | None = None) -> Probable:
    found = probable(champion, holdings, "a decision threshold", "FixedThresholdClassifier", since_s)
    if len(found.rows.mapped.classes) != 2:  # yes and no
        raise NotApplicable(f"a threshold is for two classes, and it knows {len(found.rows.mapped.classes)}")
    return found


def _gain(found: Probable, metric: str) -> tuple[float, float, float]:
    """The metric today, and with thresholds chosen on other rows; and in what share of draws the latter do better."""
    import numpy as np
    from sklearn.model_selection import StratifiedKFold

    place = _POSITIVE
    scores, true = found.probabilities[:, place], found.rows.codes == place
    label = found.rows.mapped.classes[place]
    today = np.asarray(answers_of(found.rows.model, found.rows.x) == label)
    then = np.zeros_like(today)
    for learnt, asked in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(scores, true):
        then[asked] = scores[asked] >= best_threshold(scores[learnt], true[learnt], metric)
    order = np.random.default_rng(0)
    better = 0
    for _ in range(_DRAWS):
        rows = order.integers(0, len(true), len(true))
        better += _score(true[rows], then[rows], metric) > _score(true[rows], today[rows], metric)
    return _score(true, today, metric), _score(true, then, metric), better / _DRAWS


def _score(true: np.ndarray, said: np.ndarray, metric: str) -> float:
    """F1, balanced accuracy or accuracy of yes and no."""
    hits, yes, positives = int((true & said).sum()), int(said.sum()), int(true.sum())
    if metric == "f1":
        return 2 * hits / (yes + positives) if yes + positives else 0.0
    rejected, negatives = int((~true & ~said).sum()), len(true) - positives
    if metric == "accuracy":
        return (hits + rejected) / max(len(true), 1)
    return (hits / max(positives, 1) + rejected / max(negatives, 1)) / 2
