"""The person's own code around the model, as source that needs numpy and the standard library alone.

A version carries that code as a pickle, which runs; and its source, for reading. Here the source is shipped, where it
is whole: each name in it is its own, Python's, numpy's, or a module of the standard library. That it answers the same
is seen when the shipped folder replays the sample.
"""

from __future__ import annotations

import ast
import builtins
import symtable
import sys
from collections.abc import Iterator
from pathlib import Path

from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import ShipFailed

__all__ = ["ROLES", "source_around"]

ROLES = ("preprocess", "postprocess")
"""The functions that may stand around a graph. `predict(model, x)` wants the live object."""

_KNOWN = {"np": "import numpy as np", "numpy": "import numpy"}
_HEAD = '"""Code around the model, as it stood in the notebook. predict.py runs it."""\n\n'


def source_around(version: Version, model: Path) -> tuple[str, tuple[str, ...]]:
    """The source of what stands around the model, with the imports it needs, and the functions that it is for.

    ("", ()) where there is nothing. Raises `ShipFailed` where the source is not whole, or needs more than numpy.
    """
    if not any(item.role == "code" for item in version.artifacts):
        return "", ()
    if any(item.role == "module" for item in version.artifacts):
        raise _refused(version, "it imports modules of your own", "define what it needs in the cell itself")
    file = next((model / item.path for item in version.artifacts if item.role == "source"), None)
    if file is None:
        raise _refused(version, "its source was not kept", "deploy it again from a notebook")
    text = file.read_text("utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise _refused(version, f"its source cannot be read: {error}", "define it with def") from error
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    roles = tuple(name for name in ROLES if name in own)
    if "its source is not known to this kernel" in text or not roles or "predict" in own:
        raise _refused(version, "its source is not whole", "define preprocess and postprocess with def, in a cell")
    if "preprocess" in roles and version.signature.container == "dataframe":
        raise _refused(
            version,
            "its preprocess is given a pandas frame",
            "put that step into the model (a Pipeline), or deploy it on an array",
        )
    imports = sorted({_import_of(version, name) for name in _outside(text, str(file)) - own - set(dir(builtins))})
    for module in _imported(tree):
        if module not in ("numpy", *sys.stdlib_module_names):
            raise _refused(version, f"it imports {module}", "use numpy and the standard library alone")
    return _HEAD + "\n".join(imports) + "\n\n\n" + text.rstrip() + "\n", roles


def _import_of(version: Version, name: str) -> str:
    if name in _KNOWN:
        return _KNOWN[name]
    if name in sys.stdlib_module_names:
        return f"import {name}"
    raise _refused(
        version,
        f"it uses {name!r}, which the notebook has and its source does not define",
        "define or import it within the function, or give it as the default of an argument that is a plain value",
    )


def _outside(text: str, name: str) -> set[str]:
    """The global names that a source uses."""
    return {symbol.get_name() for scope in _scopes(symtable.symtable(text, name, "exec")) for symbol in _globals(scope)}


def _scopes(scope: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield scope
    for child in scope.get_children():
        yield from _scopes(child)


def _globals(scope: symtable.SymbolTable) -> Iterator[symtable.Symbol]:
    top = scope.get_type() == "module"
    return (
        symbol
        for symbol in scope.get_symbols()
        if symbol.is_referenced() and (symbol.is_global() or (top and not symbol.is_assigned()))
    )


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def _refused(version: Version, why: str, fix: str) -> ShipFailed:
    return ShipFailed(
        f"the code around v{version.number} of {version.deployment} cannot be shipped as source",
        why=why,
        fix=f"{fix}; or ship it as an image: `%deploy containerize`",
    )
