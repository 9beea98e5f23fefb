"""The person's own modules in a version's folder, imported from the sources that have hashes and from nothing else."""

from __future__ import annotations

import sys
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType

__all__ = ["importable"]

_folders: set[str] = set()


def importable(folder: Path) -> None:
    """Let modules be imported from `folder`.

    Python would otherwise run what lies in `__pycache__` beside a source, which no hash of the version covers.
    """
    path = str(folder)
    if path in _folders:
        return
    _listen()
    _folders.add(path)
    sys.path_importer_cache.pop(path, None)
    if path not in sys.path:
        sys.path.append(path)


class _Sources(SourceFileLoader):
    """Compiles the source each time: a person's own modules are few and short."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


@cache
def _listen() -> None:
    sys.path_hooks.insert(0, _hook)


def _hook(path: str) -> FileFinder:
    if not any(path == folder or path.startswith(f"{folder}/") for folder in _folders):
        raise ImportError(path)
    return FileFinder(path, (ExtensionFileLoader, EXTENSION_SUFFIXES), (_Sources, SOURCE_SUFFIXES))
