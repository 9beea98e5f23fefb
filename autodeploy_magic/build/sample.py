"""The sample → the signature of a request, and the rows that a version is verified on.

A sample is a pandas DataFrame or Series, a numpy array, a list of rows, texts or records, or a dict of columns.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autodeploy_magic.build.column import array_column, is_text, series_column
from autodeploy_magic.contracts import Column, Container, Signature
from autodeploy_magic.errors import BadSample, InvalidInputs
from autodeploy_magic.wire import decode, to_request
from autodeploy_magic.wire.libraries import from_library, library_of

__all__ = ["Sample", "head", "read_sample", "take"]

_GIVE = "give some rows that the model can predict from: --sample X_test"


@dataclass(frozen=True)
class Sample:
    """The person's sample, checked. `rows` is how many it has; `container` holds them all as the model takes them."""

    container: Any
    signature: Signature
    rows: int


def read_sample(sample: Any) -> Sample:
    """Check a sample and describe it. Raises `BadSample` saying what is wrong with it and what would do."""
    library = library_of(sample)
    container, kind = _container(from_library(sample))
    columns = _columns(container, kind)
    rows = _rows(container)
    if rows == 0:
        raise BadSample("the sample has no rows", fix=_GIVE)
    found = Sample(container, Signature(container=kind, columns=columns, library=library), rows)
    _check_travels(found)
    return found


def take(container: Any, indices: Sequence[int]) -> Any:
    """Rows of a container, in the container."""
    if hasattr(container, "iloc"):
        return container.iloc[list(indices)]
    if isinstance(container, Mapping):
        return {name: take(values, indices) for name, values in container.items()}
    if isinstance(container, list | tuple):
        return [container[i] for i in indices]
    return container[list(indices)]


def head(container: Any, rows: int) -> Any:
    """The first rows of a container."""
    return take(container, range(min(rows, _rows(container))))


def _rows(container: Any) -> int:
    if isinstance(container, Mapping):
        return len(next(iter(container.values())))
    return len(container)


def _container(sample: Any) -> tuple[Any, Container]:
    """The sample in one of the four containers; anything else is refused with what to do about it."""
    import numpy as np

    family = type(sample).__module__.partition(".")[0]
    if sample is None:
        raise BadSample("there is no sample", why="the sample fixes what a request looks like", fix=_GIVE)
    if family == "pandas":
        return _pandas(sample)
    if isinstance(sample, np.ndarray):
        return sample, "ndarray"
    if isinstance(sample, Mapping):
        return _named(sample), "dict"
    if isinstance(sample, list | tuple):
        return _plain_rows(sample), "list"
    raise _refusal(sample, family)


def _refusal(sample: Any, family: str) -> BadSample:
    kind = f"{type(sample).__module__}.{type(sample).__qualname__}".removeprefix("builtins.")
    if isinstance(sample, types.GeneratorType) or hasattr(sample, "__next__"):
        fix = "a generator can be read once only: make a list of it, list(sample)"
    elif family == "scipy":
        fix = "a request cannot be sparse: give sample[:100].toarray()"
    elif family == "jax":
        fix = "give a numpy array: numpy.asarray(sample)"
    elif family == "pyarrow":
        fix = "give a pandas frame: sample.to_pandas()"
    elif isinstance(sample, str):
        fix = "give the variable that holds the rows, or a list of texts: [text]"
    else:
        fix = "give a DataFrame, a numpy array, a list of rows or a dict of columns"
    return BadSample(f"the sample is a {kind}, which holds no rows that a request could send", fix=fix)


def _pandas(sample: Any) -> tuple[Any, Container]:
    import pandas as pd

    if isinstance(sample, pd.Series):
        values = sample.to_numpy()
        if is_text(sample.dtype) or values.dtype.kind == "O":
            return [None if missing else value for value, missing in zip(values, sample.isna(), strict=True)], "list"
        return values, "ndarray"
    if not isinstance(sample, pd.DataFrame):
        raise _refusal(sample, "pandas")
    names: list[Any] = list(sample.columns)
    other = [name for name in names if not isinstance(name, str)]
    if other:
        raise BadSample(
            f"the sample's column {other[0]!r} is named by a {type(other[0]).__name__}, not by text",
            why="columns are named in JSON, which has text only",
            fix="fit the model on a frame with names, df.columns = df.columns.astype(str), or on df.to_numpy()",
        )
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise BadSample(
            f"the sample has several columns named {double[0]!r}",
            why="a request names each column once",
            fix="rename them before fitting the model",
        )
    if not names:
        raise BadSample("the sample has no columns", fix=_GIVE)
    return sample, "dataframe"


def _named(sample: Mapping[Any, Any]) -> dict[str, Any]:
    """A dict of columns: text → values, as many in each."""
    if not sample:
        raise BadSample("the sample is an empty dict", fix=_GIVE)
    lengths: dict[str, int] = {}
    for name, values in sample.items():
        if not isinstance(name, str):
            raise BadSample(f"the sample's key {name!r} is not text", fix="name each column by text")
        if isinstance(values, str) or not hasattr(values, "__len__") or getattr(values, "ndim", 1) == 0:
            raise BadSample(
                f"the sample's {name!r} is {values!r:.60}, not a column of values",
                why="a dict is read as columns",
                fix="for one record give a list of it: [record]; for columns give lists or arrays of one length",
            )
        lengths[name] = len(values)
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise BadSample(
            "the sample's columns have different lengths", why=counts, fix="give each column as many values"
        )
    return dict(sample)


def _plain_rows(sample: Sequence[Any]) -> list[Any]:
    import numpy as np

    return [row.tolist() if isinstance(row, np.ndarray | np.generic) else row for row in sample]


def _columns(container: Any, kind: Container) -> tuple[Column, ...]:
    if kind == "dataframe":
        return tuple(series_column(name, container.iloc[:, i]) for i, name in enumerate(container.columns))
    if kind == "dict":
        return tuple(array_column(name, values) for name, values in container.items())
    if _rows_or_refuse(container) == 0:
        raise BadSample("the sample has no rows", fix=_GIVE)
    return (array_column("inputs", container),)


def _rows_or_refuse(container: Any) -> int:
    if getattr(container, "ndim", 1) == 0:
        raise BadSample("the sample is one number, not rows", fix="give an array of rows: np.array([[…], […]])")
    return len(container)


def _check_travels(sample: Sample) -> None:
    """Send the first rows to ourselves: what a request cannot carry is said now, not by a client."""
    rows = head(sample.container, 100)
    try:
        decode(sample.signature, to_request(rows))
    except (InvalidInputs, TypeError) as error:
        what = error.what if isinstance(error, InvalidInputs) else str(error)
        raise BadSample(
            "the sample cannot be sent as a request",
            why=what,
            fix="let it hold numbers, text, true/false and dates, with one kind in a column",
        ) from error
