# ruff: noqa: N802 - the names are NVML's
"""GPUs: nothing where there is none; where NVML tells of processes, each deployment has its own.

What stands in for NVML here has its functions and its errors, and no GPU.
"""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from autodeploy_magic.operate.observe import gpu
from autodeploy_magic.operate.observe.gpu import Gpus, GpuUse

GB = 1 << 30


class Nvml:
    """Two GPUs: pid 10 uses both, pid 11 holds memory on the first and rests, of pid 12 nothing is told."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.asked = 0
        self.ended = False
        self.mute: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        return self._refuse if name.startswith("nvml") and name in self.mute else super().__getattribute__(name)

    def _refuse(self, *_: Any) -> Any:
        raise self.NVMLError("not supported")

    def nvmlInit(self) -> None:
        self.ended = False

    def nvmlShutdown(self) -> None:
        self.ended = True

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:
        self.asked += 1
        found = [[(10, GB), (11, 2 * GB), (12, None)], [(10, 3 * GB)]][handle]
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in found]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: int) -> list[Any]:
        return []

    def nvmlDeviceGetProcessUtilization(self, handle: int, since: int) -> list[Any]:
        if since >= 200:
            raise self.NVMLError("nothing new")
        samples = [[(10, 100, 40), (10, 200, 60)], [(10, 200, 25)]][handle]
        return [SimpleNamespace(pid=pid, timeStamp=at, smUtil=use) for pid, at, use in samples if at > since]


def test_without_a_gpu_it_is_unknown_and_nobody_is_troubled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gpu, "_DEVICES", ("/dev/there-is-none",))
    with caplog.at_level(logging.DEBUG):
        gpus = Gpus()
        gpus.look([1, 2], 100.0)
        gpus.look([1, 2], 200.0)
        assert gpus.use([1, 2]) == GpuUse(None, None)
        gpus.close()
    assert caplog.records == []


def test_with_a_device_and_no_driver_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        pass
    else:
        pytest.skip("there is a driver")
    monkeypatch.setattr(gpu, "_DEVICES", ("/dev/null",))
    gpus = Gpus()
    gpus.look([1], 100.0)
    assert gpus.use([1]) == GpuUse(None, None)
    gpus.close()


def test_each_process_has_its_own() -> None:
    nvml = Nvml()
    gpus = Gpus(nvml)
    gpus.look([10, 11], 100.0)
    assert gpus.use([10]) == GpuUse(pytest.approx(0.75), 4 * GB)  # half of the one, a quarter of the other
    assert gpus.use([11]) == GpuUse(0.0, 2 * GB)
    assert gpus.use([10, 11]) == GpuUse(pytest.approx(0.75), 6 * GB)
    assert gpus.use([12, 99]) == GpuUse(None, None)
    gpus.look([10, 11], 100.0 + gpu.EVERY_S)
    assert gpus.use([10]) == GpuUse(0.0, 4 * GB)  # there is no sample since
    gpus.close()
    assert nvml.ended


def test_it_is_asked_rarely_where_nobody_uses_it() -> None:
    nvml = Nvml()
    gpus = Gpus(nvml)
    for second in range(10):
        gpus.look([99], 100.0 + second)
    assert nvml.asked == 2  # each of the two GPUs once


@pytest.mark.parametrize(
    ("mute", "expected"),
    [
        ("nvmlDeviceGetProcessUtilization", GpuUse(None, 4 * GB)),
        ("nvmlDeviceGetComputeRunningProcesses", GpuUse(pytest.approx(0.75), None)),
        ("nvmlInit", GpuUse(None, None)),
    ],
)
def test_what_is_not_told_is_unknown(mute: str, expected: GpuUse) -> None:
    nvml = Nvml()
    nvml.mute.add(mute)
    gpus = Gpus(nvml)
    gpus.look([10], 100.0)
    assert gpus.use([10]) == expected
