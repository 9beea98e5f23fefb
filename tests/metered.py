"""Files of metrics with a known past: roll-ups of several workers and versions, and what the processes took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from autodeploy_magic.metrics import INSERT, Rollup, bucket, open_for_writing
from autodeploy_magic.metrics.resources import Resources, insert_resources

MB = 1 << 20


def rollup(
    second: int,
    latencies: Sequence[float],
    *,
    worker: int = 1,
    version: int = 1,
    statuses: Sequence[int] = (),
    waiting: int = 0,
    in_flight: int = 1,
) -> Rollup:
    """One worker's second. Every answer is 100 bytes to 50; all of them 200 where no `statuses` are given."""
    codes = list(statuses) or [200] * len(latencies)
    return Rollup(
        second=second,
        worker=worker,
        version=version,
        requests=len(latencies),
        rows=sum(code < 400 for code in codes),
        refused=sum(400 <= code < 500 for code in codes),
        failed=sum(code >= 500 for code in codes),
        bytes_in=50 * len(latencies),
        bytes_out=100 * len(latencies),
        dropped=0,
        seconds=sum(latencies),
        unanswered_s=0.0,
        latency=msgspec.json.encode(Counter(map(bucket, latencies))).decode(),
        statuses=msgspec.json.encode(Counter(codes)).decode(),
        executions=len(latencies),
        queue_s=0.0,
        run_s=0.0,
        batches="{}",
        waiting=waiting,
        in_flight=in_flight,
    )


def alive(second: int, *, span_s: float = 1.0, processes: int = 2, cpu_s: float = 0.5, memory: int = 60) -> Resources:
    """A second of a deployment that lives; a dead one has no processes. `memory` is in MB."""
    if not processes:
        return Resources(second, span_s, 0, 0.0, 0, 0, 0, 0, 5 * MB, 900 * MB)
    return Resources(second, span_s, processes, cpu_s, memory * MB, 2 * memory * MB, 8, 20, 5 * MB, 900 * MB)


def write(file: Path, rollups: Iterable[Rollup] = (), resources: Iterable[Resources] = ()) -> Path:
    """Add rows to a file, which is made where it is missing."""
    with closing(open_for_writing(file)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.executemany(INSERT, rollups)
        insert_resources(connection, resources)
        connection.execute("COMMIT")
    return file
