"""Columns that a person does not want to be kept as they are: what stands in the place of their values.

Of a table, a column that is dropped is absent; of an array, whose rows keep their width, a mark stands in its place.
Where a column is hashed, a text stands in the place of each of its values, of a gap as well.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autodeploy_magic.contracts import Signature

__all__ = ["DROPPED", "HASHED", "are_hidden", "hidden_columns", "named", "names_of"]

DROPPED = "[dropped]"
HASHED = "hmac:"
"""What the text of a hashed value begins with; 16 hexadecimal digits follow."""

_HASH = re.compile(f"{HASHED}[0-9a-f]{{16}}")


def are_hidden(values: Iterable[Any]) -> bool:
    """Whether a column, or a part of it, was dropped or hashed when it was recorded."""
    return any(type(value) is str and _is_mark(value) for value in values)


def named(typed: str) -> tuple[str, ...]:
    """The columns in a text that has commas between them; one that holds a comma stands in quotes. "x[3]" is "3"."""
    found = [name.strip() for row in csv.reader(typed.splitlines(), skipinitialspace=True) for name in row]
    return tuple(dict.fromkeys(re.sub(r"x\[(\d+)\]", r"\1", name) for name in found if name))


def names_of(signature: Signature) -> tuple[str, ...]:
    """How the columns of requests are called: those of an array are "0", "1", …; () where there are none to name."""
    if signature.container in ("dataframe", "dict"):
        return tuple(column.name for column in signature.columns)
    column = signature.columns[0]
    if column.shape == ():
        return ("text" if column.dtype == "str" else "0",)
    if len(column.shape) > 1 or column.shape[0] < 1:
        return ()
    return tuple(str(i) for i in range(column.shape[0]))


def hidden_columns(signature: Signature, inputs: Any) -> tuple[str, ...]:
    """The columns of recorded inputs that are not as they were sent; such rows cannot be given to a model again.

    () for inputs that are whole, and for those that are not kept at all (None).
    """
    if inputs is None:
        return ()
    names = names_of(signature)
    if isinstance(inputs, Mapping):
        return tuple(name for name in names if _is_column_hidden(inputs.get(name)))
    if not isinstance(inputs, Sequence) or isinstance(inputs, str) or not inputs:
        return ()
    if all(isinstance(row, Mapping) for row in inputs):
        return tuple(name for name in names if any(name not in row for row in inputs) or _marks(inputs, name))
    if all(isinstance(row, Sequence) and not isinstance(row, str) and len(row) == len(names) for row in inputs):
        return tuple(name for i, name in enumerate(names) if _marks(inputs, i))
    return names if len(names) == 1 and are_hidden(inputs) else ()


def _is_mark(value: str) -> bool:
    return value == DROPPED or (value.startswith(HASHED) and _HASH.fullmatch(value) is not None)


def _is_column_hidden(values: Any) -> bool:
    if values is None:
        return True
    return isinstance(values, Sequence) and not isinstance(values, str) and are_hidden(values)


def _marks(rows: Iterable[Any], key: Any) -> bool:
    return are_hidden(row[key] for row in rows)
