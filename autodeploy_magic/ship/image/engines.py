"""The container engines of this machine: which there are, what each can do, and whether it works now.

They are driven through BentoML's public container API (`bentoml.container`), which knows how each is asked to build,
and to which others can be added with `bentoml.container.register_backend`. That one is installed says little: its
daemon may not run, or not be ours to use. So each is asked something that only an engine that works can answer.

"archive" is no engine: an OCI archive is written, for which none is needed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from autodeploy_magic.errors import AutodeployError, ShipFailed
from autodeploy_magic.ship.image.said import explained

__all__ = [
    "ARCHIVE",
    "ENGINES",
    "Chosen",
    "Engine",
    "Health",
    "answers",
    "ask",
    "choose",
    "engine_for",
    "engines",
    "health",
]

ARCHIVE = "archive"
_ANSWERS_S = 30.0
"""How long an engine may take to say how it is: the first call of a rootless one sets much up."""
_PODMAN = ("using podman", "*define.Info")
"""What Podman says where it is called docker: of itself, or of what only Docker knows."""
_UNKNOWN = "<no value>"
"""What Go's templates put in the place of what the engine does not know."""
_VFS = (
    '{engine} keeps images with the driver vfs, which copies all files for each layer: `driver = "overlay"` below'
    " `[storage]` in ~/.config/containers/storage.conf is faster and takes less space (its images are made anew then)"
)


@dataclass(frozen=True)
class Engine:
    """What an engine can do besides building. `ask` is answered only where it works.

    `starts` says that it runs containers; `steps_in` that it runs a command in the files of an image and no more.
    `loads` says that it takes an OCI archive into its images. `stores` says that the first line that answers `ask` is
    the folder that its images are in; the second is the driver that keeps them, the third the engine's version.
    `least` is the first version that knows all that it is asked. `where` are the variables that say where its daemon
    is.
    """

    name: str
    ask: tuple[str, ...]
    starts: bool = False
    steps_in: bool = False
    loads: bool = False
    stores: bool = False
    least: tuple[int, ...] = ()
    where: tuple[str, ...] = ()

    @property
    def lists(self) -> bool:
        """Whether it keeps images that can be asked for."""
        return self.starts or self.steps_in


ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine(
            "docker",
            ("info", "--format", "{{.DockerRootDir}}\n{{.Driver}}\n{{.ServerVersion}}"),
            starts=True,
            stores=True,
            least=(18, 9),
            where=("DOCKER_HOST", "DOCKER_CONTEXT"),
        ),
        Engine(
            "podman",
            ("info", "--format", "{{.Store.GraphRoot}}\n{{.Store.GraphDriverName}}\n{{.Version.Version}}"),
            starts=True,
            loads=True,
            stores=True,
            least=(3, 0),
            where=("CONTAINER_HOST", "CONTAINER_CONNECTION"),
        ),
        Engine("nerdctl", ("info", "--format", "{{.ServerVersion}}"), starts=True, loads=True),
        Engine(
            "buildah",
            ("info", "--format", "{{.store.GraphRoot}}\n{{.store.GraphDriverName}}"),
            steps_in=True,
            loads=True,
            stores=True,
        ),
        Engine("buildctl", ("debug", "workers")),
    )
}
"""What builds images, in the order in which one is chosen."""


@dataclass(frozen=True)
class Chosen:
    """What an image is built with: an engine that works, or "archive". `store` is where the engine's images are.

    `notes` say why it was not another one.
    """

    name: str
    store: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def engine(self) -> Engine:
        """What it can do. One that somebody registered with BentoML is known to build, and nothing else."""
        return ENGINES.get(self.name) or Engine(self.name, ())


@dataclass(frozen=True)
class Health:
    """What an engine that works says of itself: where its images are, None where it does not tell; `notes` on it."""

    store: Path | None = None
    notes: tuple[str, ...] = ()


def engines() -> tuple[str, ...]:
    """The engines that are installed. Starts nothing, and imports nothing."""
    return tuple(name for name in ENGINES if shutil.which(name))


def engine_for(wanted: str | None) -> str:
    """The name of what to build with; see `choose`."""
    return choose(wanted or "").name


def choose(wanted: str = "") -> Chosen:
    """What to build with: what is wanted, else the first that works; "archive" where no engine is installed at all.

    Raises `ShipFailed` where what is wanted does not work, or nothing that is installed does.
    """
    if wanted == ARCHIVE:
        return Chosen(ARCHIVE)
    if wanted:
        well = health(wanted)
        return Chosen(wanted, well.store, well.notes)
    found = engines()
    if not found:
        note = f"no container engine is installed (looked for {', '.join(ENGINES)}), so an OCI archive was written;"
        note += " install one, such as Podman (`apt install podman`), to start the image here"
        return Chosen(ARCHIVE, notes=(note,))
    problems: list[ShipFailed] = []
    for name in found:
        try:
            well = health(name)
            passed_over = tuple(f"{error.what}; {name} was used" for error in problems)
            return Chosen(name, well.store, (*passed_over, *well.notes))
        except ShipFailed as error:
            error.details["engine"] = name
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    raise ShipFailed(
        f"none of the container engines that are installed works: {', '.join(found)}",
        why="\n".join(f"{error.details['engine']}: {error.what} ({error.why})" for error in problems),
        fix="\n".join(f"{error.details['engine']}: {error.fix}" for error in problems),
    )


def health(name: str) -> Health:
    """What an engine says of itself that works. Raises `ShipFailed` for any other."""
    if name not in ENGINES:
        _registered(name)
        return Health()
    found = answers(name)
    _trust_bentoml(name)
    return found


def answers(name: str, *, archive: bool = True) -> Health:
    """What one of `ENGINES` says of itself. Raises `ShipFailed` where it is missing, does not work, or is too old.

    `archive` says that an OCI archive would do as well as what it is asked for. Builds nothing, and asks no BentoML.
    """
    engine = ENGINES[name]
    instead = f"; or --engine {ARCHIVE}, which needs no engine" if archive else ""
    if not shutil.which(name):
        others = engines()
        raise ShipFailed(
            f"{name} is not installed",
            why="it is not on the PATH of the background process",
            fix=(f"use {others[0]}, or install {name}" if others else f"install {name}") + instead,
            kind="missing",
        )
    code, output, errors = ask(name, *engine.ask, timeout_s=_ANSWERS_S)
    if name == "docker" and any(word in errors for word in _PODMAN):
        raise ShipFailed(
            "docker is Podman by another name here",
            why=errors.strip(),
            fix=f"use podman, by that name{instead}",
            kind="podman",
        )
    if code:
        at = next((f"{one}={_shown(os.environ[one])}" for one in engine.where if os.environ.get(one)), "")
        error = explained(name, errors or output, f"{name} is installed and does not answer", at=at, archive=archive)
        if not error.details["kind"]:
            error.fix = f"`{name} {engine.ask[0]}` in a terminal says more{instead}"
        raise error
    lines = [*output.strip().splitlines(), "", "", ""]
    folder, driver, version = (lines[0] if engine.stores else ""), lines[1].strip(), lines[2].strip()
    number = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if _UNKNOWN in output or (number and number < engine.least):
        least = ".".join(str(part) for part in engine.least)
        raise ShipFailed(
            f"{name} is too old" + (f": {version}" if number else ""),
            why=f"what it is asked to do needs {least} or newer" if least else "it does not know what it is asked",
            fix=f"update {name}, or use another engine{instead}",
            kind="old",
        )
    store = Path(folder) if folder else None
    notes = (_VFS.format(engine=name),) if driver == "vfs" and name != "docker" else ()
    return Health(store if store is not None and store.is_dir() else None, notes)


def ask(name: str, *words: str, timeout_s: float, stdin: bytes = b"") -> tuple[int, str, str]:
    """Run an engine's command and return its exit code, its output and what it said of errors.

    One that takes longer is ended: its code is 124. Nothing of it outlives the call.
    """
    piped = subprocess.PIPE
    try:
        process = subprocess.Popen([name, *words], stdin=piped, stdout=piped, stderr=piped, env=environment())
    except OSError as error:
        return 126, "", f"{name} could not be started: {error}"
    with process:
        try:
            output, errors = process.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            _end(process)
            said = (error.stderr or b"").decode("utf-8", "replace")
            return 124, "", f"{said}\n`{name} {words[0]}` did not answer within {timeout_s:g} s"
        except BaseException:
            _end(process)
            raise
    return process.returncode, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill an engine's command with what it has started: it may be a script around the engine."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
    process.kill()


def _shown(address: str) -> str:
    """Where a daemon is, without what is a secret of the address."""
    return re.sub(r"(?<=://)[^/\s@]*:[^/\s@]*(?=@)", "***", address)


def environment() -> dict[str, str]:
    """What an engine is run with: ours, less what is a secret of this package's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AUTODEPLOY_TOKEN")}


def _trust_bentoml(name: str) -> None:
    """Ask BentoML, too: it may want a newer one, or a part that is missing. Raises `ShipFailed`."""
    import bentoml.container

    try:
        healthy = bool(bentoml.container.health(name))
    except (subprocess.SubprocessError, OSError, AssertionError, ValueError) as error:
        raise ShipFailed(
            f"BentoML cannot build with {name}",
            why=f"{type(error).__name__}: {error}",
            fix=f"`{name} version` in a terminal says more; or use --engine {ARCHIVE}",
        ) from error
    if not healthy:
        raise ShipFailed(
            f"BentoML cannot build with {name}",
            why="a part of it is missing, or it is too old"
            + (": buildkitd" if name in ("nerdctl", "buildctl") else ""),
            fix=f"`bentoml containerize --backend {name}` in a terminal says which; or use --engine {ARCHIVE}",
        )


def _registered(name: str) -> None:
    """An engine that somebody registered with BentoML. Raises `ShipFailed` where it is none, or does not work."""
    import bentoml.container
    from bentoml.exceptions import BentoMLException

    try:
        backend = bentoml.container.get_backend(name)
        healthy = bool(backend.health())
    except (BentoMLException, ValueError, KeyError) as error:
        raise ShipFailed(
            f"{name!r} is not a container engine that is known",
            why=str(error),
            fix=f"use one of {', '.join(ENGINES)}, or {ARCHIVE}",
            kind="unknown",
        ) from error
    except Exception as error:  # somebody's own check of it, which may raise anything
        if isinstance(error, AutodeployError):
            raise
        raise ShipFailed(
            f"{name} could not say how it is", why=f"{type(error).__name__}: {error}", fix=f"use --engine {ARCHIVE}"
        ) from error
    if not healthy:
        raise ShipFailed(f"{name} does not work", why="its own check says so", fix=f"use --engine {ARCHIVE}")
