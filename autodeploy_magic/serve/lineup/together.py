"""Which versions may share a process, and which may share requests. Read from their records alone."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import msgspec

from autodeploy_magic.contracts import Column, Signature, Version

__all__ = ["apart", "brings_code", "same_interface", "unlike_inputs"]


def brings_code(version: Version) -> bool:
    """Whether loading the version runs Python of the person's: a pickled model, functions around it, modules."""
    return not version.format.startswith("onnx") or any(item.role in ("code", "module") for item in version.artifacts)


def apart(versions: Iterable[Version]) -> str:
    """Why these versions cannot be loaded into one process; "" where they can.

    ONNX files get along with anything. What is pickled shares the process's modules: two that were made with other
    packages, or that bring modules of their own, could each get what belongs to the other.
    """
    with_code = sorted((version for version in versions if brings_code(version)), key=lambda version: version.number)
    for before, after in pairwise(with_code):
        pair = f"v{before.number} and v{after.number}"
        for version in (before, after):
            if version.environment.local_modules or any(item.role == "module" for item in version.artifacts):
                return f"{pair} both run Python code, and v{version.number} brings modules of its own"
        if _packages(before) != _packages(after):
            differing = sorted(set(_packages(before)) ^ set(_packages(after)))
            return f"{pair} both run Python code, and were made with different packages ({', '.join(differing[:4])})"
    return ""


def same_interface(old: Version, new: Version) -> bool:
    """Whether the new version can take the old one's place in the very process that serves.

    Both are ONNX, with the same inputs, outputs and packages, and the new one runs no Python code.
    """
    return (
        old.format.startswith("onnx")
        and not brings_code(new)
        and _plain(old.signature) == _plain(new.signature)
        and old.outputs == new.outputs
        and _packages(old) == _packages(new)
    )


def unlike_inputs(champion: Version, other: Version) -> str:
    """What of its inputs keeps `other` from answering the champion's requests; "" where nothing does."""
    before, after = champion.signature, other.signature
    if before.container != after.container:
        return f"v{champion.number} takes a {before.container}, v{other.number} a {after.container}"
    old, new = ({column.name: column for column in signature.columns} for signature in (before, after))
    for name in [*old, *new]:
        if name not in new:
            return f"v{other.number} has no input {name!r}"
        if name not in old:
            return f"v{other.number} needs an input {name!r}, which v{champion.number} does not have"
        if _kind(old[name]) != _kind(new[name]):
            return f"{name} is {_words(old[name])} for v{champion.number} and {_words(new[name])} for v{other.number}"
    return ""


def _packages(version: Version) -> tuple[str, ...]:
    return (f"python {version.environment.python}", *sorted(version.environment.requirements))


def _plain(signature: Signature) -> Signature:
    """Without what only informs: the smallest and largest values seen."""
    columns = tuple(msgspec.structs.replace(column, minimum=None, maximum=None) for column in signature.columns)
    return msgspec.structs.replace(signature, columns=columns)


def _kind(column: Column) -> tuple[str, tuple[int, ...]]:
    return column.dtype, column.shape


def _words(column: Column) -> str:
    return f"{column.dtype}{list(column.shape) if column.shape else ''}"
