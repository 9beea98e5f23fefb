"""The sample → the signature of a request, and the rows that a version is verified on.

A sample is a pandas DataFrame or Series, a numpy array, a list of rows, texts or records, or a dict of columns; or one
that `wire.libraries` makes one of these.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from autodeploy_magic.build.column import array_column, is_text, label_of, series_column
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
    elif hasattr(sample, "collect") and family == "polars":
        fix = "a lazy frame has no rows yet: sample.collect()"
    elif family == "jax":
        fix = "give a numpy array: numpy.asarray(sample)"
    elif family == "pyarrow":
        fix = "give a pandas frame: sample.to_pandas()"
    elif isinstance(sample, str):
        fix = "give the variable that holds the rows, or a list of texts: [text]"
    else:
        fix = "give a DataFrame, a numpy array, a list of rows or a dict of columns"
    return BadSample(
        f"the sample is a {kind}, which holds no rows that a request could send",
        why="its rows fix what a request looks like, and are answered to verify the version",
        fix=fix,
    )


def _pandas(sample: Any) -> tuple[Any, Container]:
    import pandas as pd

    if isinstance(sample, pd.Series):
        sample = _without_arrow(sample)
        values = sample.to_numpy()
        if is_text(sample.dtype) or values.dtype.kind == "O":
            return [None if missing else value for value, missing in zip(values, sample.isna(), strict=True)], "list"
        return values, "ndarray"
    if not isinstance(sample, pd.DataFrame):
        raise _refusal(sample, "pandas")
    _check_names(list(sample.columns))
    if any(isinstance(dtype, pd.ArrowDtype) for dtype in sample.dtypes):
        columns = [_without_arrow(sample.iloc[:, i]) for i in range(sample.shape[1])]
        sample = pd.concat(columns, axis=1)
    return sample, "dataframe"


def _check_names(names: list[Any]) -> None:
    """Text, or whole numbers as of a frame that was made of an array; each once, as JSON says it."""
    for name in names:
        if isinstance(name, str) or label_of(name) is not None:
            continue
        levels = "sample.columns = ['_'.join(map(str, name)) for name in sample.columns]"
        raise BadSample(
            f"the sample's column {name!r} is named by a {type(name).__name__}, not by text",
            why="columns are named in JSON, which has text only",
            fix=f"fit the model on a frame with one name a column: {levels}"
            if isinstance(name, tuple)
            else "fit the model on a frame with names, df.columns = df.columns.astype(str), or on df.to_numpy()",
        )
    texts = [str(name) for name in names]
    double = sorted({text for text in texts if texts.count(text) > 1})
    if double:
        raise BadSample(
            f"the sample has several columns named {double[0]!r}",
            why="a request names each column once",
            fix="rename them before fitting the model",
        )
    if not names:
        raise BadSample("the sample has no columns", fix=_GIVE)


def _without_arrow(series: Any) -> Any:
    """A column that pyarrow holds as numpy and pandas hold it: with missing whole numbers as Int64, missing truths as
    boolean.
    """
    import pandas as pd

    if not isinstance(series.dtype, pd.ArrowDtype):
        return series
    held: Any = series.dtype
    kind, dtype = held.kind, held.numpy_dtype
    missing = bool(series.isna().any())
    if kind in "iub":
        name = str(dtype)
        nullable = "boolean" if kind == "b" else name.capitalize() if kind == "i" else f"UI{name[2:]}"
        return series.astype(nullable if missing else name)
    if kind in "fmM" and dtype.kind == kind:
        return series.astype(dtype)
    text = str(held)
    if text.startswith(("string", "large_string")):
        return series.astype("str")
    values = [None if gone else value for value, gone in zip(series.tolist(), series.isna(), strict=True)]
    kept: Any = pd.Categorical(values) if text.startswith("dictionary") else values
    return pd.Series(kept, index=series.index, name=series.name, dtype=None if text.startswith("dict") else "object")


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
        return tuple(
            msgspec.structs.replace(series_column(str(name), container.iloc[:, i]), label=label_of(name))
            for i, name in enumerate(container.columns)
        )
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
