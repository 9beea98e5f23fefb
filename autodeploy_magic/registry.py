"""Name → "module:attr" tables: what the rooms can be extended with.

A table is read when it is asked, and an entry is imported when it is used. Third parties add entries through entry
points of the group `autodeploy_magic.TABLE`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from typing import Any

from autodeploy_magic.errors import BrokenPackage, MissingPackage

__all__ = ["EXPORTERS", "INSTALL_HINTS", "PROTOCOLS", "RUNTIMES", "load", "need", "table"]

EXPORTERS: dict[str, str] = {
    "onnx": "autodeploy_magic.build.export.onnx:exporter",
    "sklearn": "autodeploy_magic.build.export.sklearn:exporter",
    "function": "autodeploy_magic.build.export.function:exporter",
}
"""Frameworks in the order they are asked; the first that recognises the object exports it."""

RUNTIMES: dict[str, str] = {
    "onnx": "autodeploy_magic.serve.runtime.onnx:OnnxRunner",
    "native": "autodeploy_magic.serve.runtime.native:NativeRunner",
}
"""Model format → what runs it in a worker."""

PROTOCOLS: dict[str, str] = {
    "predict": "autodeploy_magic.serve.protocols.predict:Predict",
    "health": "autodeploy_magic.serve.protocols.health:Health",
    "page": "autodeploy_magic.serve.protocols.page:TryIt",
    "docs": "autodeploy_magic.serve.protocols.docs:Docs",
    "metrics": "autodeploy_magic.serve.protocols.metrics:Metrics",
    "v2": "autodeploy_magic.serve.protocols.v2:OpenInference",
    "v2_repository": "autodeploy_magic.serve.protocols.v2_repository:ModelRepository",
    "v1": "autodeploy_magic.serve.protocols.v1:TensorFlowServing",
    "invocations": "autodeploy_magic.serve.protocols.invocations:Invocations",
}
"""Protocols that a deployment's port speaks; the first words the refusals of paths that none of them knows."""

TABLES: dict[str, dict[str, str]] = {"exporters": EXPORTERS, "runtimes": RUNTIMES, "protocols": PROTOCOLS}

INSTALL_HINTS: dict[str, str] = {
    "skl2onnx": "pip install 'autodeploy_magic[sklearn]'",
    "sklearn": "pip install 'autodeploy_magic[sklearn]'",
    "onnx": "pip install 'autodeploy_magic[sklearn]'",
    "pandas": "pip install pandas",
    "pyarrow": "pip install 'autodeploy_magic[arrow]'",
    "h2": "pip install 'autodeploy_magic[grpc]'",
    "cryptography": "pip install 'autodeploy_magic[tls]'",
    "opentelemetry": "pip install 'autodeploy_magic[otel]'",
}
"""Top-level module → the command that brings it. A module without an entry is installed under its own name."""


@cache
def table(name: str) -> dict[str, str]:
    """Return the table `name` ("exporters", "runtimes", "protocols"): those of installed entry points, then ours.

    An entry point that reuses one of our names is ignored: a package cannot silently replace a built-in.
    """
    from importlib.metadata import entry_points

    ours = TABLES[name]
    theirs = {point.name: point.value for point in entry_points(group=f"autodeploy_magic.{name}")}
    return {name: value for name, value in theirs.items() if name not in ours} | ours


def load(reference: str) -> Any:
    """Import "module:attr" and return the attribute."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


def need(module: str, feature: str) -> Any:
    """Import and return `module`, which `feature` needs.

    Raises `MissingPackage` with the command that installs it where it is absent, `BrokenPackage` with the cause where
    it is installed and fails to import.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and error.name in _not_installed(module):
            raise MissingPackage(
                f"{feature} needs the package {error.name}",
                why="it is not installed in this environment",
                fix=INSTALL_HINTS.get(top, f"pip install {top}"),
            ) from error
        raise BrokenPackage(
            f"{feature} needs {module}, which is installed and fails to import",
            why=f"{type(error).__name__}: {error}",
            fix=f"pip install --force-reinstall {top}, or `%deploy doctor` for what else is off",
        ) from error


def _not_installed(module: str) -> set[str]:
    """What `ModuleNotFoundError` names where a package is not installed: it, or its part of a namespace package."""
    top, *parts = module.split(".")
    names = {top}
    for part in parts:
        if getattr(sys.modules.get(top), "__file__", None) is not None:
            break  # a package of its own, in which a part that is missing is a fault
        top = f"{top}.{part}"
        names.add(top)
    return names
