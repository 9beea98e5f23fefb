"""Which modules a piece of code imports, read from the code itself: what is imported inside a function, and only then.

Of a function that is the compiled code, of a module its source. A branch that only type checkers take, or that runs
only when the file is run as a program, imports nothing.
"""

from __future__ import annotations

import ast
import dis
import sys
import types
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

__all__ = ["accessors_of", "imported_by_code", "imported_by_source"]

_BY_NAME = {"import_module", "__import__"}
"""Functions that import the module whose name they are given."""


def imported_by_code(code: types.CodeType) -> set[str]:
    """The full names of the modules that compiled code imports anywhere, functions inside it included."""
    found: set[str] = set()
    items: tuple[str, ...] = ()
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            found.add(instruction.argval)
            found |= {f"{instruction.argval}.{item}" for item in items if item != "*"}
        value = instruction.argval if instruction.opname == "LOAD_CONST" else None
        items = value if isinstance(value, tuple) and all(isinstance(item, str) for item in value) else ()
    if _BY_NAME & set(code.co_names):
        found |= {value for value in code.co_consts if isinstance(value, str) and _is_module(value)}
    for value in code.co_consts:
        if isinstance(value, types.CodeType):
            found |= imported_by_code(value)
    return found


def imported_by_source(file: Path, package: str) -> set[str]:
    """The full names of the modules that a file of `package` imports; "from a import b" is a and a.b.

    A file that is not Python 3 imports nothing.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return set()
    found: set[str] = set()
    for node in _walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")} if base else set()
        elif isinstance(node, ast.Call) and node.args and _name_of(node.func) in _BY_NAME:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and not first.value.startswith("."):
                found.add(first.value)
    return found


def accessors_of(code: types.CodeType) -> set[str]:
    """Modules that hung a namespace of their own under tables, as in `frame.geo.area()`, of which `code` uses the name.

    Nothing in such code names the module: importing it is what adds the name to pandas' or polars' classes.
    """
    found: set[str] = set()
    for library, classes in (
        ("pandas", ("DataFrame", "Series", "Index")),
        ("polars", ("DataFrame", "LazyFrame", "Series", "Expr")),
    ):
        module = sys.modules.get(library)
        for kind in (getattr(module, name, None) for name in classes):
            for name in _names(code):
                hung: Any = vars(kind).get(name) if isinstance(kind, type) else None
                made_by = getattr(hung, "_accessor", None) or getattr(hung, "_ns", None)
                where = str(getattr(made_by, "__module__", ""))
                if where and where.partition(".")[0] not in (library, "__main__"):
                    found.add(where)
    return found


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for value in code.co_consts:
        if isinstance(value, types.CodeType):
            yield from _names(value)


def _is_module(text: str) -> bool:
    top = text.partition(".")[0]
    if not all(part.isidentifier() for part in text.split(".")):
        return False
    return top in sys.modules or PathFinder.find_spec(top) is not None


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes that a worker may run."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        yield node
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.If) and _never_runs(node.test):
            children = list(node.orelse)
        pending += children


def _never_runs(test: ast.expr) -> bool:
    if _name_of(test) == "TYPE_CHECKING":
        return True
    return (
        isinstance(test, ast.Compare)
        and _name_of(test.left) == "__name__"
        and isinstance(test.ops[0], ast.Eq)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value == "__main__"
    )


def _name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The full name of what a "from … import" is from; "" where it leads out of the package."""
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    if node.level > len(parts):
        return ""
    kept = parts[: len(parts) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])
