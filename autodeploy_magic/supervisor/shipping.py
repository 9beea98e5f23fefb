"""Out of the notebook: images and files of a version, made by jobs whose log is told while it is written."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.contracts import Desired, Progress, Report, Version
from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.kept import image_of, keep_image
from autodeploy_magic.ship.telling import read
from autodeploy_magic.shipping import Image, Shipment, Shipped, Wanted
from autodeploy_magic.store import Store, write_atomic
from autodeploy_magic.supervisor.containers import is_there, runner
from autodeploy_magic.supervisor.jobs import Job, run_job
from autodeploy_magic.supervisor.journal import Journal
from autodeploy_magic.supervisor.zygotes import Zygotes

__all__ = ["Shipping"]

_LOOK_S = 0.25
_MOST_BYTES = 64 * 1024
"""Of a log that are told at once, and so the longest line."""


class Shipping:
    """Makes images and ships versions. What is made for a deployment is made one at a time."""

    def __init__(self, store: Store, zygotes: Zygotes, journal: Journal) -> None:
        self._store = store
        self._zygotes = zygotes
        self._journal = journal
        self._busy: set[str] = set()

    async def containerize(self, desired: Desired, wanted: Wanted, report: Report) -> Image:
        """Build an image of the version that is desired, prove it and remember it.

        Raises `InvalidOption` or `ShipFailed`; then nothing is left of it.
        """
        return await self._image(desired, self._store.version(desired.name, desired.version), wanted, report)

    async def image_for(self, desired: Desired, report: Report) -> Image:
        """The image that runs the version that is desired, built where there is none.

        Raises `InvalidOption` where no engine here runs containers, and `ShipFailed`.
        """
        engine = await asyncio.to_thread(runner)
        version = self._store.version(desired.name, desired.version)
        found = image_of(self._store, desired.name, version.number)
        if found is not None and await asyncio.to_thread(is_there, found):
            return found
        return await self._image(desired, version, Wanted(engine=engine), report)

    async def _image(self, desired: Desired, version: Version, wanted: Wanted, report: Report) -> Image:
        name = desired.name
        with self._alone(name, "an image"):
            folder = self._store.folder(name)
            record = self._store.version_folder(name, version.number)
            async with self._place(name, report) as place:
                result = await run_job(
                    self._zygotes,
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
                    ),
                )
            image = msgspec.convert(result, Image)
            keep_image(self._store, image)
            self._journal.note(name, "shipped", f"image {image.archive or image.name}", version=version.number)
            return image

    async def ship(self, desired: Desired, order: Shipment, report: Report) -> Shipped:
        """Do what `order` says with the version that is desired. Raises `InvalidOption` or `ShipFailed`."""
        name = desired.name
        with self._alone(name, order.target):
            async with self._place(name, report) as place:
                result = await run_job(
                    self._zygotes,
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
                    ),
                )
            shipped = msgspec.convert(result, Shipped)
            text = f"{order.target} {shipped.url or shipped.folder}".strip()
            self._journal.note(name, "shipped", text, version=shipped.version)
            return shipped

    @contextlib.contextmanager
    def _alone(self, name: str, what: str) -> Iterator[None]:
        """One at a time. Raises `ShipFailed` for the second."""
        if name in self._busy:
            raise ShipFailed(
                f"{name} is being shipped already", why=f"{what} is made when that has ended", fix="wait for it"
            )
        self._busy.add(name)
        try:
            yield
        finally:
            self._busy.discard(name)

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
