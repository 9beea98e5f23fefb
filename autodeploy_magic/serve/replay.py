"""The sample through a packaged version, in a clean process: its answers, its speed, and what it imported."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil

from autodeploy_magic.serve.model import ServedModel, head

__all__ = ["main"]

_TIMING_BUDGET_S = 0.15
_MOST_CALLS = 30


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Replay a sample through the version in `spec["folder"]`.

    Also in `spec`, all optional: `format` (another model artifact than the served one), `outputs` (names; default
    all), `sample` (a file; default the version's own), `timings` (measure), `batch_rows` (default 256).
    Returns the answers as JSON values, median seconds of one call on 1 row and on a batch, from decoded rows to the
    live object's values, the process's resident bytes, and the top-level modules that answering imported.
    """
    before = set(sys.modules)
    started = time.perf_counter()
    served = ServedModel.load(Path(spec["folder"]), format=spec.get("format"))
    loaded_s = time.perf_counter() - started
    sample = msgspec.json.decode(Path(spec.get("sample") or Path(spec["folder"]) / "sample.json").read_bytes())
    names = spec.get("outputs") or [output.name for output in served.version.outputs]
    inputs = sample["inputs"]
    answers = served.replay(inputs, names)
    result: dict[str, Any] = {
        "answers": answers,
        "seconds_to_load": loaded_s,
        "rss_bytes": psutil.Process().memory_info().rss,
        "modules": sorted({name.partition(".")[0] for name in set(sys.modules) - before}),
    }
    if spec.get("timings"):
        one = served.decode(head(inputs, 1))
        batch = served.decode(head(inputs, int(spec.get("batch_rows") or 256)))
        result["one_row_s"] = _median_s(lambda: served.run(one, names))
        result["batch_s"] = _median_s(lambda: served.run(batch, names))
        result["batch_rows"] = batch.rows
    return result


def _median_s(call: Callable[[], Any]) -> float:
    """Median seconds of a call, over `_MOST_CALLS` or about `_TIMING_BUDGET_S`, after one that is not counted."""
    call()
    times: list[float] = []
    end = time.perf_counter() + _TIMING_BUDGET_S
    while len(times) < _MOST_CALLS and (len(times) < 3 or time.perf_counter() < end):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
