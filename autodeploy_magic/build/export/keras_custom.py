"""The classes and functions of a Keras model that Keras does not have: they travel beside its file, as a pickle."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodeploy_magic.build.code import Pickled, dump

__all__ = ["Custom", "configured", "find_custom", "layers_of"]

_KNOWN = {"keras", "keras_hub", "keras_cv", "keras_nlp", "tensorflow", "builtins", "numpy", "torch", "jax", "jaxlib"}
"""Packages whose objects Keras finds by itself, or that are values of a config and not code in it."""


@dataclass(frozen=True)
class Custom:
    """`objects` are what the names in a config mean, each as the pickle has it; `classes` are the names of those that
    are no lambda, `lambdas` counts the Lambda layers.
    """

    objects: dict[str, Any]
    classes: tuple[str, ...]
    lambdas: int

    def dump(self, path: Path) -> Pickled:
        """Pickle them. Raises `ExportFailed`."""
        return dump(self.objects, path, what=f"the model's own code ({self.words})")

    @property
    def words(self) -> str:
        """What it is, for people."""
        parts = [", ".join(self.classes)] if self.classes else []
        parts += ["a Lambda layer" if self.lambdas == 1 else f"{self.lambdas} Lambda layers"] if self.lambdas else []
        return " and ".join(parts)


def find_custom(model: Any, config: dict[str, Any]) -> Custom:
    """What the model's `config` names that its own file does not hold.

    Each lambda in the config becomes a function by name, in place.
    """
    import keras

    layers = list(layers_of(model))
    found = {name: thing for layer in layers for name, thing in _things(layer)}
    objects: dict[str, Any] = {}
    by_layer = {layer.name: layer.function for layer in layers if isinstance(layer, keras.layers.Lambda)}
    lambdas = 0
    for node in _nodes(config):
        names = {str(node.get(key)) for key in ("registered_name", "class_name")}
        if node.get("class_name") == "function":
            names = {str(node.get("config"))}
        objects |= {name: found[name] for name in names if name in found}
        if node.get("class_name") == "Lambda":
            lambdas += _name_the_lambda(node, by_layer, objects)
    classes = tuple(sorted({thing.__name__ for thing in objects.values() if thing.__name__ != "<lambda>"}))
    return Custom(dict(sorted(objects.items())), classes, lambdas)


def layers_of(model: Any) -> Iterator[Any]:
    """The model and all layers within it, each once."""
    seen: set[int] = set()
    pending = [model]
    while pending:
        layer = pending.pop(0)
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        yield layer
        pending += [*getattr(layer, "_layers", ()), *getattr(layer, "layers", ())]


def configured(config: dict[str, Any]) -> Any:
    """The config without what only counts: "dense_3" is the fourth of its kind that this kernel happened to make."""
    names: dict[str, str] = {}
    for node in _nodes(config):
        inner = node.get("config")
        if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
            continue
        base = _snake(str(node.get("class_name")))
        if re.fullmatch(rf"{base}(_\d+)?", inner["name"]) and inner["name"] not in names:
            names[inner["name"]] = f"{base} number {len(names)}"

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [renamed(item) for item in value]
        return names.get(value, value) if isinstance(value, str) else value

    return renamed(config)


def _name_the_lambda(node: dict[str, Any], by_layer: dict[str, Any], objects: dict[str, Any]) -> int:
    """Let a Lambda layer's function be one of `objects`: Keras writes the bytes of its code, which lack its globals."""
    inner = node.get("config", {})
    function = inner.get("function")
    if (
        not isinstance(function, dict)
        or function.get("class_name") != "__lambda__"
        or inner.get("name") not in by_layer
    ):
        return 0
    name = f"lambda {len(objects)}"
    objects[name] = by_layer[inner["name"]]
    inner["function"] = {"module": None, "class_name": "function", "config": name, "registered_name": name}
    return 1


def _things(layer: Any) -> Iterator[tuple[str, Any]]:
    """A layer's class and the functions and classes it holds, by the names that a config has for them."""
    import keras

    for thing in (type(layer), *_held(layer)):
        if thing.__module__.partition(".")[0] in _KNOWN:
            continue
        yield thing.__name__, thing
        yield keras.saving.get_registered_name(thing), thing


def _held(layer: Any) -> Iterator[Any]:
    for value in list(vars(layer).values()):
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, types.FunctionType):
                yield item
            elif hasattr(item, "get_config"):
                yield type(item)


def _nodes(config: Any) -> Iterator[dict[str, Any]]:
    """Every object in a config, the outer ones first."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        for value in config.values():
            yield from _nodes(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _nodes(value)


def _snake(name: str) -> str:
    """The name that Keras gives to objects of a class: Conv2D is conv2d, BatchNormalization batch_normalization."""
    text = re.sub(r"\W+", "", name)
    text = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", text)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", text).lower()
