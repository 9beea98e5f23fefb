"""`POST /invocations` and `GET /ping`: the contract of MLflow's scoring server and of SageMaker's containers.

Source: mlflow.org, "MLflow models: local REST server"; SageMaker's developer guide, "Use your own inference code".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from autodeploy_magic.contracts import Column
from autodeploy_magic.errors import InvalidInputs, RequestRefused, UnsupportedContent
from autodeploy_magic.serve.protocols import JSON, Answer, Inference, Request, Route, invocations_operations
from autodeploy_magic.serve.protocols.invocations_operations import CSV, PLAIN
from autodeploy_magic.serve.protocols.predict import parse
from autodeploy_magic.serve.protocols.refusals import one_line
from autodeploy_magic.serve.protocols.tensorflow_values import plain
from autodeploy_magic.serve.road import Road
from autodeploy_magic.wire.columns import kind_of
from autodeploy_magic.wire.fields import short

__all__ = ["Invocations"]

_FIX = "send one of dataframe_split, dataframe_records, instances, inputs as JSON, or rows as text/csv"
_TRUTH = {"true": True, "1": True, "false": False, "0": False}

_encode = msgspec.json.Encoder().encode


class Split(msgspec.Struct):
    """pandas' orient="split"."""

    data: list[list[Any]]
    columns: list[str] | None = None
    index: Any = None


class Body(msgspec.Struct):
    """One of the four ways of MLflow 2, or pandas' split form on its own, which MLflow 1 took."""

    dataframe_split: Split | None = None
    dataframe_records: list[Any] | None = None
    instances: Any = None
    inputs: Any = None
    data: list[list[Any]] | None = None
    columns: list[str] | None = None
    params: Any = None


class Invocations:
    """One model, with no name in the path."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self._signature = road.version.signature
        table = self._signature.container in ("dataframe", "dict")
        self._array = None if table else self._signature.columns[0]
        self._decoder: msgspec.json.Decoder[Body | list[Any]] = msgspec.json.Decoder(Body | list[Any])

    def routes(self) -> Sequence[Route]:
        about = invocations_operations
        invoke = partial(about.invoke, self._road)
        return [
            Route("GET", "/ping", self._ping, open=True, operation=partial(about.ping, "ping")),
            Route("GET", "/health", self._ping, open=True, operation=partial(about.ping, "health")),
            Route("POST", "/invocations", self._invoke, frozenset({JSON, CSV}), recorded=True, operation=invoke),
        ]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        code = "INVALID_PARAMETER_VALUE" if error.status < 500 else "INTERNAL_ERROR"
        body = {"error_code": code, "message": one_line(error), "id": request_id}
        return Answer(_encode(body), error.status)

    def _ping(self, _: Request) -> Answer:
        return Answer(b"\n", 503 if self._road.draining else 200, PLAIN)

    def _invoke(self, request: Request) -> Inference:
        _check_charset(request)
        inputs = self._csv(request.body) if request.content_type == CSV else self._json(request.body)
        return Inference(self._road.served.decode(inputs), ("predictions",), self._answer)

    def _answer(self, outputs: dict[str, Any]) -> Answer:
        return Answer(_encode({"predictions": self._road.served.encode(outputs)["predictions"]}))

    def _json(self, data: bytes | bytearray) -> Any:
        body = parse(self._decoder, data, _FIX)
        if isinstance(body, list):
            return self._records(body)  # "application/json; format=pandas-records" of MLflow 1
        split = body.dataframe_split
        if split is None and body.data is not None:
            split = Split(data=body.data, columns=body.columns)
        ways = [
            self._split(split) if split is not None else None,
            self._records(body.dataframe_records) if body.dataframe_records is not None else None,
            *(None if given is None else plain(self._signature, given) for given in (body.instances, body.inputs)),
        ]
        given = [way for way in ways if way is not None]
        if len(given) != 1:
            raise InvalidInputs(f"the body gives its rows in {len(given)} ways", fix=_FIX, field="body")
        return given[0]

    def _split(self, split: Split) -> Any:
        """A table's rows by the names that the client gave, in whatever order; an array's rows as they are."""
        if self._array is not None:
            return _unwrapped(split.data, self._array)
        if split.columns is None:
            return split.data
        width = len(split.columns)
        for i, row in enumerate(split.data):
            if len(row) != width:
                raise InvalidInputs(
                    f"data[{i}] has {len(row)} values", fix=f"send {width}, one a column", field=f"data[{i}]"
                )
        return [dict(zip(split.columns, row, strict=True)) for row in split.data]

    def _records(self, records: list[Any]) -> Any:
        """A table's records as they are; an array has no names, and takes their values in the order of the first."""
        if self._array is None or not records or not all(isinstance(row, dict) for row in records):
            return records
        names = list(records[0])
        for i, row in enumerate(records):
            if row.keys() != records[0].keys():
                raise InvalidInputs(
                    f"dataframe_records[{i}] has other names than the first",
                    fix="send the same in each",
                    field=f"dataframe_records[{i}]",
                )
        return _unwrapped([[row[name] for name in names] for row in records], self._array)

    def _csv(self, data: bytes | bytearray) -> Any:
        """Rows in the order of the columns, or under a header with their names; an empty cell is a missing value."""
        try:
            lines = [line for line in csv.reader(io.StringIO(data.decode("utf-8-sig"))) if line]
        except (UnicodeDecodeError, csv.Error) as error:
            raise InvalidInputs(
                f"the body is not CSV in UTF-8: {error}", fix="send text/csv in UTF-8", field="body"
            ) from error
        columns = list(self._signature.columns)
        if self._array is not None:
            column = self._array
            rows = [[_cell(column, cell) for cell in line] for line in lines]
            return _unwrapped(rows[1:] if rows and _is_header(lines[0], rows[0], column) else rows, column)
        if lines and set(lines[0]) >= {column.name for column in columns}:
            _check_header(lines)
            named = {column.name: column for column in columns}
            return [
                {name: _cell(named.get(name), cell) for name, cell in zip(lines[0], line, strict=False)}
                for line in lines[1:]
            ]
        return [
            [_cell(columns[i] if i < len(columns) else None, cell) for i, cell in enumerate(line)] for line in lines
        ]


def _check_header(lines: list[list[str]]) -> None:
    """Refuse a name that stands twice, and a line with more cells than names: nobody knows which value is meant."""
    header = lines[0]
    seen: set[str] = set()
    for name in header:
        if name in seen:
            raise InvalidInputs(
                f"{short(name)} stands twice in the header", fix="send each column once", field=short(name)
            )
        seen.add(name)
    for i, line in enumerate(lines[1:]):
        if len(line) > len(header):
            raise InvalidInputs(
                f"inputs[{i}] has {len(line)} values", fix=f"send {len(header)}, one a column", field=f"inputs[{i}]"
            )


def _is_header(line: list[str], cells: list[Any], column: Column) -> bool:
    """Whether the first line of an array's CSV is names: the input's own, or texts where there should be numbers."""
    return line == [column.name] or (kind_of(column) == "number" and all(isinstance(cell, str) for cell in cells))


def _unwrapped(rows: list[list[Any]], column: Column) -> list[Any]:
    """Rows of an array whose rows are single values: a DataFrame of one column has each in a list."""
    return rows if column.shape or any(len(row) != 1 for row in rows) else [row[0] for row in rows]


def _check_charset(request: Request) -> None:
    """CSV comes from spreadsheets, and those say it where they do not write UTF-8."""
    for parameter in request.headers.get(b"content-type", b"").decode("latin-1").split(";")[1:]:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"').lower()
        if name.strip().lower() == "charset" and charset not in ("utf-8", "utf8", "us-ascii", "ascii"):
            raise UnsupportedContent(
                f"the charset {charset[:80]!r} is not read here", fix="send the body in UTF-8", field="Content-Type"
            )


def _cell(column: Column | None, cell: str) -> Any:
    """A cell as the JSON value that its column wants; what cannot be one stays text, and is refused with its field."""
    if cell == "" and (column is None or column.nullable or column.dtype != "str"):
        return None
    if column is None or column.dtype in ("str", "object") or column.dtype.startswith(("datetime64", "timedelta64")):
        return cell
    if column.dtype.lower().startswith("bool"):
        return _TRUTH.get(cell.strip().lower(), cell)
    if "_" in cell:
        return cell  # Python would read 1_000
    try:
        return int(cell)
    except ValueError:
        try:
            return float(cell)
        except ValueError:
            return cell
