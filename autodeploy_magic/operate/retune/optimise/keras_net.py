"""The champion's Keras model with rows as arrays, and training it: what all that learns in Keras needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.optimise.network_targets import Targets, targets_of
from autodeploy_magic.wire.networks import answers_by_itself, keras_inputs

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.base import Given
    from autodeploy_magic.operate.retune.champion import Champion
    from autodeploy_magic.operate.retune.rows import Rows

__all__ = ["Course", "Learnt", "Net", "finished", "learn", "loss_of", "open_net", "taken", "wanted"]

_BATCH = 32
_ASKED = 256
_CLIP = 1.0
_DECAY = 1e-4
_SLOWEST, _FASTEST = 1e-6, 2e-2
_MANY = 512
"""Rows from where on the statistics of batches are worth more than those that were learnt before."""
_LEAST = 1e-4
_SHARE = 0.75
"""How much of the time for making goes to training; the rest is for loading, and for writing."""


@dataclass(frozen=True)
class Net:
    """A model that was loaded for this alone, and the person's functions around it."""

    model: Any
    champion: Champion

    def inputs(self, rows: Rows) -> Any:
        """Rows as the model takes them: an array, or a dict of arrays. Raises `NotApplicable`."""
        import tensorflow as tf

        found = keras_inputs(self.model, self.champion.fed(rows.x()))
        arrays = list(found.values()) if isinstance(found, Mapping) else [found]
        if any(np.shape(array)[:1] != (rows.count,) for array in arrays):
            raise NotApplicable(f"its preprocess makes other than {rows.count} rows of {rows.count}")

        def plain(array: Any) -> Any:
            return tf.constant(array) if array.dtype.kind in "OU" else array

        return {name: plain(array) for name, array in found.items()} if isinstance(found, Mapping) else plain(found)

    def answers(self, inputs: Any) -> NDArray[Any]:
        """The answers to all rows."""
        found: NDArray[Any] = np.asarray(self.model.predict(inputs, batch_size=_ASKED, verbose=0))
        return found

    def targets(self, rows: Rows, answers: NDArray[Any], task: str) -> Targets:
        """What the answers to `rows` should have been. Raises `NotApplicable`."""
        return targets_of(rows, answers, task, self.champion.code.get("postprocess"), lambda array: array)


def open_net(champion: Champion) -> Net:
    """The champion's model. Raises `NotApplicable` where it is none, or cannot be trained by labels or by itself."""
    if champion.framework != "keras":
        raise NotApplicable("it is no Keras model")
    if "predict" in champion.code:
        raise NotApplicable(
            "its answers are made by the cell's predict, and not by the model alone",
            fix="define retrain(model, X, y) in the cell",
        )
    import keras

    model = champion.live()
    own = type(model)
    if answers_by_itself(model) or own.train_step is not keras.Model.train_step:
        raise NotApplicable(f"{own.__name__} has a training of its own", fix="define retrain(model, X, y) in the cell")
    if keras.backend.backend() != "tensorflow":
        raise NotApplicable(f"it runs on {keras.backend.backend()}, and is trained on tensorflow alone")
    if len(getattr(model, "outputs", None) or [0]) != 1:
        raise NotApplicable("it has several answers, and a row has one label")
    if not model.trainable_weights:
        model.trainable = True
    if not model.trainable_weights:
        raise NotApplicable("it has no weights that could be changed")
    if "16" in str(model.compute_dtype):
        raise NotApplicable(f"it computes in {model.compute_dtype}, which is too coarse to learn in")
    return Net(model, champion)


def taken(inputs: Any, places: NDArray[np.int64]) -> Any:
    """Some of the rows."""
    import tensorflow as tf

    if isinstance(inputs, Mapping):
        return {name: taken(values, places) for name, values in inputs.items()}
    return tf.gather(inputs, places) if isinstance(inputs, tf.Tensor) else inputs[places]


def wanted(targets: Targets, width: int) -> NDArray[np.float32]:
    """What the answers should have been, as numbers in their shape."""
    if targets.kind != "classes":
        return np.asarray(targets.values, dtype=np.float32)
    hot: NDArray[np.float32] = np.eye(width, dtype=np.float32)[targets.values]
    return hot


def loss_of(targets: Targets) -> Any:
    """Minus the log-likelihood of classes and chances; of numbers the square of the error up to one standard deviation,
    and its size beyond (P. J. Huber, 1964)."""
    import keras

    if targets.kind == "numbers":
        return keras.losses.Huber(delta=targets.spread)
    scores = targets.form in ("logits", "log")
    if targets.kind == "classes" and targets.form != "sigmoid":
        return keras.losses.CategoricalCrossentropy(from_logits=scores)
    return keras.losses.BinaryCrossentropy(from_logits=scores)


@dataclass(frozen=True)
class Course:
    """How long, and how fast: `pace` is how much of its size a weight may change in a step; `until` is of
    `time.monotonic`."""

    epochs: int
    pace: float
    until: float
    patience: int = 5

    @classmethod
    def within(cls, given: Given, epochs: int, pace: float, patience: int = 5) -> Course:
        return cls(epochs, pace, time.monotonic() + _SHARE * given.within_s, patience)


@dataclass(frozen=True)
class Learnt:
    """After how many epochs the error was least, of how many; the errors on the rows aside before and then."""

    best: int
    epochs: int
    before: float
    after: float

    @property
    def note(self) -> str:
        return f"{self.best} of {self.epochs} epochs, its error on rows aside {self.before:.3g} → {self.after:.3g}"


Lot = tuple[Any, Any, Any]
"""Inputs, what their answers should have been, and how much each row counts."""


def learn(model: Any, loss: Any, rows: Lot, aside: Lot, course: Course) -> Learnt:
    """Train `model` by `rows`, and leave it with the weights that were best for those kept `aside`."""
    import keras

    steps = max(len(rows[1]) // _BATCH, 1) * course.epochs
    rate = keras.optimizers.schedules.CosineDecay(_rate(model, course.pace), steps, alpha=0.05)
    with _frozen_norms(model, frozen=len(rows[1]) < _MANY):
        optimiser = keras.optimizers.AdamW(rate, weight_decay=_DECAY, global_clipnorm=_CLIP)
        model.compile(optimizer=optimiser, loss=loss, jit_compile=False)

        def error() -> float:
            return float(model.evaluate(aside[0], aside[1], sample_weight=aside[2], batch_size=_ASKED, verbose=0))

        best = _best(model, error, course)
        model.fit(
            rows[0],
            rows[1],
            sample_weight=rows[2],
            batch_size=_BATCH,
            epochs=course.epochs,
            verbose=0,
            callbacks=[best],
        )
    model.set_weights(best.kept)
    return Learnt(best.epoch, best.epochs, best.before, best.error)


def finished(model: Any, task: str) -> Any:
    """The model as it is deployed: that it answers with measured values is read from its loss."""
    model.compile(loss="mse" if task == "regression" else None)
    return model


def _rate(model: Any, pace: float) -> float:
    """The rate that changes the median matrix of weights by `pace` of its size in a step."""
    sizes = [
        float(np.sqrt(np.mean(np.square(item.numpy())))) for item in model.trainable_weights if len(item.shape) > 1
    ]
    return float(min(max(pace * float(np.median(sizes or [0.05])), _SLOWEST), _FASTEST))


def _best(model: Any, error: Callable[[], float], course: Course) -> Any:
    """What looks after each epoch whether it was the best, and ends the training when nothing is gained any more."""
    import keras

    class Best(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
        def __init__(self) -> None:
            super().__init__()
            self.before = self.error = error()
            self.kept, self.epoch, self.epochs = model.get_weights(), 0, 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            del batch, logs
            if time.monotonic() > course.until:
                model.stop_training = True

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            del logs
            self.epochs = epoch + 1
            now = error()
            if now < self.error * (1 - _LEAST):
                self.error, self.epoch, self.kept = now, self.epochs, model.get_weights()
            if self.epochs - self.epoch >= course.patience:
                model.stop_training = True

    return Best()


@contextmanager
def _frozen_norms(model: Any, *, frozen: bool) -> Iterator[None]:
    """Norms keep the statistics that they have where `frozen`."""
    import keras

    norms = [
        layer
        for layer in model._flatten_layers()  # noqa: SLF001  # `layers` has not those within layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable and frozen
    ]
    for layer in norms:
        layer.trainable = False
    try:
        yield
    finally:
        for layer in norms:
            layer.trainable = True
