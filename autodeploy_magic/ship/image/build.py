"""An image of a version, from what is asked to what was proved: the whole job, in a process of its own.

    choose an engine → check → stage → build, or write an archive → verify

What is checked comes before any work: that the engine works, that the name can be one, that the base image is here or
can be had, that there is space. Whatever fails or is broken off later leaves no image, no container and no half file;
what a killed build has left in an engine, the next one of the same deployment removes.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.build.clean import SubprocessRunner
from autodeploy_magic.build.code_secrets import secret_names
from autodeploy_magic.contracts import Version, decode
from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.image.archived import AsArchive
from autodeploy_magic.ship.image.base import default_base
from autodeploy_magic.ship.image.built import InEngine
from autodeploy_magic.ship.image.context import Context, python_of, stage
from autodeploy_magic.ship.image.engines import ARCHIVE, Chosen, choose
from autodeploy_magic.ship.image.installing import check_platform, here
from autodeploy_magic.ship.image.known import clear, sweep
from autodeploy_magic.ship.image.made import Made
from autodeploy_magic.ship.image.room import installed_bytes, need_space, tree_bytes
from autodeploy_magic.ship.image.run import shown
from autodeploy_magic.ship.image.verify import CannotStart, Proof, Subject, outside, started
from autodeploy_magic.ship.telling import Telling
from autodeploy_magic.ship.text import check_reference
from autodeploy_magic.shipping import Flavour, Image, Wanted
from autodeploy_magic.store import now

__all__ = ["Job", "run"]

_SPACE_BYTES = 512 * 2**20
"""What a lean image of a small model takes while it is built: staged, stored, and once more in between."""
_COPIES = 2
"""So many times an engine holds what was staged: as it takes it in, and in its store."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to build. `model` is the folder that a worker loads, `record` the one with all rows that verified it.

    `settings` are what the deployment's workers are given. `work` is an empty folder that is removed afterwards, `log`
    the file that is told how it goes (`ship.telling`).
    """

    name: str
    version: int
    model: str
    record: str
    bento: str = ""
    bentoml_home: str = ""
    wanted: Wanted = Wanted()
    settings: dict[str, bool | float | int | str] = {}
    grpc: bool = False
    work: str
    log: str = ""
    timeout_s: float = 1800.0

    @property
    def key(self) -> str:
        """What its containers are called, and no other's: not those of another person's deployment of that name."""
        owner = hashlib.sha256(self.bentoml_home.encode()).hexdigest()[:10]
        return f"autodeploy-{self.name}-{owner}"

    @property
    def platform(self) -> str:
        """What the image is to run on: what this machine is, unless somebody said otherwise. Raises `InvalidOption`."""
        return check_platform(self.wanted.platform or here() or "linux/amd64")

    @property
    def reference(self) -> str:
        """What the image is called. Raises `InvalidOption` for what cannot name one."""
        name = check_reference(self.wanted.tag or f"{self.name}:v{self.version}")
        if "@" in name:
            raise InvalidOption(
                f"{name!r} cannot name an image that is to be built",
                why="its digest is known when it has been built",
                fix=f"leave the digest out: {name.partition('@')[0]}",
            )
        return name


class Way(Protocol):
    """How an image is made of what was staged."""

    def make(self, context: Context, work: Path, telling: Telling, ends: float) -> Made:
        """Make it. Raises `ShipFailed` or `DiskFull`, and leaves nothing."""

    def discard(self, made: Made) -> None:
        """Take away what was made: it did not answer as it should."""


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Build, prove and describe an image; `spec` is a `Job`, the answer a `shipping.Image`, both as JSON values.

    Raises `InvalidOption`, `ShipFailed` or `DiskFull`; then nothing is left of it.
    """
    job = msgspec.convert(spec, Job)
    telling, began = Telling(job.log), time.monotonic()
    ends = began + job.timeout_s
    with telling.step("stage"):
        version = decode(Version, (Path(job.model) / "version.json").read_bytes(), source=job.model)
        chosen = choose(job.wanted.engine or str(settings.get("image_engine")))
        flavour: Flavour = job.wanted.flavour or "lean"
        telling.line(f"{job.reference}: {flavour} for {job.platform}, with {chosen.name}")
        with _nothing_left(chosen, job):
            way = _checked(job, version, chosen, flavour, telling, ends)
            context = _staged(job, version, flavour, telling)
            need_space(chosen.store or Path(job.work), _COPIES * tree_bytes(context.root))
    made: Made | None = None
    try:
        with _nothing_left(chosen, job), telling.step("build"):
            made = way.make(context, Path(job.work), telling, ends)
        with telling.step("verify"):
            proof = _proved(job, version, chosen, context, made, telling, ends)
        return _described(job, version, chosen, flavour, context, made, proof, began)
    except BaseException:
        if made is not None:
            way.discard(made)
        raise


def _described(
    job: Job,
    version: Version,
    chosen: Chosen,
    flavour: Flavour,
    context: Context,
    made: Made,
    proof: Proof,
    began: float,
) -> dict[str, Any]:
    """What is known of an image that was proved: a `shipping.Image`, as JSON values."""
    image = Image(
        deployment=job.name,
        version=version.number,
        version_digest=version.digest,
        name=job.reference,
        flavour=flavour,
        engine="" if made.archive else chosen.name,
        digest=made.digest,
        archive=made.archive,
        base=made.base,
        content=context.content,
        size_bytes=made.size_bytes,
        added_bytes=made.added_bytes,
        checked=proof.checked,
        rows=proof.rows,
        ready_s=proof.ready_s,
        rss_bytes=proof.rss_bytes,
        build_s=round(time.monotonic() - began, 3),
        created_at=now(),
        notes=(*chosen.notes, *context.notes, *made.notes, *proof.notes),
        run=shown(chosen.name if chosen.engine.starts else "podman", job.reference, made.archive),
    )
    answer: dict[str, Any] = msgspec.to_builtins(image)
    return answer


@contextlib.contextmanager
def _nothing_left(chosen: Chosen, job: Job) -> Iterator[None]:
    """Whatever breaks a build off, no container of it and no image that it had for a while stays in the engine."""
    try:
        yield
    except BaseException:
        clear(chosen.name, job.key)
        raise


def _checked(job: Job, version: Version, chosen: Chosen, flavour: Flavour, telling: Telling, ends: float) -> Way:
    """How the image will be made, once all is known to be there. Raises `ShipFailed` or `InvalidOption`."""
    reference, python = job.reference, python_of(version)
    sweep(chosen.name, job.key)
    for place in {Path(job.work), chosen.store or Path(job.work)}:
        need_space(place, _SPACE_BYTES + 3 * version.size_bytes)
    base = job.wanted.base or str(settings.get("image_base")) or default_base(python)
    if flavour == "bento":
        from autodeploy_magic.ship.image.bento import OfBento

        need_space(chosen.store or Path(job.work), _COPIES * installed_bytes(version.environment.requirements))
        home = Path(job.bentoml_home)
        return OfBento(chosen, reference, job.key, base, job.platform, version, home, telling, ends)
    if chosen.name == ARCHIVE:
        return AsArchive(reference, base, _archive(job), python=python, platform=job.platform)
    return InEngine(chosen, reference, job.key, base, job.platform, _archive(job), telling, ends)


def _archive(job: Job) -> Path:
    """Where an archive is written: where somebody said, or beside what else is kept of the deployment."""
    folder = Path(job.wanted.folder) if job.wanted.folder else Path(job.bentoml_home).parent / "images"
    return folder / f"{job.name}-v{job.version}.oci.tar"


def _staged(job: Job, version: Version, flavour: Flavour, telling: Telling) -> Context:
    """Lay the image out, without what looks like a secret. Raises `ShipFailed` or `DiskFull`."""
    secret = sorted(secret_names({name: str(value) for name, value in job.settings.items()}))
    kept = {name: value for name, value in job.settings.items() if name not in secret}
    folder = Path(job.work) / "context"
    if flavour == "bento":
        from autodeploy_magic.ship.image.bento import stage_bento

        context = stage_bento(version, folder, kept, job.platform)
    else:
        context = stage(
            version,
            Path(job.model),
            folder,
            runner=SubprocessRunner(own_session=False),
            record=Path(job.record),
            platform=job.platform,
            settings=kept,
            grpc=job.grpc,
            tell=telling.line,
        )
    if not secret:
        return context
    note = f"left out, since an image holds no secret: {', '.join(secret)}; set it where the image runs"
    return replace(context, notes=(*context.notes, note))


def _proved(
    job: Job, version: Version, chosen: Chosen, context: Context, made: Made, telling: Telling, ends: float
) -> Proof:
    """Start it here, or have its files answer outside of it where nothing here can. Raises `ShipFailed`."""
    subject = Subject(version, Path(job.record), Path(job.model))
    left = max(min(ends - time.monotonic(), float(settings.get("build_timeout_s"))), 1.0)  # as any step that answers
    why = "no engine was to start it" if made.archive else f"{chosen.name} does not start containers"
    if made.known is not None:
        try:
            return started(chosen, job.reference, made.known, subject, job.key, telling, timeout_s=left)
        except CannotStart as error:
            why = str(error)
            telling.line(f"no container can be started here: {why}")
    if not (context.root / "app" / "packages").is_dir():
        raise ShipFailed(
            f"{job.reference} cannot be proved on this machine",
            why=f"BentoML's own image has to be started for that, and {why}",
            fix="build it where containers can be started, or use --flavour lean",
        )
    if job.platform != here() or context.python != f"{sys.version_info.major}.{sys.version_info.minor}":
        raise ShipFailed(
            f"{job.reference} cannot be proved on this machine",
            why=f"it is for {job.platform} and Python {context.python}; {why}",
            fix="build it where it can be started: an engine on such a machine, or one that emulates it",
        )
    return outside(context.root, subject, Path(job.work), telling, why=why, timeout_s=left, env=context.env)
