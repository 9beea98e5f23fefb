"""What a wheel brings and serving never reads: taken away, and the wheel's own list of its files kept true."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path
from typing import Any

__all__ = ["SLIM", "compile_all", "slim"]

SLIM = 3
"""What is taken away, as a number: raise it with a change of the rules, so that no older folder is used."""

_SUFFIXES = {".pyi", ".pyc", ".pyx", ".pxd", ".pxi", ".a"}
"""Types for checkers, sources of compiled modules, and libraries to link with."""

_FOLDERS = {"__pycache__", "include"}

_PARTS = {"onnxruntime": ("datasets", "quantization", "tools", "transformers")}
"""Package → its parts that are programs and libraries to make models with; the session needs none of them."""

_TESTS = re.compile(rb"^[ \t]*(?:from|import)[ \t]+[\w.]*\btests?\b", re.MULTILINE)


def slim(target: Path, *, whole: bool) -> None:
    """Take away what serving never reads. With `whole` parts stay that a person's own code could import.

    The tests of a library go where no other source of it imports from them.
    """
    shutil.rmtree(target / "bin", ignore_errors=True)
    (target / ".lock").unlink(missing_ok=True)  # uv's own, while it installs
    for name, parts in () if whole else _PARTS.items():
        for part in parts:
            shutil.rmtree(target / name / part, ignore_errors=True)
    for folder in sorted(target.rglob("*"), reverse=True):
        if folder.is_dir() and folder.name in _FOLDERS:
            shutil.rmtree(folder)
    for file in list(target.rglob("*")):
        if file.suffix in _SUFFIXES and file.is_file():
            file.unlink()
    for package in sorted(entry for entry in target.iterdir() if entry.is_dir() and not whole):
        _without_tests(package)
    for record in target.glob("*.dist-info/RECORD"):
        (record.parent / "direct_url.json").unlink(missing_ok=True)  # it may name a folder of this machine
        _true_again(record, target)


def compile_all(spec: dict[str, Any]) -> dict[str, Any]:
    """Compile the sources in `spec["folder"]`, which is `spec["inside"]` of the image.

    What is compiled is not compared with its source again: it is the same whatever the time of the file, and an image
    does not change.
    """
    import compileall
    from py_compile import PycInvalidationMode

    compileall.compile_dir(
        spec["folder"],
        quiet=2,  # a template that is no Python stays a source
        stripdir=spec["folder"],
        prependdir=spec["inside"],
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
        workers=1,
    )
    return {}


def _without_tests(package: Path) -> None:
    """Remove the folders called "tests", where nothing outside of them imports from one."""
    folders = [found for found in package.rglob("tests") if next(found.glob("test_*.py"), None)]
    for source in package.rglob("*.py") if folders else ():
        if "tests" not in source.relative_to(package).parts and _TESTS.search(source.read_bytes()):
            return
    for folder in folders:
        if folder.is_dir():  # and not within one that has gone
            shutil.rmtree(folder)


def _true_again(record: Path, target: Path) -> None:
    """Leave in a RECORD the files that are there."""
    with record.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.reader(stream) if row and (target / row[0]).is_file()]
    with record.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(sorted(rows))
