"""What those who are served notice of a re-tune: of one that runs, and of what it found being taken and taken back.

    windows       clients that ask now and then, as people and programs do, for some seconds while a re-tune runs and
                  for as long while none does, in turns; the ratio of the two p99 of each turn, and the median of these
    promotions    clients that never pause, while what a re-tune found is taken and undone again and again

A forest of 200 trees over digits in 64 columns. No client asks again: a request fails where it gets no answer, another
status than 200, or a wrong prediction. `--busy` has clients without a pause in the windows, too.

Run: python benchmarks/retune_load.py [--rounds N] [--seconds S] [--promotions N] [--busy]
"""

from __future__ import annotations

import argparse
import contextlib
import math
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from serving.clients import Clients, clients
from serving.job import Exchange, Job, Outcome
from serving.ours import Ours, rows
from serving.report import Target, at_most, grid, missing, run, show
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from state import temporary_home

import autodeploy_magic as ad
from autodeploy_magic.contracts import Progress
from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.retuning import Order, Retune
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import Supervisor, connect

NAME = "digits"
X, Y = load_digits(return_X_y=True)
MOST_GROWTH = 1.25
CONNECTIONS, PAUSE_S = 8, 0.02
KEEP_ALIVE, FRESH = 8, 8
BUDGET_S = 600.0
LONGEST_S = 1800.0
BEGUN_S = 240.0


def main() -> int:
    """Print a line for each turn and what the promotions came to; returns 1 where a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=6.0, help="of one window")
    parser.add_argument("--promotions", type=int, default=20)
    parser.add_argument("--busy", action="store_true", help="clients without a pause in the windows")
    options = parser.parse_args()
    # A forest that has seen every row answers each with its label; what passed against it does, but for a few.
    model = RandomForestClassifier(200, bootstrap=False, random_state=0, n_jobs=-1).fit(X, Y)
    model.set_params(n_jobs=None)
    with temporary_home(), clients() as load, served(model) as ours:
        supervisor = connect(Store(), start=False)
        exchanges = [rows(ours, X[i : i + 1].tolist(), [int(Y[i])]) for i in range(len(X))]
        warm(load, ours, exchanges)
        pause = 0.0 if options.busy else PAUSE_S
        targets = [windows(supervisor, load, ours, exchanges, options.rounds, options.seconds, pause)]
        targets.append(promotions(supervisor, load, ours, exchanges, options.promotions))
    return show(targets, "python benchmarks/retune_load.py")


@contextmanager
def served(model: Any) -> Iterator[Ours]:
    """Deploy it with its labels, and remove it afterwards."""
    handle = ad.deploy(model, NAME, X[::2], labels=Y[::2], workers=1, quiet=True)
    try:
        yield Ours(handle)
    finally:
        handle.rm()


def warm(load: Clients, ours: Ours, exchanges: list[Exchange]) -> None:
    """Traffic before the first re-tune: what is recorded of it are its rows."""
    seen = load.run(Job(port=ours.port, exchanges=tuple(exchanges), keep_alive=4, seconds=4.0, pause_s=0.005))
    if seen.failed:
        raise SystemExit(f"requests failed before any re-tune: {seen.failed} {seen.examples}")


class Background:
    """A re-tune under way in a thread, which ends with `stop`."""

    def __init__(self, supervisor: Supervisor, seed: int) -> None:
        self._supervisor = supervisor
        self.making = threading.Event()
        self.failure: AutodeployError | None = None
        order = Order(goal="auto", budget_s=BUDGET_S, seed=seed)
        self._thread = threading.Thread(target=self._run, args=(order,))
        self._thread.start()

    def _run(self, order: Order) -> None:
        try:
            connect(Store(), start=False).retune(NAME, order, self._heard)
        except AutodeployError as error:
            self.failure = error
        finally:
            self.making.set()

    def _heard(self, progress: Progress) -> None:
        if progress.detail.startswith("trying"):
            self.making.set()

    @property
    def runs(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Cancel it, and wait until it has ended."""
        for retune in self._supervisor.retunes(NAME):
            if retune.state == "running":
                with contextlib.suppress(AutodeployError):  # it has ended meanwhile
                    self._supervisor.cancel_retune(NAME, retune.id)
        self._thread.join()


def windows(
    supervisor: Supervisor,
    load: Clients,
    ours: Ours,
    exchanges: list[Exchange],
    rounds: int,
    seconds: float,
    pause_s: float,
) -> Target:
    """Windows with and without a re-tune in turns; which of the two comes first changes from turn to turn."""
    job = Job(port=ours.port, exchanges=tuple(exchanges), keep_alive=CONNECTIONS, seconds=seconds, pause_s=pause_s)
    lines, ratios, failed = [], [], 0
    what = "p99 while a re-tune runs, to while none does"
    for number in range(rounds):
        seen: dict[bool, Outcome] = {}
        for running in (True, False) if number % 2 else (False, True):
            if not running:
                seen[False] = load.run(job)
                continue
            background = Background(supervisor, number)
            try:
                begun = background.making.wait(BEGUN_S)
                seen[True] = load.run(job)
                if not begun or not background.runs:
                    why = background.failure or "it did not last as long as one window"
                    return missing(what, f"at most {MOST_GROWTH:.2f}×", str(why))
            finally:
                background.stop()
        failed += sum(sum(one.failed.values()) for one in seen.values())
        with_it, without = seen[True].quantile_s(0.99), seen[False].quantile_s(0.99)
        ratios.append(with_it / without)
        p50 = [f"{1e3 * one.quantile_s(0.5):.2f}" for one in (seen[False], seen[True])]
        p99 = [f"{1e3 * one:.2f}" for one in (without, with_it)]
        rate = f"{seen[False].ok / seen[False].seconds:.0f}"
        lines.append([f"turn {number + 1}", rate, *p50, *p99, f"{ratios[-1]:.2f}"])
    print(grid(["", "req/s", "p50 ms", "re-tuning", "p99 ms", "re-tuning", "ratio"], lines))
    print(f"  {failed} requests failed in these windows")
    return at_most(what, statistics.median(ratios) if not failed else math.inf, MOST_GROWTH)


def promotions(supervisor: Supervisor, load: Clients, ours: Ours, exchanges: list[Exchange], count: int) -> Target:
    """Take and undo what one re-tune found, under load."""
    what = f"failed requests in {count} promotions and {count} roll-backs"
    found = supervisor.retune(NAME, Order(goal="latency", budget_s=60.0, seed=1), _quiet)
    passed = [one for one in found.contenders if one.state == "passed" and one.layout is None]
    print(f"  a re-tune of {found.ended_s - found.started_s:.0f} s: {found.outcome}")
    if not passed:
        return missing(what, "at most 0", "no candidate passed")
    key = found.chosen if found.chosen in {one.id for one in passed} else passed[0].id
    alike = same_answers(supervisor, found, key, ours, exchanges)
    load.start(
        Job(
            port=ours.port,
            exchanges=tuple(alike),
            keep_alive=KEEP_ALIVE,
            fresh=FRESH,
            seconds=LONGEST_S,
            check_every=1,
            tally="version",
        )
    )
    times: dict[str, list[float]] = {"promotions": [], "roll-backs": []}
    for _ in range(count):
        began = time.perf_counter()
        supervisor.take(NAME, found.id, key, _quiet)
        taken = time.perf_counter()
        supervisor.undo_retune(NAME, found.id, _quiet)
        times["promotions"].append(taken - began)
        times["roll-backs"].append(time.perf_counter() - taken)
    seen = load.stop()
    failed = sum(seen.failed.values())
    for kind, seconds in times.items():
        print(f"  {len(seconds)} {kind}, {statistics.median(seconds):.2f} s each (median)")
    print(f"  requests {sum(seen.outcomes.values())}, failed {failed} {seen.failed or ''} {seen.examples or ''}")
    print(f"  answered by versions {seen.tally}; longest time without an answer {1e3 * seen.longest_gap_s:.0f} ms")
    return (
        at_most(what, failed, 0, "{:.0f}") if len(seen.tally) > 1 else missing(what, "at most 0", "one version served")
    )


def same_answers(
    supervisor: Supervisor, found: Retune, key: str, ours: Ours, exchanges: list[Exchange]
) -> list[Exchange]:
    """The rows that the contender answers as the champion does: on the others a new answer is no failure."""
    supervisor.take(NAME, found.id, key, _quiet)
    answers = np.asarray(ours.handle.predict(X))
    supervisor.undo_retune(NAME, found.id, _quiet)
    return [one for one, same in zip(exchanges, answers == Y, strict=True) if same]


def _quiet(progress: Progress) -> None:
    """Nobody listens."""


if __name__ == "__main__":
    run(main)
