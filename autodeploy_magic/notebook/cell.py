"""What a deploy cell holds: the names it assigned, the functions it defined, and the variables its options name."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autodeploy_magic.errors import BadSample, InvalidOption

__all__ = [
    "CODE",
    "Written",
    "check_file",
    "functions",
    "mentions",
    "missing_sample",
    "read",
    "sample_candidates",
    "variable",
]

CODE = {"preprocess": ("x",), "predict": ("model", "x"), "postprocess": ("y",), "retrain": ("model", "X", "y")}
"""The functions of a cell that travel with its model, and what they are called with; `retrain` by re-tuning alone."""


class Written:
    """What the text of a cell says, at its top level: names assigned, functions defined, the name its last line is."""

    def __init__(self, assigned: tuple[str, ...], defined: tuple[str, ...], last_name: str | None) -> None:
        self.assigned = assigned
        self.defined = defined
        self.last_name = last_name


def read(source: str) -> Written:
    """Read a cell that has run, so that its syntax is known to be good. `source` is plain Python."""
    body = ast.parse(source).body
    assigned: dict[str, None] = {}
    for statement in body:
        for target in _targets(statement):
            assigned.update(dict.fromkeys(node.id for node in ast.walk(target) if isinstance(node, ast.Name)))
    defined = tuple(node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    last = body[-1] if body else None
    is_name = isinstance(last, ast.Expr) and isinstance(last.value, ast.Name)
    return Written(tuple(assigned), defined, last.value.id if is_name else None)  # type: ignore[union-attr]


def functions(written: Written, namespace: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """Return the functions of the cell that travel; raises `InvalidOption` for one that cannot be called so."""
    found = {name: namespace[name] for name in CODE if name in written.defined}
    for name, function in found.items():
        arguments = CODE[name]
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError as error:
            raise InvalidOption(
                f"{name}{inspect.signature(function)} cannot travel with the model",
                why=f"it is called as {name}({', '.join(arguments)}): {error}",
                fix=f"define it as {name}({', '.join(arguments)}), or give it another name",
            ) from None
    return found


def mentions(source: str, name: str) -> bool:
    """Whether a cell has the name in its text, and so may make the variable."""
    return name.isidentifier() and re.search(rf"\b{name}\b", source) is not None


def variable(option: str, name: str, namespace: Mapping[str, Any]) -> Any:
    """Return the variable that an option names.

    A model may also be a file: an ONNX model on disk. Raises `InvalidOption` for anything else, with the nearest name.
    """
    if option == "model" and not name.isidentifier() and Path(name).suffix == ".onnx":
        return Path(name).expanduser()
    if option == "model" and not name.isidentifier() and Path(name).expanduser().exists():
        raise InvalidOption(
            f"--model {name} is a file, and --model names a variable",
            fix=f"--file {shlex.quote(name)}",
        )
    if not name.isidentifier():
        raise InvalidOption(
            f"--{option} {name} is not the name of a variable",
            why="options name variables; nothing that is typed there is run",
            fix=f"write `{option}_ = {name}` in the cell, and --{option} {option}_",
        )
    if name in namespace:
        return namespace[name]
    public = [key for key in namespace if not key.startswith("_")]
    close = difflib.get_close_matches(name, public, 1)
    raise InvalidOption(
        f"--{option} names {name!r}, and there is no such variable",
        why=f"did you mean {close[0]!r}?" if close else "",
        fix="run the cell that makes it, or make it in this one",
    )


def check_file(path: str | None, source: str) -> None:
    """Refuse a --file that is not there before the cell runs, unless its text has the name and may make it."""
    if path is None or Path(path).name in source or Path(path).stem in source:
        return
    from autodeploy_magic.build.read.given import given_at, is_uri

    if not is_uri(path):
        given_at(path)


def missing_sample(name: str, model: Any, namespace: Mapping[str, Any], typed: str) -> BadSample:
    """The error for a deploy without a sample: names the variables that would do, and the line to type."""
    candidates = sample_candidates(namespace, model)
    line = f"{typed} --sample {candidates[0] if candidates else 'X_test'}"
    why = "the sample's rows fix what a request must look like, and every version is verified on them"
    if candidates:
        why += f"; these variables would do: {', '.join(candidates[:6])}"
    return BadSample(f"{name} needs a sample of the rows that it will be asked about", why=why, fix=f"`{line}`")


def sample_candidates(namespace: Mapping[str, Any], model: Any) -> list[str]:
    """Names of arrays and frames whose rows are as wide as the model's inputs; test data first."""
    width = getattr(model, "n_features_in_", None)
    wanted = getattr(model, "feature_names_in_", None)
    found = []
    for name, value in namespace.items():
        shape = getattr(value, "shape", None)
        if name.startswith("_") or not isinstance(shape, tuple) or isinstance(value, type) or len(shape) < 2:
            continue
        columns = getattr(value, "columns", None)
        if wanted is not None and columns is not None:
            fits = set(map(str, wanted)) <= set(map(str, columns)) and len(columns) == len(wanted)
        else:
            fits = width is None or shape[1] == width
        if fits and shape[0]:
            found.append(name)
    return sorted(found, key=lambda name: ("test" not in name.lower(), "val" not in name.lower()))


def _targets(statement: ast.stmt) -> list[ast.expr]:
    if isinstance(statement, ast.Assign):
        return statement.targets
    if isinstance(statement, ast.AnnAssign | ast.AugAssign):
        return [statement.target]
    # `if`, `with`, `for` and `try` at top level assign top-level names too.
    inner: list[ast.stmt] = [
        child
        for field in ("body", "orelse", "finalbody")
        for child in (getattr(statement, field, []) if not isinstance(statement, _SCOPES) else [])
    ]
    found = [target for child in inner for target in _targets(child)]
    found += [item.optional_vars for item in getattr(statement, "items", []) if item.optional_vars is not None]
    return found + [
        target for handler in getattr(statement, "handlers", []) for child in handler.body for target in _targets(child)
    ]


_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
