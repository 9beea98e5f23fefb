"""A request that was taken into the sample, as it is recorded: its rows as JSON values, its answers, its error."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from autodeploy_magic.contracts import Output, Version
from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.reservoir.records import Recorded
from autodeploy_magic.wire import Batch, to_plain

__all__ = ["BODY_BYTES", "INPUT_BYTES", "MOST_ROWS", "Taken", "evenly", "rows_of", "words_of"]

MOST_ROWS = 64
"""Of one request."""
INPUT_BYTES = 64 * 1024
"""The inputs of one request, as JSON; of larger ones fewer rows are kept, and none of what is larger by itself."""
BODY_BYTES = 256 * 1024
"""Of a request that failed. A larger one is not kept: half of it would show nothing."""
PREDICTION_VALUES = 1 << 16
OUTPUT_VALUES = 1 << 12
"""Of larger outputs of a request none is kept; of probabilities the largest are, as its confidence."""
_SURELY = 3
"""So many times what it takes at the least, it takes at the most."""
_FLOAT_BYTES, _WHOLE_BYTES = 8, 2
"""What a number takes as JSON, at the least that is usual."""
_FILES = ("image", "bytes")


class Taken(NamedTuple):
    """What the event loop hands over: references, and nothing that was made for it.

    `indices` are the places of the batch's rows in the request, None where it has them all. `outputs` are the model's
    values by name, for the same rows.
    """

    id: str
    at_s: float
    version: Version
    status: int
    seconds: float
    rows: int
    indices: Sequence[int] | None
    batch: Batch | None
    outputs: Mapping[str, Any]
    error: str = ""
    body: bytes | bytearray = b""
    content_type: str = ""

    def recorded(self, most_rows: int = MOST_ROWS) -> Recorded:
        """The record of it. Takes about a microsecond a value, and belongs into a thread."""
        indices = list(range(self.rows)) if self.indices is None else list(self.indices)
        places, inputs = self._inputs(evenly(len(indices), most_rows))
        outputs = self._outputs(places)
        return Recorded(
            id=self.id,
            at_s=self.at_s,
            version=self.version.number,
            status=self.status,
            seconds=self.seconds,
            rows=self.rows,
            kept=tuple(indices[place] for place in places),
            inputs=inputs,
            outputs=outputs,
            confidence=self._confidence(places),
            error=self.error,
            body=_text(self.body, self.content_type),
        )

    def _inputs(self, places: list[int]) -> tuple[list[int], Any]:
        """Those of the places of the batch's rows that are kept, and their inputs."""
        batch = self.batch
        if batch is None or any(column.dtype in _FILES for column in batch.signature.columns):
            return places, None
        least = _bytes_of(batch) * len(places) // batch.rows
        kept = _fitting(places, least)
        for _ in range(2):
            if not kept:
                break
            inputs = _plain_inputs(batch, kept)
            size = least if least * _SURELY <= INPUT_BYTES else len(msgspec.json.encode(inputs))
            if size <= INPUT_BYTES:
                return kept, inputs
            kept = _fitting(kept, size)
        return places, None

    @property
    def _rows_held(self) -> int:
        return self.rows if self.indices is None else len(self.indices)

    def _confidence(self, places: Sequence[int]) -> tuple[float, ...]:
        """The largest probability of each row; () where there are none, or of several targets."""
        probabilities: Any = self.outputs.get("probabilities")
        values = probabilities.to_numpy() if hasattr(probabilities, "to_numpy") else probabilities
        if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind != "f":
            return ()
        if len(values) != self._rows_held or not values.shape[1]:
            return ()
        largest = values[list(places)].max(axis=1)
        return tuple(largest.tolist()) if np.isfinite(largest).all() else ()

    def _outputs(self, places: Sequence[int]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for output in self.version.outputs:
            if output.name in self.outputs:
                values = self._values(output, places)
                if values is not None:
                    found[output.name] = values
        return found

    def _values(self, output: Output, places: Sequence[int]) -> list[Any] | None:
        """An output for the rows at `places`; None for one that is not one item a row, or that JSON cannot say."""
        value = self.outputs[output.name]
        most = PREDICTION_VALUES if output.name == "predictions" else OUTPUT_VALUES
        if getattr(value, "size", 0) * len(places) > most * self._rows_held:
            return None
        try:
            if not output.per_row:
                return [to_plain(value)] if self.rows == 1 else None
            chosen, rest = rows_of(value, places)
            plain = to_plain(chosen)
        except (TypeError, ValueError, IndexError):
            return None
        if not isinstance(plain, list):
            return None
        if rest:
            plain = [plain[place] for place in places] if len(plain) > max(places, default=0) else []
        return plain if len(plain) == len(places) else None


def evenly(rows: int, most: int) -> list[int]:
    """The indices of at most `most` of so many rows, with as many between each two."""
    return list(range(rows)) if rows <= most else [i * rows // most for i in range(most)]


def rows_of(values: Any, places: Sequence[int]) -> tuple[Any, bool]:
    """The items at `places` of arrays and lists, and whether that is still to be done, as of anything else."""
    if isinstance(values, np.ndarray) and values.ndim:
        return (values, False) if len(places) == len(values) else (values[list(places)], False)
    if isinstance(values, list):
        return [values[place] for place in places], False
    return values, True


def words_of(error: RequestRefused) -> str:
    """What failed, with its cause, which its client is not told."""
    cause = error.__cause__
    return error.what if cause is None else f"{error.what}: {type(cause).__name__}: {cause}"


def _plain_inputs(batch: Batch, places: list[int]) -> Any:
    """The rows as `POST /predict` takes them: a table's by column, an array's or a list's one by one."""
    whole = len(places) == batch.rows
    columns = {name: to_plain(values if whole else values[places]) for name, values in batch.columns.items()}
    return columns if batch.signature.container in ("dataframe", "dict") else next(iter(columns.values()))


def _bytes_of(batch: Batch) -> int:
    """What the batch takes as JSON at the least; not looked into where it is numbers."""
    total = 0
    arrays = [batch.matrix] if batch.matrix is not None else batch.columns.values()
    for values in arrays:
        if values.dtype.kind in "fc":
            total += values.size * _FLOAT_BYTES
        elif values.dtype.kind == "O":
            total += sum(len(value) if isinstance(value, str | list) else _WHOLE_BYTES for value in values.flat)
        else:
            total += values.size * _WHOLE_BYTES
    return total


def _fitting(places: list[int], size: int) -> list[int]:
    """As many of them as fit, where all take so many bytes."""
    if size <= INPUT_BYTES:
        return places
    return [places[i] for i in evenly(len(places), len(places) * INPUT_BYTES // size)]


def _text(body: bytes | bytearray, content_type: str) -> str:
    """A body as text; where it is none, as a data: URI."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        encoded = base64.b64encode(body).decode("ascii")
        return f"data:{content_type or 'application/octet-stream'};base64,{encoded}"
