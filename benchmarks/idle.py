"""What idle deployments cost: memory of each worker and of the supervisor, and CPU of all of it together.

Memory is the proportional set size: what n processes share counts as one n-th for each.

Run: python benchmarks/idle.py [deployments] [seconds]
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time

from serving import processes
from serving.models import IRIS, iris
from serving.ours import background, deployed
from serving.report import at_most, run, show
from state import temporary_home

WORKER_MB, SUPERVISOR_MB, SHARE = 45.0, 90.0, 0.03
SETTLE_S = 5.0
MB = 1e6


def main(deployments: int = 20, seconds: float = 60.0) -> int:
    """Deploy, wait, and print what was used."""
    with temporary_home(), contextlib.ExitStack() as stack:
        model = iris()
        ours = [stack.enter_context(deployed(f"idle-{i:02d}", model, IRIS[0])) for i in range(deployments)]
        time.sleep(SETTLE_S)  # what a deploy sets off has ended
        workers = [pid for one in ours for pid in one.workers()]
        supervisor, *zygotes = background()
        everything = [supervisor, *zygotes, *workers]
        before, started = processes.cpu_seconds(everything), time.perf_counter()
        time.sleep(seconds)
        after, elapsed = processes.cpu_seconds(everything), time.perf_counter() - started
        used = {pid: (after[pid] - before[pid]) / elapsed for pid in everything}
        sizes = [processes.pss_bytes(pid) / MB for pid in workers]
        supervisor_mb = processes.pss_bytes(supervisor) / MB
        zygote_mb = sum(processes.pss_bytes(pid) for pid in zygotes) / MB
    print(f"{deployments} idle deployments of one worker each, for {seconds:g} s")
    print(f"  PSS of a worker: median {statistics.median(sizes):.1f} MB, largest {max(sizes):.1f} MB")
    print(f"  PSS of the supervisor {supervisor_mb:.1f} MB, of the zygote {zygote_mb:.1f} MB")
    idle = statistics.median(used[pid] for pid in workers)
    print(
        f"  CPU: supervisor {used[supervisor]:.2%} of a core, zygote {sum(used[pid] for pid in zygotes):.2%}, ", end=""
    )
    print(f"a worker {idle:.3%} (median)")
    targets = [
        at_most(f"{deployments} idle deployments: PSS of the largest worker", max(sizes), WORKER_MB, "{:.0f} MB"),
        at_most(f"{deployments} idle deployments: PSS of the supervisor", supervisor_mb, SUPERVISOR_MB, "{:.0f} MB"),
        at_most(f"{deployments} idle deployments: share of a core, all together", sum(used.values()), SHARE, "{:.1%}"),
    ]
    return show(targets, f"python benchmarks/idle.py {deployments} {seconds:g}")


if __name__ == "__main__":
    run(lambda: main(*map(int, sys.argv[1:2]), *map(float, sys.argv[2:3])))
