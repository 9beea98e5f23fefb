"""What the replicas of a cluster have recorded, in one place, for whoever fetches it: one for each deployment there.

Each replica brings the rows that are new in its own file, about every second; who fetches says up to where it has them.
Rows are brought at least once, and counted once: a row has its number in the file it comes from.

Records of requests go the same way, and are larger: there is room for so many bytes, a replica keeps what finds none,
and it keeps each until whoever fetches has written it down. So one that is lost here, with its node, is brought again.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autodeploy_magic.serve.outbox import Item

__all__ = ["TABLES", "Mailbox", "fresh_rows"]

KEPT = 20_000
"""Rows that wait for whoever fetches them: of ten replicas, half an hour's."""
TABLES = ("rollups", "firsts")
"""The tables of `metrics.sqlite` that are collected."""
_MOST = 1000
ROOM_BYTES = 16 * 1024 * 1024
"""For records of requests."""
GONE_S = 10.0
"""A replica that has not brought anything, not even nothing, for so long is not there any more."""


class Mailbox:
    """Keeps rows in the order in which they came. A new one, after a crash, has another `epoch`."""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(8)
        self._rows: deque[tuple[str, list[Any]]] = deque(maxlen=KEPT)
        self._count = 0
        self._last: dict[tuple[str, str], int] = {}
        self._seen: dict[str, tuple[float, dict[str, Any]]] = {}
        self._heard = time.monotonic()
        self._items: deque[tuple[str, Item]] = deque()
        self._items_begin = self._items_bytes = 0
        self._through: dict[str, int] = {}
        self._fetched: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        self._key = ""

    def push(self, replica: str, about: dict[str, Any], rows: list[tuple[str, int, list[Any]]]) -> None:
        """Take the rows of a replica, each with its table and its number there, and what it says `about` itself."""
        self._heard = time.monotonic()
        self._seen[replica] = (self._heard, about)
        for table, number, values in rows:
            if number > self._last.get((replica, table), 0):
                self._last[replica, table] = number
                self._rows.append((table, values))
                self._count += 1

    def pull(self, after: str) -> dict[str, Any]:
        """The rows after the cursor `after`, that of the answer before; all there are for "" or one not known.

        `lost` is how many came and were given up, since nobody fetched them.
        """
        epoch, _, number = after.partition(":")
        known = int(number) if epoch == self.epoch and number.isdecimal() else 0
        missing = self._count - min(known, self._count)
        kept = min(missing, len(self._rows))
        rows = list(self._rows)[len(self._rows) - kept :][:_MOST]
        now = time.monotonic()
        self._seen = {name: seen for name, seen in self._seen.items() if now - seen[0] < GONE_S}
        return {
            "cursor": f"{self.epoch}:{self._count - kept + len(rows)}",
            "lost": missing - kept,
            "more": kept > len(rows),
            "rows": [[table, *values] for table, values in rows],
            "replicas": [about for _, about in self._seen.values()],
        }

    def push_items(self, replica: str, epoch: str, lost: int, items: Sequence[Item]) -> dict[str, Any]:
        """Take what a replica has recorded, as far as there is room, and tell it what has become of it.

        `epoch` is the one that the replica was told last: to another mailbox it has to bring all again, from the first
        on. `lost` is how many it has given up. It is told the "epoch", the number "through" which its items are here,
        the one through which they are "fetched" and written down, and the "key" that hashes are made with, if there is
        one.
        """
        self._lost[replica] = lost
        for item in items if epoch == self.epoch else ():
            if item[0] <= self._through.get(replica, 0):
                continue
            if self._items_bytes >= ROOM_BYTES:
                break
            self._through[replica] = item[0]
            self._items.append((replica, item))
            self._items_bytes += len(item[2])
        through, fetched = self._through.get(replica, 0), self._fetched.get(replica, 0)
        return {"epoch": self.epoch, "through": through, "fetched": fetched, "key": self._key}

    def pull_items(self, after: str, most_bytes: int, key: str) -> dict[str, Any]:
        """Items after the cursor `after`, about so many bytes at most, and one at least; those before are let go.

        "items" are kinds, each with its record as JSON; "lost" is how many each replica has given up, ever. Replicas
        are told the `key`.
        """
        self._key = key
        epoch, _, number = after.partition(":")
        known = int(number) if epoch == self.epoch and number.isdecimal() else 0
        while self._items and self._items_begin < known:
            replica, item = self._items.popleft()
            self._items_begin += 1
            self._items_bytes -= len(item[2])
            self._fetched[replica] = item[0]
        found: list[tuple[str, bytes]] = []
        size = 0
        for _, (_, kind, data) in self._items:
            size += len(data)
            if found and size > most_bytes:
                break
            found.append((kind, data))
        return {"cursor": f"{self.epoch}:{self._items_begin + len(found)}", "items": found, "lost": dict(self._lost)}

    def idle_s(self) -> float:
        """Since when no replica has brought anything."""
        return time.monotonic() - self._heard


def fresh_rows(file: Path, last: dict[str, int]) -> list[tuple[str, int, list[Any]]]:
    """The rows of a `metrics.sqlite` after the numbers in `last`, by table; none where there is no file yet.

    Raises `sqlite3.Error`.
    """
    if not file.exists():
        return []
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=1.0)
    try:
        found: list[tuple[str, int, list[Any]]] = []
        for table in TABLES:
            read = f"SELECT rowid, * FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT {_MOST}"  # noqa: S608
            rows = connection.execute(read, (last.get(table, 0),)).fetchall()
            found += [(table, number, list(values)) for number, *values in rows]
        return found
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise
    finally:
        connection.close()
