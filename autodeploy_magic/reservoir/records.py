"""A recorded request, and a row of one whose label is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Labelled", "Recorded"]


class Recorded(NamedTuple):
    """One request that was recorded. `id` is the one that its client was told; `at_s` seconds since the epoch.

    `rows` is how many it had, `kept` the indices of those that are recorded (all of them, up to a limit). `inputs` is
    what `POST /predict` would be sent as "inputs" for these rows, None where they were too large to keep. `outputs` are
    JSON values by name, one for each kept row: "predictions", and "probabilities" where the model has them and they
    were at hand. `confidence` is the largest probability of each kept row, () where there are none. `status` is HTTP's;
    `error` words what failed. `body` is what was sent, as it was, of a request that failed; "" otherwise.
    """

    id: str
    at_s: float
    version: int
    status: int
    seconds: float
    rows: int
    kept: tuple[int, ...]
    inputs: Any
    outputs: Mapping[str, Sequence[Any]]
    confidence: tuple[float, ...] = ()
    error: str = ""
    body: str = ""


class Labelled(NamedTuple):
    """A row that was answered and whose true answer is known. Both are JSON values; times in seconds since the epoch.

    `columns` are the row's inputs by column, {} where they were not kept. `before` is the label that this one replaced,
    None for the first.
    """

    request: str
    row: int
    version: int
    answered_s: float
    labelled_s: float
    prediction: Any
    label: Any
    columns: Mapping[str, Any]
    confidence: float | None = None
    before: Any = None
