"""What a zygote imports once for all its children, and the proof that it may fork afterwards."""

from __future__ import annotations

import gc
import importlib
import logging
import operator
import pkgutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from autodeploy_magic import registry

__all__ = ["LATER", "MODULES", "QUIET", "ROOMS", "Warm", "later", "preload"]

log = logging.getLogger(__name__)

MODULES = (
    "numpy",
    "onnxruntime",
    "msgspec",
    "tomllib",
    "uvloop",
    "httptools",
    "uvicorn",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
)
LATER = (
    ("bentoml", ""),
    ("bentoml", "service"),
    ("bentoml", "models.create"),
    ("bentoml", "build"),
    ("bentoml", "load"),
    ("pip_requirements_parser", ""),  # what BentoML reads our pins with
)
"""Imported between requests, once the zygote can be used: a replay and a worker need none of it, but a build does, and
a Bento's own app. Each is a module and a public name that it imports at its first use; together about 0.5 s."""
ROOMS = ("autodeploy_magic.wire", "autodeploy_magic.serve")
"""Packages of which every module is imported: a worker, or a replay, uses nearly all of them."""

QUIET = {
    # A pool that a library starts at import would not survive the fork, and its locks might be held for ever.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    # onnxruntime starts an uploading thread at import otherwise, and reports each model to its maker.
    "ORT_DISABLE_TELEMETRY": "1",
    "BENTOML_DO_NOT_TRACK": "true",
}
"""The environment of a zygote and of all that it starts."""


class Warm(msgspec.Struct, frozen=True):
    """What a zygote says of itself once it can be used. `forks` false: children are started afresh, and slower."""

    forks: bool
    reason: str
    seconds: float


def preload() -> Warm:
    """Import `MODULES`, and say whether forking is safe from here."""
    started = time.perf_counter()
    if sys.platform == "darwin":
        return Warm(False, "fork is unsafe on macOS: system libraries may hold locks", 0.0)
    for name in (*MODULES, *_modules_of(ROOMS)):
        _import(name)
    for name in registry.TABLES:
        registry.table(name)  # reading the entry points of all that is installed takes longer than starting a worker
    _freeze()
    reason = _why_not_fork()
    return Warm(not reason, reason, time.perf_counter() - started)


def later() -> Iterator[bool]:
    """Import one thing of `LATER` at each step, and yield whether forking is still safe."""
    if sys.platform == "darwin":
        return
    for module, name in LATER:
        _import(module, name)
        yield True
    _freeze()
    yield not _why_not_fork()


def _import(name: str, attribute: str = "") -> None:
    try:
        module = importlib.import_module(name)
        if attribute:
            operator.attrgetter(attribute)(module)
    except ImportError as error:
        # The child that needs it fails with its own clear message; the others need not.
        if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("autodeploy_magic"):
            log.info("%s is not preloaded: %s is not installed", name, error.name)  # an extra that nobody asked for
        else:
            log.exception("could not preload %s", name)


def _freeze() -> None:
    """Let the collector of a child leave the shared pages unwritten."""
    gc.collect()
    gc.freeze()


def _why_not_fork() -> str:
    threads = _threads()
    if threads == 1:
        return ""
    reason = f"{threads} threads run after the imports; a forked child would have one of them, and locks of the others"
    log.error("children are started afresh, which is slower: %s", reason)
    return reason


def _modules_of(packages: Iterable[str]) -> Iterator[str]:
    for package in packages:
        yield package
        path = importlib.import_module(package).__path__
        yield from (module.name for module in pkgutil.walk_packages(path, f"{package}."))


def _threads() -> int:
    """Threads of this process, those that Python does not know of included."""
    try:
        return max(threading.active_count(), len(list(Path("/proc/self/task").iterdir())))
    except FileNotFoundError:  # no /proc: Python's own are all that can be counted
        return threading.active_count()
