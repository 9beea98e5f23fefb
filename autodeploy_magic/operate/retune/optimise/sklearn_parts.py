"""An estimator's parts, and a container's rows: what all that is made of a scikit-learn-like model asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["BOOSTERS", "FRAMEWORKS", "answers_of", "last_step", "library_of", "reproducible", "rows_of", "threaded"]

BOOSTERS = ("xgboost", "lightgbm", "catboost")
FRAMEWORKS = ("sklearn", *BOOSTERS)
"""Keys of `registry.EXPORTERS`: those whose models have scikit-learn's interface."""


def last_step(model: Any) -> Any:
    """What answers: the last step of a pipeline, or the model itself."""
    steps = getattr(model, "steps", None)
    return steps[-1][1] if steps else model


def library_of(model: Any) -> str:
    """The top-level package of the model's class, or of the nearest one that it derives from: "sklearn", "xgboost"."""
    tops = [kind.__module__.partition(".")[0] for kind in type(model).__mro__]
    return next((top for top in tops if top in FRAMEWORKS), tops[0])


def answers_of(model: Any, x: Any) -> np.ndarray:
    """What `predict` says, one value a row where it is one."""
    import numpy as np

    found = np.asarray(model.predict(x))
    return found[:, 0] if found.ndim > 1 and found.shape[1] == 1 else found


def rows_of(x: Any, positions: Any) -> Any:
    """Those rows of a container, in its own kind."""
    if hasattr(x, "iloc"):
        return x.iloc[positions]
    if hasattr(x, "shape"):
        return x[positions]
    return [x[i] for i in positions]


def reproducible(model: Any, seed: int) -> Any:
    """The same model (unfitted or to be trained on) with `seed` wherever it was told no random state."""
    told = {
        name: seed
        for name, value in _parameters(model).items()
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    last = last_step(model)
    if library_of(last) == "catboost":  # which says only the parameters that it was told
        own = last.get_params()
        quiet = {} if {"verbose", "silent", "logging_level"} & set(own) else {"verbose": False}
        last.set_params(**{"thread_count": 1, **own, **quiet, "allow_writing_files": False})
    return model.set_params(**told) if told else model


@contextmanager
def threaded(model: Any, threads: int) -> Iterator[Any]:
    """The model with as many threads as are granted, for a time: it keeps its own setting."""
    own = {
        name: value
        for name, value in _parameters(model).items()
        if name.rpartition("__")[2] in ("n_jobs", "thread_count") and isinstance(value, int)
    }
    if own:
        model.set_params(**dict.fromkeys(own, threads))
    try:
        yield model
    finally:
        if own:
            # CatBoost's cannot be set any more, and is not what it answers with.
            own = {name: value for name, value in own.items() if name.rpartition("__")[2] == "n_jobs"}
        if own:
            model.set_params(**own)


def _parameters(model: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    return found
