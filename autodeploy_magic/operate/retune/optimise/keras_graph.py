"""Which neurons and channels of a Keras model can be taken out, and the model without them.

What a Sequential or functional model writes down of itself tells its ways; the smaller model is made of that with other
numbers of units. Units of a layer can go where what it gives passes nothing but what keeps units apart on its one way
to one other layer, as in torch_graph. Channels are last.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.errors import NotApplicable

__all__ = ["Removable", "multiplications", "removable", "without"]

_LAYERS = ("Dense", "Conv1D", "Conv2D", "Conv3D")
_APART = (
    "Activation AlphaDropout AveragePooling1D AveragePooling2D AveragePooling3D Cropping1D Cropping2D Dropout ELU "
    "Flatten GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalMaxPooling1D "
    "GlobalMaxPooling2D LeakyReLU MaxPooling1D MaxPooling2D MaxPooling3D ReLU SpatialDropout1D SpatialDropout2D "
    "UpSampling1D UpSampling2D ZeroPadding1D ZeroPadding2D"
)
"""Layers that compute each unit of its own."""
_FUNCTIONS = (
    "linear relu relu6 elu selu celu gelu silu swish mish tanh sigmoid hard_sigmoid hard_silu hard_swish hard_tanh "
    "leaky_relu softplus softsign exponential log_sigmoid"
)
"""Activations that do; a softmax does not."""


@dataclass(frozen=True)
class Removable:
    """Units that can go: `units` of the layer called `layer`, on their way through `norms` to the layer `reader`, which
    has `each` inputs for one of them, one behind all the others' first."""

    layer: str
    norms: tuple[str, ...]
    reader: str
    units: int
    each: int

    def inputs(self, keep: Sequence[int]) -> NDArray[np.int64]:
        """The inputs of the reader that units have."""
        found: NDArray[np.int64] = np.arange(self.each)[:, None] * self.units + np.asarray(keep)
        return found.reshape(-1)


def removable(model: Any) -> list[Removable]:
    """All units that can go. Raises `NotApplicable` where its ways are not known, or nothing can go."""
    own = type(model)
    if own.__name__ not in ("Sequential", "Functional") or own.__module__.partition(".")[0] != "keras":
        raise NotApplicable(f"the ways within {own.__name__}, which is a class of its own, are not known")
    told, users = _ways(model)
    found = [one for name in told if (one := _way(name, told, users, model)) is not None]
    if not found:
        raise NotApplicable(
            "there are no neurons that could go: none of its layers reads what another one alone gives",
            why="only between two layers of a chain can they be taken out",
        )
    return found


def multiplications(model: Any) -> int:
    """How many multiplications of the layers above one row takes, about."""
    total = 0
    for layer in model.layers:
        if type(layer).__name__ in _LAYERS:
            shape = layer.output.shape
            total += math.prod(layer.kernel.shape) * math.prod(size or 1 for size in shape[1:-1])
    return total


def without(model: Any, keeps: Mapping[Removable, Sequence[int]]) -> Any:
    """A new model with those units alone of the layers that are named, and all other weights."""
    told = copy.deepcopy(model.get_config())
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    for one, keep in keeps.items():
        config = next(item for item in told["layers"] if item["config"]["name"] == one.layer)["config"]
        config["units" if "units" in config else "filters"] = len(keep)
        weights[one.layer] = [value[..., list(keep)] for value in weights[one.layer]]
        for name in one.norms:
            weights[name] = [value[list(keep)] for value in weights[name]]
        kernel, *rest = weights[one.reader]
        weights[one.reader] = [kernel[..., one.inputs(keep), :], *rest]
    for item in told["layers"]:
        item.pop("build_config", None)  # the shapes of before
    custom = {type(layer).__name__: type(layer) for layer in model.layers}
    smaller = type(model).from_config(told, custom_objects=custom)
    if not smaller.built:
        smaller.build(model.input_shape)
    for layer in smaller.layers:
        layer.set_weights(weights[layer.name])
        layer.trainable = True
    return smaller


def _ways(model: Any) -> tuple[dict[str, Mapping[str, Any]], dict[str, list[str]]]:
    """What each layer that is called once is, by its name; and the layers that read what each gives, "" the end."""
    told = model.get_config()
    layers = told["layers"]
    users: dict[str, list[str]] = {item["config"]["name"]: [] for item in layers}
    if type(model).__name__ == "Sequential":
        names = list(users)
        for name, after in zip(names, [*names[1:], ""], strict=True):
            users[name].append(after)
        return {item["config"]["name"]: item for item in layers}, users
    for item in layers:
        for source in _sources(item.get("inbound_nodes", [])):
            users[source].append(item["config"]["name"])
    known = {item["config"]["name"]: item for item in layers if len(item.get("inbound_nodes", [])) <= 1}
    for name in _ends(told["output_layers"]):
        users[name].append("")
    return known, users


def _sources(value: Any) -> Iterator[str]:
    """The names of the layers whose tensors are in what Keras wrote of a call."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            yield str(value["config"]["keras_history"][0])
        else:
            for item in value.values():
                yield from _sources(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _sources(item)


def _ends(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple) and len(value) == 3 and isinstance(value[0], str):
        yield value[0]
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _ends(item)


def _way(name: str, told: Mapping[str, Any], users: Mapping[str, list[str]], model: Any) -> Removable | None:
    """The way of what a layer gives to the one layer that reads it; None where it goes elsewhere, or meets another."""
    if not _layer(told[name]) or not _apart(told[name]["config"]):
        return None
    first = model.get_layer(name)
    norms: list[str] = []
    units, each = int(first.kernel.shape[-1]), 1
    while len(users[name]) == 1 and users[name][0] in told:
        before, name = name, users[name][0]
        item = told[name]
        kind, config = item["class_name"], item["config"]
        if _layer(item):
            reads = int(model.get_layer(name).kernel.shape[-2])
            return Removable(first.name, tuple(norms), name, units, each) if reads == units * each else None
        if not str(item.get("module", "")).startswith("keras.layers") or not _apart(config):
            return None
        shape = model.get_layer(before).output.shape
        if kind == "BatchNormalization" and config.get("axis") in (-1, [-1], len(shape) - 1, [len(shape) - 1]):
            if each != 1:
                return None
            norms.append(name)
        elif kind == "Flatten":
            if None in shape[1:]:
                return None
            each *= math.prod(shape[1:-1])
        elif kind not in _APART.split():
            return None
    return None


def _layer(item: Mapping[str, Any]) -> bool:
    """Whether it is a layer of Keras' own whose units can be counted."""
    if item["class_name"] not in _LAYERS or not str(item.get("module", "")).startswith("keras.layers"):
        return False
    config = item["config"]
    return config.get("groups", 1) == 1 and not config.get("lora_rank") and not config.get("quantization_config")


def _apart(config: Mapping[str, Any]) -> bool:
    """Whether units stay apart by its activation, and are last."""
    function = config.get("activation", "linear")
    return config.get("data_format") in (None, "channels_last") and (function is None or function in _FUNCTIONS.split())
