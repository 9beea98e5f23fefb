"""One column of a sample: its dtype, shape, categories, range, and whether something is missing in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from autodeploy_magic.contracts import Column
from autodeploy_magic.errors import BadSample
from autodeploy_magic.wire.pictures import file_kind

__all__ = ["array_column", "is_text", "label_of", "series_column"]


def array_column(name: str, values: Any) -> Column:
    """The column that `values`, an array or a list with one item a row, would need."""
    import numpy as np

    if hasattr(values, "iloc"):
        return series_column(name, values)
    if isinstance(values, np.ma.MaskedArray):
        raise BadSample(
            f"the sample's {name} is a masked array",
            why="a request has no masks: what is hidden would be sent",
            fix="fill it: sample.filled(np.nan)",
        )
    lists = None if isinstance(values, np.ndarray) else _lists_column(name, list(values))
    if lists is not None:
        return lists
    if isinstance(values, list | tuple) and file_kind(values):
        return _object_column(name, list(values), ())
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


def _lists_column(name: str, rows: list[Any]) -> Column | None:
    """The column of rows that are flat lists of different lengths, such as the numbers of a text's words; else None."""
    if not all(isinstance(row, list | tuple) for row in rows) or len({len(row) for row in rows}) < 2:
        return None
    leaves = [value for row in rows for value in row]
    if any(isinstance(value, list | tuple | Mapping) for value in leaves):
        return None
    column = array_column(name, leaves)
    return None if column.dtype == "object" else msgspec.structs.replace(column, shape=(-1,))


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
        fix = "convert it to text or to plain dates"
        if text.startswith("Sparse"):
            fix = f"sample[{name!r}].sparse.to_dense()"
        elif text.startswith("datetime64"):
            fix = f"take its zone away before fitting: sample[{name!r}].dt.tz_convert('UTC').dt.tz_localize(None)"
        raise BadSample(
            f"the sample's column {name!r} has dtype {text}, which a request cannot say",
            why="a request holds numbers, text, true/false, dates without a zone, and lists of these",
            fix=fix,
        )
    if is_text(dtype):
        return Column(name=name, dtype="str", nullable=missing)
    if text == "object":
        return _object_column(name, series.tolist(), ())
    kind = getattr(dtype, "kind", "O")
    if kind == "b":
        return Column(name=name, dtype="boolean" if text == "boolean" else "bool", nullable=missing)
    if kind in "mM":
        return Column(name=name, dtype=text, nullable=missing)
    return _number_column(name, text, series.dropna().to_numpy(), (), nullable=missing)


def label_of(name: Any) -> int | None:
    """The name of a column where that is a whole number, else None."""
    import numpy as np

    return int(name) if isinstance(name, int | np.integer) and not isinstance(name, bool) else None


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
    files = file_kind(present)
    if files == "mixed":
        raise BadSample(
            f"the sample's {name} mixes pictures or bytes with other values",
            why="a request has one kind in a column",
            fix="give PIL images only, or the bytes of files only",
        )
    if files:
        return Column(name=name, dtype=files, shape=shape, nullable=nullable)
    if present and all(isinstance(value, str) for value in present):
        return Column(name=name, dtype="str", shape=shape, nullable=nullable)
    for value in present:
        fix = _INSTEAD.get(type(value).__name__)
        if fix:
            raise BadSample(
                f"the sample's {name} holds a {type(value).__name__} ({value})",
                why="JSON has no such thing: the model would be given another one than it was fitted on",
                fix=fix,
            )
    return Column(name=name, dtype="object", shape=shape, nullable=nullable)


_INSTEAD = {
    "Decimal": "make it numbers before fitting: column.astype(float)",
    "complex": "make it two columns of numbers before fitting",
    **dict.fromkeys(("date", "datetime", "Timestamp"), "make it dates before fitting: pd.to_datetime(column)"),
    **dict.fromkeys(("timedelta", "Timedelta"), "make it spans of time before fitting: pd.to_timedelta(column)"),
    "time": "make it text or numbers before fitting",
}
"""What an object column may hold, JSON would say, and would not come back as it was."""


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
