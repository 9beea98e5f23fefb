"""What is installed here, read once from the metadata of the distributions and kept until something changes."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import site
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Literal

__all__ = ["Installed", "State", "canonical", "files_of", "installed", "is_compiled", "owners", "roots", "site_state"]

State = tuple[object, ...]
Origin = Literal["index", "editable", "folder", "repository", "archive"]

_COMPILED = (".so", ".pyd", ".dylib")


@dataclass(frozen=True)
class Installed:
    """One distribution, below `base`. `origin` says where its installer had it; `requires` are its lines, unread."""

    name: str
    version: str
    python: str
    requires: tuple[str, ...]
    origin: Origin
    base: Path

    @property
    def public_version(self) -> str:
        """The version that an index knows: without the label of a local build ("+cpu")."""
        return self.version.partition("+")[0]

    @property
    def travels_by_copy(self) -> bool:
        """Whether it was installed from a folder of this machine: no index has it."""
        return self.origin in ("editable", "folder")


def site_state() -> State:
    """Changes when something is installed or removed: what was read of the environment is kept until then."""
    state: list[object] = []
    for entry in sys.path:
        try:
            state.append((entry, os.stat(entry or ".").st_mtime_ns))
        except OSError:
            state.append((entry, 0))
    return tuple(item for item in state if "packages" in str(item))


@cache
def installed(name: str, state: State) -> Installed | None:
    """The distribution called `name`, None where there is none."""
    found = _distribution(name, state)
    if found is None:
        return None
    told = _headers(found)
    return Installed(
        name=told["Name"][0],
        version=told["Version"][0],
        python="".join(told.get("Requires-Python", ())),
        requires=tuple(found.requires or ()) if found.read_text("METADATA") is None else told.get("Requires-Dist", ()),
        origin=_origin(found),
        base=Path(str(found.locate_file(""))).resolve(),
    )


@cache
def files_of(name: str, state: State) -> tuple[PurePosixPath, ...]:
    """The files of a distribution as its record lists them, without compiled caches; () where it keeps none."""
    found = _distribution(name, state)
    listed = found.files if found is not None else None
    return tuple(PurePosixPath(file) for file in listed or () if not file.match("*.pyc"))


def is_compiled(name: str, state: State) -> bool:
    """Whether a distribution has parts that are no Python source."""
    return any(file.suffix in _COMPILED for file in files_of(name, state))


def owners(module: str, state: State) -> tuple[str, ...]:
    """The distributions that installed `module` ("google.protobuf"): of a namespace they share, its part."""
    top, _, rest = module.partition(".")
    found = _owners(state).get(top, ())
    if len(found) < 2 or not rest:
        return found
    place = module.replace(".", "/")
    return tuple(name for name in found if any(_lies_in(str(file), place) for file in files_of(name, state)))


def _lies_in(file: str, place: str) -> bool:
    return file.startswith(f"{place}/") or file.partition(".")[0] == place


def canonical(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def roots() -> tuple[Path, ...]:
    """The folders that installers and Python itself put modules into."""
    return _roots(tuple(sys.path))


@cache
def _roots(path: tuple[str, ...]) -> tuple[Path, ...]:
    standard = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    named = [*standard, *site.getsitepackages(), site.getusersitepackages()]
    found = [entry for entry in path if Path(entry).name in ("site-packages", "dist-packages", "lib-dynload")]
    return tuple({Path(entry).resolve() for entry in (*named, *found)})


@cache
def _distribution(name: str, state: State) -> importlib.metadata.Distribution | None:
    del state
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def _owners(state: State) -> dict[str, tuple[str, ...]]:
    """Top-level module → the distributions that installed it, as `importlib.metadata.packages_distributions` has it.

    That makes an object of every file and reads all descriptions: four times the time of this.
    """
    del state
    found: dict[str, dict[str, None]] = {}
    for distribution in importlib.metadata.distributions():
        names = _headers(distribution).get("Name", ())
        for top in _top_level(distribution) if names else ():
            found.setdefault(top, {})[names[0]] = None
    return {module: tuple(names) for module, names in found.items()}


def _top_level(distribution: importlib.metadata.Distribution) -> set[str]:
    declared = (distribution.read_text("top_level.txt") or "").split()
    if declared:
        return set(declared)
    found = set()
    for line in (distribution.read_text("RECORD") or "").splitlines():
        file = line.partition(",")[0].strip('"')
        top, _, rest = file.partition("/")
        if file.endswith((".py", *_COMPILED)) and top not in ("..", "__pycache__"):
            found.add(top if rest else top.partition(".")[0])
    return found


def _headers(distribution: importlib.metadata.Distribution) -> dict[str, tuple[str, ...]]:
    """The headers of a distribution's metadata, each with its values; the description after them is not read."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.partition("\n\n")[0].splitlines():
        name, colon, value = line.partition(": ")
        if colon:
            found[name] = (*found.get(name, ()), value.strip())
    return found


def _origin(distribution: importlib.metadata.Distribution) -> Origin:
    """Where it was installed from (PEP 610). Its address is looked at and kept nowhere: it may hold a password."""
    text, installer = (distribution.read_text(file) for file in ("direct_url.json", "INSTALLER"))
    if installer is None:
        base = Path(str(distribution.locate_file(""))).resolve()
        return "index" if any(base.is_relative_to(root) for root in roots()) else "editable"  # setup.py develop
    if text is None or installer.strip() == "conda":
        return "index"  # conda leaves the address of the folder that it was built in, on another machine
    try:
        told = json.loads(text)
    except ValueError:
        return "index"
    if "vcs_info" in told:
        return "repository"
    if "dir_info" in told:
        return "editable" if (told["dir_info"] or {}).get("editable") else "folder"
    return "archive"
