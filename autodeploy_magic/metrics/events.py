"""What happened to a deployment, beside what it measured: swaps, restarts, deaths of workers, incidents."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from autodeploy_magic.live import Event
from autodeploy_magic.metrics.tables import open_for_writing

__all__ = ["add_event", "events"]

KEEP_S = 90 * 24 * 3600.0


def add_event(path: Path, event: Event) -> int:
    """Write an event down, and return its number. Raises `sqlite3.Error` or `OSError` where it cannot be written."""
    with closing(open_for_writing(path)) as connection:
        connection.execute("DELETE FROM events WHERE at < ?", (event.at_s - KEEP_S,))
        cursor = connection.execute(
            "INSERT INTO events (at, kind, severity, version, text) VALUES (?, ?, ?, ?, ?)",
            (event.at_s, event.kind, event.severity, event.version, event.text),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid


def events(path: Path, name: str, since: float) -> list[Event]:
    """The events of the deployment `name` since a time (seconds since the epoch), oldest first."""
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone() is None:
            return []
        rows = connection.execute(
            "SELECT id, at, kind, severity, version, text FROM events WHERE at >= ? ORDER BY at, id", (since,)
        ).fetchall()
    fields = ("id", "at_s", "kind", "severity", "version", "text")
    return [msgspec.convert({"name": name, **dict(zip(fields, row, strict=True))}, Event) for row in rows]
