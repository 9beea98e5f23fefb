"""Probabilities that say how often they are right: a classifier's scores divided by one temperature.

C. Guo et al.: On Calibration of Modern Neural Networks, 2017. The weights and the bias of the last layer are divided by
it, which is the same, and keeps the module's class; the answers' order stays, and so does the accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.optimise.network_targets import FEWEST, Targets, odds
from autodeploy_magic.operate.retune.optimise.torch_learn import head_of
from autodeploy_magic.operate.retune.optimise.torch_net import Net, check_labelled, open_net
from autodeploy_magic.wire.libraries.torch_call import Bound

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = ["Calibrate", "off_by", "temperature_of"]

_WELL = 0.02
"""Expected calibration error up to which nothing is gained: the noise of some hundred rows in ten bins."""
_BINS = 10
_FEWEST = 100
_COLDEST, _HOTTEST = 0.05, 20.0


class Calibrate(Optimiser):
    """One temperature, found on labelled rows, of which half say whether it holds for the other half."""

    name = "torch_calibrate"
    claims = "log_loss"
    family = "better"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        check_labelled(champion, holdings)
        if holdings.training.count < max(_FEWEST, FEWEST):
            raise NotApplicable(f"{holdings.training.count} labelled rows, and {_FEWEST} are needed to calibrate")
        net = open_net(champion)
        _, targets, scores = _asked(net, holdings)
        _temperature(targets, scores)
        return [Offer("temperature scaling")]

    def make(self, champion: Champion, given: Given) -> Made:
        import torch

        net = open_net(champion)
        bound, targets, scores = _asked(net, given.holdings)
        temperature, before, after = _temperature(targets, scores)
        head = head_of(net.module, scores.shape[1])
        if head is None:
            raise NotApplicable("its last layer gives other than its scores: there is nothing to scale")
        with torch.no_grad():
            for item in head.parameters():
                item.data /= temperature
        found = odds(net.answers(bound).numpy(), targets.form)[targets.positions]
        if not np.allclose(_softmax(found), _softmax(scores / temperature), atol=1e-3):
            raise NotApplicable("what follows its last layer is more than a softmax: to scale that layer is not enough")
        note = f"temperature {temperature:.2f} by {len(scores)} rows, calibration error {before:.3f} → {after:.3f}"
        return Rebuilt(net.module, note="; ".join((note, *targets.notes)), changed={"temperature": temperature})


def temperature_of(scores: NDArray[Any], true: NDArray[np.int64]) -> float:
    """The temperature at which the classes that were true are likeliest."""
    from scipy.optimize import minimize_scalar

    def unlikely(log: float) -> float:
        logs = np.log(np.clip(_softmax(scores / np.exp(log)), 1e-12, None))
        return float(-logs[np.arange(len(true)), true].mean())

    found = minimize_scalar(unlikely, bounds=(np.log(_COLDEST), np.log(_HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def off_by(scores: NDArray[Any], true: NDArray[np.int64]) -> float:
    """The expected calibration error: how far the confidence is from the accuracy, over ten bins of confidence."""
    chances = _softmax(scores)
    sure, right = chances.max(1), chances.argmax(1) == true
    places = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    bins = [places == i for i in range(_BINS)]
    return float(sum(abs(sure[one].mean() - right[one].mean()) * one.mean() for one in bins if one.any()))


def _asked(net: Net, holdings: Holdings) -> tuple[Bound, Targets, NDArray[np.float64]]:
    """The rows, what those with a label should have been answered, and the scores that these were given."""
    bound = net.bind(holdings.training)
    answers = net.answers(bound)
    targets = net.targets(holdings.training, answers, holdings.task)
    if targets.kind != "classes":
        raise NotApplicable("it answers with no probabilities of several classes")
    given = targets.form in ("probabilities", "log")
    if not given and not _told_probabilities(net, answers):
        raise NotApplicable("it answers with scores, which are no probabilities to be calibrated")
    return bound, targets, odds(answers.numpy(), targets.form)[targets.positions]


def _told_probabilities(net: Net, answers: Any) -> bool:
    """Whether the person's postprocess makes probabilities of scores."""
    postprocess = net.champion.code.get("postprocess")
    if postprocess is None or answers.ndim != 2:
        return False
    try:
        said = np.asarray(postprocess(answers.clone()))
    except ValueError:  # rows that are not alike
        return False
    plain = said.dtype.kind == "f" and said.shape == tuple(answers.shape)
    return bool(plain and said.min() >= 0 and np.allclose(said.sum(1), 1, atol=1e-3))


def _temperature(targets: Targets, scores: NDArray[np.float64]) -> tuple[float, float, float]:
    """The temperature, and the calibration error before and after of rows that it was not found on."""
    true = targets.values
    before = off_by(scores, true)
    if before <= _WELL:
        raise NotApplicable(f"its probabilities are right already: off by {before:.3f} on the mean")
    halves = [np.arange(len(true)) % 2 == i for i in (0, 1)]
    after = 0.0
    for half in halves:
        temperature = temperature_of(scores[half], true[half])
        after += off_by(scores[~half] / temperature, true[~half]) / 2
    if after >= before * 0.9:
        raise NotApplicable(f"no temperature makes its probabilities better: off by {before:.3f}, and then {after:.3f}")
    return temperature_of(scores, true), before, after


def _softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    shifted = np.exp(scores - scores.max(1, keepdims=True))
    found: NDArray[np.float64] = shifted / shifted.sum(1, keepdims=True)
    return found
