"""One column of a sample: its dtype, shape, categories, range, and whether something is missing in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autodeploy_magic.contracts import Column
from autodeploy_magic.errors import BadSample

__all__ = ["array_column", "is_text", "series_column"]


def array_column(name: str, values: Any) -> Column:
    """The column that `values`, an array or a list with one item a row, would need."""
    import numpy as np

    if hasattr(values, "iloc"):
        return series_column(name, values)
    if isinstance(values, np.ma.MaskedArray):
        raise BadSample(f"the sample's {name} is a masked array", fix="fill it: sample.filled(np.nan)")
    array = values if isinstance(values, np.ndarray) else _from_list(name, values)
    shape = tuple(array.shape[1:])
    if 0 in shape:
        raise BadSample(f"the rows of the sample's {name} are empty", fix="give rows with values in them")
    kind = array.dtype.kind
    if kind in "cSV":
        fix = "give a DataFrame" if array.dtype.names else "convert it to numbers or text before the model is fitted"
        raise BadSample(f"the sample's {name} has dtype {array.dtype}, which JSON cannot say", fix=fix)
    if kind in "OUT":
        return _object_column(name, array.reshape(-1).tolist(), shape)
    if kind == "b":
        return Column(name=name, dtype="bool", shape=shape)
    if kind in "mM":
        return Column(name=name, dtype=str(array.dtype), shape=shape, nullable=bool(np.isnat(array).any()))
    return _number_column(name, str(array.dtype), array, shape)


def _from_list(name: str, values: Any) -> Any:
    """A list as an array; records and mixed values stay objects, rows of different lengths are refused."""
    import numpy as np

    rows = list(values)
    if any(isinstance(row, Mapping) for row in rows):
        return _objects(rows)
    lengths = {len(row) if isinstance(row, list | tuple) else None for row in rows}
    if len(lengths) > 1:
        said = ", ".join(sorted("one value" if length is None else str(length) for length in lengths))
        raise BadSample(
            f"the rows of the sample's {name} have different lengths: {said}",
            why="a request's rows are alike",
            fix="pad the rows to one length, or give the model a preprocess function that takes text",
        )
    if any(value is None or isinstance(value, str) for row in rows for value in _flat(row)):
        found = np.array(rows, dtype=object)
        numbers = all(value is None or isinstance(value, int | float) for value in found.reshape(-1))
        return found.astype(float) if numbers and not all(value is None for value in found.reshape(-1)) else found
    try:
        return np.array(rows)
    except ValueError as error:
        raise BadSample(
            f"the rows of the sample's {name} are not alike",
            why=str(error),
            fix="give every row the same number of values, at every depth",
        ) from error


def _flat(row: Any) -> list[Any]:
    return [value for item in row for value in _flat(item)] if isinstance(row, list | tuple) else [row]


def _objects(rows: list[Any]) -> Any:
    import numpy as np

    found = np.empty(len(rows), dtype=object)
    found[:] = rows
    return found


def series_column(name: str, series: Any) -> Column:
    """The column of a pandas Series."""
    dtype = series.dtype
    missing = bool(series.isna().any())
    text = str(dtype)
    if text == "category":
        return _categorical_column(name, series, missing)
    if text.startswith(("Sparse", "period", "interval")) or "," in text:
        fix = "sample[name].sparse.to_dense()" if text.startswith("Sparse") else "convert it to text or to plain dates"
        raise BadSample(f"the sample's column {name!r} has dtype {text}, which a request cannot say", fix=fix)
    if is_text(dtype):
        return Column(name=name, dtype="str", nullable=missing)
    if text == "object":
        return _object_column(name, series.tolist(), ())
    kind = getattr(dtype, "kind", "O")
    if kind == "b":
        return Column(name=name, dtype="bool", nullable=missing)
    if kind in "mM":
        return Column(name=name, dtype=text, nullable=missing)
    return _number_column(name, text, series.dropna().to_numpy(), (), nullable=missing)


def is_text(dtype: Any) -> bool:
    """pandas' own dtypes for text: "str" of pandas 3, "string" with its storages before."""
    return str(dtype).startswith(("str", "string"))


def _categorical_column(name: str, series: Any, missing: bool) -> Column:
    categories = series.cat.categories
    if all(isinstance(value, str) for value in categories):
        return Column(name=name, dtype="str", nullable=missing, categories=tuple(categories))
    plain = series.astype(categories.dtype)
    return series_column(name, plain)


def _object_column(name: str, values: list[Any], shape: tuple[int, ...]) -> Column:
    """A column of Python objects: text where all of it is text, else anything that JSON can say."""
    present = [value for value in values if not _is_missing(value)]
    nullable = len(present) < len(values)
    if present and all(isinstance(value, str) for value in present):
        return Column(name=name, dtype="str", shape=shape, nullable=nullable)
    return Column(name=name, dtype="object", shape=shape, nullable=nullable)


def _is_missing(value: Any) -> bool:
    return (
        value is None or (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType")
    )


def _number_column(name: str, dtype: str, values: Any, shape: tuple[int, ...], *, nullable: bool = False) -> Column:
    import numpy as np

    numbers = np.asarray(values, dtype=float if values.dtype.kind == "O" else values.dtype)
    finite = numbers[np.isfinite(numbers)]
    return Column(
        name=name,
        dtype=dtype,
        shape=shape,
        nullable=nullable or bool(finite.size < numbers.size),  # JSON has neither NaN nor infinity
        minimum=float(finite.min()) if finite.size else None,
        maximum=float(finite.max()) if finite.size else None,
    )
