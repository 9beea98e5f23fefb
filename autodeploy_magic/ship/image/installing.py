"""Wheels of exact pins into a folder, for the platform and the Python of an image; and kept, for the next build.

An index is asked as the person's own pip would (`build.environment.installer`). Only wheels are installed: what exists
as source alone is built here, where here is what the image will be, and nowhere else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from autodeploy_magic.build.environment.installed import canonical
from autodeploy_magic.build.environment.installer import find_uv, pip_environment, uv_environment
from autodeploy_magic.contracts import CleanRunner
from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.image.layers import normalise
from autodeploy_magic.ship.image.packages import Needed
from autodeploy_magic.ship.image.room import installed_bytes, need_space
from autodeploy_magic.ship.image.slim import SLIM, slim

__all__ = ["PLATFORMS", "Installed", "cache_folder", "check_platform", "compiles", "here", "install"]

Tell = Callable[[str], object]

PLATFORMS = {"linux/amd64": ("x86_64-manylinux_2_28", "x86_64"), "linux/arm64": ("aarch64-manylinux_2_28", "aarch64")}
"""Platform of an image → what uv calls it, and the machine. Debian, Ubuntu and the RHEL family have that glibc or a
newer one."""

KEPT = 4
"""Sets of installed packages that are kept."""
_NEW = ".new-"
_LEFT_S = 86400.0
"""A set that was begun so long ago is of a build that was killed."""
_LINES = 12


@dataclass(frozen=True)
class Installed:
    """A folder of installed packages, which is kept: it is read and linked from, and nothing in it is changed.

    `key` says what is in it: pins, Python, platform.
    """

    folder: Path
    key: str
    notes: tuple[str, ...] = ()


def check_platform(platform: str) -> str:
    """Return a platform that images are made for. Raises `InvalidOption`."""
    if platform not in PLATFORMS:
        raise InvalidOption(f"images are not made for {platform!r}", fix=f"use {' or '.join(PLATFORMS)}")
    return platform


def here() -> str:
    """The platform that this machine would run images of, "" where it is none that is known."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(os.uname().machine, os.uname().machine)
    return next((name for name, (_, found) in PLATFORMS.items() if found == machine), "")


def cache_folder() -> Path:
    """Where packages, layers and base images are kept between builds: it may be deleted at any time."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("autodeploy_magic")) / "images"


def install(
    needed: Needed, python: str, platform: str, runner: CleanRunner, *, whole: bool, tell: Tell = lambda line: None
) -> Installed:
    """The needed packages for Python `python` ("3.11") on `platform` ("linux/amd64"), from what is kept or anew.

    `whole` keeps also the parts of libraries that only a person's own code could use. `tell` is given lines of what
    takes long. Raises `ShipFailed`, `DiskFull`.
    """
    told: dict[str, object] = {
        "pins": needed.pins,
        "more": sorted(needed.more.values()),
        "python": python,
        "platform": platform,
    }
    told |= {"slim": SLIM, "whole": whole, "compiled": compiles(python)}
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]
    place = cache_folder() / "packages" / key
    if place.is_dir():
        os.utime(place)
        tell("they are here, of an earlier build")
    else:
        with disk_full(place.parent):
            place.parent.mkdir(parents=True, exist_ok=True)
            _forget_left(place.parent)
            need_space(place.parent, installed_bytes(needed.pins))
            tell(f"installing them for Python {python} on {platform}, and compiling them")
            with tempfile.TemporaryDirectory(dir=place.parent, prefix=_NEW) as folder:
                _fill(Path(folder), needed, python, platform, runner, whole=whole)
                with contextlib.suppress(OSError):  # another build has put the same there meanwhile
                    Path(folder).rename(place)
                Path(folder).mkdir(exist_ok=True)  # for the end of this block to remove
            _forget_old(place.parent)
    notes = tuple(json.loads((place / "notes.json").read_bytes()))
    return Installed(place / "packages", key, notes)


def _fill(folder: Path, needed: Needed, python: str, platform: str, runner: CleanRunner, *, whole: bool) -> None:
    """Install, take away what serving never reads, and compile."""
    target = folder / "packages"
    target.mkdir()
    notes = _install(list(needed.pins), target, folder, python, platform)
    known = {canonical(pin.partition("==")[0]) for pin in needed.pins}
    while missing := sorted(_required(target, python, platform) - known):
        known |= set(missing)
        if found := [needed.more[name] for name in missing if name in needed.more]:
            notes += _install(found, target, folder, python, platform)
    slim(target, whole=whole)
    if compiles(python):
        runner.run("autodeploy_magic.ship.image.slim:compile_all", {"folder": str(target), "inside": "/app/packages"})
    normalise(target)
    (folder / "notes.json").write_text(json.dumps(notes), "utf-8")
    folder.chmod(0o755)


def compiles(python: str) -> bool:
    """Whether this Python can compile for that one."""
    return python == f"{sys.version_info.major}.{sys.version_info.minor}"


def _install(pins: list[str], target: Path, scratch: Path, python: str, platform: str) -> list[str]:
    """Install `pins` into `target`, in the way that works; return what is good to know of it."""
    public = [re.sub(r"\+.*", "", pin) for pin in pins]
    labels = [pin for pin in pins if pin not in public]
    code, config = _run([sys.executable, "-m", "pip", "config", "list"], 60.0, pip_environment())
    environment = pip_environment() | uv_environment(config if code == 0 else "")
    tries = [(pins, True), *([(public, True)] if labels else [])]
    if platform == here() and compiles(python):
        tries += [(wanted, False) for wanted, _ in tries]
    words = ""
    for wanted, wheels in tries:
        code, lines = _uv(wanted, target, scratch, python, platform, environment, wheels=wheels)
        if code == 0:
            notes = [f"built here, since there is no wheel of it: {name}" for name in _built(target)]
            if labels and wanted is public:
                notes.append(f"the release of that number in place of the local build: {', '.join(labels)}")
            return notes
        words = words or lines
    raise ShipFailed(
        f"the packages of the image cannot be installed for Python {python} on {platform}",
        why=re.sub(r"(\w+://)[^/\s@]+@", r"\1…@", words),
        fix="an index must have a wheel of each: `pip config list` shows which ones pip asks; where the lines tell of "
        "a connection, try again with a network",
    )


def _uv(
    pins: Iterable[str],
    target: Path,
    scratch: Path,
    python: str,
    platform: str,
    environment: Mapping[str, str],
    *,
    wheels: bool,
) -> tuple[int, str]:
    requirements = scratch / "requirements.txt"
    requirements.write_text("".join(f"{pin}\n" for pin in pins), "utf-8")
    uv = find_uv()
    if not uv:
        raise ShipFailed("uv is not installed here", why="it installs the packages of images", fix="pip install uv")
    command = [uv, "pip", "install", "--no-progress", "--no-deps", "--target", str(target), "--link-mode", "copy"]
    command += ["--python-version", python, "--python-platform", PLATFORMS[platform][0], "-r", str(requirements)]
    command += ["--only-binary", ":all:"] if wheels else []
    command += ["--no-index"] if "UV_NO_INDEX" in environment else []
    try:
        return _run(command, 600.0, environment)
    finally:
        requirements.unlink()


def _run(command: list[str], timeout_s: float, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a program; its exit code and its last lines. Interrupted, it and what it started are ended."""
    with tempfile.TemporaryFile("w+b") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
            umask=0o022,  # what uv keeps is installed into images too, where another user reads it
        )
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if command[1:3] == ["-m", "pip"]:
        return code, text
    ended = [f"it was ended after {timeout_s:g} s"] if code == -signal.SIGKILL else []
    return code, "\n".join([*text.splitlines()[-_LINES:], *ended])


def _required(target: Path, python: str, platform: str) -> set[str]:
    """What the packages in `target` require on that platform, by canonical name, read from their own metadata."""
    from packaging.markers import default_environment
    from packaging.requirements import InvalidRequirement, Requirement

    environment: dict[str, str] = {key: str(value) for key, value in default_environment().items()}
    environment |= {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    environment |= {"platform_system": "Linux", "platform_machine": PLATFORMS[platform][1], "os_name": "posix"}
    found = set()
    for metadata in target.glob("*.dist-info/METADATA"):
        headers = HeaderParser().parsestr(metadata.read_text("utf-8", "replace"))
        for line in headers.get_all("Requires-Dist", []):
            try:
                requirement = Requirement(line)
            except InvalidRequirement:
                continue  # of an old release: pip does not read it either
            if requirement.marker is None or requirement.marker.evaluate({**environment, "extra": ""}):
                found.add(canonical(requirement.name))
    return found


def _built(target: Path) -> list[str]:
    """What was built on this machine for its own platform: wheels of an index never have this tag."""
    tag = re.compile(r"^Tag: .*-linux_\w+$", re.MULTILINE)
    found = (file for file in target.glob("*.dist-info/WHEEL") if tag.search(file.read_text("utf-8", "replace")))
    return sorted(file.parent.name.removesuffix(".dist-info") for file in found)


def _forget_left(folder: Path) -> None:
    """Remove what builds that were killed had begun; not what another one is at."""
    for entry in folder.glob(f"{_NEW}*"):
        with contextlib.suppress(OSError):
            if entry.stat().st_mtime < time.time() - _LEFT_S:
                shutil.rmtree(entry, ignore_errors=True)


def _forget_old(folder: Path) -> None:
    """Remove all but what was used last."""
    entries = sorted((e for e in folder.iterdir() if not e.name.startswith(".")), key=lambda e: e.stat().st_mtime)
    for entry in entries[: max(len(entries) - KEPT, 0)]:
        shutil.rmtree(entry, ignore_errors=True)
