"""The incidents of a deployment on disk, and what is needed to go on where an earlier supervisor left off."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.contracts import SCHEMA, Record, decode
from autodeploy_magic.errors import StoreFailed
from autodeploy_magic.health import Incident
from autodeploy_magic.operate.recover.case import Lent
from autodeploy_magic.store import Store

__all__ = ["MOST", "Kept", "Note", "load", "save"]

log = logging.getLogger(__name__)

MOST = 500


class Note(Record, frozen=True, kw_only=True):
    """What belongs to an incident and is nobody else's business: how its action is taken back (None: it cannot be),
    when it was done (seconds since the epoch), and the limit that its alert named.
    """

    back: dict[str, Any] | None = None
    done_s: float = 0.0
    limit: float | None = None


class Kept(Record, frozen=True, kw_only=True):
    """What is in `incidents.json`: incidents, the newest first, and the notes of those that have some, by their id."""

    schema: int = SCHEMA
    incidents: tuple[Incident, ...] = ()
    notes: dict[str, Note] = msgspec.field(default_factory=dict)
    lent: Lent = Lent()


def load(store: Store, name: str) -> Kept:
    """What was kept; nothing of a file that is damaged, which is put aside."""
    file = store.incidents_file(name)
    try:
        return decode(Kept, file.read_bytes(), source=str(file))
    except FileNotFoundError:
        return Kept()
    except (OSError, StoreFailed) as error:
        log.warning("%s: its incidents begin anew: %s", name, error)
        _put_aside(file)
        return Kept()


def save(store: Store, name: str, kept: Kept) -> None:
    """Raises `StoreFailed` or `OSError`; then what was there is still there."""
    if store.folder(name).is_dir():  # one that was removed must not come back for this
        store.write_json(store.incidents_file(name), kept)


def _put_aside(file: Path) -> None:
    try:
        os.replace(file, file.with_suffix(".damaged"))
    except OSError as error:
        log.warning("%s cannot be put aside: %s", file, error)
