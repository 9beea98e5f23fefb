"""Some epochs more on labelled rows, for a Keras model: of all its layers, or of the last alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.optimise.keras_net import (
    Course,
    finished,
    learn,
    loss_of,
    open_net,
    taken,
    wanted,
)
from autodeploy_magic.operate.retune.optimise.network_targets import EPOCHS, FEWEST, TRAINED_ON, parted

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = ["FineTune"]


class FineTune(Optimiser):
    """Trains the model that there is: its layers and their sizes stay."""

    name = "keras_tune"
    family = "better"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        if champion.framework != "keras":
            raise NotApplicable("it is no Keras model")
        rows = holdings.training
        if rows.count < FEWEST or not rows.labels:
            raise NotApplicable(f"{rows.count} labelled rows to learn from, and {FEWEST} are needed")
        net = open_net(champion)
        targets = net.targets(rows, net.answers(net.inputs(rows)), holdings.task)
        known = len(targets.positions)
        if known < FEWEST:
            raise NotApplicable(f"{known} rows have a label that it can learn, and {FEWEST} are needed")
        return TRAINED_ON if len(_learning(net.model)) > 1 else TRAINED_ON[:2]

    def make(self, champion: Champion, given: Given) -> Made:
        import keras

        net = open_net(champion)
        keras.utils.set_random_seed(given.seed)
        rows = given.holdings.training
        inputs = net.inputs(rows)
        answers = net.answers(inputs)
        targets = net.targets(rows, answers, given.holdings.task)
        true = wanted(targets, answers.shape[-1])
        places, kept = parted(targets, given.seed)
        held = _learning(net.model)[:-1] if given.settings["layers"] == "last" else []
        for layer in held:
            layer.trainable = False

        def lot(some: Any) -> tuple[Any, Any, Any]:
            return taken(inputs, targets.positions[some]), true[some], targets.weights[some]

        course = Course.within(given, EPOCHS, float(given.settings["pace"]))
        learnt = learn(net.model, loss_of(targets), lot(places), lot(np.asarray(kept)), course)
        for layer in held:
            layer.trainable = True
        if not learnt.best:
            raise NotApplicable(f"none of {learnt.epochs} epochs made it better on {len(kept)} rows kept aside")
        note = "; ".join((f"{len(places)} rows, {learnt.note}", *targets.notes))
        return Rebuilt(finished(net.model, given.holdings.task), note=note)


def _learning(model: Any) -> list[Any]:
    """The layers with weights that are trained, in order."""
    return [layer for layer in model.layers if layer.trainable_weights]
