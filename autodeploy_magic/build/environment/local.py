"""The person's own modules: found with what they import, and copied.

A module is *pinned* where an index has it, and *copied* where it is of the person's own: next to the notebook, on
`PYTHONPATH`, or in a project installed from a folder, with `pip install -e` or without.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path

from autodeploy_magic.build.environment.imports import imported_by_source
from autodeploy_magic.build.environment.installed import State, installed, owners, roots, site_state
from autodeploy_magic.build.environment.pins import OURS
from autodeploy_magic.errors import PackageFailed

__all__ = ["Local", "copy_modules", "is_local", "local_modules"]

_IGNORED_NAMES = ("__pycache__", "*.pyc", ".*", "*.ipynb", "node_modules")
_IGNORED = shutil.ignore_patterns(*_IGNORED_NAMES)
_MOST_COPIED_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Local:
    """The person's own modules by their top-level names, each with the files or folders it lies in.

    A package without an __init__.py may have several. `imports` are the other modules that the code of theirs that is
    reached imports, by their full names.
    """

    places: dict[str, tuple[Path, ...]]
    imports: frozenset[str] = frozenset()


def local_modules(modules: Iterable[str]) -> Local:
    """Those of `modules` (full names) that are the person's own, and what these import of that kind.

    Raises `PackageFailed` for one that has the name of a module of Python's own, or of an installed distribution: in a
    worker it would be the other one.
    """
    state = site_state()
    names = set(modules)
    places: dict[str, tuple[Path, ...]] = {}
    pending = {name.partition(".")[0] for name in names}
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        seen.add(name)
        found = _places(name, state)
        if found:
            places[name] = found
            others = {
                other for place in found for file, package in _sources(place) for other in imported(file, package)
            }
            pending |= {other.partition(".")[0] for other in others} - seen
    return Local(places, frozenset(_reached(names, places)))


def is_local(name: str) -> bool:
    """Whether a top-level module that is imported here by `name` would have to travel by copy."""
    try:
        return name not in sys.stdlib_module_names and bool(_places(name, site_state()))
    except PackageFailed:
        return False  # the name is taken twice: what was seen under it elsewhere is the installed one


def imported(file: Path, package: str) -> frozenset[str]:
    """What a file imports, read again only when it has changed."""
    told = file.stat()
    return _imported(file, package, (told.st_mtime_ns, told.st_size))


@cache
def _imported(file: Path, package: str, content: tuple[int, int]) -> frozenset[str]:
    del content
    return frozenset(imported_by_source(file, package))


def _reached(names: set[str], places: dict[str, tuple[Path, ...]]) -> set[str]:
    """The modules of others that are imported on the way from `names`, through the person's own files."""
    reached: set[str] = set()
    pending = {name for name in names if name.partition(".")[0] in places}
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        seen.add(name)
        for file, package in _files_of(name, places):
            found = imported(file, package)
            own = {item for item in found if item.partition(".")[0] in places}
            reached |= found - own
            pending |= own - seen
    return {name for name in reached if name.partition(".")[0] not in sys.stdlib_module_names}


def _files_of(name: str, places: dict[str, tuple[Path, ...]]) -> Iterator[tuple[Path, str]]:
    """The files that importing `name` runs, each with its package: those of its parents, and its own."""
    top, *parts = name.split(".")
    for place in places[top]:
        if place.is_file():
            if place.suffix == ".py":
                yield place, ""
            continue
        folder, package = place, top
        for part in [*parts, ""]:
            if (folder / "__init__.py").is_file():
                yield folder / "__init__.py", package
            if not part:
                break
            if (folder / f"{part}.py").is_file():
                yield folder / f"{part}.py", package
            folder, package = folder / part, f"{package}.{part}"


def copy_modules(local: Local, folder: Path) -> list[Path]:
    """Copy modules into `folder`, without caches, hidden files and notebooks; return the files, relative and sorted.

    Raises `PackageFailed` where a package folder is too large to be code.
    """
    for name, places in local.places.items():
        for place in places:
            if not place.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(place, folder / place.name)
                continue
            size = sum(file.stat().st_size for file in _copied(place))
            if size > _MOST_COPIED_BYTES:
                raise PackageFailed(
                    f"the local package {name} has {size / 2**20:,.0f} MB, which is too much to travel with a model",
                    why=f"all of {place} would be copied into every version",
                    fix="move the data out of the package folder, or install the package from an index",
                )
            shutil.copytree(place, folder / name, ignore=_IGNORED, dirs_exist_ok=True)
    return sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file()) if local.places else []


def _copied(place: Path) -> Iterator[Path]:
    entries = list(place.iterdir())
    ignored = _IGNORED(str(place), [entry.name for entry in entries])
    for entry in entries:
        if entry.name in ignored:
            continue
        if entry.is_dir():
            yield from _copied(entry)
        elif entry.is_file():
            yield entry


def _sources(place: Path) -> Iterator[tuple[Path, str]]:
    """The Python files of a module, each with the package that it is in."""
    if place.suffix == ".py":
        yield place, ""
    elif place.is_dir():
        for file in _copied(place):
            if file.suffix == ".py":
                yield file, ".".join([place.name, *file.parent.relative_to(place).parts])


def _places(name: str, state: State) -> tuple[Path, ...]:
    """Where a module of the person's own lies; () where it is not theirs."""
    if name in ("__main__", OURS):
        return ()
    spec = _spec(name)
    if spec is None:
        return ()
    found: list[Path] = []
    if spec.submodule_search_locations is not None:
        found = [place for place in map(Path, spec.submodule_search_locations) if place.is_dir()]  # or a finder's mark
    elif spec.origin and spec.has_location:
        found = [Path(spec.origin)]
    found = [place.resolve() for place in found]
    dists = [dist for dist in (installed(owner, state) for owner in owners(name, state)) if dist is not None]
    others = [dist for dist in dists if not dist.travels_by_copy]
    kept_by_installers = (*roots(), *(dist.base for dist in others))
    theirs = [place for place in found if not any(place.is_relative_to(root) for root in kept_by_installers)]
    if not theirs:
        # installed from a folder, without -e: it lies among the others, and no index has it
        copied = dists and not others and name not in sys.stdlib_module_names
        return tuple(place for place in found if place.exists()) if copied else ()
    if name in sys.stdlib_module_names or (others and spec.origin is not None):
        raise _shadowing(name, theirs[0], others[0].name if others else "")
    return tuple(theirs)


def _spec(name: str) -> ModuleSpec | None:
    if name in sys.modules:
        spec: ModuleSpec | None = getattr(sys.modules[name], "__spec__", None)
        return spec
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None


def _shadowing(name: str, place: Path, owner: str) -> PackageFailed:
    whose = f"the distribution {owner}" if owner else "Python itself"
    return PackageFailed(
        f"{place.name} has the name of a module of {whose}",
        why=f"in this kernel `import {name}` finds {place}; a worker finds the other one",
        fix=f"rename {place.name}, restart the kernel, and import it by its new name",
    )
