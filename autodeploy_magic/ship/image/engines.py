"""The container engines of this machine: which there are, what each can do, and whether it works now.

They are driven through BentoML's public container API (`bentoml.container`), which knows how each is asked to build,
and to which others can be added with `bentoml.container.register_backend`. That one is installed says little: its
daemon may not run, or not be ours to use. So each is asked something that only an engine that works can answer.

"archive" is no engine: an OCI archive is written, for which none is needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from autodeploy_magic.errors import AutodeployError, ShipFailed
from autodeploy_magic.ship.image.said import explained

__all__ = ["ARCHIVE", "ENGINES", "Chosen", "Engine", "ask", "choose", "engine_for", "engines", "health"]

ARCHIVE = "archive"
_ANSWERS_S = 30.0
"""How long an engine may take to say how it is: the first call of a rootless one sets much up."""


@dataclass(frozen=True)
class Engine:
    """What an engine can do besides building. `ask` is answered only where it works.

    `starts` says that it runs containers; `steps_in` that it runs a command in the files of an image and no more.
    `loads` says that it takes an OCI archive into its images. `stores` says that `ask` is answered with the folder that
    its images are in.
    """

    name: str
    ask: tuple[str, ...]
    starts: bool = False
    steps_in: bool = False
    loads: bool = False
    stores: bool = False

    @property
    def lists(self) -> bool:
        """Whether it keeps images that can be asked for."""
        return self.starts or self.steps_in


ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine("docker", ("info", "--format", "{{.DockerRootDir}}"), starts=True, stores=True),
        Engine("podman", ("info", "--format", "{{.Store.GraphRoot}}"), starts=True, loads=True, stores=True),
        Engine("nerdctl", ("info", "--format", "{{.ServerVersion}}"), starts=True, loads=True),
        Engine("buildah", ("info", "--format", "{{.store.GraphRoot}}"), steps_in=True, loads=True, stores=True),
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
        return Chosen(wanted, health(wanted))
    found = engines()
    if not found:
        note = f"no container engine is installed (looked for {', '.join(ENGINES)}), so an OCI archive was written;"
        note += " install one, such as Podman (`apt install podman`), to start the image here"
        return Chosen(ARCHIVE, notes=(note,))
    problems: list[ShipFailed] = []
    for name in found:
        try:
            return Chosen(name, health(name), tuple(f"{error.what}; {name} was used" for error in problems))
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


def health(name: str) -> Path | None:
    """Where the images of an engine are that works; None where it does not tell. Raises `ShipFailed` for any other."""
    engine = ENGINES.get(name)
    if engine is None:
        _registered(name)
        return None
    if not shutil.which(name):
        others = engines()
        raise ShipFailed(
            f"{name} is not installed",
            why="it is not on the PATH of the background process",
            fix=f"use {others[0]}, or install {name}" if others else f"install {name}, or use --engine {ARCHIVE}",
            kind="missing",
        )
    code, output, errors = ask(name, *engine.ask, timeout_s=_ANSWERS_S)
    if code == 0 and "podman" in errors.lower() and name != "podman":
        code = 1  # Podman by the name of docker: it is asked as what it is
    if code:
        raise explained(name, errors or output, f"{name} is installed and does not answer")
    _trust_bentoml(name)
    store = Path(output.strip()) if engine.stores else None
    return store if store is not None and store.is_dir() else None


def ask(name: str, *words: str, timeout_s: float, stdin: bytes = b"") -> tuple[int, str, str]:
    """Run an engine's command and return its exit code, its output and what it said of errors.

    One that takes longer is ended: its code is 124. Nothing of it outlives the call.
    """
    try:
        done = subprocess.run(
            [name, *words], input=stdin, capture_output=True, timeout=timeout_s, env=environment(), check=False
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stderr or b"").decode("utf-8", "replace")
        return 124, "", f"{said}\n`{name} {words[0]}` did not answer within {timeout_s:g} s"
    except OSError as error:
        return 126, "", f"{name} could not be started: {error}"
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


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
