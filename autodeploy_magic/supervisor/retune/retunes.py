"""Re-tunes: begun by a person, a schedule or an incident; conducted; and what passed, taken or taken back.

One at a time for each deployment. All that computes is a job of its own, which gives way to what serves. What serves is
changed by `take` and `undo` alone, as a promotion and a roll-back that a person asks for are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.contracts import Desired, Lineage, Progress, Report
from autodeploy_magic.errors import AutodeployError, InvalidOption, RetuneFailed
from autodeploy_magic.health import Severity, SloState
from autodeploy_magic.operate.retune.conduct import Conductor
from autodeploy_magic.retuning import Contender, Layout, Order, Retune
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.deployments import Deployments
from autodeploy_magic.supervisor.jobs import Job, run_job
from autodeploy_magic.supervisor.journal import Journal
from autodeploy_magic.supervisor.moves import Tuning
from autodeploy_magic.supervisor.retune import records
from autodeploy_magic.supervisor.retune.bench import Steps, SupervisorBench
from autodeploy_magic.supervisor.retune.layout_search import layout_of
from autodeploy_magic.supervisor.retune.trials import Trials
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

__all__ = ["Retunes", "unasked"]

log = logging.getLogger(__name__)

KEEP = "autodeploy_magic.operate.retune.keep:main"
LEAST_BUDGET_S, MOST_BUDGET_S = 5.0, 24 * 3600.0
KEEP_S = 300.0
TELL_S = 0.25
"""Those who watch are told so often at most."""
BAKE_LOOK_S = 1.0


class Retunes:
    """`told` is called with the record of a re-tune whenever it has changed, `slo_state` says how a deployment does."""

    def __init__(
        self,
        store: Store,
        zygotes: Zygotes,
        deployments: Deployments,
        journal: Journal,
        *,
        told: Callable[[Retune], None],
        slo_state: Callable[[str], SloState],
    ) -> None:
        self._store = store
        self._zygotes = zygotes
        self._deployments = deployments
        self._journal = journal
        self._told = told
        self._slo_state = slo_state
        self._trials = Trials(store, zygotes)
        self._running: dict[str, tuple[Retune, asyncio.Task[Retune]]] = {}
        self._tellers: dict[str, asyncio.Task[None]] = {}
        self._baking: dict[str, asyncio.Task[None]] = {}

    @property
    def busy(self) -> bool:
        """Whether one runs, of any deployment."""
        return bool(self._running)

    # --- what is known

    def words(self, name: str) -> str:
        """What one that runs is at, in a few words; "" where none runs."""
        found = self._running.get(name)
        return f"re-tuning: {found[0].step}" if found is not None else ""

    def known(self, name: str, most: int = records.KEPT) -> list[Retune]:
        """The last ones, newest first: not for the loop. Raises `UnknownDeployment`."""
        self._deployments.desired(name)
        running = self._running.get(name)
        found = records.known(self._store, name, most)
        return [running[0] if running is not None and one.id == running[0].id else one for one in found]

    def one(self, name: str, key: str) -> Retune:
        """The re-tune `key`. Raises `UnknownDeployment` or `InvalidOption`."""
        self._deployments.desired(name)
        running = self._running.get(name)
        if running is not None and running[0].id == key:
            return running[0]
        return records.one(self._store, name, key)

    # --- from its beginning to its end

    async def resume(self) -> None:
        """Put in order what an earlier supervisor left half-way."""
        self._trials.sweep()
        for name in self._store.names():
            for retune in await asyncio.to_thread(records.broken_off, self._store, name):
                self._journal.note(name, "retuned", retune.outcome, version=retune.champion, severity="warning")

    async def retune(self, name: str, order: Order, report: Report) -> Retune:
        """Look for something better; with `promote` "auto" serve it.

        Cancelled (`cancel`), nothing has changed. Raises `UnknownDeployment`, `InvalidOption` where one runs already or
        the order cannot be met, and what its plan raises.
        """
        retune = await self.begin(name, order, report)
        _, task = self._running[name]
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:  # the supervisor ends
            task.cancel()
            await asyncio.wait([task])
            raise
        return task.result() if not task.cancelled() else self.one(name, retune.id)

    async def begin(self, name: str, order: Order, report: Report) -> Retune:
        """Begin one, and return at once. Raises as `retune` does."""
        desired = self._deployments.desired(name)
        if name in self._running:
            raise InvalidOption(
                f"a re-tune of {name} runs already",
                why=self.words(name),
                fix=f"wait for it, or end it: `%deploy retune {name} --cancel`",
            )
        before = None
        if order.replay:
            before = await asyncio.to_thread(records.one, self._store, name, order.replay)
            order = _replayed(before, order)
            _data_of(self._store, before)  # raises where they are not kept
        _check(order)
        champion = before.champion if before is not None else self._deployments.status(name).version or desired.version
        await asyncio.to_thread(self._store.version, name, champion)  # raises where it is not kept
        retune = Retune(
            id=secrets.token_hex(4),
            name=name,
            order=order,
            champion=champion,
            layout=layout_of(desired),
            started_s=time.time(),
            step="beginning",
        )
        if name in self._running:  # while the files were read
            raise InvalidOption(f"a re-tune of {name} runs already", fix="wait for it")
        task = asyncio.create_task(self._conducted(desired, retune, before, report))
        self._running[name] = retune, task
        self._tell(retune)
        return retune

    async def cancel(self, name: str, key: str) -> Retune:
        """End one that runs. Raises `InvalidOption` where it does not run."""
        found = self._running.get(name)
        if found is None or found[0].id != key:
            raise InvalidOption(f"the re-tune {key!r} of {name} does not run", fix=f"`%deploy retune {name} --show`")
        if found[0].state == "running":  # else it has ended, and what it chose is being taken: no half of that
            found[1].cancel()
        await asyncio.wait([found[1]])
        return await asyncio.to_thread(self.one, name, key)

    def forget_data(self, name: str, before_s: float | None) -> dict[str, int]:
        """Delete what was recorded, and what re-tunes kept of it: not for the loop. Raises `InvalidOption`."""
        self._deployments.desired(name)
        if name in self._running:
            raise InvalidOption(f"a re-tune of {name} uses its data", fix=f"`%deploy retune {name} --cancel` first")
        return records.forget_data(self._store, name, before_s)

    async def forget(self, name: str) -> None:
        """A deployment is removed: nothing of it goes on."""
        found = self._running.get(name)
        if found is not None:
            found[1].cancel()
            await asyncio.wait([found[1]])
        baking = self._baking.pop(name, None)
        if baking is not None:
            baking.cancel()

    async def close(self) -> None:
        """End all of them: the supervisor ends."""
        tasks = [task for _, task in self._running.values()] + list(self._baking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _conducted(self, desired: Desired, retune: Retune, before: Retune | None, report: Report) -> Retune:
        name = retune.name
        began = time.monotonic()
        steps = Steps(report)
        try:
            await asyncio.to_thread(records.trim, self._store, name)
            folder = await asyncio.to_thread(records.begin, self._store, retune)
            if before is not None:
                source = _data_of(self._store, before)
                await asyncio.to_thread(shutil.copytree, source, folder / "data")
            version = await asyncio.to_thread(self._store.version, name, retune.champion)
            conductor = Conductor(
                str(self._store.home),
                retune,
                folder,
                SupervisorBench(self._store, self._zygotes, self._trials, desired, folder),
                lambda changed: self._changed(changed, steps),
            )
            model = self._store.folder(name) / version.model_path
            retune = await conductor.run(model, gathered=before is not None)
        except asyncio.CancelledError:
            retune = self._ended(name, "cancelled", "cancelled: nothing was changed")
        except AutodeployError as error:
            retune = self._ended(name, "failed", f"it failed: {error.what}; nothing was changed", error)
        except Exception as error:  # a mistake of ours ends this re-tune, and nothing else
            log.exception("a re-tune of %s failed", name)
            text = f"it failed: {type(error).__name__}: {error}; nothing was changed"
            retune = self._ended(name, "failed", text, RetuneFailed(text, why="this is a mistake in autodeploy_magic"))
        retune = msgspec.structs.replace(retune, ended_s=time.time(), step="")
        try:
            retune = await self._finished(retune, report)
        finally:
            del self._running[name]
            self._tell(retune)
        steps.end(retune, time.monotonic() - began)
        return retune

    async def _finished(self, retune: Retune, report: Report) -> Retune:
        """Write down how it ended; take what was chosen where it is to be taken without asking."""
        with contextlib.suppress(AutodeployError):  # a full disk: it is told all the same
            await asyncio.to_thread(records.save, self._store, retune)
        if retune.state != "done":
            await asyncio.to_thread(records.clear, records.folder_of(self._store, retune.name, retune.id))
        severity: Severity = "info" if retune.state in ("done", "cancelled") else "warning"
        self._journal.note(retune.name, "retuned", retune.outcome, version=retune.champion, severity=severity)
        if self._is_to_be_taken(retune):
            try:
                retune = await self._take(retune, retune.chosen, report)
            except AutodeployError as error:
                outcome = f"{retune.outcome}; not taken: {error.what}"
                retune = msgspec.structs.replace(retune, error=error.what, outcome=outcome)
                await asyncio.to_thread(records.save, self._store, retune)
        return retune

    def _is_to_be_taken(self, retune: Retune) -> bool:
        """Whether what was chosen is taken without asking; one that was stopped meanwhile is not started by it."""
        chose = retune.state == "done" and retune.chosen not in ("", "c0")
        return chose and retune.order.promote == "auto" and self._deployments.desired(retune.name).state == "running"

    def _ended(self, name: str, state: Any, outcome: str, error: AutodeployError | None = None) -> Retune:
        retune, _ = self._running[name]
        contenders = tuple(
            msgspec.structs.replace(one, state="skipped", reason="not tried any more")
            if one.state in ("waiting", "making", "measuring")
            else one
            for one in retune.contenders
        )
        text = "" if error is None else error.what + (f": {error.why}" if error.why else "")
        return msgspec.structs.replace(
            retune, state=state, outcome=outcome, error=text, contenders=contenders, best="c0", chosen="c0"
        )

    # --- taking what passed

    async def take(self, name: str, key: str, contender: str, report: Report) -> Retune:
        """Serve a contender that passed. Raises `InvalidOption` for one that did not, or where others serve by now."""
        if name in self._running:
            raise InvalidOption(f"a re-tune of {name} runs", fix="wait for it, or cancel it")
        retune = await asyncio.to_thread(self.one, name, key)
        return await self._take(retune, contender, report)

    async def undo(self, name: str, key: str, report: Report) -> Retune:
        """Serve again as before it was taken. Raises `InvalidOption` where it was not, or something else serves."""
        retune = await asyncio.to_thread(self.one, name, key)
        taken = retune.contender(retune.promoted)
        if taken is None or retune.undone:
            raise InvalidOption(
                f"nothing of the re-tune {key} serves", fix=f"`%deploy versions {name}` lists what could be served"
            )
        return await self._undo(retune, taken, report, "as asked")

    async def _take(self, retune: Retune, key: str, report: Report) -> Retune:
        name = retune.name
        contender = retune.contender(key)
        desired = self._deployments.desired(name)
        if contender is None or contender.state != "passed":
            passed = ", ".join(one.id for one in retune.contenders if one.state == "passed") or "none"
            raise InvalidOption(
                f"{key!r} of the re-tune {retune.id} cannot be taken",
                why="it did not pass" if contender is not None else "there is no such candidate",
                fix=f"those that passed: {passed}",
            )
        if desired.version != retune.champion or layout_of(desired) != retune.layout:
            raise InvalidOption(
                f"{name} is not as it was when {retune.id} began",
                why=f"v{desired.version} serves; what passed was proved against v{retune.champion}, run as it was then",
                fix=f"re-tune again: `%deploy retune {name}`",
            )
        if contender.layout is not None:
            layout = contender.layout
            await self._deployments.tune(name, Tuning(workers=layout.workers, settings=layout.settings), report)
        else:
            contender = msgspec.structs.replace(contender, version=await self._kept(desired, retune, contender))
            await self._deployments.promote(name, contender.version, report)
        minutes = float(desired.settings.get("bake_minutes", settings.get("bake_minutes")))
        now_s = time.time()
        retune = msgspec.structs.replace(
            retune,
            contenders=tuple(contender if one.id == key else one for one in retune.contenders),
            promoted=key,
            promoted_s=now_s,
            bakes_until_s=now_s + 60 * minutes,
            undone=False,
        )
        await asyncio.to_thread(records.save, self._store, retune)
        self._journal.note(name, "retuned", f"took {contender.title}", version=contender.version or retune.champion)
        self._tell(retune)
        self._bake(retune, contender)
        return retune

    async def _kept(self, desired: Desired, retune: Retune, contender: Contender) -> int:
        """Make a version of a candidate; returns its number."""
        if contender.version:
            return contender.version
        if desired.settings.get("verify_key"):
            raise InvalidOption(
                "a version that a re-tune made cannot be signed here",
                why=f"{desired.name} starts none that is not signed, and what signs is the kernel alone",
                fix="deploy the better model from the notebook",
            )
        parent = await asyncio.to_thread(self._store.version, desired.name, retune.champion)
        lineage = Lineage(
            retune=retune.id,
            contender=contender.id,
            parent=retune.champion,
            root=parent.lineage.root if parent.lineage is not None else parent.number,
            optimiser=contender.optimiser,
            title=contender.title,
            settings=contender.settings,
            seed=retune.order.seed,
            data=retune.data.digest,
        )
        spec = {
            "home": str(self._store.home),
            "name": desired.name,
            "folder": str(records.folder_of(self._store, desired.name, retune.id) / "contenders" / contender.id),
            "lineage": msgspec.to_builtins(lineage),
            "reason": f"{contender.title}: {contender.reason}",
            "note": f"re-tuned from v{retune.champion}: {contender.title}",
        }
        job = Job(executable=desired.executable, target=KEEP, spec=spec, timeout_s=KEEP_S)
        return int((await run_job(self._zygotes, job))["number"])

    async def _undo(self, retune: Retune, taken: Contender, report: Report, why: str) -> Retune:
        name, desired = retune.name, self._deployments.desired(retune.name)
        if taken.layout is not None:
            if desired.version != retune.champion or layout_of(desired) != _laid(desired, taken.layout):
                raise InvalidOption(f"{name} is run in another way by now", fix=f"`%deploy retune {name}`")
            back = Tuning(workers=retune.layout.workers, settings=retune.layout.settings)
            await self._deployments.tune(name, back, report)
        else:
            if desired.version != taken.version:
                raise InvalidOption(
                    f"v{taken.version} of {name}, which the re-tune {retune.id} made, does not serve",
                    why=f"v{desired.version} does",
                    fix=f"`%deploy rollback {name} {retune.champion}` serves the one before it",
                )
            await self._deployments.roll_back(name, retune.champion, report)
        baking = self._baking.get(name)
        if baking is not None and baking is not asyncio.current_task():
            baking.cancel()
        retune = msgspec.structs.replace(retune, undone=True, bakes_until_s=0.0)
        await asyncio.to_thread(records.save, self._store, retune)
        self._journal.note(name, "retuned", f"took back {taken.title}: {why}", version=retune.champion)
        self._tell(retune)
        return retune

    def _bake(self, retune: Retune, taken: Contender) -> None:
        """Watch it for its baking period."""
        before = self._baking.pop(retune.name, None)
        if before is not None:
            before.cancel()
        task = asyncio.create_task(self._baked(retune, taken, self._slo_state(retune.name)))
        self._baking[retune.name] = task
        task.add_done_callback(lambda done: self._baking.get(retune.name) is done and self._baking.pop(retune.name))

    async def _baked(self, retune: Retune, taken: Contender, before: SloState) -> None:
        """Take it back where the SLO is broken within its baking period, and was not before.

        A version that breaks it is rolled back by recovery (`policy`, "bad_version"); here a layout is.
        """
        while time.time() < retune.bakes_until_s:
            await asyncio.sleep(BAKE_LOOK_S)
            try:
                desired = self._deployments.desired(retune.name)
            except AutodeployError:
                return
            if taken.layout is None or before == "broken" or desired.recovery != "act":
                continue
            if self._slo_state(retune.name) == "broken":
                with contextlib.suppress(AutodeployError):  # a person has changed it meanwhile
                    await self._undo(retune, taken, _said, "the SLO was broken within its baking period")
                return

    # --- telling

    def _changed(self, retune: Retune, steps: Steps) -> None:
        known = self._running.get(retune.name)
        if known is None:
            return
        self._running[retune.name] = retune, known[1]
        steps.say(retune)
        if retune.name not in self._tellers:
            self._tellers[retune.name] = asyncio.create_task(self._tell_soon(retune.name))

    async def _tell_soon(self, name: str) -> None:
        """Write down and tell what is known in a moment: many changes at once are one."""
        try:
            await asyncio.sleep(TELL_S)
        finally:
            self._tellers.pop(name, None)
        found = self._running.get(name)
        if found is not None and found[0].state == "running":
            self._tell(found[0])
            with contextlib.suppress(AutodeployError):  # it is told all the same, and what ends it is told by it
                await asyncio.to_thread(records.save, self._store, found[0])

    def _tell(self, retune: Retune) -> None:
        self._told(retune)


def _laid(desired: Desired, layout: Layout) -> Layout:
    """How it is run once it is run like that."""
    now = layout_of(desired)
    return Layout(workers=layout.workers, settings={**now.settings, **layout.settings})


def _check(order: Order) -> None:
    """Raise `InvalidOption` where an order cannot be met."""
    if not LEAST_BUDGET_S <= order.budget_s <= MOST_BUDGET_S:
        raise InvalidOption(
            f"a re-tune cannot take {order.budget_s:g} s", fix=f"give it {LEAST_BUDGET_S:g} s to a day: --budget 5m"
        )
    if not 0.0 <= order.max_loss < 1.0:
        raise InvalidOption(f"a loss of {order.max_loss:g} cannot be allowed", fix="give a share: --max-loss 0.5%")


def _replayed(before: Retune, order: Order) -> Order:
    """The order of a re-tune that is repeated, and never taken by itself. Raises `InvalidOption`."""
    return msgspec.structs.replace(
        before.order, promote="ask", trigger=f"replay {before.id}", replay=before.id, budget_s=order.budget_s
    )


def _data_of(store: Store, before: Retune) -> Path:
    """Where a re-tune has its data. Raises `InvalidOption` where they are not kept."""
    source = records.folder_of(store, before.name, before.id) / "data"
    if not source.is_dir():
        raise InvalidOption(
            f"the data of the re-tune {before.id} are not kept any more",
            why=f"they are kept of the last {records.KEPT_DATA}, and until they are forgotten",
            fix=f"re-tune again: `%deploy retune {before.name}`",
        )
    return source


def unasked(desired: Desired, trigger: str) -> Order:
    """The order of a re-tune that nobody asked for: what it finds is taken only where the deployment says so."""
    auto = desired.settings.get("retune_promote") == "auto"
    return Order(trigger=trigger, promote="auto" if auto else "ask")


def _said(progress: Progress) -> None:
    log.info("%s %s %s", progress.step, progress.state, progress.detail)
