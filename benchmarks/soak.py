"""Memory after minutes of full load: what a worker that leaks a little with each request shows at last.

Growth is from what it used once warm (the median of the second tenth of the time) to the median of the last tenth.

Run: python benchmarks/soak.py [--minutes N]
"""

from __future__ import annotations

import argparse
import statistics
import time

import psutil
from serving import cores, processes
from serving.clients import clients
from serving.job import Job
from serving.models import IRIS, iris
from serving.ours import background, deployed, rows
from serving.report import Target, at_most, grid, run, show
from state import temporary_home

GROWTH = 0.05
SAMPLES = 60
MB = 1e6


def main() -> int:
    """Load one deployment for the time asked, and print how much its processes have grown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    seconds = parser.parse_args().minutes * 60
    where = cores.apart()
    series: dict[str, list[float]] = {"worker PSS": [], "worker RSS": [], "supervisor PSS": []}
    with temporary_home(), clients(where.client) as load, deployed("soak", iris(), IRIS[0], where=where) as ours:
        exchange = rows(ours, IRIS[0][:1].tolist(), IRIS[1][:1].tolist())
        (worker,), supervisor = ours.workers(), background()[0]
        load.start(Job(port=ours.port, exchanges=(exchange,), seconds=seconds + 30))
        for _ in range(SAMPLES):
            time.sleep(seconds / SAMPLES)
            series["worker PSS"].append(processes.pss_bytes(worker) / MB)
            series["worker RSS"].append(psutil.Process(worker).memory_info().rss / MB)
            series["supervisor PSS"].append(processes.pss_bytes(supervisor) / MB)
        outcome = load.stop()
        same = ours.workers() == [worker]
    tenth = SAMPLES // 10
    spans = {
        name: (statistics.median(values[tenth : 2 * tenth]), statistics.median(values[-tenth:]))
        for name, values in series.items()
    }
    print(f"{seconds / 60:g} minutes at full load, 8 keep-alive connections; {where.words}")
    print(f"  {outcome.ok} requests answered, failed {sum(outcome.failed.values())} {outcome.failed or ''}")
    lines = [[name, f"{a:.1f} MB", f"{b:.1f} MB", f"{b / a - 1:+.1%}"] for name, (a, b) in spans.items()]
    print(grid(["", "warm", "at the end", "growth"], lines))
    targets = [
        at_most(f"full load for {seconds / 60:g} min: growth of {name}", b / a - 1, GROWTH, "{:.1%}")
        for name, (a, b) in spans.items()
    ]
    targets.append(Target("full load: failed requests", "0", str(sum(outcome.failed.values())), not outcome.failed))
    if not same:
        targets.append(Target("full load: the worker lives to the end", "yes", "no", met=False))
    return show(targets, f"python benchmarks/soak.py --minutes {seconds / 60:g}")


if __name__ == "__main__":
    run(main)
