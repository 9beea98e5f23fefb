"""What a neural network is given, and what it gives: rows as arrays, and its answers in an order that stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from autodeploy_magic.errors import BadSample
from autodeploy_magic.wire.libraries import from_library

__all__ = ["answers_by_itself", "ask_keras", "keras_inputs", "network_answers", "network_inputs", "network_leaves"]


def network_inputs(x: Any, *, several: bool | None = None) -> Any:
    """The rows `x`, in any container, as one array, or as a dict of arrays for a network with several inputs.

    `several` says which of them the network takes, None that it takes what it is given. Columns for a network with one
    input stand side by side.
    """
    x = from_library(x)
    if hasattr(x, "columns") and hasattr(x, "iloc"):
        columns = {str(name): _array(x.iloc[:, i]) for i, name in enumerate(x.columns)}
        return columns if several else _beside(columns)
    if isinstance(x, Mapping):
        columns = {str(name): _array(values) for name, values in x.items()}
        return _beside(columns) if several is False else columns
    return _array(x)


def network_answers(value: Any) -> list[tuple[str, Any]]:
    """`network_leaves` as arrays; the first is the predictions, whatever it was called."""
    found = [(name, _plain(leaf)) for name, leaf in network_leaves(value)]
    return [("predictions" if i == 0 else name, leaf) for i, (name, leaf) in enumerate(found)]


def network_leaves(value: Any) -> list[tuple[str, Any]]:
    """The tensors in what a network returned, with their names: "predictions" first, the others as they come.

    One of a list is called "output_2", by its place; one within another by both names.
    """
    return sorted(_leaves(value, ""), key=lambda item: item[0] != "predictions")  # stable: the others stay


def ask_keras(model: Any, x: Any, *, compiled: Any = None) -> list[tuple[str, Any]]:
    """What a Keras model says to `x` when it is used, not trained.

    It is called, which gives the numbers of its `predict` without what that does besides: a loop over batches of 32, a
    progress bar, and 20 to 40 ms. Only a class that defines `predict` or `predict_step` itself is asked by that.
    `compiled` is what to call in place of the model.
    """
    own = _own_predict(model)
    if own == "predict":
        return network_answers(model.predict(x))
    inputs = keras_inputs(model, x)
    if own == "predict_step":
        return network_answers(model.predict(inputs, verbose=0))
    return network_answers(compiled(inputs) if compiled else model(inputs, training=False))


def keras_inputs(model: Any, x: Any) -> Any:
    """The arrays that a Keras model takes for the rows `x`."""
    several, names = _wanted(model)
    inputs = network_inputs(x, several=several)
    if not isinstance(inputs, dict) or not names or not names <= inputs.keys():
        return inputs
    return {name: values for name, values in inputs.items() if name in names}


def _wanted(model: Any) -> tuple[bool | None, set[str]]:
    """Whether a Keras model takes several inputs (None: its class decides), and their names."""
    given = getattr(model, "inputs", None)
    if not given:
        return None, set()
    structure = getattr(model, "input", None)
    if isinstance(structure, Mapping):
        return True, set(structure)
    return len(given) > 1, {str(item.name) for item in given} if len(given) > 1 else set()


def _own_predict(model: Any) -> str:
    """Which method of answering the model's class defines itself, in place of Keras; "" for none."""
    for method in ("predict", "predict_step"):
        owner = next((kind for kind in type(model).__mro__ if method in vars(kind)), object)
        if owner.__module__.partition(".")[0] not in ("keras", "tf_keras", "builtins"):
            return method
    return ""


def answers_by_itself(model: Any) -> bool:
    """Whether a Keras model's class has its own idea of what predicting is."""
    return bool(_own_predict(model))


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{name}_{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _leaves(item, f"{name}_{i + 1}" if name else f"output_{i + 1}")
    else:
        yield name or "predictions", value


def _plain(value: Any) -> Any:
    """An array, or the list that a ragged tensor is."""
    value = from_library(value)
    if isinstance(value, list) and len({len(row) if isinstance(row, list) else -1 for row in value}) > 1:
        return value
    found = np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value)
    if found.dtype.kind == "T" or (found.dtype.kind == "U" and found.dtype.hasobject):
        return found.astype(object)
    return found


def _array(value: Any) -> Any:
    found = _plain(value)
    if isinstance(found, list):
        raise BadSample(
            "the rows that the network is given have different lengths",
            why="it takes arrays, whose rows are alike",
            fix="pad them: sample.to_tensor() of a ragged tensor, keras.utils.pad_sequences(sample) of lists; or do so "
            "in a preprocess function",
        )
    return found


def _beside(columns: dict[str, Any]) -> Any:
    parts = list(columns.values())
    if len(parts) == 1:
        return parts[0].reshape(-1, 1) if parts[0].ndim == 1 and parts[0].dtype.kind not in "OU" else parts[0]
    return np.column_stack(parts)
