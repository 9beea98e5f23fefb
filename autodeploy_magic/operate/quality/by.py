"""All slices of one column, for `%deploy quality NAME --by COLUMN`: a job of a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Slice
from autodeploy_magic.operate.quality.columns import Columns
from autodeploy_magic.operate.quality.pairs import Pairs
from autodeploy_magic.operate.quality.slices import all_slices
from autodeploy_magic.operate.quality.tracker import class_count
from autodeploy_magic.operate.quality.window import WINDOW, Window
from autodeploy_magic.reservoir import recent_labelled

__all__ = ["main", "slices_by"]


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """`spec` has the `file` with the labels, the `version` and the `column`; returns the `slices`, as JSON values."""
    version = msgspec.convert(spec["version"], Version)
    found = slices_by(Path(spec["file"]), version, spec["column"])
    return {"slices": [msgspec.to_builtins(one) for one in found]}


def slices_by(file: Path, version: Version, column: str) -> tuple[Slice, ...]:
    """The slices of a column, by the newest labelled rows; those of few labels too.

    A column of an array is called by its position, "2" or "x[2]". Raises `InvalidOption` for a column that labelled
    rows do not have, or that has too many values to be sliced by.
    """
    name = column[2:-1] if column.startswith("x[") and column.endswith("]") else column
    columns = Columns(WINDOW, only=name)
    window, pairs = Window(columns=columns), Pairs(version)
    labels = recent_labelled(file, version.signature, WINDOW)
    for labelled in reversed(labels):
        window.add(labelled, pairs.of(labelled.prediction, labelled.label))
    rows = window.rows()
    if rows is None:
        return ()
    found = all_slices(rows, columns, name, rows.positive((), class_count(version)))
    if found:
        return found
    names = list(dict.fromkeys(name for labelled in labels for name in labelled.columns))
    if name in names:
        raise InvalidOption(
            f"--by {column} has no slices", why="its values are free text, or none is known", fix=_instead(names, name)
        )
    raise InvalidOption(f"--by {column} is no column of the labelled rows", fix=_instead(names, name))


def _instead(names: list[str], name: str) -> str:
    others = [one for one in names if one != name]
    return f"use one of: {', '.join(others[:20])}" if others else "requests whose inputs are recorded have columns"
