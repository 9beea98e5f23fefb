"""Requests into `requests.sqlite`, and out of it what is too old or too much."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from typing import Any

import msgspec

from autodeploy_magic.reservoir.records import Recorded

__all__ = ["insert", "trim", "used_bytes"]

_INSERT = (
    "INSERT OR IGNORE INTO requests (id, at, version, status, seconds, rows, kept, inputs, outputs, confidence, error,"
    " body, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
LEAST_FREE = 0.1
"""This part of what the file may have is made free when it is full, so that it is not full again at once."""
FAILED_SHARE = 0.25
"""The part that failed requests may have, with their bodies: a storm of errors must not displace all answers."""
AT_ONCE = 500
"""Requests that are deleted in one transaction: workers that write meanwhile wait for no more."""
STEPS = 20
"""Transactions of one call; what is too much after them is the next call's."""
_OVERHEAD = 200
"""Bytes that a row takes beside its texts, in the table and its indices; about."""

_OLDEST = {
    "failed": "SELECT number, id, size FROM requests WHERE status >= 500 ORDER BY number LIMIT ?",
    "unlabelled": (
        "SELECT number, id, size FROM requests WHERE NOT EXISTS (SELECT 1 FROM labels WHERE request = requests.id)"
        " ORDER BY number LIMIT ?"
    ),
    "any": "SELECT number, id, size FROM requests ORDER BY number LIMIT ?",
    "old": "SELECT number, id, size FROM requests WHERE at < ? ORDER BY at LIMIT ?",
}
_UNMATCHED = (
    "DELETE FROM labels WHERE number IN (SELECT number FROM labels WHERE NOT EXISTS"
    " (SELECT 1 FROM requests WHERE id = labels.request){} ORDER BY number LIMIT ?)"
)


def insert(connection: sqlite3.Connection, recorded: Iterable[Recorded]) -> int:
    """Write requests down, in the caller's transaction; returns about how many bytes they take.

    One whose id is there already is left out.
    """
    total = 0
    for request in recorded:
        row = _row(request)
        connection.execute(_INSERT, row)
        total += row[-1]
    return total


def used_bytes(connection: sqlite3.Connection) -> int:
    """What is in the file, without what is free in it."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def trim(connection: sqlite3.Connection, now_s: float, *, keep_s: float, most_bytes: int) -> int:
    """Delete what is older than `keep_s`, and of what is more than `most_bytes` the oldest; returns how many requests.

    Requests without a label go first, the labels of requests that are not there next, labelled requests last.
    """
    deleted = 0
    steps = STEPS
    while steps and (gone := _delete(connection, "old", math.inf, now_s - keep_s)):
        deleted += gone
        steps -= 1
    connection.execute(_UNMATCHED.format(" AND at < ?"), (now_s - keep_s, AT_ONCE * STEPS))
    while steps and (excess := _failed_bytes(connection) - FAILED_SHARE * most_bytes) > 0:
        deleted += _delete(connection, "failed", excess)
        steps -= 1
    if used_bytes(connection) <= most_bytes:
        return deleted
    while steps and (excess := used_bytes(connection) - (1.0 - LEAST_FREE) * most_bytes) > 0:
        gone = _delete(connection, "unlabelled", excess)
        if not gone and not connection.execute(_UNMATCHED.format(""), (AT_ONCE,)).rowcount:
            gone = _delete(connection, "any", excess)
            if not gone:
                break
        deleted += gone
        steps -= 1
    _give_back(connection, most_bytes)
    return deleted


def _delete(connection: sqlite3.Connection, which: str, most_bytes: float, *given: Any) -> int:
    """Delete some requests with their labels, until about so many bytes are free; returns how many."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        doomed = []
        for number, request, size in connection.execute(_OLDEST[which], (*given, AT_ONCE)).fetchall():
            if most_bytes <= 0:
                break
            doomed.append((number, request))
            most_bytes -= size
        connection.executemany("DELETE FROM requests WHERE number = ?", [(number,) for number, _ in doomed])
        if which != "unlabelled":
            connection.executemany("DELETE FROM labels WHERE request = ?", [(request,) for _, request in doomed])
    return len(doomed)


def _give_back(connection: sqlite3.Connection, most_bytes: int) -> None:
    """Let the disk have what is free in a file that is larger than it may be: its limit was once another."""
    pages, size = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "page_size"))
    if pages * size > most_bytes:
        excess = (pages * size - most_bytes) // size + 1
        connection.executescript(f"PRAGMA incremental_vacuum({excess})")  # `execute` would end after the first page


def _failed_bytes(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT total(size) FROM requests WHERE status >= 500").fetchone()[0])


def _row(request: Recorded) -> tuple[Any, ...]:
    kept = None if len(request.kept) == request.rows else _json(list(request.kept))
    inputs = None if request.inputs is None else _json(request.inputs)
    outputs = _json(dict(request.outputs))
    confidence = _json([round(value, 6) for value in request.confidence]) if request.confidence else None
    texts = (kept, inputs, outputs, confidence, request.error, request.body)
    size = _OVERHEAD + sum(len(text) for text in texts if text)
    return (*request[:6], *texts, size)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
