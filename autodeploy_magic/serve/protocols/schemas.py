"""The columns of a version as JSON Schema 2020-12: what a request may send, and what an answer holds.

As exact as JSON Schema can say it. What it cannot say stands in a description: that all columns have as many values,
and that a length that varies is the same in all rows of a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodeploy_magic.contracts import Column, Output, Signature
from autodeploy_magic.serve.protocols.operation import Named, Schema
from autodeploy_magic.wire.columns import kind_of

__all__ = ["column_of_rows", "inputs", "nested", "output", "record", "row", "rows", "value"]

# There is no 31st of April, and a 29th of February in leap years only. Nanoseconds since 1970 do not reach all years.
_DAY = "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
_YEAR = "[0-9]{4}"
_LEAP_YEAR = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_NS_YEAR = "(16(7[89]|[89][0-9])|1[7-9][0-9]{2}|2[01][0-9]{2}|22([0-5][0-9]|6[01]))"
_NS_LEAP_YEAR = "(16(8[048]|9[26])|(1[789]|2[01])(0[48]|[2468][048]|[13579][26])|2000|22(0[48]|[135][26]|[24][048]|60))"
_SPAN = r"^(-?[0-9]{1,18}|-?[0-9]{1,5} days( ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])?)$"


_FILES: dict[str, Schema] = {
    "image": {
        "contentEncoding": "base64",
        "contentMediaType": "image/*",
        "description": "a PNG, JPEG, WebP, GIF, BMP or TIFF file; it may also be a data: URI",
    },
    "bytes": {"contentEncoding": "base64", "description": "a file; it may also be a data: URI"},
}
_FILES_ANSWERED: dict[str, Schema] = {
    "image": {"type": ["string", "null"], "contentEncoding": "base64", "contentMediaType": "image/png"},
    "bytes": {"type": ["string", "null"], "contentEncoding": "base64"},
}


def value(column: Column) -> Schema:
    """One value of a column, as a request has it."""
    kind = kind_of(column)
    if kind == "any":
        return {} if column.nullable else {"not": {"type": "null"}}
    names = {"text": "string", "bool": "boolean", "time": "string", "file": "string"}
    found: dict[str, Any] = {"type": names.get(kind, "number")}
    if kind == "file":
        found.update(_FILES[column.dtype])
    if kind in ("number", "extension"):
        found.update(_number(column.dtype.lower()))
    elif kind == "time":
        found.update(_time(column.dtype))
    allowed = [texts for texts in (column.categories, column.known) if texts is not None]
    if allowed:
        found["enum"] = [text for text in allowed[0] if all(text in texts for texts in allowed[1:])]
    if column.nullable:
        found["type"] = [found["type"], "null"]
        if "enum" in found:
            found["enum"].append(None)
    if column.minimum is not None:
        found["description"] = f"{column.dtype}; {column.minimum:g} to {column.maximum:g} in the sample"
    return found


def nested(item: Schema, shape: Sequence[int]) -> Schema:
    """`item` in as many lists as `shape` has sizes, of these lengths; -1 is any."""
    for size in reversed(shape):
        item = {"type": "array", "items": item, **({} if size == -1 else {"minItems": size, "maxItems": size})}
    return item


def row(signature: Signature) -> Schema:
    """One row as a list: a table's values in the order of its columns, or an array's item."""
    if signature.container in ("ndarray", "list"):
        (column,) = signature.columns
        return nested(value(column), column.shape)
    width = len(signature.columns)
    return {
        "type": "array",
        "prefixItems": [{"title": c.name, **nested(value(c), c.shape)} for c in signature.columns],
        "minItems": width,
        "maxItems": width,
    }


def record(signature: Signature) -> Schema:
    """One row as an object, by the names of the columns."""
    return {
        "type": "object",
        "properties": {column.name: nested(value(column), column.shape) for column in signature.columns},
        "required": [column.name for column in signature.columns],
        "additionalProperties": False,
    }


def rows(item: Schema | Named, max_rows: int) -> Schema:
    """From one row to as many as a request may have."""
    return {"type": "array", "items": item, "minItems": 1, "maxItems": max_rows}


def column_of_rows(column: Column, max_rows: int) -> Schema:
    """All values of one column."""
    return rows(nested(value(column), column.shape), max_rows)


def inputs(signature: Signature, max_rows: int) -> Named:
    """The rows of a request in every form that `wire.decode` reads."""
    by_row = {"title": "rows", **rows(Named("Row", row(signature)), max_rows)}
    if signature.container in ("ndarray", "list"):
        return Named("Inputs", by_row)
    columns = {
        "title": "columns",
        "description": "All columns have as many values.",
        "type": "object",
        "properties": {column.name: column_of_rows(column, max_rows) for column in signature.columns},
        "required": [column.name for column in signature.columns],
        "additionalProperties": False,
    }
    records = {"title": "records", **rows(Named("Record", record(signature)), max_rows)}
    return Named("Inputs", {"anyOf": [records, by_row, columns]})


def output(output: Output) -> Schema:
    """The whole of an output: a list with an item for each row, or whatever it is that the model answers with."""
    if output.container == "json":
        return {}
    if output.container == "dataframe":
        return {"type": "array", "items": {"type": "object", "required": list(output.columns)}}
    item = _answered(output.dtype) if output.container != "list" else _FILES_ANSWERED.get(output.dtype, {})
    if not output.per_row:
        return nested(item, output.shape) if output.container == "ndarray" else {"type": "array", "items": item}
    return {"type": "array", "items": nested(item, output.shape)}


def _number(dtype: str) -> dict[str, Any]:
    try:
        kind = np.dtype(dtype)
    except TypeError:
        return {}
    if kind.kind in "iu":
        whole = np.iinfo(kind)
        return {"type": "integer", "minimum": int(whole.min), "maximum": int(whole.max)}
    if kind.kind != "f" or kind.itemsize >= 8:
        return {}
    limits = np.finfo(kind)
    too_large = (2 - 2.0 ** -(limits.nmant + 1)) * 2.0 ** (limits.maxexp - 1)  # what is below is rounded to the largest
    return {"exclusiveMinimum": -too_large, "exclusiveMaximum": too_large}


def _time(dtype: str) -> dict[str, Any]:
    if dtype.startswith("timedelta"):
        return {"pattern": _SPAN, "description": "nanoseconds, or a span as pandas writes it: 1 days 06:00:00"}
    year, leap_year = (_NS_YEAR, _NS_LEAP_YEAR) if "[ns]" in dtype else (_YEAR, _LEAP_YEAR)
    said = "a date, or a date and a time, in ISO 8601, without an offset from UTC"
    return {"pattern": f"^({year}-{_DAY}|{leap_year}-02-29)(T{_TIME}Z?)?$", "description": said}


def _answered(dtype: str) -> Schema:
    lower = dtype.lower()
    if lower.startswith(("int", "uint")):
        return {"type": "integer" if dtype == lower else ["integer", "null"]}
    if lower.startswith("float"):
        return {"type": ["number", "null"]}
    if lower.startswith("bool"):
        return {"type": "boolean" if dtype == "bool" else ["boolean", "null"]}
    if lower.startswith(("datetime64", "timedelta64")) or lower in ("str", "string"):
        return {"type": ["string", "null"]}
    return {"type": "string"} if lower.startswith("<u") else {}
