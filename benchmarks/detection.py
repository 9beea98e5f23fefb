"""How soon detectors tell of a fault, how often they tell of nothing, and what they cost.

Streams with known change points, from fixed seeds and from recorded traffic (`detect/cases.py` is the table). A delay
is from the first second of the fault; "told" is how many of the seeds were told of it, with nothing told before.

Run: python benchmarks/detection.py [--only WORD] [--seeds N] [--compare]
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from detect.cases import BUSY, cases, quiet
from detect.measure import delay, false_alarms, thread_cost
from detect.streams import moments
from serving.report import Target, at_most, grid, run, show

DEPLOYMENTS = 10
SHARE = 0.02


def main() -> int:
    """Measure all, or what has WORD in its name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--seeds", type=int, default=0, help="in place of each case's own number")
    parser.add_argument("--compare", action="store_true", help="ours beside river's detectors, on the same streams")
    options = parser.parse_args()
    if options.compare:
        from detect.compare import compare

        return compare(options.seeds or 20)
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        targets = [*delays(pool, options.only, options.seeds), *alarms(pool, options.only)]
    if not options.only:
        targets.append(cost())
    return show(targets, "python benchmarks/detection.py" + (f" --only {options.only}" if options.only else ""))


def delays(pool: ProcessPoolExecutor, only: str, seeds: int) -> list[Target]:
    """Of each fault, over its seeds."""
    chosen = [case for case in cases() if only in case.name]
    lines, targets = [], []
    jobs = {case.name: [pool.submit(_delay, case.name, seed) for seed in range(seeds or case.seeds)] for case in chosen}
    for case in chosen:
        found = [job.result() for job in jobs[case.name]]
        told = [one for one in found if one is not None]
        middle = statistics.median(one if one is not None else math.inf for one in found)
        worst = max(told) if len(told) == len(found) else math.inf
        lines.append(
            [case.name, f"{len(told)} of {len(found)}", f"{middle:.0f} {case.unit}", f"{worst:.0f} {case.unit}"]
        )
        if case.target is not None:
            targets.append(
                at_most(f"{case.name}: told after, worst of {len(found)}", worst, case.target, f"{{:.0f}} {case.unit}")
            )
    if lines:
        print(grid(["fault", "told", "median", "worst"], lines), flush=True)
    return targets


def alarms(pool: ProcessPoolExecutor, only: str) -> list[Target]:
    """Of each stream in which nothing is wrong."""
    chosen = [one for one in quiet() if only in one.name]
    jobs = [pool.submit(_alarms, one.name) for one in chosen]
    lines, targets = [], []
    for one, job in zip(chosen, jobs, strict=True):
        found: Counter[str] = job.result()
        each = found.total() / one.days
        lines.append([one.name, f"{each:.2f}", ", ".join(f"{rule} {count}" for rule, count in found.items()) or "none"])
        if one.most is not None:
            targets.append(at_most(f"{one.name}: false alarms a day", each, one.most, "{:.2f}"))
    if lines:
        print("\n" + grid(["nothing is wrong", "false alarms a day", "which"], lines), flush=True)
    return targets


def _delay(name: str, seed: int) -> float | None:
    """In a process of the pool: streams travel by their names."""
    return delay(next(case for case in cases() if case.name == name), seed)


def _alarms(name: str) -> Counter[str]:
    return false_alarms(next(one for one in quiet() if one.name == name), 1)


def cost() -> Target:
    """Of all detectors, for ten deployments at 100 requests a second."""
    spent = thread_cost([list(moments(BUSY, seed)) for seed in range(DEPLOYMENTS)])
    print("\n" + grid(["detector", "µs a second"], ([name, f"{each * 1e6:.1f}"] for name, each in spent.items())))
    what = f"all detectors, {DEPLOYMENTS} deployments at {BUSY.rate:g} requests/s: share of a core"
    return at_most(what, DEPLOYMENTS * sum(spent.values()), SHARE, "{:.2%}")


if __name__ == "__main__":
    run(main)
