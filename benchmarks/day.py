"""How long a chart of a day takes to read: `series` over 24 hours in 600 points, beside shorter windows.

The file is made as workers and the supervisor write it, through its triggers: a day of two workers with two versions
each, every second of it busy. Each reading is by a fresh process that has nothing of it; "after a reboot" the system
has nothing of it, too, and the disk has to find what a day has scattered over the file.

Run: python benchmarks/day.py [requests a second] [readings]
"""

from __future__ import annotations

import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
from serving.report import at_most, grid, run, show

from autodeploy_magic.metrics import INSERT, Rollup, bucket, open_for_writing
from autodeploy_magic.metrics.resources import Resources, insert_resources

DAY_S = 24 * 3600
LIMIT_MS = 300.0
MB = 1 << 20
WINDOWS = {"24 hours": (DAY_S, 600), "6 hours": (6 * 3600, 360), "2 hours": (7200, 600), "5 minutes": (300, 300)}
READ = """
import sys, time
from pathlib import Path
from autodeploy_magic.metrics.series import series
file, (seconds, points, until) = Path(sys.argv[1]), map(int, sys.argv[2:])
started, used = time.perf_counter(), time.process_time()
found = series(file, "day", seconds, points, until)
took, p99 = (time.perf_counter() - started, time.process_time() - used), found.values[5]
print(*took, sum(value is not None for value in p99), len(p99))
"""


def main(rate: int = 200, readings: int = 5) -> int:
    """Make the file, and print how long its windows take."""
    with tempfile.TemporaryDirectory(prefix="bench-day-") as folder:
        file = Path(folder) / "metrics.sqlite"
        started = time.perf_counter()
        now = int(time.time())
        write(file, rate, now)
        print(f"a day of {rate} requests/s by 2 workers and 2 versions: {file.stat().st_size / 1e6:.0f} MB, ", end="")
        print(f"written in {time.perf_counter() - started:.0f} s", flush=True)
        lines, day_ms = [], math.inf
        for name, (seconds, points) in WINDOWS.items():
            fresh = [read(file, seconds, points, now) for _ in range(readings)]
            rebooted = [read(file, seconds, points, now, reboot=True) for _ in range(readings)]
            wall, cpu = (statistics.median(each) for each in zip(*fresh, strict=True))
            cold = statistics.median(each for each, _ in rebooted)
            lines.append([name, f"{points}", f"{wall:.0f}", f"{cpu:.0f}", f"{cold:.0f}"])
            day_ms = wall if seconds == DAY_S else day_ms
    print(grid(["window", "points at most", "ms", "of which CPU", "after a reboot"], lines))
    targets = [at_most(f"24 hours of {rate} requests/s in 600 points", day_ms, LIMIT_MS, "{:.0f} ms")]
    return show(targets, f"python benchmarks/day.py {rate} {readings}")


def write(file: Path, rate: int, now: int) -> None:
    """Write the day that ends now. Latencies are log-normal about 2.5 ms, so that percentiles have far to go."""
    chance = random.Random(1)
    answers = max(1, rate // 4)
    pool = [histogram(chance, answers) for _ in range(2000)]
    with closing(open_for_writing(file)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # it is the reading that is measured
        for hour in range(now - DAY_S, now, 3600):
            connection.execute("BEGIN")
            connection.executemany(INSERT, rollups(chance, range(hour, hour + 3600), answers, pool))
            insert_resources(connection, resources(range(hour, hour + 3600)))
            connection.execute("COMMIT")


def histogram(chance: random.Random, answers: int) -> str:
    return msgspec.json.encode(Counter(bucket(chance.lognormvariate(-6, 0.7)) for _ in range(answers))).decode()


def rollups(chance: random.Random, seconds: range, answers: int, pool: list[str]) -> Iterator[Rollup]:
    for second in seconds:
        for worker, version in ((1, 1), (1, 2), (2, 1), (2, 2)):
            yield Rollup(
                second=second,
                worker=worker,
                version=version,
                requests=answers,
                rows=answers,
                refused=0,
                failed=0,
                bytes_in=200 * answers,
                bytes_out=290 * answers,
                dropped=0,
                seconds=0.003 * answers,
                unanswered_s=0.0,
                latency=chance.choice(pool),
                statuses=f'{{"200":{answers}}}',
                executions=answers,
                queue_s=0.01,
                run_s=0.1,
                batches=f'{{"1":{answers}}}',
                waiting=1,
                in_flight=2,
            )


def resources(seconds: range) -> Iterator[Resources]:
    for second in seconds:
        wave = math.sin(second / 600)
        yield Resources(
            second, 1.0, 2, 0.5 + wave / 4, round((60 + 5 * wave) * MB), 130 * MB, 16, 60, 300 * MB, 9 << 30
        )


def read(file: Path, seconds: int, points: int, until: int, *, reboot: bool = False) -> tuple[float, float]:
    """Milliseconds of one reading by a fresh process: in all, and of CPU."""
    if reboot:
        let_go(file)
    command = [sys.executable, "-c", READ, *map(str, (file, seconds, points, until))]
    wall, cpu, known, there = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    if int(known) < int(there) - 2:
        raise SystemExit(f"only {known} of {there} points have percentiles")
    return float(wall) * 1000, float(cpu) * 1000


def let_go(file: Path) -> None:
    """Have the system forget what it holds of a file, where it can be asked to."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    run(lambda: main(*map(int, sys.argv[1:3])))
