"""Probabilities that are true: of the answers given with 80 %, four of five are right. The ranking stays as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.optimise.sklearn_parts import last_step, rows_of
from autodeploy_magic.operate.retune.optimise.sklearn_probable import FOLDS, Probable, probable

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Calibrate", "calibration_error", "log_loss"]

_FOR_ISOTONIC = 1000
"""Rows from which isotonic regression does not overfit; fewer are given Platt's sigmoid (scikit-learn's user guide;
A. Niculescu-Mizil, R. Caruana, 2005)."""
_BINS = 15
_OFF = 0.02
"""A calibration error below this is as good as noise on some hundred rows."""
_GAIN = 0.05
"""Of the log loss, where the error is small since nearly all rows are of one class."""
_SIGMAS = 2.0
_LEAST = 1e-7


class Calibrate(Optimiser):
    """`CalibratedClassifierCV` around the frozen model, where its probabilities are off."""

    name = "sklearn_calibrate"
    family = "better"
    claims = "log_loss"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        found = _found(champion, holdings)
        today = _probabilities_today(found)
        error = calibration_error(today, found.rows.codes)
        method = "isotonic" if found.rows.count >= _FOR_ISOTONIC else "sigmoid"
        after = _out_of_fold(found, method)
        gains = log_losses(today, found.rows.codes) - log_losses(after, found.rows.codes)
        before, then = log_loss(today, found.rows.codes), log_loss(after, found.rows.codes)
        figures = f"log loss {before:.3f}, {then:.3f} when calibrated; calibration error {error:.1%}"
        sure = float(gains.mean()) > _SIGMAS * float(gains.std()) / math.sqrt(len(gains))
        if not sure or (error < _OFF and then > before * (1 - _GAIN)):
            raise NotApplicable(f"its probabilities are well calibrated ({figures})")
        settings = {"method": method, "since_s": found.since_s}
        return [Offer(f"calibrated, {method} ({figures})", settings)]

    def make(self, champion: Champion, given: Given) -> Made:
        found = _found(champion, given.holdings, float(given.settings.get("since_s", 0.0)))
        method = str(given.settings["method"])
        after = calibration_error(_out_of_fold(found, method), found.rows.codes)
        before = calibration_error(_probabilities_today(found), found.rows.codes)
        model = found.around(_calibrated(found, found.last_x, found.rows.y, method))
        said = f"{method} on {found.rows.count} rows; calibration error {before:.1%}, now {after:.1%}"
        return Rebuilt(model, note="; ".join(word for word in (said, found.note) if word))


def _found(champion: Champion, holdings: Holdings, since_s: float | None = None) -> Probable:
    found = probable(champion, holdings, "calibration", "CalibratedClassifierCV", since_s)
    if type(found.last).__name__.endswith(("ThresholdClassifier", "ThresholdClassifierCV")):
        raise NotApplicable("it decides by a threshold, which calibration beneath it would move")
    return found


def log_losses(probabilities: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The log loss of each row, in nats."""
    import numpy as np

    true = probabilities[np.arange(len(codes)), codes]
    found: np.ndarray = -np.log(np.clip(true, _LEAST, 1.0))
    return found


def log_loss(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """The mean log loss, in nats."""
    return float(log_losses(probabilities, codes).mean())


def calibration_error(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """How far confidence is from being right, on the mean over 15 bins of as many rows each.

    The expected calibration error (C. Guo et al., 2017) with equal-mass bins (J. Nixon et al., 2019). From each bin
    what chance alone makes of a true probability is taken off, for bins of few rows are never quite even.
    """
    import numpy as np

    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == codes
    order = np.argsort(sure, kind="stable")
    total = 0.0
    for part in np.array_split(order, min(_BINS, max(1, len(order) // 20))):
        off = abs(float(sure[part].mean()) - float(right[part].mean()))
        chance = math.sqrt(float((sure[part] * (1 - sure[part])).mean()) / len(part)) * math.sqrt(2 / math.pi)
        total += len(part) / len(order) * max(0.0, off - chance)
    return total


def _probabilities_today(found: Probable) -> np.ndarray:
    """Those that the champion says, with its own calibration if it has one."""
    import numpy as np

    if found.last is last_step(found.rows.model):
        return found.probabilities
    return np.asarray(found.rows.model.predict_proba(found.rows.x), dtype=np.float64)


def _calibrated(found: Probable, x: Any, y: Any, method: str) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    return CalibratedClassifierCV(FrozenEstimator(found.last), method=method).fit(x, y)


def _out_of_fold(found: Probable, method: str) -> np.ndarray:
    """Calibrated probabilities, of each row by a calibration that did not see it."""
    import numpy as np
    from sklearn.model_selection import StratifiedKFold

    answers = np.empty_like(found.probabilities)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for learnt, asked in folds.split(answers, found.rows.codes):
        model = _calibrated(found, rows_of(found.last_x, learnt), found.rows.y[learnt], method)
        answers[asked] = model.predict_proba(rows_of(found.last_x, asked))
    return answers
