"""Frames and series of polars."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.errors import BadSample
from autodeploy_magic.registry import need

__all__ = ["PolarsLibrary", "library"]

_REFUSED = {
    "Decimal": "cast it to numbers before fitting: frame.with_columns(pl.col({name!r}).cast(pl.Float64))",
    "Time": "cast it to text or to a duration before fitting: frame.with_columns(pl.col({name!r}).cast(pl.Duration))",
    "Object": "keep numbers, text, true/false and dates in it",
}
"""Kinds of columns that a request cannot say, with what to do."""


class PolarsLibrary:
    """A frame becomes pandas' and back, column by column, with the same names and kinds.

    Missing whole numbers and truths are pandas' nullable ones meanwhile, missing reals NaN; dates are `datetime64[s]`,
    a unit that polars has for nothing else. A Categorical comes back as the Enum of what it held in the sample.
    """

    def recognises(self, value: Any) -> bool:
        polars = need("polars", "reading a polars frame")
        return isinstance(value, polars.DataFrame | polars.Series)

    def to_plain(self, value: Any) -> Any:
        import pandas as pd

        polars = need("polars", "reading a polars frame")
        if isinstance(value, polars.Series):
            return _to_pandas(value)
        return pd.DataFrame({name: _to_pandas(value[name]) for name in value.columns})

    def from_plain(self, value: Any) -> Any:
        polars = need("polars", "answering with a polars frame")
        if not hasattr(value, "columns"):
            return polars.Series(value)
        return polars.DataFrame([_from_pandas(str(name), value[name]) for name in value.columns])


def _to_pandas(series: Any) -> Any:
    import pandas as pd

    dtype, missing = series.dtype, series.null_count() > 0
    kind = str(dtype.base_type())
    if kind in _REFUSED or getattr(dtype, "time_zone", None):
        fix = _REFUSED.get(kind, "take its zone away before fitting: pl.col({name!r}).dt.replace_time_zone(None)")
        raise BadSample(
            f"the sample's column {series.name!r} is {dtype}, which a request cannot say",
            why="a request holds numbers, text, true/false, dates without a zone, and lists of these",
            fix=fix.format(name=series.name),
        )
    name = series.name or None
    if dtype.is_integer() and missing:
        return pd.Series(series.to_list(), name=name, dtype=kind)
    if kind == "Boolean":
        return pd.Series(series.to_list(), name=name, dtype="boolean" if missing else "bool")
    if kind == "String":
        return pd.Series(series.to_list(), name=name, dtype="str")
    if kind in ("Categorical", "Enum"):
        texts = series.cast(need("polars", "reading a polars frame").String)
        known = dtype.categories if kind == "Enum" else texts.drop_nulls().unique(maintain_order=True)
        return pd.Series(pd.Categorical(texts.to_list(), categories=known.to_list()), name=name)
    if kind == "Date":
        return pd.Series(series.to_numpy().astype("datetime64[s]"), name=name)
    if dtype.is_numeric() or kind in ("Datetime", "Duration"):
        return pd.Series(series.to_numpy(), name=name)
    found = pd.Series([None] * len(series), name=name, dtype="object")
    found[:] = series.to_list()
    return found


def _from_pandas(name: str, series: Any) -> Any:
    polars = need("polars", "answering with a polars frame")
    kind = str(series.dtype)
    if kind == "category":
        enum = polars.Enum([str(value) for value in series.cat.categories])
        return polars.Series(name, _with_none(series), dtype=enum)
    if kind == "boolean":
        return polars.Series(name, _with_none(series), dtype=polars.Boolean)
    if kind[:1].isupper():  # Int64 and its like
        return polars.Series(name, _with_none(series), dtype=getattr(polars, kind))
    if kind.startswith("str") or kind == "object":
        return polars.Series(name, _with_none(series), strict=False)
    if kind == "datetime64[s]":
        return polars.Series(name, series.to_numpy().astype("datetime64[ms]")).cast(polars.Date)
    found = polars.Series(name, series.to_numpy())
    return found.fill_nan(None) if found.dtype.is_float() else found


def _with_none(series: Any) -> list[Any]:
    return [None if gone else value for value, gone in zip(series.tolist(), series.isna(), strict=True)]


library = PolarsLibrary()
