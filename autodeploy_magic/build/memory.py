"""How much memory is free: the machine's, or what is left of the container's limit."""

from __future__ import annotations

from pathlib import Path

__all__ = ["available_bytes"]

_CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """Bytes that a new process could use without swapping."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:  # cgroup v2, as container runtimes set it
        limit = (_CGROUP / "memory.max").read_text("ascii").strip()
        used = int((_CGROUP / "memory.current").read_text("ascii"))
    except (OSError, ValueError):
        return free
    return free if limit == "max" else max(0, min(free, int(limit) - used))
