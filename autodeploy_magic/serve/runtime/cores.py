"""How many processors this process may use, and the share of them that one of several workers should."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["share", "usable_cores"]


def usable_cores(root: Path = Path("/")) -> int:
    """The processors that this process may run on, or as many as its control group's quota comes to; at least 1.

    `root` is where /proc and /sys are found.
    """
    # os.process_cpu_count says the same from Python 3.13 on, and knows nothing of quotas either.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas(root)])))


def share(workers: int) -> int:
    """How many threads the model of each of `workers` processes should run in, so that all of them fill the machine."""
    return max(1, usable_cores() // max(workers, 1))


def _quotas(root: Path) -> Iterator[float]:
    """Processors that each control group above this process allows: version 2's `cpu.max`, version 1's two files."""
    try:
        lines = (root / "proc/self/cgroup").read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return  # not Linux, or not ours to see
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            quota = _quota(folder)
            if quota is not None:
                yield quota
            if folder == mount:
                break


def _quota(folder: Path) -> float | None:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            words = " ".join((folder / name).read_text("ascii") for name in names).split()
            quota, period = words[0], float(words[1])
            return float(quota) / period if quota != "max" and float(quota) > 0 and period > 0 else None
        except (OSError, ValueError, IndexError):
            continue  # the other version's files, or a namespace in which the path is another one
    return None
