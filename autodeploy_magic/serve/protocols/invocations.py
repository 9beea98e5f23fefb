"""`POST /invocations` and `GET /ping`: the contract of MLflow's scoring server and of SageMaker's containers.

Source: mlflow.org, "MLflow models: local REST server"; SageMaker's developer guide, "Use your own inference code".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import msgspec

from autodeploy_magic.contracts import Column
from autodeploy_magic.errors import InvalidInputs, RequestRefused
from autodeploy_magic.serve.core import Core
from autodeploy_magic.serve.protocols import JSON, Answer, Request, Route
from autodeploy_magic.serve.protocols.predict import parse
from autodeploy_magic.serve.protocols.refusals import one_line

__all__ = ["Invocations"]

CSV = "text/csv"
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
    dataframe_records: list[dict[str, Any]] | None = None
    instances: Any = None
    inputs: Any = None
    data: list[list[Any]] | None = None
    columns: list[str] | None = None
    params: Any = None


class Invocations:
    """One model, with no name in the path."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._signature = core.served.version.signature
        self._decoder = msgspec.json.Decoder(Body)

    def routes(self) -> Sequence[Route]:
        return [
            Route("GET", "/ping", self._ping, open=True),
            Route("POST", "/invocations", self._invoke, frozenset({JSON, CSV}), recorded=True),
        ]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        code = "INVALID_PARAMETER_VALUE" if error.status < 500 else "INTERNAL_ERROR"
        body = {"error_code": code, "message": one_line(error), "id": request_id}
        return Answer(_encode(body), error.status)

    async def _ping(self, _: Request) -> Answer:
        return Answer(b"\n", 503 if self._core.draining else 200)

    async def _invoke(self, request: Request) -> Answer:
        inputs = self._csv(request.body) if request.content_type == CSV else self._json(request.body)
        served = self._core.served
        batch = served.decode(inputs)
        request.rows = batch.rows
        answers = served.encode(await self._core.run(batch, ("predictions",)))
        return Answer(_encode({"predictions": answers["predictions"]}))

    def _json(self, data: bytes) -> Any:
        body = parse(self._decoder, data, _FIX)
        split = body.dataframe_split or (Split(data=body.data, columns=body.columns) if body.data else None)
        ways = [self._rows(split) if split else None, body.dataframe_records, body.instances, body.inputs]
        given = [way for way in ways if way is not None]
        if len(given) != 1:
            raise InvalidInputs(f"the body gives its rows in {len(given)} ways", fix=_FIX, field="body")
        return given[0]

    def _rows(self, split: Split) -> Any:
        """A table's rows by the names that the client gave, in whatever order; an array's rows as they are."""
        if self._signature.container != "dataframe" or split.columns is None:
            return split.data
        width = len(split.columns)
        for i, row in enumerate(split.data):
            if len(row) != width:
                raise InvalidInputs(
                    f"data[{i}] has {len(row)} values", fix=f"send {width}, one a column", field=f"data[{i}]"
                )
        return [dict(zip(split.columns, row, strict=True)) for row in split.data]

    def _csv(self, data: bytes) -> Any:
        """Rows in the order of the columns, or under a header with their names; an empty cell is a missing value."""
        try:
            lines = [line for line in csv.reader(io.StringIO(data.decode("utf-8-sig"))) if line]
        except (UnicodeDecodeError, csv.Error) as error:
            raise InvalidInputs(
                f"the body is not CSV in UTF-8: {error}", fix="send text/csv in UTF-8", field="body"
            ) from error
        columns = list(self._signature.columns)
        if self._signature.container != "dataframe":
            column = columns[0]
            rows = [[_cell(column, cell) for cell in line] for line in lines]
            return rows if column.shape else [row[0] for row in rows]
        if lines and set(lines[0]) >= {column.name for column in columns}:
            named = {column.name: column for column in columns}
            return [
                {name: _cell(named.get(name), cell) for name, cell in zip(lines[0], line, strict=False)}
                for line in lines[1:]
            ]
        return [
            [_cell(columns[i] if i < len(columns) else None, cell) for i, cell in enumerate(line)] for line in lines
        ]


def _cell(column: Column | None, cell: str) -> Any:
    """A cell as the JSON value that its column wants; what cannot be one stays text, and is refused with its field."""
    if cell == "" and (column is None or column.nullable or column.dtype != "str"):
        return None
    if column is None or column.dtype in ("str", "object") or column.dtype.startswith(("datetime64", "timedelta64")):
        return cell
    if column.dtype.lower().startswith("bool"):
        return _TRUTH.get(cell.strip().lower(), cell)
    try:
        return int(cell)
    except ValueError:
        try:
            return float(cell)
        except ValueError:
            return cell
