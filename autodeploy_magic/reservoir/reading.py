"""What is recorded: what is new since last time; one request; the newest; rows without a label."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.contracts import Signature
from autodeploy_magic.health import Unlabelled
from autodeploy_magic.reservoir.columns import columns_of
from autodeploy_magic.reservoir.records import Labelled, Recorded
from autodeploy_magic.reservoir.schema import open_for_reading, reading

__all__ = ["Reader", "one", "recent", "recent_labelled", "unlabelled"]

LOOKED_AT = 1000
"""Of the newest requests: those without a label are looked for among so many."""

_decode = msgspec.json.Decoder().decode

_REQUEST = "number, id, at, version, status, seconds, rows, kept, inputs, outputs, confidence, error, body"
_NEWEST = "SELECT (SELECT max(number) FROM requests), (SELECT max(number) FROM labels)"
_SINCE = f"SELECT {_REQUEST} FROM requests WHERE number > ? ORDER BY number DESC LIMIT ?"  # noqa: S608 - names of ours
_LABELLED = (
    "SELECT labels.number, requests.id, labels.row, requests.version, requests.at, labels.at, labels.label,"
    " labels.before, requests.rows, requests.kept, requests.inputs, requests.outputs, requests.confidence"
    " FROM {} ON requests.id = labels.request WHERE {} ORDER BY labels.number DESC LIMIT ?"
)
_BY_LABEL = _LABELLED.format("labels JOIN requests", "labels.number > ?")
_BY_REQUEST = _LABELLED.format("requests JOIN labels", "requests.number > ? AND labels.number <= ?")
"""The labels that were there before their request."""
_BY_VERSION = _LABELLED.format("labels JOIN requests", "(? IS NULL OR requests.version = ?)")


class Reader:
    """Follows a file through a connection that it keeps; all of it in one thread. `signature` names its columns.

    A file that is not there yet has nothing; one that was removed and made again is new as a whole.
    """

    def __init__(self, path: Path, signature: Signature) -> None:
        self.signature = signature
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._connection: sqlite3.Connection | None = None
        self._asked = False
        self._requests = self._labels = 0  # the newest that were seen

    def news(self, most: int = 500) -> tuple[list[Recorded], list[Labelled]]:
        """What was recorded and labelled since this was called last, the newest `most` of each, oldest first.

        The first time: nothing, for what is recorded by then is not news. A label that came before its request is news
        with it. Raises `sqlite3.Error`.
        """
        found = self._identify()
        if found != self._identity:
            self.close()
            self._identity, self._requests, self._labels = found, 0, 0
        if self._connection is None and found is not None:
            self._connection = open_for_reading(self._path)
        first, self._asked = not self._asked, True
        if self._connection is None:
            return [], []
        try:
            return self._news(self._connection, most, first=first)
        except sqlite3.Error:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _news(self, connection: sqlite3.Connection, most: int, *, first: bool) -> tuple[list[Recorded], list[Labelled]]:
        requests, labels = connection.execute(_NEWEST).fetchone()
        requests, labels = requests or 0, labels or 0
        if requests <= self._requests and labels <= self._labels:
            return [], []
        if first:
            self._requests, self._labels = requests, labels
            return [], []
        connection.execute("BEGIN")  # all of it at one moment
        try:
            rows = connection.execute(_SINCE, (self._requests, most)).fetchall()
            labelled = connection.execute(_BY_LABEL, (self._labels, most)).fetchall()
            if rows:
                labelled += connection.execute(_BY_REQUEST, (self._requests, self._labels, most)).fetchall()
            requests, labels = connection.execute(_NEWEST).fetchone()
        finally:
            connection.execute("COMMIT")
        self._requests, self._labels = max(self._requests, requests or 0), max(self._labels, labels or 0)
        labelled.sort(reverse=True)
        return [_recorded(row) for row in reversed(rows)], [*_labelled(self.signature, labelled[:most])][::-1]

    def _identify(self) -> tuple[int, int] | None:
        """What tells the file from another that later has its name; None where there is none."""
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


def one(path: Path, request: str) -> Recorded | None:
    """The request of that id; None where it was not recorded, or not kept so long."""
    with reading(path) as connection:
        if connection is None:
            return None
        found = connection.execute(f"SELECT {_REQUEST} FROM requests WHERE id = ?", (request,)).fetchone()  # noqa: S608
    return None if found is None else _recorded(found)


def recent(path: Path, most: int, *, version: int | None = None, failed: bool = False) -> list[Recorded]:
    """The newest requests, newest first; with `failed` those that were answered 5xx."""
    with reading(path) as connection:
        if connection is None:
            return []
        rows = connection.execute(
            f"SELECT {_REQUEST} FROM requests WHERE (? IS NULL OR version = ?)"  # noqa: S608 - names of ours
            f" {'AND status >= 500' if failed else ''} ORDER BY number DESC LIMIT ?",
            (version, version, most),
        ).fetchall()
    return [_recorded(row) for row in rows]


def recent_labelled(path: Path, signature: Signature, most: int, *, version: int | None = None) -> list[Labelled]:
    """The newest labelled rows by when their label came, newest first."""
    with reading(path) as connection:
        if connection is None:
            return []
        rows = connection.execute(_BY_VERSION, (version, version, most)).fetchall()
    return list(_labelled(signature, rows))


def unlabelled(path: Path, signature: Signature, most: int, *, since_s: float = 0.0) -> list[Unlabelled]:
    """Rows without a label, the least confident first; without confidences the newest first.

    Of the newest `LOOKED_AT` requests that were answered, since a time in seconds since the epoch.
    """
    with reading(path) as connection:
        if connection is None:
            return []
        connection.execute("BEGIN")
        rows = connection.execute(
            f"SELECT {_REQUEST} FROM requests WHERE status < 400 AND at >= ? ORDER BY number DESC LIMIT ?",  # noqa: S608
            (since_s, LOOKED_AT),
        ).fetchall()
        oldest = rows[-1][0] if rows else 0
        known = set(
            connection.execute(
                "SELECT request, row FROM requests JOIN labels ON requests.id = labels.request"
                " WHERE requests.number >= ?",
                (oldest,),
            )
        )
        connection.execute("COMMIT")
    found: list[tuple[float, int, int, Sequence[Any]]] = []
    for age, row in enumerate(rows):
        kept = _kept(row[6], row[7])
        confidence = _decode(row[10]) if row[10] is not None else ()
        for place, index in enumerate(kept):
            if (row[1], index) not in known:
                found.append((confidence[place] if place < len(confidence) else 2.0, age, place, row))
    found.sort(key=lambda item: item[:3])
    return [*_shown(signature, found[:most])]


def _shown(signature: Signature, found: Iterable[tuple[float, int, int, Sequence[Any]]]) -> Iterator[Unlabelled]:
    for confidence, _, place, row in found:
        request = _recorded(row)
        predictions = request.outputs.get("predictions", ())
        yield Unlabelled(
            request=request.id,
            row=request.kept[place],
            at_s=request.at_s,
            version=request.version,
            inputs={name: values[place] for name, values in _columns(signature, request.inputs).items()},
            prediction=predictions[place] if place < len(predictions) else None,
            confidence=confidence if confidence <= 1.0 else None,
        )


def _recorded(row: Sequence[Any]) -> Recorded:
    _, request, at_s, version, status, seconds, rows, kept, inputs, outputs, confidence, error, body = row
    return Recorded(
        id=request,
        at_s=at_s,
        version=version,
        status=status,
        seconds=seconds,
        rows=rows,
        kept=_kept(rows, kept),
        inputs=None if inputs is None else _decode(inputs),
        outputs=_decode(outputs),
        confidence=() if confidence is None else tuple(_decode(confidence)),
        error=error,
        body=body,
    )


def _labelled(signature: Signature, rows: Iterable[Sequence[Any]]) -> Iterator[Labelled]:
    """Those whose answer is kept, in their order. Rows of one request are decoded once."""
    decoded: dict[str, tuple[Sequence[int], dict[str, Sequence[Any]], Sequence[Any], Sequence[float]]] = {}
    for _, request, row, version, answered_s, at_s, label, before, count, kept, inputs, outputs, confidence in rows:
        if request not in decoded:
            decoded[request] = (
                _kept(count, kept),
                _columns(signature, None if inputs is None else _decode(inputs)),
                _decode(outputs).get("predictions", ()),
                () if confidence is None else _decode(confidence),
            )
        indices, columns, predictions, confidences = decoded[request]
        if row not in indices:
            continue
        place = indices.index(row)
        if place >= len(predictions):
            continue
        yield Labelled(
            request=request,
            row=row,
            version=version,
            answered_s=answered_s,
            labelled_s=at_s,
            prediction=predictions[place],
            label=_decode(label),
            columns={name: values[place] for name, values in columns.items()},
            confidence=confidences[place] if place < len(confidences) else None,
            before=None if before is None else _decode(before),
        )


def _kept(rows: int, kept: str | None) -> tuple[int, ...]:
    return tuple(range(rows)) if kept is None else tuple(_decode(kept))


def _columns(signature: Signature, inputs: Any) -> dict[str, Sequence[Any]]:
    return {} if inputs is None else columns_of(signature, inputs)
