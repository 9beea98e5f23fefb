"""Frames and series of polars."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.registry import need

__all__ = ["PolarsLibrary", "library"]


class PolarsLibrary:
    """A frame becomes pandas' and back, column by column, with the same names."""

    def recognises(self, value: Any) -> bool:
        polars = need("polars", "reading a polars frame")
        return isinstance(value, polars.DataFrame | polars.Series)

    def to_plain(self, value: Any) -> Any:
        import pandas as pd

        polars = need("polars", "reading a polars frame")
        if isinstance(value, polars.Series):
            return pd.Series(value.to_list(), name=value.name or None)
        return pd.DataFrame({name: value[name].to_numpy() for name in value.columns})

    def from_plain(self, value: Any) -> Any:
        polars = need("polars", "answering with a polars frame")
        return polars.DataFrame({str(name): value[name].to_numpy() for name in value.columns})


library = PolarsLibrary()
