"""Tables as requests and answers of `POST /predict`: Arrow IPC and Parquet, beside JSON.

A body's Content-Type says what it is, `?outputs=predictions,probabilities` what is asked for, and Accept what form the
answer shall have: JSON unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qs

from autodeploy_magic import settings
from autodeploy_magic.errors import (
    BrokenPackage,
    InvalidInputs,
    MissingPackage,
    ModelFailed,
    NotAcceptable,
    RequestRefused,
    UnsupportedContent,
)
from autodeploy_magic.registry import need
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.protocols import JSON, Answer, Request
from autodeploy_magic.wire import Batch
from autodeploy_magic.wire.arrow import Form, from_table, read_table, to_table, write_table

__all__ = ["TABLES", "Tables", "accepted_form", "asked_outputs"]

TABLES: dict[str, Form] = {
    "application/vnd.apache.arrow.stream": "stream",
    "application/vnd.apache.arrow.file": "file",
    "application/vnd.apache.parquet": "parquet",
    # What people sent before these had been registered.
    "application/x-apache-arrow-stream": "stream",
    "application/x-feather": "file",
    "application/x-parquet": "parquet",
    "application/parquet": "parquet",
}
"""Content type → form, the registered name of each form first."""
_NAMES = {form: name for name, form in reversed(TABLES.items())}
_NO_OTHERS: Mapping[str, Any] = {}
T = TypeVar("T")
_UNPACKED = 4
"""How many bytes a table may take for each byte that a body may have: a number of JSON takes two and becomes eight."""


class Tables:
    """Reads and writes the tables of one version."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served
        self._version = served.version
        self._max_bytes = _UNPACKED * int(settings.get("max_body_bytes"))

    def read(self, request: Request) -> Batch:
        """The rows of a body of one of the `TABLES`.

        Raises `InvalidInputs`, `BodyTooLarge`, or `UnsupportedContent` where pyarrow is not installed.
        """
        form = TABLES[request.content_type]
        _need_pyarrow(UnsupportedContent, f"the content type {request.content_type} is not read here", "send JSON")
        table = read_table(form, request.body, max_rows=self._served.max_rows, max_bytes=self._max_bytes)
        return from_table(self._version.signature, table, max_bytes=self._max_bytes)

    def check(self, form: Form, names: Sequence[str]) -> None:
        """Raise `NotAcceptable` where the outputs `names` cannot be a table: before the model runs."""
        _need_pyarrow(NotAcceptable, f"the answer cannot be {_NAMES[form]}", "accept JSON")
        for output in self._version.outputs:
            if output.name in names and not output.per_row:
                raise _no_column(output.name)

    def write(self, form: Form, rows: int, request_id: str, outputs: Mapping[str, Any]) -> Answer:
        """The answer to so many rows: a column for each output; its id and version stand in the schema's metadata."""
        metadata = {
            "id": request_id,
            "deployment": self._version.deployment,
            "version": str(self._version.number),
        }
        for name, values in outputs.items():
            if not hasattr(values, "__len__") or isinstance(values, str | Mapping) or len(values) != rows:
                raise _no_column(name)
        try:
            table = to_table(outputs, metadata)
        except TypeError as error:
            raise ModelFailed(
                "the model's answer cannot be written as a table",
                fix="return it from postprocess as numbers, text, lists or dicts",
            ) from error
        return Answer(write_table(form, table), content_type=_NAMES[form])


def accepted_form(headers: Mapping[bytes, bytes], *, others: Mapping[str, T] = _NO_OTHERS) -> Form | T | None:
    """The form that the client wants its answer in, None for JSON. Raises `NotAcceptable` where it takes neither.

    Among those that it likes equally, the one it names first. `others` are content types that it may be besides.
    """
    accept = headers.get(b"accept")
    if accept is None or accept in (b"*/*", b"application/json", b""):
        return None
    best, liked = "", 0.0
    for entry in accept.decode("latin-1").lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        quality = _quality(parameters)
        if quality > liked and (kind in TABLES or kind in others or kind in (JSON, "application/*", "*/*")):
            best, liked = kind, quality
    if not best:
        raise NotAcceptable(
            "the answer has none of the types that the request accepts",
            fix=f"send «Accept: {JSON}», or one of: {', '.join((*others, *_NAMES.values()))}",
        )
    return others.get(best) or TABLES.get(best)


def asked_outputs(query: bytes) -> list[str] | None:
    """The outputs that `?outputs=predictions,probabilities` names; None where there is no such thing."""
    if not query:
        return None
    try:
        given = parse_qs(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:  # not ASCII, not UTF-8, or a hundred of them
        raise InvalidInputs("the query is not one", fix="send ?outputs=NAME,NAME", field="outputs") from error
    if "outputs" not in given:
        return None
    return [name.strip() for part in given["outputs"] for name in part.split(",") if name.strip()]


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def _need_pyarrow(refusal: type[RequestRefused], what: str, instead: str) -> None:
    """Raise `refusal` where tables can neither be read nor written."""
    try:
        need("pyarrow", "tables in requests and answers")
    except (MissingPackage, BrokenPackage) as error:
        raise refusal(
            what,
            why="this deployment's Python has no pyarrow that works",
            fix=f"{instead}; the owner can run: pip install 'autodeploy_magic[arrow]', and restart the deployment",
        ) from error


def _no_column(name: str) -> NotAcceptable:
    return NotAcceptable(
        f"{name} cannot be a column of a table",
        why="it does not have one value for each row",
        fix=f"send «Accept: {JSON}»",
    )
