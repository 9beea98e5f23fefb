"""What the replicas of a cluster recorded of requests, and the labels that they were given, into the deployment's file.

From there on it is as if workers of this machine had recorded it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.reservoir.labels import Label, bring_labels
from autodeploy_magic.reservoir.records import Recorded
from autodeploy_magic.reservoir.schema import open_for_writing
from autodeploy_magic.reservoir.writing import insert, trim
from autodeploy_magic.serve.outbox import LABEL, REQUEST
from autodeploy_magic.serve.redact import record_key
from autodeploy_magic.serve.replica import ITEMS, KEY
from autodeploy_magic.supervisor.workers.remote_rows import ask_replica
from autodeploy_magic.wire.digests import token_digest

__all__ = ["MOST_BYTES", "RemoteRequests"]

log = logging.getLogger(__name__)

MOST_BYTES = 1024 * 1024
"""Fetched at once, and so in about a second; what is more waits in the cluster, as long as there is room."""
TRIM_EVERY_S = 60.0
_PURPOSE = b"fetch what is recorded"
_DAY_S = 24 * 3600.0
_TABLE = (
    "CREATE TABLE IF NOT EXISTS pulled"
    " (id INTEGER PRIMARY KEY CHECK (id = 1), cursor TEXT NOT NULL, lost TEXT NOT NULL)"  # JSON: replica -> requests
)


class RemoteRequests:
    """Fetches them into `file`, with the deployment's settings `given`. All of it in one thread at a time.

    Up to where it is fetched is remembered in the same transaction, and what comes twice is written once. It is fetched
    with a secret of its own: a client's token lets nobody read what others have asked.
    """

    def __init__(self, file: Path, given: Mapping[str, Any]) -> None:
        self._file = file
        self._keep_s = _number(given, "record_days") * _DAY_S
        self._most_bytes = int(_number(given, "record_bytes"))
        self._hashes = bool(given.get("record_hash"))
        self._trimmed = -math.inf

    def keeper(self) -> str:
        """The digest of the secret that it is fetched with. Raises `StoreFailed`, `OSError`."""
        return token_digest(self._secret().encode())

    def fetch(self, url: str) -> int:
        """Fetch once, and return how many requests replicas have given up since the time before.

        Raises `OSError` where no replica answers, `sqlite3.Error` and `StoreFailed` where nothing can be written; then
        nothing is lost.
        """
        headers = {"authorization": f"Bearer {self._secret()}"}
        if self._hashes:
            headers[KEY] = record_key(self._file).hex()
        after = quote(self.cursor(), safe=":")
        return self.write(ask_replica(url, f"{ITEMS}?after={after}&most={MOST_BYTES}", headers))

    def cursor(self) -> str:
        """Up to where they are here; "" for none. Raises `sqlite3.Error`."""
        return self._known()[0]

    def lost(self) -> int:
        """How many requests replicas have taken to be recorded and given up, as far as they have told."""
        return sum(self._known()[1].values())

    def write(self, answer: Mapping[str, Any]) -> int:
        """Write an answer of `Mailbox.pull_items`; returns what `fetch` does. Raises as it does, and none is there."""
        _, before = self._known()
        lost = before | {str(replica): int(count) for replica, count in answer["lost"].items() if count}
        if not answer["items"] and lost == before:
            return 0
        requests, labels = _read(answer["items"])
        with closing(open_for_writing(self._file, durable=True)) as connection:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_TABLE)
                insert(connection, requests)
                bring_labels(connection, labels)
                row = (answer["cursor"], json.dumps(lost))
                connection.execute("INSERT OR REPLACE INTO pulled VALUES (1, ?, ?)", row)
            if time.monotonic() - self._trimmed > TRIM_EVERY_S:
                self._trimmed = time.monotonic()
                trim(connection, time.time(), keep_s=self._keep_s, most_bytes=self._most_bytes)
        return sum(lost.values()) - sum(before.values())

    def _secret(self) -> str:
        """Made of the key of hashes, which it does not tell, and which stays as long as the deployment."""
        return hmac.new(record_key(self._file), _PURPOSE, hashlib.sha256).hexdigest()

    def _known(self) -> tuple[str, dict[str, int]]:
        """The cursor, and how many requests each replica has given up."""
        if not self._file.exists():
            return "", {}
        with closing(open_for_writing(self._file)) as connection:
            connection.execute(_TABLE)
            found = connection.execute("SELECT cursor, lost FROM pulled").fetchone()
        return (str(found[0]), json.loads(found[1])) if found else ("", {})


def _read(items: Sequence[Sequence[Any]]) -> tuple[list[Recorded], list[tuple[Label, float]]]:
    """Requests, and labels with when they were given. A newer replica may bring more than is known here."""
    requests = [msgspec.convert(value, Recorded) for kind, value in items if kind == REQUEST]
    labels = [
        (Label(str(request), int(row), json.loads(label), str(source)), float(at_s))
        for request, row, label, source, at_s in (value for kind, value in items if kind == LABEL)
    ]
    return requests, labels


def _number(given: Mapping[str, Any], name: str) -> float:
    value = given.get(name, settings.KNOBS[name].default)
    assert isinstance(value, int | float)
    return float(value)
