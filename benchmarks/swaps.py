"""Swaps of a deployment under keep-alive and fresh-connection clients: how many requests fail, and how long they take.

Every fifth swap is a re-run of a changed model: built, verified, compared and swapped in. The others go back and forth
between versions that are kept. The clients are a process of their own. A request fails where it gets no answer, another
status than 200, or a wrong prediction; each answer is checked, and none is asked for again.

Run: python benchmarks/swaps.py [swaps] [keep-alive clients] [fresh-connection clients]
"""

from __future__ import annotations

import math
import statistics
import sys
import time

from serving.clients import clients
from serving.job import Job
from serving.ours import deployed, quietly, rows
from serving.report import at_most, run, show
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from state import temporary_home

import autodeploy_magic as ad

X, Y = load_wine(return_X_y=True)
RERUN_EVERY = 5
LONGEST_S = 1800.0


def main(swaps: int = 100, keep_alive: int = 16, fresh: int = 16) -> int:
    """Deploy, swap under load, and print what the clients saw; returns 1 where a request failed."""
    # Forests that have seen every row: each version answers every row alike, and is a different one all the same.
    models = [
        RandomForestClassifier(60, bootstrap=False, random_state=seed).fit(X, Y)
        for seed in range(1 + math.ceil(swaps / RERUN_EVERY))
    ]
    times: dict[str, list[float]] = {"re-runs": [], "between kept versions": []}
    with temporary_home(), clients() as load, deployed("wine", models.pop(), X) as ours:
        exchanges = tuple(rows(ours, X[i : i + 1].tolist(), [int(Y[i])]) for i in range(len(X)))
        load.start(
            Job(
                port=ours.port,
                exchanges=exchanges,
                keep_alive=keep_alive,
                fresh=fresh,
                seconds=LONGEST_S,
                check_every=1,
                tally="version",
            )
        )
        newest = ours.handle.version
        for number in range(swaps):
            started = time.perf_counter()
            if number % RERUN_EVERY == 0:
                newest = ad.deploy(models.pop(), "wine", X, quiet=True).version
                times["re-runs"].append(time.perf_counter() - started)
            else:
                quietly(ours.handle.rollback, newest - 1 if ours.handle.version == newest else newest)
                times["between kept versions"].append(time.perf_counter() - started)
        seen = load.stop()
    failed = sum(seen.failed.values())
    print(f"{swaps} swaps under {keep_alive} keep-alive and {fresh} fresh-connection clients")
    for kind, seconds in times.items():
        if seconds:
            print(f"  {len(seconds)} {kind}, {statistics.median(seconds):.2f} s each (median)")
    print(f"  requests {sum(seen.outcomes.values())}, failed {failed} {seen.failed or ''}")
    latency = "   ".join(f"p{q * 100:g} {seen.quantile_s(q) * 1000:.1f} ms" for q in (0.5, 0.9, 0.99, 0.999))
    print(f"  answered by {len(seen.tally)} versions; {latency}; longest time without an answer ", end="")
    print(f"{seen.longest_gap_s * 1000:.0f} ms")
    what = f"failed requests in {swaps} swaps under {keep_alive} keep-alive and {fresh} fresh clients"
    return show([at_most(what, failed, 0, "{:.0f}")], f"python benchmarks/swaps.py {swaps} {keep_alive} {fresh}")


if __name__ == "__main__":
    run(lambda: main(*map(int, sys.argv[1:])))
