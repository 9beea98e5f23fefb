"""A Keras model with fewer neurons and channels, trained on by the answers that the whole one gave, and by labels.

As torch_prune does it; the mixtures of rows are made once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.errors import NotApplicable, RetuneFailed
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.optimise.keras_graph import Removable, multiplications, removable, without
from autodeploy_magic.operate.retune.optimise.keras_net import Course, Net, finished, learn, open_net, taken, wanted
from autodeploy_magic.operate.retune.optimise.network_targets import FEWEST, Form, Targets, form_of, odds
from autodeploy_magic.operate.retune.optimise.network_units import OWN, WARMTH, check_rows, prune_offers, units_left

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = ["Prune"]

_EPOCHS = 60
_PACE = 0.02
_LOOKED_AT = 512
_MIXTURES = 2
"""Mixtures of rows for each row; at most `_MOST` of them."""
_MOST = 4000


class Prune(Optimiser):
    """Takes neurons of dense layers and channels of convolutions out, and trains what is left."""

    name = "keras_prune"
    family = "smaller"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        if champion.framework != "keras":
            raise NotApplicable("it is no Keras model")
        check_rows(holdings)
        model = open_net(champion).model
        found = removable(model)

        def work_with(share: float) -> int:
            return multiplications(without(model, {one: range(units_left(one.units, share)) for one in found}))

        return prune_offers(multiplications(model), len(found), work_with)

    def make(self, champion: Champion, given: Given) -> Made:
        import keras

        net = open_net(champion)
        keras.utils.set_random_seed(given.seed)
        inputs, targets = _material(net, given.holdings)
        taught = net.answers(inputs)
        smaller = _smaller(net, inputs, float(given.settings["share"]))
        lesson = _Lesson(taught, targets)
        random = np.random.default_rng(given.seed)
        order = random.permutation(len(taught))
        fifth = max(len(order) // 5, 1)
        places, kept = order[fifth:], order[:fifth]
        shown, true = taken(inputs, places), lesson.wanted[places]
        mixed = _mixed(shown, random)
        if mixed is not None:
            shown = _joined(shown, mixed)
            true = np.concatenate([true, lesson.of(net.answers(mixed))])
        aside = (taken(inputs, kept), lesson.wanted[kept], np.ones(len(kept), dtype=np.float32))
        course = Course.within(given, _EPOCHS, _PACE, patience=10)
        learnt = learn(smaller, lesson.loss, (shown, true, np.ones(len(true), dtype=np.float32)), aside, course)
        of = f"{len(targets.positions)} labels" if targets is not None else "the model's own answers"
        note = f"{smaller.count_params():,} of {net.model.count_params():,} weights; {len(places)} rows and {of}"
        return Rebuilt(finished(smaller, given.holdings.task), note=f"{note}, {learnt.note}")


def _material(net: Net, holdings: Holdings) -> tuple[Any, Targets | None]:
    """All rows that there are, those with labels first; and what the labels say, where they say it."""
    training, calibration = holdings.training, holdings.calibration
    others = net.inputs(calibration)
    if not training.count:
        return others, None
    inputs, targets = net.inputs(training), None
    if training.labels and training.count >= FEWEST:
        try:
            targets = net.targets(training, net.answers(inputs), holdings.task)
        except NotApplicable:  # labels of something else than what it answers: its own answers will do
            targets = None
    try:
        return _joined(inputs, others), targets
    except ValueError:  # its preprocess pads each lot to a length of its own
        return inputs, targets


def _joined(first: Any, second: Any) -> Any:
    import tensorflow as tf

    if isinstance(first, Mapping):
        return {name: _joined(values, second[name]) for name, values in first.items()}
    return tf.concat([first, second], 0) if isinstance(first, tf.Tensor) else np.concatenate([first, second])


def _mixed(inputs: Any, random: np.random.Generator) -> Any:
    """Mixtures of two rows each; None where these are no numbers with a fraction."""
    arrays = inputs if isinstance(inputs, Mapping) else {"": inputs}
    if any(getattr(array.dtype, "kind", "O") != "f" for array in arrays.values()):
        return None
    count = len(next(iter(arrays.values())))
    most = min(_MIXTURES * count, _MOST)
    a, b, share = random.integers(count, size=most), random.integers(count, size=most), random.random(most)
    mixed = {
        name: (array[a] + (array[b] - array[a]) * share.reshape(-1, *[1] * (array.ndim - 1))).astype(array.dtype)
        for name, array in arrays.items()
    }
    return mixed if isinstance(inputs, Mapping) else mixed[""]


def _smaller(net: Net, inputs: Any, share: float) -> Any:
    """The model without the units that matter least; nothing else has changed, and their means are made up for."""
    import keras

    found = removable(net.model)
    count = len(next(iter(inputs.values()))) if isinstance(inputs, Mapping) else len(inputs)
    some = taken(inputs, np.arange(min(count, _LOOKED_AT)))
    layers = {one.reader: net.model.get_layer(one.reader) for one in found}
    begins = net.model.inputs if isinstance(net.model, keras.Sequential) else net.model.input
    look = keras.Model(begins, [layers[one.reader].input for one in found])
    given = look.predict(some, batch_size=64, verbose=0)
    given = given if isinstance(given, list) else [given]
    keeps: dict[Removable, list[int]] = {}
    shifts: dict[str, NDArray[Any]] = {}
    for one, values in zip(found, given, strict=True):
        flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
        kernel = layers[one.reader].kernel.numpy().astype(np.float64)
        read = np.sqrt(np.square(kernel).sum(axis=(*range(kernel.ndim - 2), kernel.ndim - 1)))
        worth = np.square(flat.std(0) * read).reshape(one.each, one.units).sum(0)
        keep = sorted(np.argsort(-worth)[: units_left(one.units, share)].tolist())
        keeps[one] = keep
        mean = flat.mean(0)
        mean[one.inputs(keep)] = 0
        shifts[one.reader] = mean @ kernel.sum(axis=tuple(range(kernel.ndim - 2)))
    smaller = without(net.model, keeps)
    _check(net, smaller, taken(some, np.arange(min(count, 8))), keeps)
    stay = {one.layer: keep for one, keep in keeps.items()}
    for name, shift in shifts.items():
        layer = smaller.get_layer(name)
        if layer.use_bias:
            layer.bias.assign_add(shift[stay[name]] if name in stay else shift)
    return smaller


def _check(net: Net, smaller: Any, some: Any, keeps: Mapping[Removable, Sequence[int]]) -> None:
    """Raise `RetuneFailed` where the smaller model is not the whole one with the units' readers deaf to them."""
    whole = net.model.get_weights()
    for one, keep in keeps.items():
        layer = net.model.get_layer(one.reader)
        kernel = layer.kernel.numpy()
        deaf = np.setdiff1d(np.arange(kernel.shape[-2]), one.inputs(keep))
        kernel[..., deaf, :] = 0
        layer.kernel.assign(kernel)
    wanted_ = net.answers(some)
    net.model.set_weights(whole)
    if not np.allclose(wanted_, smaller.predict(some, verbose=0), rtol=1e-3, atol=1e-4):
        raise RetuneFailed("taking neurons out changed more than these", why="a layer knows their number")


class _Lesson:
    """What the answers should be, in one array as Keras wants it, and how far others are from it.

    Of classes: the whole model's probabilities at a higher temperature, and beside them what the label says, or
    nothing. Of anything else: the whole model's answers, with the labels mixed in.
    """

    def __init__(self, taught: NDArray[Any], targets: Targets | None) -> None:
        form: Form = form_of(taught) if taught.ndim <= 2 else "numbers"
        several = taught.ndim == 2 and taught.shape[1] > 1
        self._classes = several and form != "sigmoid" and (targets is None or targets.kind == "classes")
        self._form = form
        self._width = taught.shape[-1]
        self._spread = float(taught.std()) or 1.0
        self.wanted = self.of(taught)
        if targets is not None and self._classes:
            self.wanted[targets.positions, self._width :] = wanted(targets, self._width) * targets.weights[:, None]
        elif targets is not None and targets.kind != "classes":
            true = wanted(targets, self._width).reshape(len(targets.positions), *taught.shape[1:])
            self.wanted[targets.positions] = (1 - OWN) * self.wanted[targets.positions] + OWN * true

    def of(self, taught: NDArray[Any]) -> NDArray[np.float32]:
        """The same of answers to other rows, which have no labels."""
        if not self._classes:
            return taught.astype(np.float32)
        scores = odds(taught, self._form) / WARMTH
        warm = np.exp(scores - scores.max(1, keepdims=True))
        warm /= warm.sum(1, keepdims=True)
        return np.concatenate([warm, np.zeros_like(warm)], axis=1).astype(np.float32)

    def loss(self, true: Any, answers: Any) -> Any:
        """How wrong answers are, a number a row."""
        from keras import ops

        if not self._classes:
            if self._form == "sigmoid":
                return ops.mean(ops.binary_crossentropy(true, answers), axis=-1)
            return ops.mean(ops.square((true - answers) / self._spread), axis=-1)
        scores = ops.log(ops.maximum(answers, 1e-7)) if self._form == "probabilities" else answers
        warm, label = true[:, : self._width], true[:, self._width :]
        own = ops.log_softmax(scores / WARMTH, axis=-1)
        apart = ops.sum(warm * (ops.log(ops.maximum(warm, 1e-9)) - own), axis=-1) * WARMTH**2
        return apart - OWN * ops.sum(label * ops.log_softmax(scores, axis=-1), axis=-1)
