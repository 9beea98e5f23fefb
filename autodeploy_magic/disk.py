"""What the disk tells: that it is full, in our words; and that a file is another one now."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from autodeploy_magic.errors import DiskFull

__all__ = ["Stamp", "disk_full", "stamp"]

Stamp = tuple[int, int, int]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space, the user's quota, and the largest file a process may write (`ulimit -f`)."""


@contextlib.contextmanager
def disk_full(place: object) -> Iterator[None]:
    """Raise `DiskFull` naming `place` where the body meets a full disk; other errors pass."""
    try:
        yield
    except OSError as error:
        if not _is_full(error):
            raise
        raise DiskFull(
            f"the disk that holds {place} is full",
            why="nothing was changed: what was there is still there",
            fix="free some space (`%deploy rm NAME` removes a deployment, `--versions` its unused versions)",
        ) from error


def stamp(file: Path) -> Stamp | None:
    """What changes when the file is replaced or written; None where there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _is_full(error: OSError) -> bool:
    if isinstance(error, shutil.Error):  # a tree was copied: it holds what each of its files raised, as text
        return any(f"[Errno {code}]" in str(error) for code in FULL)
    return error.errno in FULL
