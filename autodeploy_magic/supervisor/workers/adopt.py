"""Workers that outlived an earlier supervisor: found, verified, and their listening socket taken back."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from autodeploy_magic.contracts import Desired, Traffic, WorkerState, decode
from autodeploy_magic.errors import StoreFailed
from autodeploy_magic.serve.control import ask
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.records import Runtime
from autodeploy_magic.supervisor.workers.sockets import Listening
from autodeploy_magic.supervisor.workers.starting import Worker, control_socket, metrics_folder
from autodeploy_magic.supervisor.workers.watch import Ending, Watched, boot_id, create_time, is_same, watched

__all__ = ["Survivor", "adopted", "choose", "end", "last_runtime", "survivors"]

log = logging.getLogger(__name__)

ASK_S = 3.0
END_S = 5.0


@dataclass(frozen=True)
class Survivor:
    """A worker that still runs: who it is, and its listening sockets; None where it does not answer.

    `traffic` is None for a worker of a release that knew of no orders: it cannot be told to change.
    """

    state: WorkerState
    listening: Listening | None
    control: Path
    traffic: Traffic | None = None

    def serves(self, desired: Desired) -> bool:
        """Whether it serves what is desired, each version as it should be: a swap may have been broken off."""
        return (self.state.version, self.traffic) == (desired.version, desired.traffic)


def last_runtime(store: Store, name: str) -> Runtime | None:
    """The workers of a deployment that were last written down."""
    file = store.runtime_file(name)
    try:
        return decode(Runtime, file.read_bytes(), source=str(file))
    except FileNotFoundError:
        return None
    except StoreFailed as error:
        log.warning("%s", error)
        return None


def survivors(store: Store) -> dict[str, list[Survivor]]:
    """Every worker that still runs, by the deployment it belongs to.

    They are known by their control sockets, so that one is found though the disk was full when it should have been
    written down. One that was written down and does not answer there is found too; it cannot be taken over.
    """
    runtimes = [runtime for name in store.names() if (runtime := last_runtime(store, name)) is not None]
    folders = {store.runtime_dir, *(Path(runtime.control) for runtime in runtimes if runtime.control)}
    found: dict[str, list[Survivor]] = defaultdict(list)
    for folder in sorted(folders):
        for name, survivor in _in_folder(folder):
            found[name].append(survivor)
    answering = {survivor.state.pid for group in found.values() for survivor in group}
    for runtime in runtimes:
        for worker in runtime.workers:
            # Those of older generations are draining: they do not answer here, and end by themselves.
            deaf = worker.pid not in answering and worker.generation == runtime.generation
            if deaf and is_same(worker.pid, worker.create_time, worker.boot_id):
                found[runtime.name].append(Survivor(worker, None, Path(runtime.control)))
    return found


def choose(found: list[Survivor], version: int) -> int:
    """The generation that stays: the newest that serves the version that is wanted, else the newest."""
    wanted = [survivor.state.generation for survivor in found if survivor.state.version == version]
    return max(wanted or [survivor.state.generation for survivor in found])


def adopted(store: Store, name: str, survivor: Survivor) -> Worker:
    """The survivor as one of our workers. Not our child: how it will end is not told to us, only that it does."""
    process = watched(survivor.state.pid, survivor.state.container)
    ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
    # A task of its own: cancelled with this supervisor, it must not look as if the worker had ended.
    watching = asyncio.create_task(_watch(process, ended))
    ended.add_done_callback(lambda _: watching.cancel())  # and holds the task, which the loop does not
    pid = survivor.state.pid
    return Worker(
        process, ended, survivor.state, [control_socket(survivor.control, pid), metrics_folder(store, name) / str(pid)]
    )


def _in_folder(folder: Path) -> Iterator[tuple[str, Survivor]]:
    for path in sorted(folder.glob("worker-*.sock")):
        answer = ask(path, ASK_S)
        pid = int(path.stem.partition("-")[2])
        created = create_time(pid)
        if answer is None or created is None:
            if created is None:
                path.unlink(missing_ok=True)
            continue
        who, sockets = answer
        state = WorkerState(
            pid=pid,
            create_time=created,
            boot_id=boot_id(),
            generation=who["generation"],
            version=who["version"],
            ready=True,
            container=str(who.get("container", "")),
        )
        traffic = msgspec.convert(who.get("traffic"), Traffic | None)
        yield who["name"], Survivor(state, Listening(*sockets), folder, traffic)


async def end(store: Store, name: str, found: Sequence[Survivor]) -> None:
    """End workers that are not wanted any more, and wait until their port is free."""
    workers = [adopted(store, name, survivor) for survivor in found]
    for survivor in found:
        if survivor.listening is not None:
            survivor.listening.close()
    for worker in workers:
        log.warning("worker %d of %s is ended", worker.pid, name)
        worker.kill()
    if workers:
        await asyncio.wait([worker.ended for worker in workers], timeout=END_S)


async def _watch(process: Watched, ended: asyncio.Future[Ending]) -> None:
    await process.gone()
    process.close()
    ended.set_result(Ending(None))
