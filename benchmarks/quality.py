"""What the quality tracker takes of the supervisor, second by second: CPU time of one deployment.

    python benchmarks/quality.py

A classifier of three classes over 20 columns, two versions of which answer; 2 000 labelled rows, which is all that the
window holds. Ten requests are recorded and five labels come each second.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from autodeploy_magic.contracts import (
    Column,
    Desired,
    Environment,
    Output,
    Signature,
    Status,
    Trust,
    Version,
)
from autodeploy_magic.operate.detect.base import Moment, Reference
from autodeploy_magic.operate.quality.slices import worst_slices
from autodeploy_magic.operate.quality.tracker import Tracker
from autodeploy_magic.reservoir import Label, Labelled, Reader, Recorded, add_labels
from autodeploy_magic.reservoir.schema import open_for_writing
from autodeploy_magic.reservoir.writing import insert

NOW = 1_800_000_000
COLUMNS = [(f"number {i}", "float64") for i in range(14)] + [(f"class {i}", "str") for i in range(6)]
VERSION = Version(
    deployment="iris",
    number=1,
    digest="0" * 64,
    created_at="2026-01-01T00:00:00+00:00",
    task="classification",
    framework="sklearn",
    model_type="LogisticRegression",
    format="onnx",
    reason="",
    trust=Trust(level="green", reason=""),
    signature=Signature(container="dataframe", columns=tuple(Column(name=n, dtype=d) for n, d in COLUMNS)),
    outputs=(
        Output(name="predictions", container="ndarray", dtype="int64"),
        Output(name="probabilities", container="ndarray", dtype="float64", shape=(3,)),
    ),
    artifacts=(),
    environment=Environment(python="3.11", platform="linux"),
    candidates=(),
    sample_rows=0,
)
RNG = np.random.default_rng(0)


def requests(count: int, start: int) -> list[Recorded]:
    found = []
    for i in range(start, start + count):
        inputs = {n: [float(RNG.normal())] if d == "float64" else ["abcdef"[RNG.integers(6)]] for n, d in COLUMNS}
        probabilities = RNG.dirichlet([0.3] * 3).round(6).tolist()
        outputs = {"predictions": [int(np.argmax(probabilities))], "probabilities": [probabilities]}
        found.append(Recorded(f"r{i}", NOW, 1 + i % 2, 200, 0.001, 1, (0,), inputs, outputs, (max(probabilities),)))
    return found


def moment(t: int, recorded: Sequence[Recorded] = (), labelled: Sequence[Labelled] = ()) -> Moment:
    return Moment(
        t=t,
        name="iris",
        desired=Desired(name="iris", version=1, executable="python"),
        status=Status(name="iris", state="running", version=1),
        version=VERSION,
        answers=None,
        reference=lambda: Reference({}, {}),
        recorded=recorded,
        labelled=labelled,
    )


def seconds(file: Path, count: int) -> Iterator[Moment]:
    """What came in each of them, as the reader tells it."""
    reader = Reader(file, VERSION.signature)
    reader.news()
    with closing(open_for_writing(file)) as connection:
        for t in range(count):
            came = requests(10, 1_000_000 + 10 * t)
            with connection:
                insert(connection, came)
            add_labels(file, [Label(one.id, 0, int(RNG.integers(3))) for one in came[:5]], NOW + t)
            yield moment(NOW + 1 + t, *reader.news())
    reader.close()


def took(work: Any) -> float:
    """CPU milliseconds of a call."""
    start = time.thread_time()
    work()
    return 1e3 * (time.thread_time() - start)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requests.sqlite"
        with closing(open_for_writing(file)) as connection, connection:
            insert(connection, requests(5000, 0))
        add_labels(file, [Label(f"r{i}", 0, int(RNG.integers(3))) for i in range(2500)], NOW)
        tracker = Tracker("iris", file)
        print(f"first, from the file      {took(lambda: tracker.see(moment(NOW))):8.2f} ms")
        quiet = moment(NOW + 1)
        each = [took(lambda: tracker.see(quiet)) for _ in range(2000)]
        print(f"a second without news     {1e3 * float(np.mean(each)):8.2f} µs")
        busy = sorted(took(lambda now=now: tracker.see(now)) for now in seconds(file, 300))
        print(f"a busy second, mean       {float(np.mean(busy)):8.2f} ms")
        print(f"  that takes news in      {float(np.median(busy)):8.2f} ms")
        print(f"  that makes figures      {float(np.mean(busy[-60:-6])):8.2f} ms   every 5 s")
        print(f"  that looks for slices   {float(np.mean(busy[-5:])):8.2f} ms   every 60 s")
        gathered = tracker._gathered
        assert gathered is not None
        rows, columns = gathered.whole.rows(), gathered.columns
        assert rows is not None
        assert columns is not None
        each = [took(lambda: worst_slices(rows, columns, None)) for _ in range(20)]
        print(f"slices of 20 columns      {float(np.median(each)):8.2f} ms")


if __name__ == "__main__":
    main()
