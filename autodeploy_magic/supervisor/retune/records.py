"""What is kept of re-tunes: their records, their data, and the candidates of the last one."""

from __future__ import annotations

import gzip
import logging
import shutil
import sqlite3
import time
import zlib
from pathlib import Path

import msgspec

from autodeploy_magic.contracts import decode, encode
from autodeploy_magic.errors import InvalidOption, StoreFailed, UnreadableRecord
from autodeploy_magic.reservoir.forgetting import forget
from autodeploy_magic.retuning import Retune
from autodeploy_magic.store import Store, write_atomic

__all__ = ["begin", "broken_off", "clear", "folder_of", "forget_data", "known", "one", "save", "trim"]

log = logging.getLogger(__name__)

RECORD = "retune.json"
KEPT = 20
"""Records that are kept."""
KEPT_DATA = 5
"""Of these so many with their data, by which they can be repeated."""


def folder_of(store: Store, name: str, key: str) -> Path:
    """Where the re-tune `key` has its files."""
    return store.retunes_folder(name) / key


def begin(store: Store, retune: Retune) -> Path:
    """Make the folder of one that begins. Raises `StoreFailed` or `DiskFull`."""
    folder = folder_of(store, retune.name, retune.id)
    try:
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise StoreFailed(f"{folder} could not be made", why=str(error)) from error
    save(store, retune)
    return folder


def save(store: Store, retune: Retune) -> None:
    """Write its record down. Raises `StoreFailed`, or `DiskFull`."""
    write_atomic(folder_of(store, retune.name, retune.id) / RECORD, encode(retune))


def known(store: Store, name: str, most: int = KEPT) -> list[Retune]:
    """The last ones, newest first. One that cannot be read is left out."""
    found = []
    for file in store.retunes_folder(name).glob(f"*/{RECORD}"):
        try:
            found.append(decode(Retune, file.read_bytes(), source=str(file)))
        except (OSError, UnreadableRecord) as error:
            log.warning("a re-tune of %s cannot be read: %s", name, error)
    return sorted(found, key=lambda retune: retune.started_s, reverse=True)[:most]


def one(store: Store, name: str, key: str) -> Retune:
    """The re-tune `key`. Raises `InvalidOption`."""
    file = folder_of(store, name, key) / RECORD
    if not key.isalnum() or not file.is_file():
        there = ", ".join(retune.id for retune in known(store, name, 5)) or "none"
        raise InvalidOption(
            f"{name} has no re-tune {key!r}", why=f"the last ones: {there}", fix=f"`%deploy retune {name} --show`"
        )
    return decode(Retune, file.read_bytes(), source=str(file))


def clear(folder: Path) -> None:
    """Remove the candidates of a re-tune, and what they answered."""
    for part in ("contenders", "answers"):
        shutil.rmtree(folder / part, ignore_errors=True)


def trim(store: Store, name: str) -> None:
    """Before another one begins: remove the candidates of all others, and what is too old."""
    for number, retune in enumerate(known(store, name, most=10_000)):
        folder = folder_of(store, name, retune.id)
        if number >= KEPT:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        clear(folder)
        if number >= KEPT_DATA:
            shutil.rmtree(folder / "data", ignore_errors=True)


def forget_data(store: Store, name: str, before_s: float | None) -> dict[str, int]:
    """Delete what was recorded before a time (seconds since the epoch; None: all), and what re-tunes kept of it.

    Returns how many "requests", "labels", "training" rows and data of "retunes" were deleted. Raises `StoreFailed`.
    """
    try:
        requests, labels = forget(store.requests_file(name), before_s)
    except (sqlite3.Error, OSError) as error:  # TimeoutError is one
        raise StoreFailed(f"the records of {name} could not be deleted", why=str(error), fix="call again") from error
    file, training = store.training_file(name), 0
    if before_s is None and file.is_file():
        training = _rows(file)
        file.unlink()
    retunes = 0
    for retune in known(store, name, most=10_000):
        folder = folder_of(store, name, retune.id)
        if (before_s is None or retune.data.from_s < before_s) and (folder / "data").is_dir():
            shutil.rmtree(folder / "data")
            shutil.rmtree(folder / "answers", ignore_errors=True)
            retunes += 1
    return {"requests": requests, "labels": labels, "training": training, "retunes": retunes}


def _rows(file: Path) -> int:
    """How many rows a file has; 0 for one that is damaged."""
    try:
        return int(msgspec.json.decode(gzip.decompress(file.read_bytes()))["count"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read: %s", file, error)
        return 0


def broken_off(store: Store, name: str) -> list[Retune]:
    """Put in order what a supervisor that is gone left half-way: its candidates are removed, its record says so."""
    found = []
    for retune in known(store, name):
        if retune.state != "running":
            continue
        clear(folder_of(store, name, retune.id))
        ended = msgspec.structs.replace(
            retune,
            state="failed",
            step="",
            ended_s=time.time(),
            error="the background process ended in the middle of it",
            outcome="broken off: the background process ended in the middle of it; nothing was changed",
        )
        save(store, ended)
        found.append(ended)
    return found
