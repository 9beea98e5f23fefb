"""A file unpickled with the person's leave, and without it a refusal that says what would have run.

The leave is `--allow-pickle`. Names that no fitted model needs and an attack does (`named.dangerous`) are refused even
then: while the file is read, Python itself tells each name that any unpickler looks up, before it is looked up. That
stops the obvious. It is no sandbox: a pickle whose author is not trusted must not be read at all.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

from autodeploy_magic.build.read.given import Given, size_text
from autodeploy_magic.build.read.named import Named, dangerous
from autodeploy_magic.errors import BadInput

__all__ = ["ALLOWED_BY", "check_allowed", "guarded"]

ALLOWED_BY = "--allow-pickle"

_here = threading.local()


def check_allowed(given: Given, what: str, named: Named, instead: str = "") -> None:
    """Raise `BadInput` unless the person allowed it, and nothing dangerous is named; `what` is the kind of file.

    `instead` is how the same model is kept without code.
    """
    facts = f"SHA-256 {given.sha256}, {size_text(given.size_bytes)}"
    if named.dangerous:
        raise BadInput(
            f"{given.name} is {what} that names {', '.join(named.dangerous[:6])}: it was not read",
            why=f"no fitted model needs that, and an attack does ({facts})",
            fix="do not load it; ask who made it. If it is truly yours, load it in the notebook, and use --model",
            globals=list(named.names),
            sha256=given.sha256,
        )
    if given.allow_pickle:
        given.allowed_by = ALLOWED_BY
        if not named.whole:
            given.notes.append(f"what {given.name} imports could not be told to its end; it was read with your leave")
        if named.has_code:
            given.notes.append(f"{given.name} holds functions of its own, as bytecode")
        return
    partly = "" if named.whole else ", and more that could not be told without reading it"
    raise BadInput(
        f"{given.name} is {what}: reading it runs code that whoever wrote it chose",
        why=f"it would import {named.text()}{partly}; {facts}",
        fix="check where it comes from, and that its SHA-256 is what its maker says; then add --allow-pickle "
        "(allow_pickle=True)" + (f". Safer: {instead}" if instead else ""),
        globals=list(named.names),
        sha256=given.sha256,
    )


@contextlib.contextmanager
def guarded(given: Given) -> Iterator[None]:
    """Refuse dangerous names in this thread, whichever unpickler looks them up; and say which package is missing."""
    _install()
    before = getattr(_here, "given", None)
    _here.given = given
    try:
        yield
    except (ModuleNotFoundError, AttributeError) as error:
        module = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        if module:
            from autodeploy_magic.registry import need

            need(
                str(module), f"reading {given.name}"
            )  # raises MissingPackage with the command; if not, a part is absent
        words = " ".join(str(error).split())[:300]
        where = "" if module else (
            "; a function or class of another notebook is kept by its name alone" if "__main__" in words else ""
        )  # fmt: skip
        raise BadInput(
            f"{given.name} needs what is not here",
            why=f"{type(error).__name__}: {words}{where}",
            fix="define or import it here under the same name, or install the release that it was made with",
        ) from error
    finally:
        _here.given = before


@cache
def _install() -> None:
    """Listen to Python's audit events, once and for ever: a hook cannot be taken out, and ours does nothing else."""
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "pickle.find_class":
        return
    given = getattr(_here, "given", None)
    if given is None:
        return
    name = ".".join(map(str, arguments[:2]))
    if dangerous(name):
        raise BadInput(
            f"{given.name} asked for {name} while it was read, and was stopped",
            why="no fitted model needs that, and an attack does",
            fix="do not load it; restart this kernel, and ask who made the file",
        )
