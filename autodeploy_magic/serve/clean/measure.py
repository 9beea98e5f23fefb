"""A version's answers to given rows, and what they cost: in a process that holds nothing else.

Processes that measure stand on a machine that does other things too, and its clock may be another at another time. So
what is told is CPU time, not the wall's; of many short repetitions the quicker ones, which others disturbed least; and
beside them the time of a fixed piece of work done in between (`pace_s`), by which two processes are compared.
"""

from __future__ import annotations

import gzip
import math
import resource
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.serve.clean.causes import explained
from autodeploy_magic.serve.model import ServedModel

__all__ = ["main"]

ROWS, MIX = "held_out.json.gz", "mix.json"

CHUNK = 64
"""Rows that are answered at once."""
ENOUGH = 600
"""Rows that are answered though it takes longer: of fewer without one that differs, a share below half a percent is not
known (the rule of three, 3 / 600)."""
LONGER = 3.0
"""And so many times as long at most."""
ALONE = 16
"""Rows that are answered once more, each by itself."""
SIZES, PLACES = 4, 6
"""Sizes of requests that are measured, and for each so many stretches of rows: texts are of different lengths."""
LARGE = 256
"""Rows of the larger of the two calls whose time is told by itself."""
STRETCH_S = 0.004
"""CPU time of one repetition at least: shorter ones are done several times over."""
REPETITIONS = 40
PACKED_BYTES = 256 * 1024 * 1024
"""Larger models are not compressed to be measured."""
_SHARES = (0.5, 0.3)
"""Of the time that there is: for the answers, and for the requests of the mix; what is left, for the two calls."""


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Load the version in `spec["folder"]` as a worker does, let it answer rows, and measure it.

    Also in `spec`: `data`, the folder with the rows and the mix of requests (see `operate.retune.data`); `answers`, the
    file that the answers are written to, as gzipped JSON: {"rows": so many were answered, from the first on, "outputs":
    {name: one JSON value a row}, "failed": [[row, words], …]}; optional `threads` of one run (1), `sealed` (true),
    `within_s`, how long it may take about (20).

    Returns `answers`, `rows`, `failed` (rows that it raised on) and `why` (the first one's words), `alike` (the share
    of rows that it answers alone as among others, None where that was not looked at), `cpu_s`, `one_row_s`, `batch_s`
    and `batch_rows` (CPU seconds, see `retuning.Figures`), `pace_s`, `size_bytes`, `packed_bytes`, `memory_bytes` (once
    it has answered), `loaded_bytes`, `peak_bytes` and `load_s`. Raises `AutodeployError` where it cannot be loaded.
    """
    folder, data = Path(spec["folder"]), Path(spec["data"])
    within_s = float(spec.get("within_s") or 20.0)
    inputs = msgspec.json.decode(gzip.decompress((data / ROWS).read_bytes()))["inputs"]
    mix = _few(msgspec.json.decode((data / MIX).read_bytes()))
    began = time.perf_counter()
    try:
        served = ServedModel.load(folder, threads=int(spec.get("threads") or 1), sealed=bool(spec.get("sealed", True)))
    except AutodeployError:
        raise
    except Exception as error:  # loading runs the person's own code, which may raise anything
        raise explained(error, folder) from error
    load_s, loaded = time.perf_counter() - began, psutil.Process().memory_info().rss
    served.max_rows = sys.maxsize  # a limit of requests, not of the model
    answering = _Answering(served, inputs)
    answering.run(within_s * _SHARES[0])
    alike = answering.alike() if answering.rows else None
    answering.write(Path(spec["answers"]))
    result = {
        "answers": spec["answers"],
        "rows": answering.rows,
        "failed": len(answering.failed),
        "why": answering.failed[0][1] if answering.failed else "",
        "alike": alike,
        "load_s": load_s,
        "loaded_bytes": loaded,
        **_sizes(folder, served),
    }
    answered = answering.answered_inputs()
    if count(answered):
        result |= _timed(served, answered, mix, within_s)
    return result | {"memory_bytes": psutil.Process().memory_info().rss, "peak_bytes": _peak()}


class _Answering:
    """The answers to rows, in order, as far as the time reaches."""

    def __init__(self, served: ServedModel, inputs: Any) -> None:
        self._served, self._inputs = served, inputs
        outputs = served.version.outputs
        self._alone = served.streams or any(not output.per_row for output in outputs)
        self._names = [output.name for output in outputs]
        self.rows = 0
        self.outputs: dict[str, list[Any]] = {name: [] for name in self._names}
        self.failed: list[list[Any]] = []

    def run(self, within_s: float) -> None:
        began = time.perf_counter()
        total, size = count(self._inputs), 1 if self._alone else CHUNK
        for start in range(0, total, size):
            spent = time.perf_counter() - began
            if spent > within_s * (LONGER if self.rows < ENOUGH else 1.0):
                break
            self._chunk(start, min(start + size, total))

    def alike(self) -> float | None:
        """The share of some rows, evenly over all, that it answers alone as it did among others."""
        if self._alone or self.failed or self.rows < 2:
            return None
        places = sorted({i * self.rows // ALONE for i in range(ALONE)})
        same = 0
        for place in places:
            found = self._answered(place, place + 1)
            same += isinstance(found, dict) and all(
                _close(found[name][0], self.outputs[name][place]) for name in self._names
            )
        return same / len(places)

    def answered_inputs(self) -> Any:
        """The rows that it did not fail on."""
        failed = {row for row, _ in self.failed}
        places = [row for row in range(self.rows) if row not in failed]
        if isinstance(self._inputs, dict):
            return {name: [values[i] for i in places] for name, values in self._inputs.items()}
        return [self._inputs[i] for i in places]

    def write(self, file: Path) -> None:
        content = {"rows": self.rows, "outputs": self.outputs, "failed": self.failed}
        file.write_bytes(gzip.compress(msgspec.json.encode(content), 1))

    def _chunk(self, start: int, end: int) -> None:
        found = self._answered(start, end)
        if isinstance(found, str) and end - start > 1:  # which of them it was
            for row in range(start, end):
                self._chunk(row, row + 1)
            return
        self.rows = end
        if isinstance(found, str):
            self.failed.append([start, found])
            found = {name: [None] for name in self._names}
        for name, values in found.items():
            self.outputs[name] += values

    def _answered(self, start: int, end: int) -> dict[str, list[Any]] | str:
        """The answers to some rows, one value for each, or what went wrong, in words."""
        served, rows = self._served, end - start
        try:
            batch = served.decode(part(self._inputs, start, end))
            found = served.encode(served.run(batch, self._names))
        except AutodeployError as error:
            cause = error.__cause__ or error
            return f"{type(cause).__name__}: {cause}"[:300]
        except Exception as error:  # noqa: BLE001  # a candidate may raise anything; it is told
            return f"{type(error).__name__}: {error}"[:300]
        if self._alone:
            return {name: [value] for name, value in found.items()}
        wrong = [name for name, values in found.items() if not isinstance(values, list) or len(values) != rows]
        return f"{wrong[0]} are not one for each of {rows} rows" if wrong else found


def part(inputs: Any, start: int, end: int) -> Any:
    """Some rows of a request's inputs."""
    if isinstance(inputs, dict):
        return {name: values[start:end] for name, values in inputs.items()}
    return inputs[start:end]


def count(inputs: Any) -> int:
    """How many rows inputs have."""
    return len(next(iter(inputs.values()), [])) if isinstance(inputs, dict) else len(inputs)


def _few(mix: Sequence[Sequence[float]]) -> list[tuple[int, float]]:
    """A mix with at most `SIZES` sizes of request and the same mean: neighbours are one, of their mean size."""
    found = sorted((int(rows), float(share)) for rows, share in mix if share > 0) or [(1, 1.0)]

    def moved(i: int) -> float:
        """How much is another when a size and the next one are made one."""
        return min(found[i][1], found[i + 1][1]) * (found[i + 1][0] - found[i][0])

    while len(found) > SIZES:
        place = min(range(len(found) - 1), key=moved)
        (a, one), (b, other) = found[place : place + 2]
        found[place : place + 2] = [(max(1, round((a * one + b * other) / (one + other))), one + other)]
    total = sum(share for _, share in found)
    return [(rows, share / total) for rows, share in found]


def _timed(served: ServedModel, inputs: Any, mix: list[tuple[int, float]], within_s: float) -> dict[str, Any]:
    """The CPU seconds of requests, and of the fixed piece of work beside them."""
    total, names = count(inputs), ("predictions",)
    large = min(LARGE, total)
    each = within_s * _SHARES[1] / len(mix)
    paces: list[float] = []

    def seconds(rows: int, budget_s: float) -> float:
        batches = [served.decode(one) for one in _requests(inputs, min(rows, total))]

        def all_of_them() -> None:
            for batch in batches:
                served.run(batch, names)

        return _cpu_s(all_of_them, budget_s, paces) / len(batches) * (rows / min(rows, total))

    cpu_s = math.fsum(share * seconds(rows, each) for rows, share in mix)
    rest_s = within_s * (1.0 - sum(_SHARES)) / 2
    one_row_s, batch_s = seconds(1, rest_s), seconds(large, rest_s)
    return {
        "cpu_s": cpu_s,
        "one_row_s": one_row_s,
        "batch_s": batch_s,
        "batch_rows": large,
        "pace_s": _quick(paces),
    }


def _requests(inputs: Any, rows: int) -> Iterator[Any]:
    """Requests of so many rows, evenly over all there are."""
    total = count(inputs)
    places = min(PLACES, max(1, total // rows))
    for i in range(places):
        start = i * (total - rows) // max(1, places - 1)
        yield part(inputs, start, start + rows)


def _cpu_s(call: Callable[[], Any], budget_s: float, paces: list[float]) -> float:
    """CPU seconds of a call: of many repetitions that of the quicker ones. Each is followed by the fixed work."""
    call()
    before = time.process_time()
    call()
    times = max(1, math.ceil(STRETCH_S / max(time.process_time() - before, 1e-7)))
    end = time.perf_counter() + budget_s
    found: list[float] = []
    while len(found) < REPETITIONS and (len(found) < 3 or time.perf_counter() < end):
        before = time.process_time()
        for _ in range(times):
            call()
        after = time.process_time()
        found.append((after - before) / times)
        _fixed_work()
        paces.append(time.process_time() - after)
    return _quick(found)


def _quick(times: Sequence[float]) -> float:
    """The first decile: a repetition that was disturbed took longer, and none took less than it takes."""
    return statistics.quantiles(times, n=10, method="inclusive")[0] if len(times) > 1 else times[0]


def _fixed_work() -> None:
    """About a millisecond of what models do: products of matrices, which fit into a core's own cache, and Python."""
    import numpy as np

    a = np.full((96, 96), 0.01, np.float32)
    for _ in range(12):
        a = np.tanh(a @ a)
    total = 0
    for i in range(4000):
        total += i & 7


def _sizes(folder: Path, served: ServedModel) -> dict[str, int | None]:
    """The model's files, as they are and compressed (deflate, level 6, as a download has it)."""
    version = served.version
    files = [folder / item.path for item in version.artifacts if item.role == "model" and item.format == version.format]
    size = sum(file.stat().st_size for file in files)
    if size > PACKED_BYTES:
        return {"size_bytes": size, "packed_bytes": None}
    packed = 0
    for file in files:
        packing = zlib.compressobj(6)
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                packed += len(packing.compress(block))
        packed += len(packing.flush())
    return {"size_bytes": size, "packed_bytes": packed}


def _close(a: Any, b: Any) -> bool:
    """Whether two answers are the same but for what sums in another order differ by."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_close, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(value, b[key]) for key, value in a.items())
    if isinstance(a, float) or isinstance(b, float):
        numbers = all(isinstance(value, int | float) for value in (a, b))
        return numbers and math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-3)
    return bool(a == b)


def _peak() -> int:
    """The most that this process has held."""
    try:
        lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    except OSError:  # macOS has no such file
        lines = []
    found = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    if found is not None:
        return int(found) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on Linux that of whoever started it, where it was more
    return int(peak if sys.platform == "darwin" else peak * 1024)
