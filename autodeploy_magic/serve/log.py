"""The log of a process that outlives whoever started it: kept small by its writers, and read from its end."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

__all__ = ["keep_small", "open_log", "tail"]

_TAIL_BYTES = 256 * 1024


def open_log(path: Path) -> int:
    """Open for appending, readable by its owner alone; lines of several writers do not overwrite each other."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def keep_small(path: Path, limit_bytes: int) -> None:
    """Rotate `path` once it has more than `limit_bytes`, and point standard output and error at the file there now.

    Every process that writes to the file calls this now and then: one of them renames it (the older content stays as
    `NAME.1`), the others notice that theirs has moved and follow.
    """
    with contextlib.suppress(OSError):  # a log that cannot be rotated is no reason to stop serving
        if _size(path) > limit_bytes:
            _rotate(path, limit_bytes)
        if not _is_mine(path):
            fresh = open_log(path)
            os.dup2(fresh, 1)
            os.dup2(fresh, 2)
            os.close(fresh)


def tail(path: Path, lines: int = 20, *, since: int = 0) -> str:
    """The last `lines` of a log, from the byte `since` on; "" where there is none."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            # A file that is smaller than `since` was rotated meanwhile: all of it is newer.
            start = max(since if since <= size else 0, size - _TAIL_BYTES)
            stream.seek(start)
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _is_mine(path: Path) -> bool:
    mine = os.fstat(2)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def _rotate(path: Path, limit_bytes: int) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if _size(path) > limit_bytes:  # still: another writer may have been first
            os.replace(path, path.with_name(f"{path.name}.1"))
    finally:
        os.close(folder)
