"""Values as TensorFlow Serving's clients write them, as the ones that a request of ours has.

Source: tensorflow.org/tfx/serving/api_rest: an object with the one key "b64" is a text's bytes; a model with one input
may be sent it by its name; and a table's column, whose shape is said to be [-1, 1], has each of its values in brackets.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.wire.columns import kind_of

__all__ = ["plain"]

_DEPTH = 64
"""Dimensions that an array of numpy may have."""


def plain(signature: Signature, given: Any) -> Any:
    """`instances` or `inputs` as `wire.decode` takes them. Raises `InvalidInputs` for what is not base64 of UTF-8."""
    if signature.container in ("ndarray", "list"):
        return _rows(signature.columns[0], given)
    named = {column.name: column for column in signature.columns}
    if isinstance(given, dict):
        return {name: _column(named.get(name), values) for name, values in given.items()}
    if not isinstance(given, list) or not given or not _is_wrapped(given[0]):
        return given
    return [_row(list(signature.columns), named, row) for row in given]


def _rows(column: Column, given: Any) -> Any:
    one = {column.name}
    if isinstance(given, dict) and set(given) == one:
        given = given[column.name]
    elif isinstance(given, list) and kind_of(column) != "any" and all(_has_keys(row, one) for row in given):
        given = [row[column.name] for row in given]
    return _READERS.get(kind_of(column), _as_it_is)(given)


def _column(column: Column | None, values: Any) -> Any:
    if column is None or not isinstance(values, list) or not values or type(values[0]) not in (list, dict):
        return values
    value_of = _reader(column)
    return [value_of(value) for value in values]


def _row(columns: list[Column], named: Mapping[str, Column], row: Any) -> Any:
    if isinstance(row, dict):
        return {name: _reader(named[name])(value) if name in named else value for name, value in row.items()}
    if isinstance(row, list) and len(row) == len(columns):
        return [_reader(column)(value) for column, value in zip(columns, row, strict=True)]
    return row


def _reader(column: Column) -> Callable[[Any], Any]:
    read = _READERS.get(kind_of(column), _as_it_is)
    if column.shape or kind_of(column) == "any":
        return read
    return lambda value: read(value[0] if isinstance(value, list) and len(value) == 1 else value)


def _texts(value: Any) -> Any:
    """The same with each {"b64": …} as the text that its bytes are."""
    return _decoded(value, 0)


def _files(value: Any) -> Any:
    """The same with each {"b64": …} as the base64 that it is: of a file, which is what a request of ours has."""
    if isinstance(value, list):
        return [_files(item) if type(item) is dict else item for item in value]
    return value["b64"] if _has_keys(value, {"b64"}) else value


def _as_it_is(value: Any) -> Any:
    return value


_READERS: dict[str, Callable[[Any], Any]] = {"text": _texts, "file": _files}


def _decoded(value: Any, depth: int) -> Any:
    if isinstance(value, list):
        # What is nested more deeply than any array is refused by whoever looks at its shape.
        return [_decoded(item, depth + 1) for item in value] if depth < _DEPTH else value
    if not _has_keys(value, {"b64"}):
        return value
    try:
        return base64.b64decode(value["b64"], validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, TypeError, ValueError) as error:
        raise InvalidInputs(
            f"b64 is not the base64 of a text in UTF-8: {error}",
            fix='send {"b64": "…"}, or the text itself',
            field="b64",
        ) from error


def _has_keys(value: Any, keys: set[str]) -> bool:
    return isinstance(value, dict) and value.keys() == keys


def _is_wrapped(row: Any) -> bool:
    """Whether a row, or a record, has values in brackets or in an object."""
    values = row.values() if isinstance(row, dict) else row if isinstance(row, list) else ()
    return any(type(value) in (list, dict) for value in values)
