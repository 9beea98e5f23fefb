"""What deploying a PyTorch model of 100 MB takes in the kernel: its memory at its highest, and after, and how long.

A fresh process plays the kernel: it makes the model, answers a row with it once, and builds a version, while a thread
looks at the memory that it holds besides files (PSS of anonymous pages: the pages of torch's own libraries count for
more or less by what else runs on the machine). The model's size counts as one of the times. What was there before the
model is left out: Python, torch, and what they import.

Run: python benchmarks/large_torch.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from serving.report import at_most, grid, run, show

PEAK_TARGET, AFTER_TARGET = 3.0, 1.25
EVERY_S = 0.005
MB = 2**20


def main() -> int:
    """Print the figures of the one process beside their targets; returns 1 where one is missed."""
    made = subprocess.run([sys.executable, __file__, "kernel"], capture_output=True, text=True, check=True, timeout=500)
    found: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    print(f"a model of {found['size'] / MB:.0f} MB, kept as {found['format']}, built in {found['seconds']:.1f} s\n")
    marks = ("live", "peak", "after")
    lines = [[mark, f"{found[mark] / MB:.0f}", f"{found[mark] / found['size']:.2f}"] for mark in marks]
    print(grid(["the kernel's memory, without its base", "MB", "× the model"], lines))
    peak, after = (found[mark] / found["size"] for mark in ("peak", "after"))
    return show(
        [
            at_most("deploying a large torch model: the kernel's peak, times the model", peak, PEAK_TARGET),
            at_most("and what it holds after, times the model", after, AFTER_TARGET),
        ],
        "python benchmarks/large_torch.py",
    )


def kernel() -> None:
    """Build in this process, and print what was seen of it."""
    import torch
    from torch import nn

    from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
    from autodeploy_magic.store import Store

    def network(width: int) -> Any:
        return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))

    def version(model: Any, folder: Path, name: str) -> Any:
        request = BuildRequest(name, model, torch.randn(32, 64))
        return build(request, Store(folder), SubprocessRunner(), lambda progress: None).version

    with tempfile.TemporaryDirectory(prefix="bench-torch-") as name:
        version(network(8), Path(name), "small")  # what is imported to build is of the base
        base = held()
        model = network(5000)
        size = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())
        with torch.no_grad():
            model(torch.randn(1, 64))
        live = held() - base
        watch = Watch()
        started = time.perf_counter()
        made = version(model, Path(name), "large")
        seconds = time.perf_counter() - started
        peak = watch.end() - base
    found = {
        "size": size,
        "live": live,
        "peak": peak,
        "after": held() - base,
        "seconds": seconds,
        "format": made.format,
    }
    print(json.dumps(found))


class Watch:
    """The most memory that this process held, seen by a thread."""

    def __init__(self) -> None:
        self._most = held()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def end(self) -> int:
        self._over.set()
        self._thread.join()
        return max(self._most, held())

    def _look(self) -> None:
        while not self._over.wait(EVERY_S):
            self._most = max(self._most, held())


def held() -> int:
    """Bytes of anonymous memory; the resident set where the system does not tell it."""
    try:
        for line in Path("/proc/self/smaps_rollup").read_text("ascii").splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import psutil

    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    if sys.argv[1:] == ["kernel"]:
        kernel()
    else:
        run(main)
