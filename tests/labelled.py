"""Labelled rows, and the moments they come in, with a known truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from records import make_status, make_version

from autodeploy_magic.contracts import Column, Desired, Output, Signature, Version
from autodeploy_magic.operate.detect.base import Moment, Reference
from autodeploy_magic.reservoir import Labelled, Recorded
from autodeploy_magic.reservoir.schema import open_for_writing
from autodeploy_magic.reservoir.writing import insert

NOW = 1_800_000_000


def model(
    task: str = "classification",
    *,
    dtype: str = "int64",
    shape: tuple[int, ...] = (),
    classes: int = 0,
    columns: Sequence[tuple[str, str]] = (),
    number: int = 1,
) -> Version:
    """A version with that task and answers; `classes` gives it probabilities, `columns` (name, dtype) a table."""
    outputs = [Output(name="predictions", container="ndarray", dtype=dtype, shape=shape)]
    if classes:
        outputs.append(Output(name="probabilities", container="ndarray", dtype="float64", shape=(classes,)))
    version = replace(make_version(number), task=task, outputs=tuple(outputs))
    if not columns:
        return version
    table = tuple(Column(name=name, dtype=kind, nullable=True) for name, kind in columns)
    return replace(version, signature=Signature(container="dataframe", columns=table))


def labelled(
    request: str,
    prediction: Any,
    label: Any,
    *,
    row: int = 0,
    version: int = 1,
    answered_s: float = NOW,
    labelled_s: float = NOW + 1,
    columns: Mapping[str, Any] | None = None,
    confidence: float | None = None,
    before: Any = None,
) -> Labelled:
    return Labelled(request, row, version, answered_s, labelled_s, prediction, label, columns or {}, confidence, before)


def recorded(
    request: str,
    predictions: Sequence[Any],
    *,
    inputs: Any = None,
    probabilities: Sequence[Sequence[float]] | None = None,
    version: int = 1,
    status: int = 200,
    at_s: float = NOW,
) -> Recorded:
    """A request with its rows; the confidences are the largest of its probabilities."""
    outputs: dict[str, Sequence[Any]] = {"predictions": list(predictions)} if status < 400 else {}
    if probabilities is not None:
        outputs["probabilities"] = [list(row) for row in probabilities]
    confidence = tuple(max(row) for row in probabilities or ())
    rows = len(predictions)
    return Recorded(request, at_s, version, status, 0.001, rows, tuple(range(rows)), inputs, outputs, confidence)


def write(file: Path, requests: Sequence[Recorded]) -> Path:
    """Put requests into a reservoir's file, as workers do."""
    with closing(open_for_writing(file)) as connection, connection:
        connection.execute("BEGIN")
        insert(connection, requests)
    return file


def moment(
    t: int,
    version: Version,
    *,
    labels: Sequence[Labelled] = (),
    requests: Sequence[Recorded] = (),
    reference: Reference | None = None,
) -> Moment:
    """A second in which these came."""
    return Moment(
        t=t,
        name="iris",
        desired=Desired(name="iris", version=version.number, executable="python"),
        status=make_status(),
        version=version,
        answers=None,
        reference=lambda: reference or Reference({}, {}),
        recorded=requests,
        labelled=labels,
    )
