"""kill -9 of a worker under load: which requests fail, whether any is refused, and how soon another worker serves.

Each connection asks again as soon as it is answered, and no request is sent twice. Those that the dead worker held in
its hands fail with it; the port itself stays open, since the supervisor holds it.

Run: python benchmarks/kills.py [kills] [clients]
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time

from serving import processes
from serving.clients import Clients, clients
from serving.job import Exchange, Job, Outcome
from serving.models import IRIS, iris
from serving.ours import Ours, deployed, quietly, rows
from serving.report import Target, at_most, run, show
from state import temporary_home

REPLACED_S = 0.5
SETTLE_S = 0.5
GIVE_UP_S = 20.0


def main(kills: int = 3, count: int = 16) -> int:
    """Kill one of two workers, then the only one, `kills` times each; print what the clients saw."""
    targets = []
    with temporary_home(), clients() as load:
        for workers in (2, 1):
            with deployed(f"of-{workers}", iris(), IRIS[0], workers=workers) as ours:
                exchange = rows(ours, IRIS[0][:1].tolist(), IRIS[1][:1].tolist())
                trials = []
                for number in range(kills):
                    if number:
                        # A deployment whose workers die again and again is slowed down on purpose.
                        quietly(ours.handle.restart)
                    trials.append(trial(load, ours, exchange, count))
                targets += judged(workers, trials)
    return show(targets, f"python benchmarks/kills.py {kills} {count}")


def trial(load: Clients, ours: Ours, exchange: Exchange, count: int) -> tuple[Outcome, int, float]:
    """One kill: what the clients saw, how many connections the worker held, seconds until as many workers serve."""
    job = Job(port=ours.port, exchanges=(exchange,), keep_alive=count, seconds=GIVE_UP_S + 10)
    load.start(job)
    time.sleep(SETTLE_S)  # some of the load is to be under way
    before = set(ours.workers())
    held = {pid: processes.connections(pid, load.pid, ours.port) for pid in before}
    victim = max(held, key=lambda pid: held[pid])
    os.kill(victim, signal.SIGKILL)
    killed = time.perf_counter()
    while True:
        now = set(ours.workers())
        if victim not in now and len(now) == len(before):
            break
        if time.perf_counter() - killed > GIVE_UP_S:
            raise RuntimeError(f"no replacement within {GIVE_UP_S:g} s: {ours.handle.status}")
        time.sleep(0.005)  # the status is all that a person has, too
    replaced_s = time.perf_counter() - killed
    time.sleep(SETTLE_S)
    return load.stop(), held[victim], replaced_s


def judged(workers: int, trials: list[tuple[Outcome, int, float]]) -> list[Target]:
    """The targets of one number of workers."""
    name = "one of two workers" if workers == 2 else "the only worker"
    print(f"\nkill -9 of {name}, {len(trials)} times")
    for outcome, held, replaced_s in trials:
        print(
            f"  held {held} connections; failed {sum(outcome.failed.values())} of {sum(outcome.outcomes.values())} "
            f"{outcome.failed or ''}; replaced after {replaced_s * 1000:.0f} ms; "
            f"longest time without an answer {outcome.longest_gap_s * 1000:.0f} ms"
        )
    beyond = sum(max(0, sum(outcome.failed.values()) - held) for outcome, held, _ in trials)
    refused = sum(outcome.outcomes.get("refused", 0) for outcome, _, _ in trials)
    targets = [
        at_most(f"kill -9 of {name}: requests failed beyond those it held", beyond, 0, "{:.0f}"),
        at_most(f"kill -9 of {name}: connections refused", refused, 0, "{:.0f}"),
    ]
    if workers == 2:
        median = statistics.median(seconds for _, _, seconds in trials)
        return [*targets, at_most(f"kill -9 of {name}: seconds until replaced", median, REPLACED_S, "{:.2f} s")]
    gap = statistics.median(outcome.longest_gap_s for outcome, _, _ in trials)
    return [*targets, at_most(f"kill -9 of {name}: seconds without an answer", gap, REPLACED_S, "{:.2f} s")]


if __name__ == "__main__":
    run(lambda: main(*map(int, sys.argv[1:])))
