"""Labels into `requests.sqlite`: late, twice, contradictory, or of requests that nobody recorded."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from autodeploy_magic.reservoir.schema import open_for_writing

__all__ = ["Accepted", "AddLabels", "Label", "add_labels", "bring_labels"]

_KNOWN = "SELECT number, label, before, changes FROM labels WHERE request = ? AND row = ?"
_INSERT = (
    "INSERT INTO labels (request, row, at, label, before, changes, source) VALUES (?, ?, ?, ?, ?, ?, ?)"  # a new number
)
_SINCE = "SELECT at FROM labels WHERE request = ? AND row = ?"
_OF_REQUEST = "SELECT rows, kept, status FROM requests WHERE id = ?"


class Label(NamedTuple):
    """The true answer to one row (0-based) of a request. `source` is who says so: "client", "notebook", "panel"."""

    request: str
    row: int
    label: Any
    source: str = "client"


class Accepted(NamedTuple):
    """What became of labels: `new` ones, those that `changed` an earlier label of the same row (the newest counts),
    and `same` ones that were known already. `unmatched` of them are kept for a request that is not recorded (yet).
    """

    new: int
    changed: int
    same: int
    unmatched: int


AddLabels = Callable[[Sequence[Label], float], Accepted]
"""What `add_labels` does, for a file elsewhere: it takes all of them or raises `OSError`."""


def add_labels(path: Path, labels: Iterable[Label], now_s: float) -> Accepted:
    """Write labels down; returns once they are on disk. Raises `sqlite3.Error` or `OSError`, and then none is.

    A label that is None says that the answer is not known: it is left out, and not counted.
    """
    given = [label for label in labels if label.label is not None]
    counts = {"new": 0, "changed": 0, "same": 0}
    unmatched = 0
    answered: dict[str, set[int] | None] = {}
    with closing(open_for_writing(path, durable=True)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        for label in given:
            counts[_add(connection, label, now_s)] += 1
            if label.request not in answered:
                answered[label.request] = _answered(connection, label.request)
            rows = answered[label.request]
            unmatched += rows is None or label.row not in rows
    return Accepted(**counts, unmatched=unmatched)


def bring_labels(connection: sqlite3.Connection, labels: Iterable[tuple[Label, float]]) -> None:
    """Write down labels that were given elsewhere, each with when that was, in the caller's transaction.

    Of a row the label that was given last counts, in whichever order they are brought, and however often.
    """
    for label, at_s in labels:
        found = connection.execute(_SINCE, (label.request, label.row)).fetchone()
        if found is None or found[0] < at_s:
            _add(connection, label, at_s)


def _add(connection: sqlite3.Connection, label: Label, now_s: float) -> str:
    """Write one down, and say which of an `Accepted`'s words it is."""
    text = json.dumps(label.label, ensure_ascii=False, separators=(",", ":"))  # also of whole numbers of any length
    found = connection.execute(_KNOWN, (label.request, label.row)).fetchone()
    if found is None:
        connection.execute(_INSERT, (label.request, label.row, now_s, text, None, 0, label.source))
        return "new"
    number, known, _, changes = found
    if _same(known, text):
        return "same"
    connection.execute("DELETE FROM labels WHERE number = ?", (number,))
    connection.execute(_INSERT, (label.request, label.row, now_s, text, known, changes + 1, label.source))
    return "changed"


def _same(known: str, given: str) -> bool:
    """Whether two labels are equal: 1 and 1.0 are, 1 and true are not."""
    if known == given:
        return True
    a, b = msgspec.json.decode(known), msgspec.json.decode(given)
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b))
    return numbers and bool(a == b)


def _answered(connection: sqlite3.Connection, request: str) -> set[int] | None:
    """The rows of a request whose answers are kept; None where it is not recorded."""
    found = connection.execute(_OF_REQUEST, (request,)).fetchone()
    if found is None:
        return None
    rows, kept, status = found
    if status >= 400:
        return set()
    return set(range(rows)) if kept is None else set(msgspec.json.decode(kept))
