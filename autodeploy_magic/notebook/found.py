"""What the person's notebook holds that could be deployed: models, and rows like those a request would send.

JupyterLab's "Deploy…" asks the kernel for it, with a user expression. Nothing is run, imported or copied: frameworks
are recognised where they are loaded already, and of a container no more than its size and its first rows are looked at.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["found", "found_json"]

MOST = 200
"""Models, and samples, that are told; more fit into no menu."""

_ANSWERS = re.compile(r"y|y_.*|.*_y|y\d+|targets?|labels?|y(train|test|val|true|pred).*", re.IGNORECASE)
"""Names of what a model is to answer, never of what it is asked."""

_RANKS = ("test", "val", "new", "sample", "train")
"""Words in a sample's name, best first: rows that the model has not seen say more about it."""


def found_json(namespace: Mapping[str, Any] | None = None) -> str:
    """Return `found` as JSON, of this kernel's own namespace by default."""
    import msgspec

    return msgspec.json.encode(found(_own() if namespace is None else namespace)).decode()


def found(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return what could be deployed, best first.

    `models` are those that are fitted; `chosen` is the one that is meant, as far as that can be told. `samples` are
    tables, arrays, lists of rows and dicts of columns that have rows; `fits` names the models that take rows of that
    width. `loaded` says whether `%deploy` is there, `names` which deployments are.
    """
    public = {name: value for name, value in namespace.items() if not name.startswith("_")}
    models, chosen = _models(public)
    samples = [sample for name, value in public.items() if (sample := _sample(name, value, models)) is not None]
    samples.sort(key=lambda sample: (chosen not in sample["fits"], bool(models) and not sample["fits"], _rank(sample)))
    return {
        "models": sorted(
            ({"name": name, "type": type(model).__name__, "chosen": name == chosen} for name, model in models.items()),
            key=lambda model: not model["chosen"],
        )[:MOST],
        "samples": samples[:MOST],
        "loaded": _loaded(),
        "names": _names(),
    }


def _own() -> Mapping[str, Any]:
    """The namespace of this kernel, without what IPython put there."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None:
        return {}
    hidden = shell.user_ns_hidden
    return {name: value for name, value in shell.user_ns.items() if hidden.get(name, hidden) is not value}


def _models(namespace: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The fitted models, the newest first, and the name of the one that is meant.

    That is the newest that predicts and is no part of another one: a pipeline before its steps, a search before its
    estimator, a classifier before the scaler beside it.
    """
    from autodeploy_magic.build import fitted_models

    ours = {name: value for name, value in namespace.items() if type(value).__module__.split(".")[0] != _PACKAGE}
    models, outermost = fitted_models(ours)
    newest = dict(reversed(models.items()))
    wanted = [name for name in newest if name in outermost] or list(newest)
    predicting = [name for name in wanted if _has(newest[name], "predict")]
    return newest, next(iter(predicting or wanted), "")


_PACKAGE = __name__.partition(".")[0]


def _sample(name: str, value: Any, models: Mapping[str, Any]) -> dict[str, Any] | None:
    """A value as a sample, None where it is none."""
    if _ANSWERS.fullmatch(name) or isinstance(value, type):
        return None
    try:
        shape = _shape(value)
        if shape is None or shape[0] < 1:
            return None
        columns = _columns(value)
        takes = type(value).__module__.partition(".")[0] != "polars"  # the deploy says how to convert it
        fits = [model for model, object_ in models.items() if takes and _fits(shape, columns, object_)]
    except Exception:  # noqa: BLE001  # the person's objects may do anything when they are asked
        return None
    if len(shape) == 1 and not fits:
        return None  # a list of names, which every notebook has
    return {"name": name, "type": type(value).__name__, "shape": shape, "rows": shape[0], "fits": fits}


def _shape(value: Any) -> list[int] | None:
    """Rows and what each has, None for what a deploy would not take as a sample."""
    if isinstance(value, dict):
        return _dict_shape(value)
    if isinstance(value, list | tuple):
        return _rows_shape(value)
    numpy, pandas, polars = (sys.modules.get(module) for module in ("numpy", "pandas", "polars"))
    if numpy is not None and isinstance(value, numpy.ndarray):
        return [int(size) for size in value.shape] if value.ndim >= 2 and value.dtype.names is None else None
    if (pandas is not None and isinstance(value, pandas.DataFrame)) or (
        polars is not None and isinstance(value, polars.DataFrame)
    ):
        return [int(size) for size in value.shape] if value.shape[1] else None
    return None


def _rows_shape(rows: Sequence[Any]) -> list[int] | None:
    """A list of rows, of records or of texts, as far as its first rows tell."""
    first = rows[:3]
    if not first:
        return None
    if all(isinstance(row, str) for row in first):
        return [len(rows)]
    if all(isinstance(row, dict) and row.keys() == first[0].keys() and first[0] for row in first):
        return [len(rows), len(first[0])]
    plain = all(isinstance(row, list | tuple) and len(row) == len(first[0]) and len(row) > 0 for row in first)
    return [len(rows), len(first[0])] if plain and not isinstance(rows, str) else None


def _dict_shape(columns: dict[Any, Any]) -> list[int] | None:
    """A dict of columns: names, and as many values in each."""
    if not columns or len(columns) > 10_000:
        return None
    lengths = set()
    for name, values in columns.items():
        if not isinstance(name, str) or isinstance(values, str | bytes | dict) or not hasattr(values, "__len__"):
            return None
        if not (isinstance(values, list | tuple) or hasattr(values, "dtype")) or getattr(values, "ndim", 1) < 1:
            return None
        lengths.add(len(values))
    return [lengths.pop(), len(columns)] if len(lengths) == 1 else None


def _columns(value: Any) -> list[str] | None:
    if isinstance(value, dict):
        return list(value)
    if isinstance(value, list | tuple):
        return list(value[0]) if isinstance(value[0], dict) else None
    columns = getattr(value, "columns", None)
    return None if columns is None else [str(column) for column in columns]


def _fits(shape: Sequence[int], columns: Sequence[str] | None, model: Any) -> bool:
    """Whether rows are what the model was fitted on, as far as it tells: its columns' names, or how many there are."""
    names = getattr(model, "feature_names_in_", None)
    if names is not None and columns is not None:
        return len(columns) == len(names) and set(map(str, names)) == set(columns)
    width = getattr(model, "n_features_in_", None)
    if width is None:
        return True
    return len(shape) == 2 and shape[1] == width


def _rank(sample: Mapping[str, Any]) -> tuple[int, int, bool]:
    """Rows that were held back first, then those it was fitted on, then what is called as rows are."""
    name = str(sample["name"]).lower()
    word = next((i for i, word in enumerate(_RANKS) if word in name), len(_RANKS))
    return word, 0 if name.startswith("x") else 1, len(sample["shape"]) != 2


def _has(value: Any, name: str) -> bool:
    try:
        return hasattr(value, name)
    except Exception:  # noqa: BLE001
        return False


def _loaded() -> bool:
    """Whether `%load_ext autodeploy_magic` has been run in this kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "deploy" in shell.magics_manager.magics["cell"]


def _names() -> list[str]:
    from autodeploy_magic.errors import StoreFailed
    from autodeploy_magic.store import Store

    try:
        return list(Store().names())
    except StoreFailed:
        return []  # deploying says what is wrong with it
