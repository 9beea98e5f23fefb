"""All deployments of a person: what is desired of each, made so; at the start, what an earlier supervisor left."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from autodeploy_magic.contracts import Desired, Progress, Report, Status, WorkerState
from autodeploy_magic.errors import AutodeployError, InvalidOption, StoreFailed, SupervisorFailed
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.store import Store, check_name
from autodeploy_magic.supervisor.deployment import Deployment, Images
from autodeploy_magic.supervisor.journal import Journal
from autodeploy_magic.supervisor.moves import Tuning, promoted, recovering, rolled_back, sloed, tuned
from autodeploy_magic.supervisor.traffic import TrafficChange, only_kept
from autodeploy_magic.supervisor.workers.adopt import Survivor, adopted, choose, end, last_runtime, survivors
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

__all__ = ["Deployments"]

log = logging.getLogger(__name__)


class Deployments:
    """The deployments by name. Changes of one are made one after the other, of several side by side."""

    def __init__(self, store: Store, zygotes: Zygotes, journal: Journal, images: Images) -> None:
        self._store = store
        self._images = images
        self._journal = journal
        self._zygotes = zygotes
        self._by_name: dict[str, Deployment] = {}
        self._resuming: set[asyncio.Task[None]] = set()

    @property
    def executables(self) -> set[str]:
        """The Pythons that running deployments may need a new worker from."""
        return {one.desired.executable for one in self._by_name.values() if one.running and one.desired is not None}

    @property
    def running(self) -> bool:
        return any(one.running for one in self._by_name.values())

    async def resume(self) -> None:
        """Take over what still serves, and start again, by and by, what should run and does not."""
        found = await asyncio.to_thread(survivors, self._store)
        for name in sorted({*self._store.names(), *found}):
            group = found.get(name, [])
            try:
                await self._resume_one(name, group)
            except AutodeployError as error:  # a damaged record is one deployment's trouble, not all others'
                log.warning("%s cannot be resumed: %s", name, error)
                self._deployment(name).problem = error.what
                await end(self._store, name, group)

    async def serve(self, desired: Desired, report: Report, *, fresh: bool = False) -> Status:
        """Start or swap to what is desired; see `Deployment.serve`."""
        return await self._deployment(check_name(desired.name)).serve(
            msgspec.structs.replace(desired, state="running"), report, fresh=fresh
        )

    async def steer(self, name: str, change: TrafficChange, report: Report) -> Status:
        """Change what versions besides the champion are given. Raises `UnknownDeployment`; see `Deployment.steer`."""
        return await self._known(name).steer(change, report)

    async def start(self, name: str, report: Report) -> Status:
        """Start a stopped deployment; one that runs is left alone. Raises `UnknownDeployment`."""
        one = self._known(name)
        if one.running and one.current is not None:
            return one.status()
        return await self.restart(name, report)

    async def restart(self, name: str, report: Report) -> Status:
        """Swap to new workers of the version that is desired. Raises `UnknownDeployment`."""
        return await self._known(name).change(
            lambda desired: msgspec.structs.replace(desired, state="running"), report, fresh=True
        )

    async def tune(self, name: str, tuning: Tuning, report: Report) -> Status:
        """Run the same version in another way. Raises `UnknownDeployment` or `InvalidOption`."""
        return await self._known(name).change(lambda desired: tuned(desired, tuning), report)

    async def end_worker(self, name: str, pid: int) -> None:
        """Kill one worker; another serves in its place when this returns. Raises as `Generation.replace` does."""
        current = self._known(name).current
        if current is None:
            raise InvalidOption(f"{name} does not run", fix=f"`%deploy start {name}`")
        await current.replace(pid)

    async def promise(self, name: str, slo: str) -> Status:
        """Have it promise another SLO line. Raises `UnknownDeployment` or `InvalidOption`."""
        return await self._known(name).choose(lambda desired: sloed(desired, slo))

    async def recover(self, name: str, mode: str) -> Status:
        """Choose what is done about its faults. Raises `UnknownDeployment` or `InvalidOption`."""
        return await self._known(name).choose(lambda desired: recovering(desired, mode))

    async def roll_back(self, name: str, version: int | None, report: Report) -> Status:
        """Serve an older version again. Raises `UnknownDeployment`, `UnknownVersion` or `InvalidOption`."""
        return await self._known(name).change(
            lambda desired: rolled_back(self._store, desired, version), report, kind="rolled_back"
        )

    async def promote(self, name: str, version: int | None, report: Report) -> Status:
        """Make another version the champion. Raises `UnknownDeployment`, `UnknownVersion` or `InvalidOption`."""
        return await self._known(name).change(
            lambda desired: promoted(self._store, desired, version), report, kind="promoted"
        )

    async def stop(self, name: str) -> Status:
        return await self._known(name).stop()

    async def remove(self, name: str) -> None:
        """End it and delete everything of it, a damaged one too. Raises `UnknownDeployment`."""
        one = self._deployment(name) if self._store.folder(name).is_dir() else self._known(name)
        await one.remove()

    def status(self, name: str) -> Status:
        return self._known(name).status()

    def desired(self, name: str) -> Desired:
        """What the person wants of it. Raises `UnknownDeployment`."""
        found = self._known(name).desired
        assert found is not None
        return found

    def statuses(self) -> list[Status]:
        """All deployments, by name, those included whose record cannot be read."""
        known = (one for _, one in sorted(self._by_name.items()))
        return [one.status() for one in known if one.desired is not None or one.problem]

    def observed(self) -> list[tuple[Desired, tuple[WorkerState, ...]]]:
        """The deployments that are to run, or have not stopped yet, with every worker that lives."""
        known = (one for _, one in sorted(self._by_name.items()))
        return [
            (one.desired, one.workers)
            for one in known
            if one.desired is not None and (one.desired.state == "running" or one.workers)
        ]

    def take_used(self, name: str) -> tuple[Resources, ...] | None:
        """See `Deployment.take_used`; None for a name that is not known."""
        one = self._by_name.get(name)
        return one.take_used() if one is not None else None

    async def stop_all(self) -> None:
        """Stop every deployment; none starts again by itself."""
        await asyncio.gather(*(one.stop() for one in self._by_name.values() if one.desired is not None))

    async def leave(self) -> None:
        """Let go of all; their workers serve on."""
        for task in self._resuming:
            task.cancel()
        await asyncio.gather(*self._resuming, return_exceptions=True)
        for one in self._by_name.values():
            await one.leave()

    async def _resume_one(self, name: str, found: list[Survivor]) -> None:
        one = self._deployment(name)
        desired = only_kept(self._store, self._store.desired(name))
        runtime = last_runtime(self._store, name)
        one.last_generation = max(
            [runtime.generation if runtime is not None else 0, *(survivor.state.generation for survivor in found)]
        )
        await end(self._store, name, [survivor for survivor in found if survivor.listening is None])
        self._adopt(one, desired, [survivor for survivor in found if survivor.listening is not None])
        one.desired = desired
        if desired.state == "running" and not self._is_served(one, desired, found):
            self._later(one, desired)

    def _is_served(self, one: Deployment, desired: Desired, found: list[Survivor]) -> bool:
        """Whether what was taken over is what is desired. A swap may have been broken off at any point."""
        current = one.current
        if current is None or one.listening is None or current.number != one.last_generation:
            return False
        kept = [survivor for survivor in found if survivor.state.generation == current.number]
        as_opened = (one.listening.grpc is not None) == desired.grpc
        return as_opened and all(survivor.serves(desired) for survivor in kept if survivor.listening is not None)

    def _adopt(self, one: Deployment, desired: Desired, found: list[Survivor]) -> None:
        keep = choose(found, desired.version) if found and desired.state == "running" else -1
        kept = [survivor for survivor in found if survivor.state.generation == keep]
        if kept:
            one.listening = kept[0].listening
            assert one.listening is not None
            wanted = any(survivor.state.version == desired.version for survivor in kept)
            version = desired.version if wanted else kept[0].state.version
            generation = one.generation(one.launch(desired, one.listening, keep, version))
            generation.adopt([adopted(self._store, one.name, survivor) for survivor in kept])
            one.current = generation
            self._warm(desired.executable)
            log.info("%s: took over workers %s", one.name, [survivor.state.pid for survivor in kept])
        for survivor in found:
            if survivor.listening is not None and survivor.listening is not one.listening:
                survivor.listening.close()
            if survivor not in kept:
                adopted(self._store, one.name, survivor).drain()
        if found:
            one.note_change()

    def _warm(self, executable: str) -> None:
        """Be ready to replace a worker at once. What serves is not touched where that Python is gone by now."""
        try:
            self._zygotes.get(executable)
        except SupervisorFailed as error:
            log.warning("%s", error)

    def _later(self, one: Deployment, desired: Desired) -> None:
        one.catching_up = True
        task = asyncio.create_task(_again(one, desired))
        self._resuming.add(task)
        task.add_done_callback(self._resuming.discard)

    def _deployment(self, name: str) -> Deployment:
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = Deployment(
                self._store, self._zygotes, name, self._ports, self._journal, self._images
            )
        return found

    def _known(self, name: str) -> Deployment:
        found = self._by_name.get(name)
        if found is None or found.desired is None:
            self._store.desired(name)  # raises, with the nearest name
            raise StoreFailed(
                f"{name} could not be taken over",
                why=found.problem if found is not None else "its record appeared after the supervisor started",
                fix=f"deploy it again, or remove it with `%deploy rm {name}`",
            )
        return found

    def _ports(self) -> set[int]:
        """Ports that belong to a deployment, stopped ones included."""
        wanted = [one.desired for one in self._by_name.values() if one.desired is not None]
        return {port for desired in wanted for port in (desired.port, desired.grpc_port)}


async def _again(one: Deployment, desired: Desired) -> None:
    def report(progress: Progress) -> None:
        log.info("%s: %s %s %s", one.name, progress.step, progress.state, progress.detail)

    try:
        await one.serve(desired, report, fresh=True)
    except AutodeployError as error:
        log.warning("%s could not be started again: %s", one.name, error)
        one.problem = error.what
    finally:
        one.catching_up = False
