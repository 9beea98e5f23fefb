"""A re-tune, from its plan to its choice: what is done, in which order, and for how long.

    plan → the champion is measured → each candidate is made, measured, judged → candidates of two kinds at once
         → layouts → the choice

Whatever fails is one candidate's end. Nothing that serves is touched; what is chosen is taken by whoever asked.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from autodeploy_magic.errors import AutodeployError, MissingPackage, NotApplicable, StoreFailed
from autodeploy_magic.operate.retune.chains import chains
from autodeploy_magic.operate.retune.choose import TIME_OVER, choose, outcome, pareto
from autodeploy_magic.retuning import Check, Contender, DataUsed, Figures, Retune

__all__ = ["Bench", "Conductor"]

log = logging.getLogger(__name__)

PLAN = "autodeploy_magic.operate.retune.plan:main"
MAKE = "autodeploy_magic.operate.retune.make:main"
MEASURE = "autodeploy_magic.serve.clean.measure:main"
JUDGE = "autodeploy_magic.operate.retune.gate.judge:main"

LEAST_S = 5.0
"""With less than so much of the budget left, no other candidate is begun."""
LAYOUTS = {"latency": 0.4, "auto": 0.3}
"""The part of the budget that is kept for layouts, by goal."""
FAIR = 3.0
"""A candidate may take so many times its even part of what is left of the budget."""
GRACE_S = 30.0
"""What a job may take besides making: its imports, a build of what was made."""
PLAN_S = 300.0
MEASURE_S = 8.0
"""How long one contender is measured, about."""


class Bench(Protocol):
    """What a re-tune works with."""

    async def job(self, target: str, spec: dict[str, Any], *, within_s: float) -> dict[str, Any]:
        """Run a function in a process of its own. Raises what it raises, and `BuildFailed` where it died."""

    async def layouts(self, retune: Retune, within_s: float, said: Callable[[str], None]) -> list[Contender]:
        """Try other ways to run the champion; `said` is told what is done."""


class Conductor:
    """One re-tune under way. `changed` is told of every change of its record; `folder` is its own."""

    def __init__(
        self, home: str, retune: Retune, folder: Path, bench: Bench, changed: Callable[[Retune], None]
    ) -> None:
        self.retune = retune
        self._trace = False
        self._folder = folder
        self._bench = bench
        self._changed = changed
        self._spec = {
            "home": home,
            "name": retune.name,
            "version": retune.champion,
            "folder": str(folder),
            "order": msgspec.to_builtins(retune.order),
            "threads": 1,
        }
        self._deadline = time.monotonic() + retune.order.budget_s
        self._measured: dict[str, dict[str, Any]] = {}

    async def run(self, champion: Path, *, gathered: bool = False) -> Retune:
        """Do all of it; returns the record as it is at the end. `champion` is the folder that its workers load.

        Raises the `AutodeployError` of a step without which there is no re-tune.
        """
        await self._plan(gathered=gathered)
        await self._measure_champion(champion)
        await self._round()
        for chain in chains(self.retune.contenders):
            self._add(chain)
        await self._round()
        await self._layouts()
        return self._choose()

    @property
    def left_s(self) -> float:
        """What is left of the budget."""
        return self._deadline - time.monotonic()

    async def _plan(self, *, gathered: bool) -> None:
        self._tell(step="looking at the traffic, and for what fits this model")
        found = await self._bench.job(PLAN, {**self._spec, "gathered": gathered}, within_s=PLAN_S)
        contenders = msgspec.convert(found["contenders"], list[Contender])
        self._trace = found["trace"]
        kept = Contender(id="c0", optimiser="", title="the champion", family="run", state="champion")
        self._tell(data=msgspec.convert(found["data"], DataUsed), contenders=(kept, *contenders))

    async def _measure_champion(self, folder: Path) -> None:
        self._tell(step="measuring the champion")
        champion = self.retune.contenders[0]
        self._measured["c0"] = await self._measure(champion, folder)
        judged = await self._judge(champion)
        self._put(msgspec.structs.replace(champion, figures=msgspec.convert(judged["figures"], Figures)))

    async def _round(self) -> None:
        """Every candidate that waits, as long as the time suffices."""
        for contender in self.retune.contenders:
            if contender.state != "waiting":
                continue
            waiting = sum(one.state == "waiting" for one in self.retune.contenders)
            left = self.left_s - self._kept_s()
            if left < LEAST_S:
                self._put(msgspec.structs.replace(contender, state="skipped", reason=TIME_OVER))
                continue
            await self._try(contender, min(left, FAIR * left / waiting))

    async def _try(self, contender: Contender, within_s: float) -> None:
        """Make, measure and judge one candidate."""
        began = time.monotonic()
        place = self._folder / "contenders" / contender.id
        self._put(msgspec.structs.replace(contender, state="making"), step=f"trying {contender.title}")
        try:
            made = await self._bench.job(
                MAKE,
                {**self._spec, "contender": msgspec.to_builtins(contender), "within_s": within_s},
                within_s=within_s + GRACE_S,
            )
            contender = msgspec.structs.replace(
                contender, state="measuring", note=made["note"], settings=made["settings"], digest=made["digest"]
            )
            self._put(contender)
            self._measured[contender.id] = await self._measure(contender, place / "model")
            judged = await self._judge(contender)
            contender = msgspec.structs.replace(
                contender,
                state="passed" if judged["passed"] else "fell",
                reason=judged["reason"],
                figures=msgspec.convert(judged["figures"], Figures),
                checks=msgspec.convert(judged["checks"], tuple[Check, ...]),
            )
        except StoreFailed:
            raise  # a full disk is the end of all of it
        except AutodeployError as error:
            skipped = isinstance(error, NotApplicable | MissingPackage)
            why = error.why.strip().splitlines()
            contender = msgspec.structs.replace(
                contender,
                state="skipped" if skipped else "failed",
                reason=f"{error.what}: {why[-1]}" if why else error.what,
            )
        if contender.state != "passed":  # nobody can take it
            shutil.rmtree(place, ignore_errors=True)
        self._put(msgspec.structs.replace(contender, seconds=time.monotonic() - began))

    async def _measure(self, contender: Contender, folder: Path) -> dict[str, Any]:
        answers = self._folder / "answers"
        answers.mkdir(mode=0o700, exist_ok=True)
        spec = {
            "folder": str(folder),
            "sealed": contender.id == "c0",
            "data": str(self._folder / "data"),
            "answers": str(answers / f"{contender.id}.json.gz"),
            "within_s": MEASURE_S,
            "threads": 1,
        }
        return await self._bench.job(MEASURE, spec, within_s=10 * MEASURE_S + GRACE_S)

    async def _judge(self, contender: Contender) -> dict[str, Any]:
        tried = sum(one.family == "better" and one.state != "skipped" for one in self.retune.contenders)
        spec = {
            **self._spec,
            "contender": msgspec.to_builtins(contender),
            "measured": self._measured[contender.id],
            "champion": self._measured["c0"],
            "tried": max(1, tried),
        }
        return await self._bench.job(JUDGE, spec, within_s=PLAN_S)

    async def _layouts(self) -> None:
        if not self._kept_s() or self.left_s < LEAST_S:
            return
        self._tell(step="layouts: workers, threads and batches")
        try:
            found = await self._bench.layouts(
                self.retune, self.left_s, lambda text: self._tell(step=f"layouts: {text}")
            )
        except StoreFailed:
            raise
        except AutodeployError as error:
            reason = error.what + (f": {error.why}" if error.why else "")
            found = [
                Contender(id="", optimiser="layout", title="layouts", family="run", state="skipped", reason=reason)
            ]
        for contender in found:
            if contender.state == "champion":
                self._put(_with_latencies(self.retune.contenders[0], contender.figures))
            else:
                self._add(contender)

    def _kept_s(self) -> float:
        """What of the budget is for layouts."""
        share = LAYOUTS.get(self.retune.order.goal, 0.0)
        return share * self.retune.order.budget_s if self._trace else 0.0

    def _choose(self) -> Retune:
        contenders = pareto(self.retune.contenders)
        chosen = choose(contenders, self.retune.order.goal)
        found = msgspec.structs.replace(self.retune, contenders=tuple(contenders), chosen=chosen, best=chosen, step="")
        self.retune = msgspec.structs.replace(found, state="done", outcome=outcome(found))
        self._changed(self.retune)
        return self.retune

    def _add(self, contender: Contender) -> None:
        """Enter one more, under the next id."""
        number = len(self.retune.contenders)
        self._tell(contenders=(*self.retune.contenders, msgspec.structs.replace(contender, id=f"c{number}")))

    def _put(self, contender: Contender, **changes: Any) -> None:
        """Enter how a contender is now."""
        known = [contender if one.id == contender.id else one for one in self.retune.contenders]
        best = choose(known, self.retune.order.goal)
        self._tell(contenders=tuple(known), best=best, **changes)

    def _tell(self, **changes: Any) -> None:
        self.retune = msgspec.structs.replace(self.retune, **changes)
        self._changed(self.retune)


def _with_latencies(champion: Contender, found: Figures) -> Contender:
    """The champion with what the trace, replayed, took it."""
    figures = msgspec.structs.replace(champion.figures, p50_s=found.p50_s, p95_s=found.p95_s, p99_s=found.p99_s)
    return msgspec.structs.replace(champion, figures=figures)
