"""Out of the notebook: images and files of a version, made by jobs whose log is told while it is written."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.contracts import Desired, Progress, Report, Version
from autodeploy_magic.errors import InvalidOption, ShipCancelled, ShipFailed
from autodeploy_magic.ship.kept import image_of, keep_image
from autodeploy_magic.ship.telling import read
from autodeploy_magic.shipping import Cancelled, Image, Offer, Shipment, Shipped, Wanted
from autodeploy_magic.store import Store, write_atomic
from autodeploy_magic.supervisor.jobs import Interrupted, Job, run_job
from autodeploy_magic.supervisor.journal import Journal
from autodeploy_magic.supervisor.workers.containers import RUNS, is_there, runner
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

__all__ = ["Shipping"]

_OFFER_S = 60.0
_LOOK_S = 0.25
_TIDY_S = 15.0
"""How long a job that is ended early may take to remove what it made, before it is killed."""
_MOST_BYTES = 64 * 1024
"""Of a log that are told at once, and so the longest line."""


class Shipping:
    """Makes images and ships versions. What is made for a deployment is made one at a time."""

    def __init__(self, store: Store, zygotes: Zygotes, journal: Journal) -> None:
        self._store = store
        self._zygotes = zygotes
        self._journal = journal
        self._busy: dict[str, _Work] = {}

    async def containerize(self, desired: Desired, wanted: Wanted, report: Report) -> Image:
        """Build an image of the version that is desired, prove it and remember it.

        Raises `InvalidOption` or `ShipFailed`, `ShipCancelled` where somebody did that; then nothing is left of it.
        """
        return await self._image(desired, self._store.version(desired.name, desired.version), wanted, report)

    async def cancel(self, name: str) -> Cancelled:
        """End what is made for a deployment, and return once nothing is left of it and the next can begin.

        Raises `InvalidOption` where nothing is, or it was through before it could be ended.
        """
        work = self._busy.get(name)
        if work is None:
            raise InvalidOption(
                f"nothing of {name} is being built or shipped",
                why="it has ended, or was never begun",
                fix=f"`%deploy status {name}` tells how it is; `%deploy containerize {name}` builds an image",
            )
        work.stop.set()
        await work.ended.wait()
        if not work.cancelled:
            raise InvalidOption(
                f"{work.title} ended before it could be cancelled",
                why="it was through by then, or failed by itself; whoever asked for it was told which",
                fix="an image that it built can be removed with the engine, a folder be deleted",
            )
        return Cancelled(deployment=name, title=work.title, after_s=work.after_s)

    async def forget(self, name: str) -> None:
        """A deployment is removed: nothing of it goes on."""
        work = self._busy.get(name)
        if work is not None:
            work.stop.set()
            await work.ended.wait()

    async def image_for(self, desired: Desired, report: Report) -> Image:
        """The image that runs the version that is desired, built where there is none.

        Raises `InvalidOption` where no engine here runs containers, and `ShipFailed`.
        """
        engine = await asyncio.to_thread(runner)
        version = self._store.version(desired.name, desired.version)
        found = image_of(self._store, desired.name, version.number, RUNS)
        if found is not None and await asyncio.to_thread(is_there, found):
            return found
        return await self._image(desired, version, Wanted(engine=engine), report)

    async def _image(self, desired: Desired, version: Version, wanted: Wanted, report: Report) -> Image:
        name = desired.name
        with self._alone(name, f"containerize {name}", f"`%deploy containerize {name}` builds it anew") as work:
            folder = self._store.folder(name)
            record = self._store.version_folder(name, version.number)
            async with self._place(name, report) as place:
                result = await self._run(
                    work,
                    Job(
                        executable=desired.executable,
                        target="autodeploy_magic.ship.image.build:run",
                        spec={
                            "name": name,
                            "version": version.number,
                            "grpc": desired.grpc,
                            "model": str(folder / version.model_path if version.model_path else record),
                            "record": str(record),
                            "bento": version.bento,
                            "bentoml_home": str(self._store.bentoml_home(name)),
                            "wanted": msgspec.to_builtins(
                                msgspec.structs.replace(wanted, folder=wanted.folder or str(folder / "images"))
                            ),
                            "settings": settings.of_workers(desired.settings),
                            "work": str(place.scratch),
                            "log": str(place.log),
                            "timeout_s": float(settings.get("image_timeout_s")),
                        },
                        env={"BENTOML_HOME": str(self._store.bentoml_home(name)), "BENTOML_DO_NOT_TRACK": "true"},
                        timeout_s=float(settings.get("image_timeout_s")),
                        tidy_s=_TIDY_S,
                    ),
                )
            image = msgspec.convert(result, Image)
            keep_image(self._store, image)
            self._journal.note(name, "shipped", f"image {image.archive or image.name}", version=version.number)
            return image

    async def offer(self, desired: Desired) -> Offer:
        """Where the version that is desired can go, as its own Python knows: a package there may bring a target."""
        job = Job(
            executable=desired.executable,
            target="autodeploy_magic.ship.offer:run",
            spec={"home": str(self._store.home), "name": desired.name},
            timeout_s=_OFFER_S,
        )
        return msgspec.convert(await run_job(self._zygotes, job), Offer)

    async def ship(self, desired: Desired, order: Shipment, report: Report) -> Shipped:
        """Do what `order` says with the version that is desired.

        Raises `InvalidOption` or `ShipFailed`, `ShipCancelled` where somebody did that.
        """
        name = desired.name
        again = f"`%deploy ship {name} {order.target}` begins anew"
        with self._alone(name, f"ship {name}", again) as work:
            async with self._place(name, report) as place:
                result = await self._run(
                    work,
                    Job(
                        executable=desired.executable,
                        target="autodeploy_magic.ship.write:run",
                        spec={
                            "home": str(self._store.home),
                            "name": name,
                            "order": msgspec.to_builtins(order),
                            "log": str(place.log),
                        },
                        timeout_s=float(settings.get("image_timeout_s")),
                        tidy_s=_TIDY_S,
                    ),
                )
            shipped = msgspec.convert(result, Shipped)
            text = f"{order.target} {shipped.url or shipped.folder}".strip()
            self._journal.note(name, "shipped", text, version=shipped.version)
            return shipped

    async def _run(self, work: _Work, job: Job) -> dict[str, Any]:
        """Run its job. Raises `ShipCancelled` where it was ended as somebody asked."""
        try:
            return await run_job(self._zygotes, job, work.stop)
        except Interrupted:
            work.cancelled = True
            raise ShipCancelled(
                f"{work.title} was cancelled",
                why=f"somebody asked for it after {work.after_s:.1f} s; nothing is left of it",
                fix=work.again,
            ) from None

    @contextlib.contextmanager
    def _alone(self, name: str, title: str, again: str) -> Iterator[_Work]:
        """One at a time. Raises `ShipFailed` for the second."""
        under_way = self._busy.get(name)
        if under_way is not None:
            raise ShipFailed(
                f"{name} is being shipped already",
                why=f"{under_way.title} began {under_way.after_s:.0f} s ago, and one is made at a time",
                fix=f"wait for it, or end it: `%deploy containerize {name} --cancel`",
            )
        work = self._busy[name] = _Work(title, again)
        try:
            yield work
        finally:
            del self._busy[name]
            work.ended.set()

    @asynccontextmanager
    async def _place(self, name: str, report: Report) -> AsyncIterator[_Place]:
        """Where a job works, and what it logs, told as it comes. The scratch is removed afterwards."""
        staging = self._store.folder(name) / "staging"
        scratch = staging / f"ship-{secrets.token_hex(4)}"
        await asyncio.to_thread(scratch.mkdir, mode=0o700, parents=True)
        place = _Place(scratch, self._store.log_file(name).with_name("ship.log"))
        write_atomic(place.log, b"")
        following = asyncio.create_task(place.follow(report))
        try:
            yield place
        finally:
            following.cancel()
            place.tell(report)
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
            with contextlib.suppress(OSError):  # a build is under way there
                staging.rmdir()


class _Work:
    """One thing that is under way. `stop` is set to end it early, `ended` once nothing of it is under way any more."""

    def __init__(self, title: str, again: str) -> None:
        self.title = title
        self.again = again
        self.stop = asyncio.Event()
        self.ended = asyncio.Event()
        self.cancelled = False
        self._began = time.monotonic()

    @property
    def after_s(self) -> float:
        return time.monotonic() - self._began


class _Place:
    """A job's scratch folder and its log, which is told from where it was read up to."""

    def __init__(self, scratch: Path, log_file: Path) -> None:
        self.scratch = scratch
        self.log = log_file
        self._read = 0
        self._step = Progress(step="image", state="started")

    async def follow(self, report: Report) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self.tell(report)

    def tell(self, report: Report) -> None:
        """Tell what was added since the last time, in whole lines: steps, and lines of the step that is under way."""
        with contextlib.suppress(OSError), self.log.open("rb") as stream:
            stream.seek(self._read)
            while data := stream.read(_MOST_BYTES):
                whole = data[: data.rfind(b"\n") + 1]
                if not whole:
                    break  # a line that is being written
                self._read += len(whole)
                stream.seek(self._read)
                steps, lines = read(whole)
                for step in steps:
                    self._step = step
                    report(step)
                if lines:
                    report(msgspec.structs.replace(self._step, lines=tuple(lines)))
