"""Containers that are neither numpy's nor pandas', on their way in and out: frames of polars, tensors of torch.

One file a library, named in `registry.LIBRARIES` by its top-level module. Each is imported only once there is a value
of its library, or a version whose model takes them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol, cast

from autodeploy_magic.registry import load, table

__all__ = ["Library", "from_library", "library_of", "to_library"]


class Library(Protocol):
    """What a library's file gives as `library`."""

    def recognises(self, value: Any) -> bool:
        """Whether `value` is one of its arrays, series or frames."""

    def to_plain(self, value: Any) -> Any:
        """The numpy array, the pandas Series or the pandas DataFrame with the same values and names."""

    def from_plain(self, value: Any) -> Any:
        """Its own container for a numpy array or a pandas frame: what a model of this library is given."""


def library_of(value: Any) -> str:
    """The name of the library that a container is of, or the columns of a dict; "" for numpy, pandas and plain Python.

    A list is looked at by its first item.
    """
    if isinstance(value, Mapping):
        value = next(iter(value.values()), None)
    if isinstance(value, list | tuple) and value:
        value = value[0]
    for kind in type(value).__mro__:
        top = kind.__module__.partition(".")[0]
        if top in sys.modules and top in table("libraries"):
            return top if _library(top).recognises(value) else ""
    return ""


def from_library(value: Any) -> Any:
    """The same values in numpy's and pandas' containers; what is there already is returned as it is."""
    name = library_of(value)
    if not name:
        return value
    library = _library(name)
    if isinstance(value, Mapping):
        return {key: library.to_plain(item) if library.recognises(item) else item for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [library.to_plain(item) if library.recognises(item) else item for item in value]
    return library.to_plain(value)


def to_library(name: str, value: Any) -> Any:
    """The containers of the library `name` for numpy's and pandas'; "" leaves them as they are."""
    if not name:
        return value
    library = _library(name)
    if isinstance(value, Mapping):
        return {key: library.from_plain(item) for key, item in value.items()}
    return library.from_plain(value)


def _library(name: str) -> Library:
    return cast(Library, load(table("libraries")[name]))
