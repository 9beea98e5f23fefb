"""Requests as a worker records them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.reservoir import Recorded
from autodeploy_magic.reservoir.schema import open_for_writing
from autodeploy_magic.reservoir.writing import insert

SIGNATURE = Signature(
    container="dataframe", columns=(Column(name="age", dtype="float64"), Column(name="city", dtype="str"))
)


def recorded(request: str, rows: int = 2, **how: Any) -> Recorded:
    """A request of so many rows, answered "yes" and "no" in turn, the first row surest."""
    kept = how.pop("kept", tuple(range(rows)))
    fields: dict[str, Any] = {
        "at_s": 1000.0,
        "version": 1,
        "status": 200,
        "seconds": 0.001,
        "inputs": {"age": [float(i) for i in kept], "city": [f"c{i}" for i in kept]},
        "outputs": {"predictions": ["no" if i % 2 else "yes" for i in kept]},
        "confidence": tuple(1.0 - 0.1 * place for place in range(len(kept))),
    }
    return Recorded(id=request, rows=rows, kept=kept, **{**fields, **how})


Record = Callable[[Sequence[Recorded]], None]


def write(path: Path, requests: Sequence[Recorded]) -> None:
    """Write them down, as a worker does."""
    with closing(open_for_writing(path)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        insert(connection, requests)
