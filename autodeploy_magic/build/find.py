"""Which object in the notebook is the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autodeploy_magic.build.export import exporter_of
from autodeploy_magic.errors import AmbiguousModel, BadInput, NoModel, UnfittedModel

__all__ = ["find_model", "fitted_models"]


def find_model(namespace: Mapping[str, Any], assigned: Sequence[str], last_value: Any = None) -> tuple[str, Any]:
    """Return (name, object) of the model of a cell.

    That is the value of the cell's last expression where that is a model; otherwise the one fitted estimator among the
    names the cell assigned. What is part of another candidate (a step of a pipeline) is not one.
    Raises `NoModel`, `UnfittedModel`, or `AmbiguousModel` naming the candidates.
    """
    if _is_model(last_value) or _is_function(last_value):
        return _name_of(last_value, namespace), last_value
    found = {name: namespace[name] for name in assigned if name in namespace and _is_model(namespace[name])}
    found = _distinct(found)
    if not found:
        raise NoModel(
            "the cell holds no model",
            why=_seen(namespace, assigned),
            fix="end the cell with the model, or name it: --model VAR",
        )
    fitted = {name: model for name, model in found.items() if _is_fitted(name, model)}
    if not fitted:
        names = ", ".join(found)
        raise UnfittedModel(
            f"{names} has not been fitted" if len(found) == 1 else f"none of {names} has been fitted",
            why="a model answers only once it has been fitted",
            fix=f"call {next(iter(found))}.fit(…) in the cell",
        )
    outer = _outermost(fitted)
    if len(outer) > 1:
        names = ", ".join(f"{name} ({type(model).__name__})" for name, model in outer.items())
        raise AmbiguousModel(
            f"the cell assigns {len(outer)} fitted models: {names}",
            fix=f"name one: --model {next(reversed(outer))}",
            candidates=list(outer),
        )
    return next(iter(outer.items()))


def fitted_models(namespace: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return every fitted model of a namespace by its name, and the names of those that are no part of another one.

    Each object has one name, the last one. Objects that raise when they are looked at are none.
    """
    fitted = {
        name: value for name, value in namespace.items() if not name.startswith("_") and _is_fitted_model(name, value)
    }
    found = _distinct(fitted)
    try:
        return found, list(_outermost(found))
    except Exception:  # noqa: BLE001  # its parts cannot be told
        return found, list(found)


def _is_fitted_model(name: str, value: Any) -> bool:
    try:
        return _is_model(value) and _is_fitted(name, value)
    except Exception:  # noqa: BLE001  # the person's objects may do anything when they are asked
        return False


def _is_model(value: Any) -> bool:
    """An object with a fit of its own kind: not a plain function, not a class, not a path or any other text."""
    if value is None or isinstance(value, type | str) or _is_function(value):
        return False
    exporter = exporter_of(value)
    return exporter is not None and (exporter.name != "function" or hasattr(value, "predict"))


def _is_function(value: Any) -> bool:
    import types

    return isinstance(value, types.FunctionType)


def _is_fitted(name: str, model: Any) -> bool:
    exporter = exporter_of(model)
    assert exporter is not None
    try:
        exporter.check_fitted(model, name)
    except BadInput:
        return False
    return True


def _distinct(found: dict[str, Any]) -> dict[str, Any]:
    """One name an object, the last one assigned."""
    by_identity = {id(model): name for name, model in found.items()}
    return {name: model for name, model in found.items() if by_identity[id(model)] == name}


def _outermost(found: dict[str, Any]) -> dict[str, Any]:
    inside = {id(part) for model in found.values() for part in _parts(model) if part is not model}
    return {name: model for name, model in found.items() if id(model) not in inside} or found


def _parts(model: Any) -> list[Any]:
    """Everything that a pipeline, a search, an ensemble or a network is made of, as scikit-learn's own convention tells
    it, or the framework.
    """
    exporter = exporter_of(model)
    named = exporter.parts(model) if exporter is not None else []
    if named:
        return named
    get_params = getattr(model, "get_params", None)
    if get_params is None or isinstance(model, type):
        return []
    parts = list(get_params(deep=True).values())
    parts += [getattr(model, name) for name in ("best_estimator_", "estimator_") if hasattr(model, name)]
    return parts


def _name_of(value: Any, namespace: Mapping[str, Any]) -> str:
    names = [name for name, other in namespace.items() if other is value and not name.startswith("_")]
    return names[-1] if names else getattr(value, "__name__", type(value).__name__)


def _seen(namespace: Mapping[str, Any], assigned: Sequence[str]) -> str:
    known = [f"{name} ({type(namespace[name]).__name__})" for name in assigned if name in namespace]
    return f"it assigns {', '.join(known)}" if known else "it assigns nothing and does not end with a value"
