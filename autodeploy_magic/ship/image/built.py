"""An image that an engine builds: the base image found or pulled, our files copied onto it, through BentoML's API.

BentoML's back end says how its engine is asked (`get_backend(…).construct_build_args`); the engine's words are told as
they come. Podman and Buildah are given the time of all files, so that the same files are the same layers.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.image.base import is_path
from autodeploy_magic.ship.image.containerfile import containerfile
from autodeploy_magic.ship.image.context import Context
from autodeploy_magic.ship.image.engines import ENGINES, Chosen, ask, environment
from autodeploy_magic.ship.image.known import Known, inspect, nameless, remove, tag
from autodeploy_magic.ship.image.layers import TIME
from autodeploy_magic.ship.image.made import Made
from autodeploy_magic.ship.image.said import explained, is_contested
from autodeploy_magic.ship.image.stream import stream
from autodeploy_magic.ship.telling import Telling

__all__ = ["Base", "InEngine", "build", "find_base"]

_LOAD_S = 300.0
WRITTEN = "oci.tar"
"""What BuildKit writes by itself, beside the recipe."""
LOCAL = "-base:latest"
_LIKE_PODMAN = ("podman", "buildah")


@dataclass(frozen=True)
class Base:
    """An image to stand on, which the engine has. `name` is what it is called in labels, `local` what to build from."""

    name: str
    local: str
    digest: str = ""
    size_bytes: int = 0

    def forget(self, engine: str) -> None:
        """Take away the name that it was given for one build."""
        if self.local != self.name and self.local.endswith(LOCAL):
            remove(engine, self.local)


class InEngine:
    """Builds the lean image with an engine. The base image is had at once: before anything is staged.

    `archive` is where an engine that keeps no images writes it.
    """

    def __init__(
        self,
        chosen: Chosen,
        reference: str,
        job: str,
        base: str,
        platform: str,
        archive: Path,
        telling: Telling,
        ends: float,
    ) -> None:
        self._chosen = chosen
        self._archive = archive
        self._reference = reference
        self._base = find_base(chosen, base, job, platform, telling, ends)

    def make(self, context: Context, work: Path, telling: Telling, ends: float) -> Made:
        """Copy what was staged onto the base image. Raises `ShipFailed`."""
        base = self._base
        context = context.on(base.name, base.digest)
        file = work / "Containerfile"
        file.write_text(containerfile(context, base.local), "utf-8")
        try:
            known = build(self._chosen, context.root, file, self._reference, base, telling, ends)
        finally:
            base.forget(self._chosen.name)
        if known is None and (written := work / WRITTEN).is_file():
            self._archive.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.move(written, self._archive)
            return Made("", self._archive.stat().st_size, 0, base.name, archive=str(self._archive))
        if known is None:
            return Made("", 0, 0, base.name)
        return Made(known.digest, known.size_bytes, max(known.size_bytes - base.size_bytes, 0), base.name, known=known)

    def discard(self, made: Made) -> None:
        """Remove the image."""
        remove(self._chosen.name, self._reference)
        if made.archive:
            self._archive.unlink(missing_ok=True)


def find_base(chosen: Chosen, wanted: str, job: str, platform: str, telling: Telling, ends: float) -> Base:
    """The base image `wanted`, a reference or the path of an archive; loaded or pulled where the engine has it not.

    Raises `ShipFailed` with what is missing: the image, a login, a connection, space.
    """
    engine = chosen.name
    if is_path(wanted):
        name, source = Path(wanted).name, _load(chosen, Path(wanted))
    else:
        name = source = wanted
        if not _has(engine, wanted, platform):
            _pull(chosen, wanted, platform, telling, ends)
    known = inspect(engine, source)
    if known is None:
        if chosen.engine.lists:
            raise ShipFailed(
                f"there is no image {name} to build on",
                why=f"{engine} does not know it after it was fetched",
                fix="give another image with --base (AUTODEPLOY_IMAGE_BASE)",
            )
        return Base(name, source)  # one that keeps no images finds it while it builds
    if known.platform != "/" and not known.is_for(platform):
        raise ShipFailed(
            f"{name} is an image for {known.platform}, and one for {platform} is to be built",
            fix="give an image for it with --base, or leave --platform out",
        )
    local = source
    if engine in _LIKE_PODMAN:
        local = f"localhost/{job}{LOCAL}"  # what is left of a build that is killed is called after it
        if not tag(engine, source, local):
            local = source
    return Base(name, local, known.digest if known.digest != known.id else "", known.size_bytes)


def build(
    chosen: Chosen, context: Path, containerfile: Path, reference: str, base: Base, telling: Telling, ends: float
) -> Known | None:
    """Build `reference` of the folder `context`; what the engine then knows of it, None where it keeps no images.

    Raises `ShipFailed`, and leaves nothing that can be seen; an image of that name that was there before stays then.
    """
    import bentoml.container

    before = inspect(chosen.name, reference)
    backend = bentoml.container.get_backend(chosen.name)
    options = _options(chosen.name, reference, containerfile)
    # The one that is asked everything else: BentoML remembers where it found an engine first.
    words = [chosen.name if chosen.name in ENGINES else str(backend.binary), *backend.build_cmd]
    words += [str(word) for word in backend.construct_build_args(context_path=str(context), **options)]
    # What an engine that is killed leaves behind of its own goes with the folder that we work in.
    scratch = containerfile.parent / "tmp"
    scratch.mkdir(exist_ok=True)
    variables = {**backend.env, **environment(), **_variables(chosen.name), "TMPDIR": str(scratch)}
    try:
        for again in (True, False):
            code, output = stream(words, telling, timeout_s=max(ends - time.monotonic(), 1), env=variables, cwd=context)
            if not (code and again and is_contested(output)):
                break
            telling.line(f"{chosen.name} was disturbed by another of its commands: once more")
        if code:
            _take_back(chosen.name, reference, before)
            raise explained(chosen.name, output, f"{chosen.name} could not build {reference}", base=base.name)
        known = inspect(chosen.name, reference)
    except KeyboardInterrupt:
        _take_back(chosen.name, reference, before)
        raise
    if known is None and chosen.engine.lists:
        raise ShipFailed(
            f"{chosen.name} built {reference}, and does not have it",
            why="\n".join(output.splitlines()[-5:]),
            fix="`--engine` names another engine",
        )
    if before is not None and known is not None and before.id in nameless(chosen.name):
        remove(chosen.name, before.id)  # without its name nobody finds it any more
    return known


def _take_back(engine: str, reference: str, before: Known | None) -> None:
    """Have the name mean again what it meant `before`: the engine may have been through when it was broken off."""
    known = inspect(engine, reference)
    if known is None or (before is not None and before.id == known.id):
        return
    remove(engine, reference)
    if before is not None:
        tag(engine, before.id, reference)


def _options(engine: str, reference: str, containerfile: Path) -> dict[str, Any]:
    """What the engine is told, as BentoML's functions take it."""
    options: dict[str, Any] = {"file": str(containerfile), "tag": (reference,)}
    if engine in _LIKE_PODMAN:
        # Not the version's own time: two versions with the same packages have that layer in common.
        # Docker's form, since OCI's own has no place for HEALTHCHECK.
        more = {"timestamp": (str(TIME),), "format": ("docker",)}
        return {**options, **more, "layers": True, "pull_never": True, "force_rm": True}
    if engine == "buildctl":
        return {
            **options,
            "output": {"type": "oci", "name": reference, "dest": str(containerfile.with_name(WRITTEN))},
        }
    return options


def _variables(engine: str) -> dict[str, str]:
    """Docker without its plugin for BuildKit still builds in the older way, when it is told to."""
    found = {"SOURCE_DATE_EPOCH": str(TIME)}
    if engine == "docker":
        found["DOCKER_BUILDKIT"] = "1" if _has_buildx() else "0"
        found["BUILDKIT_PROGRESS"] = "plain"
    return found


def _has_buildx() -> bool:
    return ask("docker", "buildx", "version", timeout_s=20.0)[0] == 0


def _has(engine: str, reference: str, platform: str) -> bool:
    known = inspect(engine, reference)
    return known is not None and known.is_for(platform)


def _pull(chosen: Chosen, reference: str, platform: str, telling: Telling, ends: float) -> None:
    if not chosen.engine.lists:
        return
    words = [chosen.name, "pull", "--platform", platform, reference]
    left = max(ends - time.monotonic(), 1)
    code, output = stream(words, telling, timeout_s=left, env=environment())
    if code:
        raise explained(chosen.name, output, f"{chosen.name} could not pull {reference}", base=reference)


def _load(chosen: Chosen, file: Path) -> str:
    """Put an archive into the engine; the name or the id that it has there."""
    file = file.expanduser().absolute()
    if not file.is_file():
        raise ShipFailed(
            f"there is no archive {file}",
            why="it was given as the image to build on",
            fix="give the path of an OCI archive, or the name of an image, with --base (AUTODEPLOY_IMAGE_BASE)",
        )
    if chosen.name in _LIKE_PODMAN:
        output = errors = ""
        for kind in ("oci-archive", "docker-archive"):
            code, output, said = ask(chosen.name, "pull", "--quiet", f"{kind}:{file}", timeout_s=_LOAD_S)
            errors += said
            if code == 0:
                return output.split()[-1]
        raise explained(chosen.name, errors, f"{file.name} is not an image that {chosen.name} can load", base=file.name)
    if not chosen.engine.lists:
        raise ShipFailed(
            f"{chosen.name} cannot build on an archive",
            why="it takes images from registries alone",
            fix="use --engine podman, buildah or archive",
        )
    code, output, errors = ask(chosen.name, "load", "--input", str(file), timeout_s=_LOAD_S)
    if code or not output.strip():
        raise explained(chosen.name, errors, f"{file.name} is not an image that {chosen.name} can load", base=file.name)
    return output.strip().splitlines()[-1].rpartition(": ")[2]
