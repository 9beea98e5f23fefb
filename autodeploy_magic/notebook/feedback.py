"""The true answers to requests, as a person has them: to the last predict, by ids, or in a table."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodeploy_magic.contracts import Record
from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import DiskFull, InvalidOption, StoreFailed
from autodeploy_magic.notebook.html import Markup, card, element
from autodeploy_magic.notebook.views import View

if TYPE_CHECKING:
    from autodeploy_magic.contracts import Desired
    from autodeploy_magic.reservoir import Label
    from autodeploy_magic.store import Store

__all__ = ["Labelling", "ShownFeedback"]

_FIX = "give a label for each row of the last predict, or the ids and a label for each; None where it is not known"
_LAST_KEPT = 1000
"""Deployments whose last predict is remembered."""


class ShownFeedback(Record, View, frozen=True, kw_only=True):
    """What became of labels; see `reservoir.Accepted`."""

    name: str
    new: int
    changed: int
    same: int
    unmatched: int

    def text(self) -> str:
        return f"{self.name}: {self._told()}"

    def html(self) -> Markup:
        return card(element("b", self.name), " ", self._told(), label=f"feedback to {self.name}")

    def _told(self) -> str:
        counts = [(self.new, "new"), (self.changed, "changed"), (self.same, "known already")]
        first, *others = [(count, word) for count, word in counts if count] or [(0, "new")]
        told = f"{first[0]} label{'' if first[0] == 1 else 's'} {first[1]}"
        told += "".join(f", {count} {word}" for count, word in others)
        if self.unmatched:
            told += f"; {self.unmatched} of them wait for a request that is not recorded, or not yet"
        return told


@dataclass(frozen=True)
class _Last:
    id: str
    rows: int


_last: dict[tuple[Path, str], _Last] = {}
"""The last predict of this process, by store and deployment: each verb has a handle of its own."""


class Labelling:
    """The part of `Deployment` that takes labels."""

    name: str
    _store: Store

    if TYPE_CHECKING:

        @property
        def _desired(self) -> Desired: ...

    @property
    def last_id(self) -> str:
        """The id of the request that `predict` sent last, in this process. Raises `InvalidOption` before the first."""
        return self._newest().id

    def feedback(self, ids: Any = None, labels: Any = None) -> ShownFeedback:
        """Say what the true answers were. They are written down at once, whether or not the deployment runs.

        `feedback(labels)` has a label for each row of the last `predict`. `feedback(ids, labels)` has one for each row
        of the request with that id, or, where `ids` are several, one for each of them: an id that comes again means
        its next row, and a list in the place of a label has those of all rows. A table with the columns id, label and,
        where a request had several rows, row (from 0) needs no ids. None or NaN is not known. Labels of numpy and
        pandas are taken as they are; a later one of the same row replaces the earlier. Raises `InvalidOption`.
        """
        from autodeploy_magic.reservoir import add_labels

        self._desired  # noqa: B018  # raises UnknownDeployment
        if labels is None:
            ids, labels = None, ids
        given = list(self._given(ids, labels))
        file = self._store.requests_file(self.name)
        try:
            with disk_full(file.parent):
                accepted = add_labels(file, given, time.time())
        except (sqlite3.Error, OSError) as error:
            raise _not_written(file, error) from error
        return ShownFeedback(name=self.name, **accepted._asdict())

    def _answered(self, request: str, inputs: Any) -> None:
        """Remember what `predict` sent last."""
        key = (self._store.home, self.name)
        _last.pop(key, None)
        rows = next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs
        _last[key] = _Last(request, len(rows))
        if len(_last) > _LAST_KEPT:
            del _last[next(iter(_last))]

    def _newest(self) -> _Last:
        found = _last.get((self._store.home, self.name))
        if found is None:
            raise InvalidOption(
                f"nothing was predicted with {self.name} here yet",
                why="labels alone are those of the last predict",
                fix=_FIX,
            )
        return found

    def _given(self, ids: Any, labels: Any) -> Iterator[Label]:
        """One label after the other. Raises `InvalidOption`."""
        from autodeploy_magic.reservoir import Label

        table = _records(labels) if ids is None else None
        if table is not None:
            triples = _of_table(table)
        elif ids is None:
            last = self._newest()
            triples = _of_one(last.id, _plain(labels), last.rows)
        elif isinstance(ids, str):
            triples = _of_one(ids, _plain(labels))
        else:
            triples = _of_several(_plain(ids), _plain(labels))
        for request, row, label in triples:
            if isinstance(label, dict):
                raise InvalidOption(f"a label is {label!r}", why="it is no answer to a row", fix=_FIX)
            if label is not None:
                yield Label(request, row, label, "notebook")


def _plain(values: Any) -> list[Any]:
    """JSON values of any container."""
    from autodeploy_magic.wire import to_plain

    if values is None or isinstance(values, str) or not (hasattr(values, "__len__") or hasattr(values, "__array__")):
        raise InvalidOption("there are no labels" if values is None else f"{values!r} are not labels", fix=_FIX)
    if hasattr(values, "columns") and hasattr(values, "iloc"):
        values = values.iloc[:, 0] if values.shape[1] == 1 else values.to_numpy()
    found = to_plain(values)
    if not isinstance(found, list):
        raise InvalidOption(f"a {type(values).__name__} is not labels", fix=_FIX)
    return found


def _records(labels: Any) -> list[Any] | None:
    """A table of labels by its rows; None where it is none."""
    from autodeploy_magic.wire import to_plain

    if hasattr(labels, "columns") and hasattr(labels, "iloc"):
        found: list[Any] = to_plain(labels)
        return found if "id" in labels.columns else None
    if isinstance(labels, list | tuple) and labels and all(isinstance(item, Mapping) for item in labels):
        return [dict(item) for item in labels]
    return None


def _of_table(records: list[Any]) -> Iterator[tuple[str, int, Any]]:
    seen: dict[str, int] = {}
    for i, record in enumerate(records):
        unknown = sorted(map(str, record.keys() - {"id", "row", "label"}))
        if unknown or "label" not in record or "id" not in record:
            raise InvalidOption(
                "a table of labels has the columns id, row and label",
                why=f"row {i} has: {', '.join(map(str, record))}",
                fix="name them so; row counts from 0, and may be left out",
            )
        request = str(record["id"])
        row = record.get("row")
        row = seen.get(request, 0) if row is None else row
        if isinstance(row, bool) or not isinstance(row, int | float) or row < 0 or row != math.floor(row):
            raise InvalidOption(f"the row of {request} is {row!r}", why="rows count from 0", fix="give its number")
        seen[request] = int(row) + 1
        yield request, int(row), record["label"]


def _of_one(request: str, labels: list[Any], rows: int | None = None) -> Iterator[tuple[str, int, Any]]:
    if rows is not None and len(labels) != rows:
        raise InvalidOption(f"there are {len(labels)} labels, and the last predict had {rows} rows", fix=_FIX)
    return ((request, row, label) for row, label in enumerate(labels))


def _of_several(ids: list[Any], labels: list[Any]) -> Iterator[tuple[str, int, Any]]:
    if len(ids) != len(labels):
        raise InvalidOption(f"there are {len(ids)} ids and {len(labels)} labels", fix=_FIX)
    if not all(isinstance(request, str) for request in ids):
        raise InvalidOption("an id is no text", why="ids are as answers have them", fix=_FIX)
    whole = len(set(ids)) == len(ids) and bool(labels) and all(isinstance(label, list) for label in labels)
    seen: dict[str, int] = {}
    for request, label in zip(ids, labels, strict=True):
        if whole:
            yield from _of_one(request, label)
            continue
        row = seen.get(request, 0)
        seen[request] = row + 1
        yield request, row, label


def _not_written(file: Path, error: Exception) -> StoreFailed | DiskFull:
    if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
        return DiskFull(
            f"the disk that holds {file.parent} is full",
            why="none of the labels was written down",
            fix="free some space, and give them again",
        )
    return StoreFailed(
        "the labels could not be written down, and none of them was", why=str(error), fix=f"check that {file} is yours"
    )
