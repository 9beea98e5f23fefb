"""Recorded rows as a model can be given them again, whole: pictures, texts, nested arrays and tables alike.

A row has one canonical form whichever way its request was written: the values of a table's columns in the order of the
signature, or the one value of an array's or a list's row; numbers as the column's dtype holds them. So equal rows are
equal JSON, and `row_key` tells them apart.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.reservoir.hidden import hidden_columns
from autodeploy_magic.reservoir.schema import reading
from autodeploy_magic.wire import to_plain
from autodeploy_magic.wire.columns import decode_column
from autodeploy_magic.wire.fields import Path as Field

__all__ = ["Found", "Row", "canonical", "merged", "recorded_rows", "row_key"]

_FILES = ("image", "bytes")
_TABLES = ("dataframe", "dict")

_REQUESTS = (
    "SELECT id, at, version, rows, kept, inputs FROM requests"
    " WHERE status < 400 AND at <= ? ORDER BY number DESC LIMIT ?"
)
_LABELS = "SELECT row, at, label FROM labels WHERE request = ? AND at <= ?"

_decode = msgspec.json.Decoder().decode


class Row(NamedTuple):
    """One recorded row. `value` is its canonical form, `key` what tells it from others.

    `at_s` is when it was answered and `labelled_s` when its label came, in seconds since the epoch; `label` is None for
    a row without one.
    """

    value: Any
    key: bytes
    at_s: float
    version: int
    label: Any = None
    labelled_s: float = 0.0


@dataclass
class Found:
    """The rows of recorded requests, newest first, and what became of the others.

    `requests` were looked at, with so many rows each (`sizes`: rows → requests). Of them, `unkept` have no inputs,
    `hidden` are not as they were sent (columns dropped or hashed), `other` are of a version that takes something else,
    or do not fit.
    """

    rows: list[Row] = field(default_factory=list)
    requests: int = 0
    unkept: int = 0
    hidden: int = 0
    other: int = 0
    hidden_names: set[str] = field(default_factory=set)
    sizes: Counter[int] = field(default_factory=Counter)
    first_s: float = 0.0
    last_s: float = 0.0


def recorded_rows(
    path: Path,
    signature: Signature,
    *,
    before_s: float,
    unlike: Iterable[int] = (),
    most: int = 100_000,
    most_bytes: int = 256 * 1024 * 1024,
) -> Found:
    """The rows of the newest answered requests of before a time, with their labels; at most about `most` of them.

    `unlike` are versions whose requests this signature does not fit. Raises `sqlite3.Error`.
    """
    found, others, size = Found(), frozenset(unlike), 0
    with reading(path) as connection:
        if connection is None:
            return found
        connection.execute("BEGIN")  # all of it at one moment
        for request, at_s, version, count, kept, text in connection.execute(_REQUESTS, (before_s, most)):
            found.requests += 1
            found.last_s, found.first_s = found.last_s or at_s, at_s
            if version in others:
                found.other += 1
                continue
            found.sizes[max(count, 1)] += 1
            values = _values(found, signature, text)
            indices = range(count) if kept is None else _decode(kept)
            if len(values) != len(indices):
                found.other += bool(values)
                continue
            labels = {
                row: (labelled_s, _decode(label))
                for row, labelled_s, label in connection.execute(_LABELS, (request, before_s))
            }
            for index, value in zip(indices, values, strict=True):
                labelled_s, label = labels.get(index, (0.0, None))
                found.rows.append(Row(value, row_key(value), at_s, version, label, labelled_s))
            size += len(text or "")
            if len(found.rows) >= most or size >= most_bytes:
                break
    return found


def canonical(signature: Signature, inputs: Any) -> list[Any]:
    """The rows of what `POST /predict` takes as "inputs", each in its canonical form. Raises `InvalidInputs`."""
    names = [column.name for column in signature.columns]
    if signature.container not in _TABLES:
        if not isinstance(inputs, list):
            raise InvalidInputs("inputs is not a list of rows", field="inputs")
        given: list[Any] = [inputs]
    elif isinstance(inputs, Mapping):
        if set(inputs) != set(names):
            raise InvalidInputs("inputs has other columns", field="inputs")
        given = [inputs[name] for name in names]
    else:
        given = _by_column(names, inputs)
    if len({len(values) if isinstance(values, list) else -1 for values in given} - {-1}) != 1:
        raise InvalidInputs("the columns of inputs have different lengths", field="inputs")
    columns = [
        values if column.dtype in _FILES else _plain(column, values, signature.container)
        for column, values in zip(signature.columns, given, strict=True)
    ]
    return list(columns[0]) if signature.container not in _TABLES else [list(row) for row in zip(*columns, strict=True)]


def merged(signature: Signature, values: Sequence[Any]) -> Any:
    """Canonical rows as one request's inputs: a table by column, anything else row by row."""
    if signature.container not in _TABLES:
        return list(values)
    return {column.name: [value[i] for value in values] for i, column in enumerate(signature.columns)}


def row_key(value: Any) -> bytes:
    """The SHA-256 of a row in its canonical form, as JSON."""
    return hashlib.sha256(msgspec.json.encode(value)).digest()


def _values(found: Found, signature: Signature, text: str | None) -> list[Any]:
    """The rows of a request; none where they are not kept as they were sent, or do not fit."""
    if text is None:
        found.unkept += 1
        return []
    inputs = _decode(text)
    hidden = hidden_columns(signature, inputs)
    if hidden:
        found.hidden += 1
        found.hidden_names.update(hidden)
        return []
    try:
        return canonical(signature, inputs)
    except InvalidInputs:
        found.other += 1
        return []


def _plain(column: Any, values: Any, container: str) -> list[Any]:
    if not isinstance(values, list):
        raise InvalidInputs("inputs has a column that is no list", field="inputs")
    field_of = Field(column.name) if container in _TABLES else Field(column.name, "rows")
    found: list[Any] = to_plain(decode_column(column, values, field_of))
    return found


def _by_column(names: Sequence[str], rows: Any) -> list[Any]:
    """A table that came as records, or as rows in the order of its columns."""
    if not isinstance(rows, list) or not rows:
        raise InvalidInputs("inputs has no rows", field="inputs")
    return [list(values) for values in zip(*_in_order(names, rows), strict=True)]


def _in_order(names: Sequence[str], rows: Iterable[Any]) -> Iterator[list[Any]]:
    for row in rows:
        if isinstance(row, Mapping) and set(row) == set(names):
            yield [row[name] for name in names]
        elif isinstance(row, list) and len(row) == len(names):
            yield row
        else:
            raise InvalidInputs("inputs has rows with other columns", field="inputs")
