"""What a deployment's folder takes of its disk, and what is left there.

Looking takes as long as the disk likes, so a thread of its own looks, and what it found last is told. A disk that hangs
hangs that thread alone; what it found before is told on, with nothing made up meanwhile.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from pathlib import Path

__all__ = ["Disks", "free_bytes", "size_bytes"]

SIZE_EVERY_S = 30.0
FREE_EVERY_S = 5.0
_SIZE_SHARE = 0.002
"""Of the time at most goes into walking through one folder: what takes 100 ms is done every 50 s."""
_BLOCK_BYTES = 512  # of `st_blocks`, whatever the disk's own blocks are


def size_bytes(folder: Path) -> int:
    """What a folder and all below it take of the disk. Links are not followed; a file with two names counts once.

    Raises `OSError` where there is no such folder. What goes away meanwhile does not count.
    """
    total, linked = 0, set()
    folders = [os.fspath(folder)]
    os.stat(folder)
    while folders:
        try:
            entries = os.scandir(folders.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                    is_folder = entry.is_dir(follow_symlinks=False)
                except OSError:
                    continue
                if is_folder:
                    folders.append(entry.path)
                elif found.st_nlink > 1:
                    if (found.st_dev, found.st_ino) in linked:
                        continue
                    linked.add((found.st_dev, found.st_ino))
                total += found.st_blocks * _BLOCK_BYTES
    return total


def free_bytes(folder: Path) -> int:
    """What this user may still write on the disk that holds the folder. Raises `OSError`."""
    told = os.statvfs(folder)
    return told.f_bavail * told.f_frsize


class _Place:
    """What is known of one folder. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.size: int | None = None
        self.free: int | None = None
        self.size_due = self.free_due = float("-inf")
        self.asked = False


class Disks:
    """Folders and their disks. `close` it."""

    def __init__(self) -> None:
        self._places: dict[Path, _Place] = {}
        self._work: queue.SimpleQueue[tuple[Path, _Place] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def look(self, folder: Path, now: float) -> tuple[int | None, int | None]:
        """The folder's size and the free space beside it in bytes, as they were found last; None before the first time.

        Returns at once. `now` is in monotonic seconds.
        """
        place = self._places.get(folder)
        if place is None:
            place = self._places[folder] = _Place()
        if not place.asked and now >= min(place.free_due, place.size_due):
            place.asked = True
            self._ask(folder, place)
        return place.size, place.free

    def forget(self, folder: Path) -> None:
        self._places.pop(folder, None)

    def close(self) -> None:
        """End the thread by and by: it may wait for a disk, and nobody waits for it."""
        if self._thread is not None:
            self._work.put(None)

    def _ask(self, folder: Path, place: _Place) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="disks", daemon=True)
            self._thread.start()
        self._work.put((folder, place))

    def _run(self) -> None:
        while True:
            item = self._work.get()
            if item is None:
                return
            folder, place = item
            started = time.monotonic()
            try:
                place.free = free_bytes(folder)
                place.free_due = started + FREE_EVERY_S
                if started >= place.size_due:
                    place.size = size_bytes(folder)
                    now = time.monotonic()
                    place.size_due = now + max(SIZE_EVERY_S, (now - started) / _SIZE_SHARE)
            except OSError:  # it is gone, or may not be read: unknown
                place.size = place.free = None
                place.free_due = place.size_due = started + FREE_EVERY_S
            place.asked = False
