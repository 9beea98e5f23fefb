"""What answering several requests in one run of the model brings, and what it costs where it brings nothing.

Callers drive a lane directly, without HTTP: each sends a request of its own as soon as its last one is answered. Each
model is measured with and without batching, by turns, and against the process's own processor time: what else the
machine does falls on both, and not much on either.
"""

from __future__ import annotations

import asyncio
import dataclasses
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import numpy as np
import uvloop
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodeploy_magic import settings
from autodeploy_magic.contracts import Artifact, Candidate, Column, Environment, Signature, Trust, Version, encode
from autodeploy_magic.serve.lane.lane import Lane
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.runtime.cores import usable_cores
from autodeploy_magic.store import file_sha256
from autodeploy_magic.wire import Batch, decode, describe, to_plain

NAMES = ("predictions",)
ROWS = 256
SECONDS = 0.15
TURNS = 21


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, how many rows each request has, and what share of its throughput batching must at least keep."""

    title: str
    model: Any
    format: str
    rows: int
    least: float


def cases() -> list[Case]:
    """Models whose runs have a large fixed part, and models whose time is all in their rows."""
    random = np.random.default_rng(0)
    x = random.standard_normal((600, 30)).astype(np.float32)
    labels = (x[:, 0] + x[:, 1] * x[:, 2] + random.standard_normal(600) * 0.1 > 0).astype(int)
    wide, middle = (network(x, labels, units) for units in ((2048, 2048, 2048, 2048), (512, 512, 512)))
    forest = RandomForestClassifier(500, random_state=0).fit(x, labels)
    small = RandomForestClassifier(20, random_state=0).fit(x, labels)
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, labels)
    return [
        Case("wide network, ONNX, 1 row", wide, "onnx", 1, 1.5),
        Case("network, ONNX, 1 row", middle, "onnx", 1, 1.5),
        Case("linear pipeline, native, 1 row", linear, "native", 1, 1.5),
        Case("forest of 20, native, 1 row", small, "native", 1, 1.5),
        Case("forest of 500, ONNX, 1 row", forest, "onnx", 1, 0.97),
        Case("forest of 500, ONNX, 100 rows", forest, "onnx", 100, 0.97),
        Case("linear pipeline, ONNX, 1 row", linear, "onnx", 1, 0.97),
    ]


def network(x: Any, y: Any, units: Sequence[int]) -> MLPRegressor:
    """A network whose weights are nearly those it began with: how long it takes does not depend on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MLPRegressor(hidden_layer_sizes=units, max_iter=1, random_state=0).fit(x, y)


def load(case: Case, folder: Path, x: Any) -> ServedModel:
    """The model as a version with what a build would have measured of it, loaded as a worker loads it."""
    folder.mkdir(parents=True)
    file = folder / ("model.onnx" if case.format == "onnx" else "model.pkl")
    if case.format == "onnx":
        from skl2onnx import to_onnx

        graph = to_onnx(case.model, x[:1], options={"zipmap": False} if hasattr(case.model, "classes_") else None)
        file.write_bytes(graph.SerializeToString())
    else:
        file.write_bytes(cloudpickle.dumps(case.model))
    answers = case.model.predict(x)
    (folder / "sample.json").write_bytes(msgspec.json.encode({"inputs": to_plain(x[:16])}))
    version = Version(
        deployment="batching",
        number=1,
        digest="",
        created_at="",
        task="regression",
        framework="sklearn",
        model_type=type(case.model).__name__,
        format=case.format,
        reason="",
        trust=Trust(level="green", reason=""),
        signature=Signature(container="ndarray", columns=(Column(name="inputs", dtype="float32", shape=x.shape[1:]),)),
        outputs=(describe("predictions", answers, len(x), method="predict"),),
        artifacts=tuple(
            Artifact(role=role, format=case.format, path=path.name, sha256=file_sha256(path), size_bytes=1)
            for role, path in (("model", file), ("sample", folder / "sample.json"))
        ),
        environment=Environment(python="", platform=""),
        candidates=(),
        sample_rows=16,
    )
    (folder / "version.json").write_bytes(encode(version))
    served = ServedModel.load(folder)
    one, batch = (decode(version.signature, x[:rows].tolist()) for rows in (1, ROWS))
    one_s, batch_s = (median_s(lambda rows=rows: served.run(rows, NAMES)) for rows in (one, batch))
    measured = Candidate(format=case.format, passed=True, reason="", one_row_s=one_s, batch_s=batch_s, batch_rows=ROWS)
    version = msgspec.structs.replace(version, candidates=(measured,))
    (folder / "version.json").write_bytes(encode(version))
    return ServedModel.load(folder, threads=usable_cores())


def median_s(call: Any) -> float:
    """Median seconds of a call."""
    times: list[float] = []
    end = time.perf_counter() + 0.2
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


async def drive(lane: Lane, batches: Sequence[Batch], seconds: float) -> tuple[float, float]:
    """Requests a second of processor time, of one caller for each of `batches`, and how many of them a run answered."""
    answered = 0
    start = time.process_time()
    end = time.perf_counter() + seconds

    async def call(batch: Batch) -> None:
        nonlocal answered
        while time.perf_counter() < end:
            outputs = lane.run(batch, NAMES)
            if isinstance(outputs, dict):
                await asyncio.sleep(0)  # as a connection waits for its next request
            else:
                await outputs
            answered += 1

    lane.take_stats()
    await asyncio.gather(*map(call, batches))
    rate = answered / (time.process_time() - start)
    return rate, answered / max(lane.take_stats().executions, 1)


async def compare(served: ServedModel, batches: Sequence[Batch]) -> tuple[float, float, float, float]:
    """Median requests a second alone and together, median ratio of the two, and requests a run where together."""
    lanes = []
    for rows in (0, ROWS):
        settings.set_option("batch_rows", rows)
        lanes.append(Lane(served))
        await drive(lanes[-1], batches, 2 * SECONDS)  # it learns how long runs take
    turns = [[await drive(lane, batches, SECONDS) for lane in lanes] for _ in range(TURNS)]
    for lane in lanes:
        lane.close()
    off, on = (statistics.median(turn[i][0] for turn in turns) for i in (0, 1))
    ratio = statistics.median(turn[1][0] / turn[0][0] for turn in turns)
    return off, on, ratio, statistics.median(turn[1][1] for turn in turns)


async def hand_over_s(served: ServedModel, batch: Batch) -> float:
    """Median seconds from the loop to the thread and back, with a model that takes no time."""
    slow = msgspec.structs.replace(served.version, candidates=())  # not measured: it goes to the thread
    lane = Lane(Idle(slow))
    times: list[float] = []
    for _ in range(2000):
        lane._times.calibrate(1, 1.0)
        start = time.perf_counter()
        await lane.run(batch, NAMES)  # type: ignore[misc]
        times.append(time.perf_counter() - start)
    lane.close()
    return statistics.median(times)


def over_the_model_s(served: ServedModel, batch: Batch) -> float:
    """Seconds that the lane adds to a run on the loop, with a model that takes no time."""
    idle = Idle(msgspec.structs.replace(served.version, candidates=()))
    lane = Lane(idle)
    lane._times.calibrate(1, 1e-6)
    rounds = []
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(10_000):
            lane.run(batch, NAMES)
        middle = time.perf_counter()
        for _ in range(10_000):
            idle.run(batch, NAMES)
        rounds.append((middle - start - (time.perf_counter() - middle)) / 10_000)
    return min(rounds)


class Idle(ServedModel):
    """A model that answers at once."""

    def __init__(self, version: Version) -> None:
        super().__init__(version, None, {}, Path())  # type: ignore[arg-type]

    def run(self, batch: Batch, names: Sequence[str]) -> dict[str, Any]:
        return {"predictions": [0]}


def main(callers: int) -> int:
    """Print the throughput with batching beside that without; returns 1 where a target is missed."""
    random = np.random.default_rng(1)
    x = random.standard_normal((1000, 30)).astype(np.float32)
    missed = 0
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(f"{callers} callers, each with one request at a time; requests a second of processor time")
        for number, case in enumerate(cases()):
            served = load(case, Path(folder) / str(number), x)
            batches = [
                served.decode(random.standard_normal((case.rows, 30)).astype(np.float32).tolist())
                for _ in range(callers)
            ]
            off, on, ratio, joined = runner.run(compare(served, batches))
            least = case.least if callers >= 8 else 0.97
            missed += ratio < least
            measured = served.version.candidates[0]
            one_s, batch_s = measured.one_row_s or 0.0, measured.batch_s or 0.0
            print(
                f"  {case.title:31} {one_s * 1e3:6.3f} ms, {ROWS}: {batch_s * 1e3:6.2f} ms   "
                f"alone {off:6.0f}   together {on:6.0f}   x {ratio:5.2f}   (target: {least:g} or more)   "
                f"{joined:.1f} a run"
            )
        over_s = over_the_model_s(served, batches[0])
        print(f"  a run on the loop costs {over_s * 1e6:.2f} µs more than the model's   (target: 1 or less)")
        print(f"  to the thread and back: {runner.run(hand_over_s(served, batches[0])) * 1e6:.0f} µs")
    print(f"  command: python benchmarks/batching.py {callers}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 16))
