"""A model that is a file: what kind it is, whether reading it runs code, and the object that it holds.

    given.py      what was given: the path, its first bytes, what its folder or archive holds
    looks.py      what a file that no reader takes looks like
    named.py      what a pickle would import, told without running anything
    guarded.py    a file unpickled, with the person's leave
    KIND.py       one kind of file each; `registry.READERS` has them in the order they are asked

The kind is told from the content; the suffix only helps to say what is wrong.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from autodeploy_magic.build.read.given import Given, Loaded, given_at, is_uri, size_text
from autodeploy_magic.build.read.looks import foreign
from autodeploy_magic.errors import AutodeployError, BadInput
from autodeploy_magic.registry import load, table

__all__ = ["Given", "Loaded", "read_model"]


def read_model(path: str | os.PathLike[str], *, allow_pickle: bool = False, into: Any = None) -> Loaded:
    """Return the model that `path` holds: a file, a folder, or an MLflow address (`models:/NAME/1`, `runs:/ID/path`).

    `into` is the object that bare weights are put into: a copy of it is returned. `allow_pickle` is the person's leave
    to read a file that runs code while it is read. Raises `BadInput`, `MissingPackage` or `BrokenPackage`.
    """
    text = os.fspath(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if is_uri(text):
            found = load(table("readers")["mlflow"]).fetched(text, allow_pickle=allow_pickle)
        else:
            found = read_given(given_at(text, allow_pickle=allow_pickle, into=into))
    notes = (*found.notes, *_told(caught))
    return Loaded(found.model, found.source, found.allowed_by, tuple(dict.fromkeys(notes)))


def read_given(given: Given) -> Loaded:
    """Read what was given by the first reader that recognises it. Raises `BadInput` where none does."""
    for name in table("readers"):
        reader = load(table("readers")[name])
        if reader.recognises(given):
            return _read(reader, given)
    raise foreign(given)


def _read(reader: Any, given: Given) -> Loaded:
    source = given.source  # with its hash, taken before
    try:
        model = reader.read(given)
    except AutodeployError:
        given.check_unchanged()
        raise
    except (Exception, SystemExit) as error:  # another library reads it, and may raise anything
        given.check_unchanged()
        words = " ".join(str(error).split())[:300]
        raise BadInput(
            f"{given.name} cannot be read as {reader.title}",
            why=f"{type(error).__name__}: {words}" if words else type(error).__name__,
            fix=f"it has {size_text(given.size_bytes)}: if it was copied or downloaded, compare its size and SHA-256",
        ) from error
    given.check_unchanged()
    if isinstance(model, Loaded):
        return model
    return Loaded(model, source, given.allowed_by, tuple(given.notes))


def _told(caught: list[warnings.WarningMessage]) -> list[str]:
    """What a library warned of that a person should know: that the file is of another release of it."""
    told = []
    for item in caught:
        if item.category.__name__ == "InconsistentVersionWarning":
            details = vars(item.message) if isinstance(item.message, Warning) else {}
            theirs, ours = details.get("original_sklearn_version"), details.get("current_sklearn_version")
            told.append(f"it was written by scikit-learn {theirs}, and {ours} reads it: it may answer otherwise")
        elif issubclass(item.category, UserWarning) and "version" in str(item.message).lower():
            told.append(" ".join(str(item.message).split())[:300])
    return told
