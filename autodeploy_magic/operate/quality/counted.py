"""How much is recorded, and how many labels belong to nothing that is: counted in the file now and then."""

from __future__ import annotations

from pathlib import Path

from autodeploy_magic.reservoir.schema import reading

__all__ = ["answered", "unmatched"]

_ANSWERED = (
    "SELECT version, sum(CASE WHEN kept IS NULL THEN rows ELSE json_array_length(kept) END)"
    " FROM requests WHERE status < 400 GROUP BY version"
)
_NEWEST_LABELS = 20_000
_UNMATCHED = (
    "SELECT count(*) FROM (SELECT request FROM labels ORDER BY number DESC LIMIT ?) AS newest"
    " WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = newest.request)"
)


def answered(file: Path) -> dict[int, int]:
    """Rows that were answered and are recorded, by version. Reads the whole table. Raises `sqlite3.Error`."""
    with reading(file) as connection:
        return {} if connection is None else dict(connection.execute(_ANSWERED).fetchall())


def unmatched(file: Path) -> int:
    """Labels of requests that are not recorded, among the newest 20 000. Raises `sqlite3.Error`."""
    with reading(file) as connection:
        return 0 if connection is None else int(connection.execute(_UNMATCHED, (_NEWEST_LABELS,)).fetchone()[0])
