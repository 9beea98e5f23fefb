"""What a version did beside answering, in a process of its own: what it imported, mapped, read and asked for.

Python's own audit events tell of files and addresses; what compiled code opens by itself stays unseen.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

__all__ = ["Witness"]

_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/lib64", "/bin", "/System", "/Library", "/var/lib")
_SETTINGS = (".config", ".local", ".jupyter", ".ipython", ".matplotlib", ".cache/matplotlib", ".cache/fontconfig")
"""Folders of a person's home that libraries look into wherever they run, and do without."""
_IGNORED_NAMES = {"pyproject.toml", ".netrc", "keras.json", "matplotlibrc"}
_MOST = 50


class Witness:
    """Sees what happens within `with witness.watching():`. One a process: an audit hook is never taken off."""

    def __init__(self, folder: Path) -> None:
        self._own = folder.resolve()
        self._started_ns = time.time_ns()
        self._before = set(sys.modules)
        self._watches = False
        self._files: dict[str, None] = {}
        self._hosts: dict[str, None] = {}
        self._numbers: dict[str, None] = {}

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        sys.addaudithook(self._audit)
        self._watches = True
        try:
            yield
        finally:
            self._watches = False

    def seen(self) -> dict[str, Any]:
        """The names of "modules", "libraries", "reads" (files) and "hosts", each sorted."""
        return {
            "modules": sorted({_distributed(name) for name in set(sys.modules) - self._before}),
            "libraries": mapped_libraries(),
            "reads": sorted({Path(file).name for file in self._files if self._is_outside(file)})[:_MOST],
            "hosts": sorted(self._hosts or self._numbers)[:_MOST],
        }

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._watches:
            return
        if event == "open":
            path, mode, _ = args
            if isinstance(path, str) and not (isinstance(mode, str) and set(mode) & set("wax")):
                self._files[os.path.abspath(path)] = None  # noqa: PTH100  # seen as it was asked, links and all
        elif event == "socket.getaddrinfo":
            host = args[0].decode("ascii", "replace") if isinstance(args[0], bytes) else args[0]
            if isinstance(host, str) and host != "localhost" and not _is_number(host):
                self._hosts[host] = None
        elif event == "socket.connect" and isinstance(args[1], tuple):
            host = str(args[1][0])
            if _is_number(host) and not ip_address(host).is_loopback:
                self._numbers[host] = None

    def _is_outside(self, file: str) -> bool:
        """Whether it is a file that was there before, and neither the version's, nor Python's, nor the system's."""
        path = Path(file)
        try:
            if not path.is_file() or path.stat().st_mtime_ns > self._started_ns:
                return False  # what it has written itself
            path = path.resolve()
        except OSError:
            return False
        known: list[Path | str] = [
            self._own,
            sys.prefix,
            sys.base_prefix,
            *_SYSTEM,
            *(Path.home() / name for name in _SETTINGS),
        ]
        known += [entry for entry in sys.path if entry]
        return path.name not in _IGNORED_NAMES and not any(path.is_relative_to(folder) for folder in known)


def mapped_libraries() -> list[str]:
    """The names of the shared libraries mapped here that lie among no installed packages; [] where nothing tells."""
    try:
        lines = Path("/proc/self/maps").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []  # macOS has no such file
    fields = (line.split(None, 5) for line in lines)
    paths = {Path(parts[5]) for parts in fields if len(parts) > 5 and ".so" in parts[5]}
    packages = [Path(entry) for entry in sys.path if entry]
    return sorted({path.name for path in paths if not any(path.is_relative_to(folder) for folder in packages)})


def _distributed(name: str) -> str:
    """The name that tells which distribution a module is of: its top level, and of a namespace the part below it."""
    parts = name.split(".")
    for count in range(1, len(parts)):
        module = sys.modules.get(".".join(parts[:count]))
        if getattr(module, "__file__", None) is not None or getattr(module, "__path__", None) is None:
            return ".".join(parts[:count])
    return name if len(parts) > 1 else parts[0]


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
