"""The Python environment a version needs: exact pins, and the modules of the person's own that travel by copy.

A module is *pinned* where a distribution installed it, and *copied* where it is a file of the person's own: next to the
notebook, on `PYTHONPATH`, or in a project installed with `pip install -e`.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from autodeploy_magic.contracts import Environment
from autodeploy_magic.errors import PackageFailed

__all__ = ["RUNTIME", "copy_modules", "describe", "local_modules", "pins", "python_version"]

RUNTIME = ("bentoml", "onnxruntime", "numpy", "msgspec", "psutil", "uvicorn", "uvloop", "httptools", "cloudpickle")
"""Distributions that every version runs on, whatever its model needs."""

_OURS = "autodeploy_magic"
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "*.ipynb", "node_modules")
_MOST_COPIED_BYTES = 64 * 2**20


def python_version() -> str:
    """The version of this Python, as in "3.11.2"."""
    return platform.python_version()


def describe(modules: Iterable[str], local: Iterable[str]) -> Environment:
    """The environment of a version whose answers came from `modules` (top-level names)."""
    return Environment(
        python=python_version(),
        platform=f"{sys.platform}-{platform.machine()}",
        requirements=pins(modules),
        local_modules=tuple(sorted(local)),
    )


def pins(modules: Iterable[str]) -> tuple[str, ...]:
    """Exact pins ("numpy==2.4.6"), sorted, of what installed `modules`, of the runtime, and of all that these require.

    An index, a path or a local build label ("+cpu") is never part of a pin.
    """
    return _pins(frozenset(modules), _site_state())


@cache
def _pins(modules: frozenset[str], state: tuple[object, ...]) -> tuple[str, ...]:
    owners = _owners(state)
    wanted = {owner for module in modules for owner in owners.get(module, ())}
    found: dict[str, str] = {}
    pending = [(name, "") for name in (*RUNTIME, *sorted(wanted))]
    seen: set[tuple[str, str]] = set()
    while pending:
        name, extra = pending.pop()
        key = (_canonical(name), extra)
        if key in seen or key[0] == _canonical(_OURS):
            continue
        seen.add(key)
        pin, required = _installed(name, extra, state)
        if pin:
            found[key[0]] = pin
            pending += required
    return tuple(found[name] for name in sorted(found))


@cache
def _installed(name: str, extra: str, state: tuple[object, ...]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The pin of a distribution, and the (name, extra) pairs that it requires here; "" where no index has it."""
    from packaging.requirements import Requirement

    del state
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return "", ()  # an optional requirement for another platform, or a module without metadata
    if _is_local_project(distribution):
        return "", ()
    required = [
        (requirement.name, wanted)
        for requirement in map(Requirement, distribution.requires or ())
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        for wanted in ("", *requirement.extras)
    ]
    return f"{distribution.metadata['Name']}=={_public(distribution.version)}", tuple(required)


def _is_local_project(distribution: importlib.metadata.Distribution) -> bool:
    """Whether it was installed from a folder of this machine: no index has it, and its modules travel by copy."""
    origin = distribution.read_text("direct_url.json")
    return origin is not None and '"file://' in origin and '"dir_info"' in origin


@cache
def _owners(state: tuple[object, ...]) -> dict[str, list[str]]:
    del state
    return {module: list(names) for module, names in importlib.metadata.packages_distributions().items()}


def _site_state() -> tuple[object, ...]:
    """Changes when something is installed or removed: what was read of the environment is kept until then."""
    state: list[object] = []
    for entry in sys.path:
        try:
            state.append((entry, os.stat(entry or ".").st_mtime_ns))
        except OSError:
            state.append((entry, 0))
    return tuple(item for item in state if "packages" in str(item))


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _public(version: str) -> str:
    return version.partition("+")[0]


# --- the person's own modules


def local_modules(modules: Iterable[str]) -> dict[str, Path]:
    """Those of `modules` that are the person's own, and what these import of that kind: name → file or folder."""
    found: dict[str, Path] = {}
    pending = {module.partition(".")[0] for module in modules}
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        seen.add(name)
        place = _local_place(name)
        if place is not None:
            found[name] = place
            pending |= {other for file in _sources(place) for other in _imports(file)} - seen
    return found


def copy_modules(modules: dict[str, Path], folder: Path) -> list[Path]:
    """Copy modules into `folder`, without caches, hidden files and notebooks; return the files, relative and sorted.

    Raises `PackageFailed` where a package folder is too large to be code.
    """
    for name, place in modules.items():
        if place.is_dir():
            size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
            if size > _MOST_COPIED_BYTES:
                raise PackageFailed(
                    f"the local package {name} has {size / 2**20:,.0f} MB, which is too much to travel with a model",
                    why=f"all of {place} would be copied into every version",
                    fix="move the data out of the package folder, or install the package from an index",
                )
            shutil.copytree(place, folder / place.name, ignore=_IGNORED)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(place, folder / place.name)
    return sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file()) if modules else []


def _local_place(name: str) -> Path | None:
    if name in sys.stdlib_module_names or name in ("__main__", _OURS):
        return None
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None and name not in sys.modules:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            spec = None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        place = Path(next(iter(spec.submodule_search_locations)))
    elif spec.origin and spec.has_location:
        place = Path(spec.origin)
    else:
        return None
    place = place.resolve()
    return None if any(place.is_relative_to(root) for root in _installed_roots()) else place


@cache
def _installed_roots() -> tuple[Path, ...]:
    standard = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    named = [*standard, *site.getsitepackages(), site.getusersitepackages()]
    found = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages", "lib-dynload")]
    return tuple({Path(entry).resolve() for entry in (*named, *found)})


def _sources(place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from place.rglob("*.py")
    elif place.suffix == ".py":
        yield place


def _imports(file: Path) -> set[str]:
    """The top-level names a source file imports anywhere; a file that is not Python 3 imports nothing."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
