"""The state folder of an image: a volume, or what the container may write to."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path

from autodeploy_magic.errors import StartFailed
from autodeploy_magic.store import write_atomic

__all__ = ["PROMETHEUS", "TOKEN", "state_folder", "token_file"]

log = logging.getLogger(__name__)

PROMETHEUS = "prometheus"
TOKEN = "token"  # noqa: S105 - the name of a file
_MEMORY = "/dev/shm"  # noqa: S108 - a folder of our own is made in it
"""Writable in nearly all containers, also where the root is read-only."""
_PROBE_BYTES = 512
"""A file without content can be made on a disk that is full."""


def state_folder(wanted: Path) -> Path:
    """A folder that can be written: the one that is wanted, else one that ends with the container.

    Raises `StartFailed` where there is none at all.
    """
    refusals = []
    try:
        return _ready(wanted)
    except OSError as error:
        refusals.append(f"{wanted}: {error.strerror or error}")
    for parent in dict.fromkeys((tempfile.gettempdir() if _has_temporary() else _MEMORY, _MEMORY)):
        try:
            found = _ready(Path(tempfile.mkdtemp(dir=parent, prefix="autodeploy-")))
        except OSError as error:
            refusals.append(f"{parent}: {error.strerror or error}")
        else:
            log.warning("%s cannot be written: metrics and records go to %s, and end with it", wanted, found)
            return found
    raise StartFailed(
        "no folder can be written",
        why="; ".join(refusals),
        fix="mount a volume or a tmpfs at AUTODEPLOY_STATE, which the container's user may write to",
    )


def token_file(state: Path, token: str) -> Path:
    """Write a token down for the workers, readable by this user alone. Raises `StoreFailed`."""
    file = state / TOKEN
    write_atomic(file, token.encode("ascii"))
    return file


def _ready(folder: Path) -> Path:
    """Make it this user's alone, and see whether it can be written. Raises `OSError`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, probe = tempfile.mkstemp(dir=folder, prefix=".probe.")
    try:
        os.write(descriptor, bytes(_PROBE_BYTES))
    finally:
        os.close(descriptor)
        os.unlink(probe)
    # Of an earlier container with the same volume: what it counted has ended with it.
    shutil.rmtree(folder / PROMETHEUS, ignore_errors=True)
    for file in (TOKEN, f"{TOKEN}.old"):
        (folder / file).unlink(missing_ok=True)
    return folder


def _has_temporary() -> bool:
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        return False
    return True
