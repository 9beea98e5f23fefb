"""The Python environment a version needs: what is really imported, as exact pins and copied files.

imports.py     what a piece of code imports, read from the code
local.py       the modules of the person's own, which travel by copy
installed.py   what is installed here, read from metadata
pins.py        exact pins of all that is imported, and of what that requires
conflicts.py   why the pins could not be installed elsewhere
system.py      shared libraries that no wheel brings
outside.py     files and addresses that a model reaches for while it answers
rebuild.py     the environment anew from a Bento, and the sample through it
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping, Sequence

from autodeploy_magic import settings
from autodeploy_magic.build.environment.local import Local, copy_modules, is_local, local_modules
from autodeploy_magic.build.environment.outside import outside_notes
from autodeploy_magic.build.environment.pins import RUNTIME, pins, resolve
from autodeploy_magic.build.environment.system import beyond_base, debian_packages
from autodeploy_magic.contracts import Environment
from autodeploy_magic.errors import InvalidOption, PackageFailed

__all__ = [
    "RUNTIME",
    "Local",
    "check",
    "copy_modules",
    "debian_packages",
    "describe",
    "local_modules",
    "pins",
    "python_version",
]


def python_version() -> str:
    """The version of this Python, as in "3.11.2"."""
    return platform.python_version()


def check(modules: Iterable[str]) -> None:
    """Raise `PackageFailed` for pins that do not fit together, where the setting `conflicts` is "refuse"."""
    wanted = settings.get("conflicts")
    if wanted not in ("warn", "refuse"):
        raise InvalidOption(f"conflicts is {wanted!r}", why="it is a setting with two values", fix="use warn or refuse")
    if wanted == "warn":
        return
    found = resolve(modules).conflicts
    if found:
        raise PackageFailed(
            "the packages that the model needs could not be installed together elsewhere",
            why="; ".join(found),
            fix="mend this environment as the lines say; or set conflicts to warn: workers of this machine run in this "
            "very environment, and can serve",
        )


def describe(
    modules: Iterable[str],
    local: Local,
    seen: Mapping[str, Sequence[str]] | None = None,
    notes: Sequence[str] = (),
) -> Environment:
    """The environment of a version whose answers came from `modules` (full or top-level names).

    `seen` is what `serve.clean.replay` saw beside modules: "libraries", "reads", "hosts". `notes` are lines of others.
    """
    seen = seen or {}
    resolved = resolve(modules)
    others = {name.partition(".")[0] for name in modules} - local.places.keys()
    late = [
        f"{name} is a module of your own that is imported by a computed name when the model answers, and the Bento "
        "does not hold it: import it in the cell"
        for name in sorted(others)
        if is_local(name)
    ]
    return Environment(
        python=python_version(),
        platform=f"{sys.platform}-{platform.machine()}",
        requirements=resolved.requirements,
        local_modules=tuple(sorted(local.places)),
        system_libraries=beyond_base(seen.get("libraries", ())),
        conflicts=(*resolved.conflicts, *late),
        notes=(*resolved.notes, *outside_notes(seen), *notes),
    )
