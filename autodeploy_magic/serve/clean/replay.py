"""The sample through a packaged version, in a clean process: its answers, its speed, and what it imported."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil

from autodeploy_magic.errors import AutodeployError, ModelFailed
from autodeploy_magic.serve.clean.causes import explained
from autodeploy_magic.serve.clean.witness import Witness
from autodeploy_magic.serve.model import ServedModel, head
from autodeploy_magic.serve.runtime.providers import available

__all__ = ["main"]

_TIMING_BUDGET_S = 0.15
_MOST_CALLS = 30


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Replay a sample through the version in `spec["folder"]`.

    Also in `spec`, all optional: `format` (another model artifact than the served one), `provider` (ONNX by it and no
    other), `providers` (tell which there are), `outputs` (names; default all), `sample` (a file; default the version's
    own), `timings` (measure), `batch_rows` (default 256), `sealed` (false for a version that is still being made).
    Returns the answers as JSON values, median seconds of one call on 1 row and on a batch, from decoded rows to the
    live object's values, the process's resident bytes, and what it did besides (`Witness.seen`): the modules that
    answering imported, the libraries, files and addresses it reached for. Raises an `ExportFailed` that says what to
    change where the person's own code fails.
    """
    folder = Path(spec["folder"])
    witness = Witness(folder)
    sample = msgspec.json.decode(Path(spec.get("sample") or folder / "sample.json").read_bytes())
    inputs = sample["inputs"]
    started = time.perf_counter()
    try:
        with witness.watching():
            served = ServedModel.load(
                folder,
                format=spec.get("format"),
                provider=spec.get("provider"),
                sealed=spec.get("sealed", True),
            )
            loaded_s = time.perf_counter() - started
            names = spec.get("outputs") or [output.name for output in served.version.outputs]
            answers = served.replay(inputs, names)
    except AutodeployError as error:
        if isinstance(error, ModelFailed) and error.__cause__ is not None and error.why:
            raise explained(error, folder) from error  # its words are those for a client, who is told nothing
        raise
    except Exception as error:  # loading runs the person's own code, which may raise anything
        raise explained(error, folder) from error
    result: dict[str, Any] = {
        "answers": answers,
        "seconds_to_load": loaded_s,
        "rss_bytes": psutil.Process().memory_info().rss,
        **witness.seen(),
    }
    if spec.get("providers"):
        result["providers"] = available()
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
