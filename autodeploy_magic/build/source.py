"""The Bento's code: a small static service, and the part of this package that serves.

So a Bento runs where this package is not installed. No value that a person typed is written into Python: two of them,
the name and the model's tag, stand in deployment.json.
"""

from __future__ import annotations

import ast
import shutil
import unicodedata
from functools import cache
from pathlib import Path

import msgspec

from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import PackageFailed

__all__ = ["copy_serving_files", "stage_source"]

_PACKAGE = Path(__file__).resolve().parents[1]
_SERVICE = Path(__file__).with_name("bento_src") / "service.py"


def stage_source(version: Version, source: Path) -> None:
    """Lay out the Bento's code in `source`. Raises `PackageFailed` where a value holds a control character."""
    for value in (version.deployment, version.bento, *version.environment.requirements):
        if any(unicodedata.category(character) == "Cc" for character in value):
            raise PackageFailed(
                f"{value!r} holds a control character",
                why="it would become part of a generated file",
                fix="rename it, or reinstall the distribution that is called so",
            )
    copy_serving_files(source)
    shutil.copy(_SERVICE, source / "service.py")
    deployment = {"name": version.deployment, "model": version.bento}
    (source / "deployment.json").write_bytes(msgspec.json.encode(deployment))


def copy_serving_files(source: Path) -> None:
    """Put the part of this package that serves into `source`, as a folder that can be imported."""
    for file in _serving_files():
        target = source / _PACKAGE.name / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_PACKAGE / file, target)


@cache
def _serving_files() -> tuple[Path, ...]:
    """The files of this package that serving needs: the serve room, and all of the floor that it imports.

    The libraries of containers with it, which a table names.
    """
    found = {Path("__init__.py"), Path("py.typed")}
    rooms = (_PACKAGE / "serve", _PACKAGE / "wire" / "libraries")
    pending = {file.relative_to(_PACKAGE) for room in rooms for file in room.rglob("*") if _is_source(file)}
    while pending:
        file = pending.pop()
        found.add(file)
        if file.suffix == ".py":
            pending |= _imported_files(_PACKAGE / file) - found
    return tuple(sorted(found))


def _is_source(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts and not file.name.startswith(".")


def _imported_files(source: Path) -> set[Path]:
    """The files of this package that a source file names in an import, with the folders they lie in."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    found: set[Path] = set()
    for name in names:
        first, *rest = name.split(".")
        if first != _PACKAGE.name:
            continue
        for depth in range(1, len(rest) + 1):
            place = Path(*rest[:depth])
            found |= {file for file in (place / "__init__.py", place.with_suffix(".py")) if (_PACKAGE / file).is_file()}
    return found
