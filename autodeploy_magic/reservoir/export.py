"""All that is recorded, request by request, for the person whose data it is; and how much it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from autodeploy_magic.reservoir.schema import reading

__all__ = ["Kept", "exported", "kept"]

_COUNTS = (
    "SELECT (SELECT count(*) FROM requests), (SELECT count(*) FROM requests WHERE status >= 500),"
    " (SELECT count(*) FROM labels), (SELECT min(at) FROM requests), (SELECT max(at) FROM requests)"
)
_REQUESTS = "SELECT id, at, version, status, rows, kept, inputs, outputs, error, body FROM requests ORDER BY number"
_LABELS = "SELECT row, label FROM labels WHERE request = ?"
_ALONE = (
    "SELECT request, max(at), json_group_array(row), json_group_array(json(label)) FROM labels"
    " WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = labels.request) GROUP BY request ORDER BY min(number)"
)


class Kept(NamedTuple):
    """How much is recorded. `bytes` is what it takes on disk; times in seconds since the epoch, 0 where nothing is."""

    requests: int = 0
    failed: int = 0
    labels: int = 0
    bytes: int = 0
    since_s: float = 0.0
    until_s: float = 0.0


def kept(path: Path) -> Kept:
    """Count what is recorded. Raises `sqlite3.Error`."""
    with reading(path) as connection:
        if connection is None:
            return Kept()
        requests, failed, labels, since, until = connection.execute(_COUNTS).fetchone()
    return Kept(requests, failed, labels, _size(path), since or 0.0, until or 0.0)


def exported(path: Path) -> Iterator[dict[str, Any]]:
    """Each request as JSON values, oldest first, as they all are at one moment.

    "id", "time" (ISO 8601, UTC), "version", "status", "rows" (the indices of those that are kept), "inputs", "outputs"
    and "labels" (one for each kept row, None where none is known); "error" and "body" of one that failed. Labels of
    requests that are not recorded come last. Raises `sqlite3.Error`.
    """
    with reading(path) as connection:
        if connection is None:
            return
        connection.execute("BEGIN")
        for row in connection.execute(_REQUESTS):
            yield _request(connection, row)
        for request, at_s, rows, labels in connection.execute(_ALONE):
            yield {"id": request, "time": _time(at_s), "rows": _decode(rows), "labels": _decode(labels)}


def _request(connection: sqlite3.Connection, row: tuple[Any, ...]) -> dict[str, Any]:
    request, at_s, version, status, count, indices, inputs, outputs, error, body = row
    labels = {index: _decode(label) for index, label in connection.execute(_LABELS, (request,))}
    places = list(range(count)) if indices is None else _decode(indices)
    found = {
        "id": request,
        "time": _time(at_s),
        "version": version,
        "status": status,
        "rows": places,
        "inputs": None if inputs is None else _decode(inputs),
        "outputs": _decode(outputs),
        "labels": [labels.get(index) for index in places],
    }
    return found | {name: text for name, text in (("error", error), ("body", body)) if text}


def _size(path: Path) -> int:
    """What the file and its log take."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")


_decode = msgspec.json.Decoder().decode
