"""Which texts a fitted scikit-learn pipeline knows, where it was told to refuse all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["known_values"]


def known_values(model: Any) -> dict[str, tuple[str, ...]]:
    """Return, for each column that an encoder with handle_unknown="error" reads, the texts it was fitted on.

    scikit-learn raises on others; the ONNX graph would answer as if the column were empty. Only encoders that read a
    column as it comes, or after an imputer, are told of: before anything else the values may still change.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    model = getattr(model, "best_estimator_", model)
    while isinstance(model, Pipeline):
        model = model.steps[0][1]
    found: dict[str, tuple[str, ...]] = {}
    if isinstance(model, ColumnTransformer):
        for _, step, columns in model.transformers_:
            for name, values in _strict(step, columns):
                found[name] = tuple(value for value in values if value in found.get(name, values))
    return found


def _strict(step: Any, columns: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    before, last = (
        ([], step) if not isinstance(step, Pipeline) else ([s for _, s in step.steps[:-1]], step.steps[-1][1])
    )
    if not isinstance(last, OneHotEncoder | OrdinalEncoder) or last.handle_unknown != "error":
        return
    if not all(isinstance(part, SimpleImputer) and not part.add_indicator for part in before):
        return
    names = [columns] if isinstance(columns, str) else list(columns) if hasattr(columns, "__iter__") else []
    if len(names) != len(last.categories_):
        return
    for name, categories in zip(names, last.categories_, strict=True):
        if isinstance(name, str) and getattr(categories, "dtype", None) is not None and categories.dtype.kind in "OUT":
            yield name, tuple(value for value in categories.tolist() if isinstance(value, str))
