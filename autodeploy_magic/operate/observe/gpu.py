"""What deployments take of NVIDIA's GPUs, by process, as NVML tells it.

Where there is no such GPU, no driver, or nothing told of single processes (MIG, some containers, Windows' drivers), it
is unknown, and nobody is troubled with it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["GpuUse", "Gpus"]

EVERY_S = 2.0
UNUSED_EVERY_S = 10.0
"""Where none of the deployments' processes was found on a GPU."""
_DEVICES = ("/dev/nvidiactl", "/dev/dxg")  # Linux, and WSL


class GpuUse(NamedTuple):
    """`share` is of one GPU: 1.5 is one and a half of them. None where it is not told."""

    share: float | None
    memory_bytes: int | None


UNKNOWN = GpuUse(None, None)


class Gpus:
    """All GPUs of the machine. `look` now and then, then ask for `use`. Nothing is loaded where there is none."""

    def __init__(self, nvml: Any = None) -> None:
        self._nvml = nvml
        self._handles: list[Any] | None = None  # None: not tried yet
        self._by_pid: dict[int, GpuUse] = {}
        self._seen_us: list[int] = []
        self._due = float("-inf")

    def look(self, pids: Iterable[int], now: float) -> None:
        """Ask NVML where it is time to; `pids` are the processes that matter, `now` is in monotonic seconds."""
        if now < self._due:
            return
        if self._handles is None:
            self._handles = self._start()
            self._seen_us = [0] * len(self._handles)
        if not self._handles:
            self._due = float("inf")
            return
        self._by_pid = {}
        for index, handle in enumerate(self._handles):
            self._add(index, handle)
        self._due = now + (EVERY_S if self._by_pid.keys() & set(pids) else UNUSED_EVERY_S)

    def use(self, pids: Iterable[int]) -> GpuUse:
        """What these processes took together when it was looked last."""
        found = [self._by_pid[pid] for pid in pids if pid in self._by_pid]
        shares = [one.share for one in found if one.share is not None]
        sizes = [one.memory_bytes for one in found if one.memory_bytes is not None]
        return GpuUse(sum(shares) if shares else None, sum(sizes) if sizes else None)

    def close(self) -> None:
        if self._handles:
            with self._told():
                self._nvml.nvmlShutdown()
        self._handles = []

    def _start(self) -> list[Any]:
        if self._nvml is None:
            if not any(map(os.path.exists, _DEVICES)):
                return []
            try:
                self._nvml = importlib.import_module("pynvml")
            except ImportError:
                return []
        with self._told():
            self._nvml.nvmlInit()
            return [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(self._nvml.nvmlDeviceGetCount())]
        return []

    def _add(self, index: int, handle: Any) -> None:
        """Add what one GPU tells: memory of its processes as it is, their share of its time since it was asked last."""
        nvml, shares, sizes = self._nvml, dict[int, list[float]](), dict[int, int]()
        for ask in (nvml.nvmlDeviceGetComputeRunningProcesses, nvml.nvmlDeviceGetGraphicsRunningProcesses):
            with self._told():
                for one in ask(handle):
                    if one.usedGpuMemory is not None:
                        sizes[one.pid] = max(sizes.get(one.pid, 0), one.usedGpuMemory)
        with self._told():
            for sample in nvml.nvmlDeviceGetProcessUtilization(handle, self._seen_us[index]):
                self._seen_us[index] = max(self._seen_us[index], sample.timeStamp)
                shares.setdefault(sample.pid, []).append(sample.smUtil / 100)
        for pid in shares.keys() | sizes.keys():
            before, told = self._by_pid.get(pid, UNKNOWN), shares.get(pid)
            # One that has memory and no samples did not run, where NVML tells samples at all.
            share = sum(told) / len(told) if told else 0.0 if self._seen_us[index] else None
            self._by_pid[pid] = GpuUse(_plus(before.share, share), _plus_bytes(before.memory_bytes, sizes.get(pid)))

    def _told(self) -> contextlib.suppress:
        """What NVML does not tell stays unknown."""
        return contextlib.suppress(self._nvml.NVMLError)


def _plus(one: float | None, other: float | None) -> float | None:
    return one if other is None else other if one is None else one + other


def _plus_bytes(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else one + other
