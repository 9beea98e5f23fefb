"""How a version is best run here, with this traffic: layouts tried with real workers, and the best one confirmed.

search slice → trials (rules of thumb, then TPE) → the best → the held-out slice, by turns with today's layout → taken
or not.
"""

from __future__ import annotations

import asyncio
import bisect
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from autodeploy_magic import settings
from autodeploy_magic.contracts import Desired, Version
from autodeploy_magic.errors import AutodeployError, BrokenPackage, MissingPackage, NotApplicable, RetuneFailed
from autodeploy_magic.operate.retune.search.layouts import Space, key_of, seeds, space_of, title
from autodeploy_magic.operate.retune.search.search import MOST_TRIALS, LayoutSearch, Outcome, Tried
from autodeploy_magic.operate.retune.trace import LEAST, Arrival, Trace
from autodeploy_magic.retuning import Contender, Figures, Layout
from autodeploy_magic.serve.runtime.cores import usable_cores
from autodeploy_magic.supervisor.jobs import Job, run_job
from autodeploy_magic.supervisor.retune.trials import NICE, Trial, Trials

__all__ = ["layout_of", "search_layouts", "verdict"]

SEARCHED = ("threads", "batch_rows", "max_queue", "spinning")
CLEARLY = 0.9
"""A layout is taken if it brings p95 to this part of today's or less: a swap costs new processes, and is not worth
less. On a machine that does other things too, p95 of one layout differs from replay to replay by a fifth (standard
deviation): so its replays must all be better besides."""
LEAST_GAIN_S = 0.0002
"""Nor is less than this, whatever part it is: a network moves answers by more."""
PAIRS = 3
"""Each of the two is replayed so often, by turns, and the worst replay of the one must be better than the best of the
other: of two that are alike, that happens once in twenty times (Mann and Whitney's test with 3 and 3)."""
_SEARCH_SHARE = 0.7
"""Of the time; the rest is for confirming."""
_START_S = 1.5
_SLICE_S = (4.0, 10.0)
_CONFIRM_S = (4.0, 20.0)
_SLICE_REQUESTS = 50
_GRACE_S = 3.0
"""After the last request of a slice, its answer is waited for so long. One that takes longer is not there."""
_SUGGEST_S = 30.0
_OVER_S = 15.0
"""So much longer it may take than it should, before confirming is given up."""
_STARVED_FAILED, _STARVED_CORES = 0.25, 0.5
"""Where more than this part of the requests failed, and the workers had less than this of a processor, it was not the
layout: one that is overloaded takes all that it can get."""
_SHOWN = 3
_MEMORY_SHARE = 0.25
"""Of the memory that is free now, for the workers of one layout: in the end two of them run side by side, and what
serves needs some."""


@dataclass
class _Measured:
    layout: Layout
    outcome: Outcome | None
    why: str
    seconds: float


def layout_of(desired: Desired) -> Layout:
    """How a deployment is run now, with the settings that are searched."""
    found = {name: float(desired.settings.get(name, settings.KNOBS[name].default)) for name in SEARCHED}
    return Layout(workers=desired.workers, settings=found)


async def search_layouts(
    trials: Trials,
    desired: Desired,
    version: Version,
    data: Path,
    within_s: float,
    seed: int,
    report: Callable[[str], None],
) -> list[Contender]:
    """Search for a better layout within so many seconds, with the trace and the rows in the folder `data`.

    Returns the first layouts and the best ones. The one with the state "champion" is today's, with its figures; another
    passed where it is clearly better on the held-out slice, and there is at most one. Raises `NotApplicable` where
    there is too little traffic, and `RetuneFailed` where it cannot be replayed at all. Cancelled, it leaves nothing.
    """
    search = _Search(trials, desired, version, data, within_s, seed, report)
    return await search.run()


class _Search:
    def __init__(
        self,
        trials: Trials,
        desired: Desired,
        version: Version,
        data: Path,
        within_s: float,
        seed: int,
        report: Callable[[str], None],
    ) -> None:
        self._trials, self._desired, self._version = trials, desired, version
        self._rows, self._seed, self._report = data / "calibration.json.gz", seed, report
        self._trace = _trace(data / "trace.json")
        self._cores = usable_cores()
        memory = int(psutil.virtual_memory().available * _MEMORY_SHARE)
        self._space = space_of(version, self._cores, layout_of(desired), memory_bytes=memory)
        self._seeds = seeds(self._space, self._cores, layout_of(desired))
        self._today = self._seeds[0]
        self._within_s = within_s
        self._end = time.monotonic() + within_s
        self._measured: list[_Measured] = []
        self._note = ""

    async def run(self) -> list[Contender]:
        each_s = _within(_SEARCH_SHARE * self._within_s / MOST_TRIALS - _START_S, _SLICE_S)
        piece = busiest(self._trace.search, each_s, _SLICE_REQUESTS)
        search = LayoutSearch(
            self._space,
            self._seeds,
            self._suggested,
            seed=self._seed,
            most=MOST_TRIALS,
            may_go_on=lambda: self._may_go_on(each_s),
        )
        while True:
            try:
                layout = await search.next()
            except (MissingPackage, BrokenPackage) as error:
                self._note = f"the rules of thumb alone were tried: {error.what}"
                break
            if layout is None:
                break
            self._report(f"layout {len(search.tried) + 1} of at most {MOST_TRIALS}: {title(layout)}")
            found = await self._measure(layout, piece)
            search.tell(layout, found.outcome)
        best = search.best
        if best is None or key_of(best) == key_of(self._today):
            return self._contenders(None, None, "")
        return await self._confirm(best)

    def _may_go_on(self, each_s: float) -> bool:
        """Whether there is time for one more, and for confirming. The first is measured in any case."""
        longest = max((one.seconds for one in self._measured[-3:]), default=each_s)
        return not self._measured or time.monotonic() + longest < self._end - (1 - _SEARCH_SHARE) * self._within_s

    async def _suggested(self, space: Space, tried: Sequence[Tried], seed: int) -> Layout | None:
        spec = {"space": msgspec.to_builtins(space), "tried": msgspec.to_builtins(tried), "seed": seed}
        job = Job(
            executable=self._desired.executable,
            target="autodeploy_magic.operate.retune.search.search:main",
            spec=spec,
            timeout_s=_SUGGEST_S,
            nice=NICE,
        )
        result = await run_job(self._trials.zygotes, job)
        return msgspec.convert(result["layout"], Layout | None)

    async def _measure(self, layout: Layout, piece: Sequence[Arrival]) -> _Measured:
        """Start it, replay the slice, end it. A layout that does not start, or dies, is one that fell."""
        started = time.monotonic()
        outcome, why = None, ""
        try:
            async with self._trials.running(self._desired, self._version, layout) as trial:
                outcome = await self._replayed(trial, piece)
                if trial.ended:
                    outcome, why = None, f"a worker ended: {trial.ended[0]}"
        except AutodeployError as error:
            why = f"it does not run: {error.what}"
        except TimeoutError:
            why = "it does not run: its workers did not serve in time"
        found = _Measured(layout, outcome, why, time.monotonic() - started)
        if not self._measured:
            self._check_first(found, piece[-1].at_s)
        self._measured.append(found)
        return found

    def _check_first(self, found: _Measured, seconds: float) -> None:
        """What is wrong with the layout that serves is no layout's fault. Raises `RetuneFailed`."""
        outcome = found.outcome
        if outcome is None:
            raise RetuneFailed(
                "the version could not be run for a trial, as it is run now",
                why=found.why,
                fix="free memory, or tune it again when the machine does less",
            )
        had = outcome.cpu_s / (seconds + _GRACE_S)
        slow = outcome.unanswered > _STARVED_FAILED * outcome.requests
        if slow and had < _STARVED_CORES:
            raise RetuneFailed(
                f"{outcome.failed} of {outcome.requests} requests of the replayed trace had no answer in time, and the"
                f" trial {had:.2f} of {self._cores} processors",
                why="trials give way to what else the machine does, and that left them nothing",
                fix="tune it again when the machine does less",
            )
        if outcome.failed == outcome.requests:
            raise RetuneFailed(
                "every request of the replayed trace failed",
                why=outcome.worst,
                fix="the layouts cannot be compared so; are the recorded inputs still those of this version?",
            )

    async def _replayed(self, trial: Trial, piece: Sequence[Arrival]) -> Outcome:
        limit_s = max(_GRACE_S, 3 * (self._one_row_s or 0.0))
        within_s = piece[-1].at_s + limit_s + 2 * _GRACE_S
        return await self._trials.replay(trial, piece, self._rows, within_s, limit_s=limit_s, seed=self._seed)

    @property
    def _one_row_s(self) -> float | None:
        kept = (self._version.format, self._version.provider)
        return next((c.one_row_s for c in self._version.candidates if (c.format, c.provider) == kept), None)

    async def _confirm(self, best: Layout) -> list[Contender]:
        """Today's layout and the best by turns, on the slice that no trial has seen."""
        left_s = self._end - time.monotonic()
        piece = busiest(self._trace.confirm, _within(left_s / (2 * PAIRS) - _GRACE_S, _CONFIRM_S), _SLICE_REQUESTS)
        pairs: list[tuple[Outcome, Outcome]] = []
        running = self._trials.running
        try:
            async with (
                asyncio.timeout(max(left_s, 0.0) + _OVER_S),
                running(self._desired, self._version, self._today) as today,
                running(self._desired, self._version, best) as other,
            ):
                for turn in range(PAIRS):
                    self._report(f"{title(best)} beside today's layout on held-out traffic, {turn + 1} of {PAIRS}")
                    pairs.append((await self._replayed(today, piece), await self._replayed(other, piece)))
                if today.ended or other.ended:
                    return self._contenders(best, None, "a worker ended while it was confirmed")
        except (AutodeployError, TimeoutError) as error:
            why = error.what if isinstance(error, AutodeployError) else "there was no time left"
            return self._contenders(best, None, f"it could not be confirmed: {why}")
        return self._contenders(best, pairs, "")

    def _contenders(
        self, best: Layout | None, pairs: Sequence[tuple[Outcome, Outcome]] | None, why: str
    ) -> list[Contender]:
        """Today's, the best, the other first ones, and the next best."""
        by_cost = sorted((one for one in self._measured if one.outcome is not None), key=_cost_s)
        first = {key_of(layout) for layout in self._seeds}
        shown = [one for one in self._measured if key_of(one.layout) in first]
        shown += [one for one in by_cost[:_SHOWN] if one not in shown]
        shown += [one for one in self._measured if best is not None and one.layout == best and one not in shown]
        found = [self._contender(i, one, best, pairs, why) for i, one in enumerate(shown)]
        return sorted(found, key=lambda one: (one.state != "champion", one.state != "passed"))

    def _contender(
        self,
        i: int,
        one: _Measured,
        best: Layout | None,
        pairs: Sequence[tuple[Outcome, Outcome]] | None,
        why: str,
    ) -> Contender:
        is_today = key_of(one.layout) == key_of(self._today)
        is_best = best is not None and key_of(one.layout) == key_of(best)
        outcomes = [one.outcome] if one.outcome is not None else []
        note = self._note
        if pairs and (is_today or is_best):
            outcomes = [pair[1 if is_best else 0] for pair in pairs]
            note = "; ".join(filter(None, [note, "on held-out traffic"]))
        passed, reason = False, one.why or (why if is_best else "")
        if is_today:
            reason = "how it is run now"
        elif is_best and pairs:
            passed, reason = verdict(pairs)
        elif not reason:
            reason = self._compared(one)
        return Contender(
            id=f"layout-{i}",
            optimiser="layout",
            title=title(one.layout),
            family="run",
            state="champion" if is_today else "passed" if passed else "fell",
            reason=reason,
            note=note,
            settings=dict(one.layout.settings),
            layout=one.layout,
            figures=_figures(outcomes),
            seconds=one.seconds,
        )

    def _compared(self, one: _Measured) -> str:
        today = self._measured[0].outcome
        assert one.outcome is not None
        assert today is not None
        text = f"p95 {_ms(one.outcome.p95_s)} in a trial, {_ms(today.p95_s)} as it is run now"
        return f"{text}; {one.outcome.failed} of {one.outcome.requests} failed" if one.outcome.failed else text


def verdict(pairs: Sequence[tuple[Outcome, Outcome]]) -> tuple[bool, str]:
    """Whether the second of each pair is clearly better than the first, and why or why not."""
    old, new = (statistics.median(pair[i].p95_s for pair in pairs) for i in (0, 1))
    apart = max(after.p95_s for _, after in pairs) < min(before.p95_s for before, _ in pairs)
    old_failed, new_failed = (sum(pair[i].failed for pair in pairs) for i in (0, 1))
    text = f"p95 {_ms(new)} against {_ms(old)} as it is run now, in {len(pairs)} replays each"
    if new_failed > old_failed:
        return False, f"{text}, but {new_failed} requests failed, and {old_failed} before"
    if new <= CLEARLY * old and old - new >= LEAST_GAIN_S and apart:
        return True, text
    return False, f"{text}: not clearly better (by {1 - CLEARLY:.0%} and {_ms(LEAST_GAIN_S)}, and in all of them)"


def busiest(arrivals: Sequence[Arrival], seconds: float, least: int) -> tuple[Arrival, ...]:
    """The part of so many seconds with the most requests, from 0 s on; longer where it has fewer than `least`."""
    times = [one.at_s for one in arrivals]
    whole = times[-1] + 1e-6
    while True:
        ends = [bisect.bisect_left(times, at_s + seconds) for at_s in times]
        start = max(range(len(times)), key=lambda i: (ends[i] - i, -i))
        if ends[start] - start >= min(least, len(times)) or seconds >= whole:
            part = arrivals[start : ends[start]]
            return tuple(Arrival(one.at_s - part[0].at_s, one.rows) for one in part)
        seconds *= 1.5


def _trace(file: Path) -> Trace:
    try:
        found = Trace.read(file)
    except (OSError, msgspec.MsgspecError) as error:
        raise NotApplicable("there is no recorded trace to replay", why=str(error)) from error
    if found.requests < LEAST or not found.search or not found.confirm:
        raise NotApplicable(
            f"the recorded trace has {found.requests} requests; {max(0, LEAST - found.requests)} are missing"
        )
    return found


def _figures(outcomes: Sequence[Outcome]) -> Figures:
    if not outcomes:
        return Figures()
    return Figures(
        p50_s=statistics.median(one.p50_s for one in outcomes),
        p95_s=statistics.median(one.p95_s for one in outcomes),
        p99_s=statistics.median(one.p99_s for one in outcomes),
    )


def _cost_s(one: _Measured) -> float:
    return one.outcome.cost_s if one.outcome is not None else float("inf")


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"
