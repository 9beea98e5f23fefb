"""Better hyper-parameters, searched by cross-validation on the labelled rows with Optuna; today's come first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.optimise.sklearn_drift import drift_of
from autodeploy_magic.operate.retune.optimise.sklearn_material import (
    LABELS_HINT,
    Material,
    check_labelled,
    material,
    missing,
)
from autodeploy_magic.operate.retune.optimise.sklearn_parts import (
    answers_of,
    last_step,
    reproducible,
    rows_of,
    threaded,
)
from autodeploy_magic.operate.retune.optimise.sklearn_refit import fitted, thawed
from autodeploy_magic.operate.retune.optimise.sklearn_spaces import space_of
from autodeploy_magic.operate.retune.weights import imbalanced
from autodeploy_magic.registry import need

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Search"]

FEWEST = 200
"""Rows from which cross-validation tells two settings apart by more than chance."""
_TRIALS = 30
_FOLDS = 4
_STARTING = 6
"""Trials before any is pruned."""
_SHARE = 0.7
"""Of the time given; the rest is for the fit on all rows."""
_MOST_ROWS = 20_000
_FEATURE = "searching hyper-parameters"


class Search(Optimiser):
    """Optuna's TPE with a median pruner over the spaces of `sklearn_spaces`; the folds are what it is pruned by."""

    name = "sklearn_search"
    family = "better"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        check_labelled(champion, holdings.training, holdings.task)
        need("optuna", _FEATURE)
        found, since, words = _rows(champion, holdings)
        _check(found)
        title = f"hyper-parameters searched, {_TRIALS} trials on {found.count} rows {words}".strip()
        return [Offer(title, {"trials": _TRIALS, "since_s": since}, slow=True)]

    def make(self, champion: Champion, given: Given) -> Made:
        holdings = given.holdings
        check_labelled(champion, holdings.training, holdings.task)
        whole = material(champion, holdings.training, holdings.task, new_classes=True)
        found = whole.since(float(given.settings.get("since_s", 0.0)))
        _check(found)
        trials = _Trials(found, given)
        study = trials.run(int(given.settings["trials"]))
        best, first = study.best_trial, study.trials[0]
        figures = f"{trials.metric} {_shown(best.value)} by cross-validation, {_shown(first.value)} with today's"
        if best.number == first.number or not trials.surely_better(best.number):
            tried = len(study.trials)
            raise NotApplicable(f"nothing found better than today's parameters in {tried} trials ({figures})")
        chosen = trials.chosen[best.number]
        model, _ = fitted(replace(found, model=trials.with_parameters(chosen)), None, given.seed, given.threads)
        said = f"best of {len(study.trials)} trials on {found.count} rows: {figures}"
        note = "; ".join(word for word in (said, whole.mapped.note) if word)
        return Rebuilt(model, note=note, changed=chosen)


@dataclass
class _Trials:
    """The trials of one search: each is scored fold by fold, higher is better."""

    found: Material
    given: Given

    def __post_init__(self) -> None:
        self.scores: dict[int, list[float]] = {}
        self.chosen: dict[int, dict[str, Any]] = {}
        self._until = time.monotonic() + _SHARE * self.given.within_s
        self._longest = 0.0

    @cached_property
    def metric(self) -> str:
        if not self.found.classifies:
            return "root mean square error"
        return "balanced accuracy" if imbalanced(self.found.codes) else "accuracy"

    @cached_property
    def folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The same for all trials; of very many rows a part that is drawn."""
        import numpy as np
        from sklearn.model_selection import KFold, StratifiedKFold

        rows = np.arange(self.found.count)
        if len(rows) > _MOST_ROWS:
            rows = np.sort(np.random.default_rng(self.given.seed).permutation(rows)[:_MOST_ROWS])
        kind = StratifiedKFold if self.found.classifies else KFold
        split = kind(_FOLDS, shuffle=True, random_state=self.given.seed)
        codes = self.found.codes[rows] if self.found.classifies else None
        return [(rows[learnt], rows[asked]) for learnt, asked in split.split(rows, codes)]

    def run(self, count: int) -> Any:
        optuna = need("optuna", _FEATURE)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=self.given.seed, n_startup_trials=_STARTING),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTING),
        )
        study.optimize(self._today, n_trials=1)
        while len(study.trials) < count and time.monotonic() + self._longest < self._until:
            study.optimize(self._trial, n_trials=1, catch=(ValueError, ArithmeticError))
        return study

    def with_parameters(self, parameters: dict[str, Any]) -> Any:
        """An unfitted copy of the model with those of its last step."""
        from sklearn.base import clone

        model = reproducible(thawed(clone(self.found.model)), self.given.seed)
        last_step(model).set_params(**parameters)
        return model

    def surely_better(self, number: int) -> bool:
        """Whether it did better than today's by more than the standard error of the folds' differences."""
        import numpy as np

        gains = np.subtract(self.scores[number], self.scores[0])
        return bool(gains.mean() > gains.std(ddof=1) / np.sqrt(len(gains)))

    def _today(self, trial: Any) -> float:
        return self._scored(trial, {})

    def _trial(self, trial: Any) -> float:
        last = last_step(self.found.model)
        space = space_of(last)
        assert space is not None
        return self._scored(trial, space(trial, last))

    def _scored(self, trial: Any, parameters: dict[str, Any]) -> float:
        import numpy as np

        optuna = need("optuna", _FEATURE)
        started = time.monotonic()
        scores: list[float] = []
        self.chosen[trial.number] = parameters
        for step, (learnt, asked) in enumerate(self.folds):
            scores.append(self._score(self.with_parameters(parameters), learnt, asked))
            trial.report(float(np.mean(scores)), step)
            if parameters and trial.should_prune():
                raise optuna.TrialPruned
        self.scores[trial.number] = scores
        self._longest = max(self._longest, time.monotonic() - started)
        return float(np.mean(scores))

    def _score(self, model: Any, learnt: np.ndarray, asked: np.ndarray) -> float:
        import warnings

        import numpy as np
        from sklearn.exceptions import ConvergenceWarning

        x, y = self.found.x, self.found.y
        with threaded(model, self.given.threads), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the score says what came of it
            model.fit(rows_of(x, learnt), y[learnt])
            said = answers_of(model, rows_of(x, asked))
        if not self.found.classifies:
            return -float(np.sqrt(np.mean((said - y[asked]) ** 2)))
        right = np.asarray(said == y[asked], dtype=np.float64)
        if self.metric == "accuracy":
            return float(right.mean())
        codes = self.found.codes[asked]
        return float(np.mean([right[codes == code].mean() for code in np.unique(codes)]))


def _rows(champion: Champion, holdings: Holdings) -> tuple[Material, float, str]:
    """All rows; those since the errors rose where these are enough."""
    whole = material(champion, holdings.training, holdings.task, new_classes=True)
    drift = drift_of(whole)
    if drift.found is not None:
        after = whole.since(drift.found.at_s)
        if after.count >= FEWEST and not missing(after):
            return after, drift.found.at_s, f"since its errors rose ({drift.words})"
    return whole, 0.0, ""


def _check(found: Material) -> None:
    """Raise `NotApplicable` for a class without a space, and for too few rows."""
    last = last_step(found.model)
    if space_of(last) is None:
        raise NotApplicable(f"no bounds are known for the hyper-parameters of a {type(last).__name__}")
    lacking = missing(found, of_each=_FOLDS * 2, fewest=FEWEST)
    if lacking:
        raise NotApplicable(f"too few rows to search hyper-parameters: {lacking}", fix=LABELS_HINT)


def _shown(value: float) -> str:
    return f"{abs(value):.4g}"
