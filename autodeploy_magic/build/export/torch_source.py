"""The source of what travels with a module by value, for reading."""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
from typing import Any

__all__ = ["source_of", "source_text"]


def source_text(carried: tuple[Any, ...]) -> str:
    """The source of classes and functions of the notebook, as its cells had it; it is never run."""
    texts = ["# What travels with the weights, for reading: module.pkl is what runs.\n"]
    inside = {id(item) for kind in carried if isinstance(kind, type) for item in vars(kind).values()}
    outside = [thing for thing in carried if id(thing) not in inside]  # a method stands in its class
    for thing in outside:
        texts += [source_of(thing) or f"# {getattr(thing, '__qualname__', thing)}: its source is not known\n"]
    return "\n\n".join(texts)


def source_of(thing: Any) -> str:
    """The source of a class or a function; "" where the kernel does not know it.

    `inspect` looks for a class in the file of its module, and a notebook has none: its methods know their cell.
    """
    try:
        return textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError):
        pass
    methods = [item for item in vars(thing).values() if inspect.isfunction(item)] if isinstance(thing, type) else []
    for method in methods:
        lines = linecache.getlines(method.__code__.co_filename)
        found = _class_around(thing.__name__, method.__code__.co_firstlineno, lines)
        if found:
            return found
    return ""


def _class_around(name: str, line: int, lines: list[str]) -> str:
    """The class called `name` in which `line` lies."""
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == name and node.end_lineno is not None:
            first = min(node.lineno, *(item.lineno for item in node.decorator_list), node.end_lineno)
            if first <= line <= node.end_lineno:
                return textwrap.dedent("".join(lines[first - 1 : node.end_lineno]))
    return ""
