"""Records what a real deployment writes down of itself under load, into recorded/rollups.json.

A classifier over four numbers, asked by clients that wait for a while between requests, one row or up to 64 at a time.

Run: python benchmarks/detect/record.py [seconds]
"""

from __future__ import annotations

import random
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec
from serving.models import IRIS, iris
from serving.ours import deployed
from serving.report import run
from state import temporary_home

from autodeploy_magic.store import Store
from detect.streams import RECORDED

CLIENTS = 6
PAUSE_S = 0.15
WARM_S, LATE_S = 30, 45  # what processes took is written down by and by


def main(seconds: int = 180) -> int:
    """Record so many seconds, after half a minute of warm-up."""
    with temporary_home(), deployed("recorded", iris(), IRIS[0]) as ours:
        stop = threading.Event()
        clients = [threading.Thread(target=ask, args=(ours.handle, stop, seed)) for seed in range(CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(seconds + WARM_S + LATE_S)
        end = int(time.time()) - LATE_S
        stop.set()
        for client in clients:
            client.join()
        lines = read(Store().metrics_file("recorded"), end - seconds, end)
    told = {"model": "scikit-learn on iris, ONNX, one worker", "columns": "requests failed latency cpu_s memory_bytes"}
    RECORDED.write_bytes(msgspec.json.encode({**told, "seconds": lines}) + b"\n")
    print(f"{len(lines)} s, {sum(line[0] for line in lines)} requests, {RECORDED.stat().st_size} bytes")
    return 0


def ask(handle: object, stop: threading.Event, seed: int) -> None:
    chance = random.Random(seed)
    while not stop.wait(chance.expovariate(1 / PAUSE_S)):
        handle.predict(IRIS[0][: chance.choice((1, 1, 1, 4, 16, 64))])  # type: ignore[attr-defined]


def read(file: Path, start: int, end: int) -> list[tuple[int, int, dict[int, int], float, int]]:
    """What was written down of each second: as a moment has it."""
    lines = []
    with closing(sqlite3.connect(file)) as connection:
        for second in range(start, end):
            requests, failed, latency = 0, 0, Counter[int]()
            rows = connection.execute("SELECT requests, failed, latency FROM rollups WHERE second = ?", (second,))
            for asked, bad, counts in rows:
                requests, failed = requests + asked, failed + bad
                latency.update(msgspec.json.decode(counts, type=dict[int, int]))
            used = connection.execute(
                "SELECT cpu_s / span_s, memory_bytes FROM resources WHERE second >= ? ORDER BY second LIMIT 1",
                (second,),
            ).fetchone()
            lines.append((requests, failed, dict(sorted(latency.items())), round(used[0], 3), used[1]))
    return lines


if __name__ == "__main__":
    run(lambda: main(*map(int, sys.argv[1:2])))
