"""What replicas elsewhere have recorded, written into this machine's `metrics.sqlite`: each row once."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from autodeploy_magic.metrics import INSERT, INSERT_FIRST, open_for_writing
from autodeploy_magic.serve.replica import ROWS

__all__ = ["RemoteRows", "ask_replica", "fetch_rows"]

_INSERTS = {"rollups": INSERT, "firsts": INSERT_FIRST}
_TABLE = "CREATE TABLE IF NOT EXISTS pulled (id INTEGER PRIMARY KEY CHECK (id = 1), cursor TEXT NOT NULL)"
_TIMEOUT_S = 5.0


class RemoteRows:
    """Writes them, and remembers in the same transaction up to where. All of it in one thread at a time."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def cursor(self) -> str:
        """Up to where they are here; "" for none. Raises `sqlite3.Error`."""
        if not self._file.exists():
            return ""
        connection = open_for_writing(self._file)
        try:
            connection.execute(_TABLE)
            found = connection.execute("SELECT cursor FROM pulled").fetchone()
            return str(found[0]) if found else ""
        finally:
            connection.close()

    def write(self, answer: dict[str, Any]) -> None:
        """Write the rows of an answer of `mailbox.Mailbox.pull`. Raises `sqlite3.Error`, and then none is there."""
        connection = open_for_writing(self._file)
        try:
            connection.execute(_TABLE)
            with connection:
                connection.execute("BEGIN")
                for table, *values in answer["rows"]:
                    if table in _INSERTS:  # a newer replica may bring more than is known here
                        connection.execute(_INSERTS[table], values)
                connection.execute("INSERT OR REPLACE INTO pulled VALUES (1, ?)", (answer["cursor"],))
        finally:
            connection.close()


def fetch_rows(url: str, token: str, cursor: str) -> dict[str, Any]:
    """Ask any replica at `url` for what all have recorded after `cursor`. Raises `OSError` where none answers so."""
    return ask_replica(url, f"{ROWS}?after={quote(cursor, safe=':')}", {"authorization": f"Bearer {token}"})


def ask_replica(url: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """What any replica at `url` answers to GET `path`. Raises `OSError` where none answers 200 and JSON."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", parts.path.rstrip("/") + path, headers=dict(headers))
        response = connection.getresponse()
        data = response.read()
        if response.status != http.client.OK:
            raise OSError(f"{url} gave {response.status}: {data[:200].decode('latin-1')}")
        found: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
        return found
    except (http.client.HTTPException, msgspec.MsgspecError) as error:
        raise OSError(f"{url}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
