"""Recorded requests as values by column: a detector looks at some dozens of rows at once, and not at each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import is_
from typing import Any, ClassVar, TypeVar

from autodeploy_magic.contracts import Signature
from autodeploy_magic.reservoir import Labelled, Recorded, columns_of

__all__ = ["BATCH", "Batch", "Gathered", "Inputs", "OfRequests"]

BATCH = 100
"""Rows that are looked at together."""
PATIENCE_S = 10
"""And how long fewer are waited for."""
OF_ONE_REQUEST = 5
"""Rows of one request that count, evenly spread: they are more like each other than like those of others. Of 25 rows
that have half of their variance in common, 25 false alarms come of 1 500 requests; of 5 none."""
WIDE = 60
"""Columns that are looked at together."""
VALUES_PER_S = 1_000
"""How many values of a wide table are looked at."""

Part = TypeVar("Part")


@dataclass
class Batch:
    """Rows by column, each as long as `at_s`: when each was asked, in seconds since the epoch.

    `part` is which of a wide table's columns it has, `together` how many columns the table has.
    """

    columns: dict[str, list[Any]] = field(default_factory=dict)
    at_s: list[float] = field(default_factory=list)
    part: int = 0
    together: int = 1

    def take(self, columns: Mapping[str, Sequence[Any]], at_s: float) -> None:
        """Add a request's rows. What has another length than the rest is left out; a column that is new, or that is
        not there, has gaps.
        """
        lengths = [len(values) for values in columns.values()]
        rows = max(set(lengths), key=lengths.count) if lengths else 0
        before, kept = len(self.at_s), min(rows, OF_ONE_REQUEST)
        for name, values in columns.items():
            if len(values) != rows:
                continue
            into = self.columns.get(name)
            if into is None:
                into = self.columns[name] = [None] * before
            into.extend(values if rows <= OF_ONE_REQUEST else (values[i * rows // kept] for i in range(kept)))
        self.at_s.extend([at_s] * kept)
        for into in self.columns.values():
            if len(into) < before + kept:
                into.extend([None] * (before + kept - len(into)))

    def take_all(self, other: Batch) -> None:
        """Add the rows of another batch."""
        before, rows = len(self.at_s), len(other.at_s)
        for name, values in other.columns.items():
            self.columns.setdefault(name, [None] * before).extend(values)
        self.at_s.extend(other.at_s)
        for into in self.columns.values():
            into.extend([None] * (before + rows - len(into)))


Read = Callable[[Any], Mapping[str, Sequence[Any]]]


class Gathered:
    """Requests that wait until there are enough rows of them, or until the oldest waited long enough.

    `of` says what of a request is looked at, `read` gives the values by column of that, {} where it has none.
    """

    def __init__(self, of: Callable[[Recorded], Any], read: Read) -> None:
        self._of = of
        self._read = read
        self._waiting: list[Recorded] = []
        self._rows = 0
        self._since = 0.0

    def add(self, recorded: Sequence[Recorded], t: float) -> list[Batch]:
        """Take requests in, and return what is to be looked at now."""
        if recorded:
            if not self._waiting:
                self._since = t
            self._waiting.extend(recorded)
            self._rows += sum(min(len(request.kept), OF_ONE_REQUEST) for request in recorded)
        if not self._waiting or (self._rows < BATCH and t - self._since < PATIENCE_S):
            return []
        requests, self._waiting, self._rows = self._waiting, [], 0
        return self._batches(requests, max(t - self._since, 1.0))

    def _batches(self, requests: list[Recorded], seconds: float) -> list[Batch]:
        batch = self._read_all(requests, self._read)
        return [batch] if batch.at_s else []

    def _read_all(self, requests: list[Recorded], read: Read) -> Batch:
        """All rows: at once where the requests are of one form, which takes a third of the time."""
        rows: list[Any] = []
        at_s: list[float] = []
        for request in requests:
            given = self._of(request)
            if type(given) is not list:
                break
            if len(given) > OF_ONE_REQUEST:
                given = [given[i * len(given) // OF_ONE_REQUEST] for i in range(OF_ONE_REQUEST)]
            rows += given
            at_s += [request.at_s] * len(given)
        else:
            columns = _safely(read, rows)
            if columns and all(len(values) == len(rows) for values in columns.values()):
                return Batch({name: list(values) for name, values in columns.items()}, at_s)
        batch = Batch()
        for request in requests:
            batch.take(_safely(read, self._of(request)), request.at_s)
        return batch


def _safely(read: Read, given: Any) -> Mapping[str, Sequence[Any]]:
    try:
        return {} if given is None else read(given)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return {}  # what is recorded of a request that was refused may have any form


class Inputs(Gathered):
    """Gathers the inputs of requests.

    The columns of a wide table take turns, as many in each as the time since the last rows allows. Several detectors
    look at the same requests, one after the other: those after the first find them read.
    """

    _latest: ClassVar[tuple[Signature, int, list[Recorded], list[Batch], int] | None] = None

    def __init__(self, signature: Signature) -> None:
        super().__init__(lambda request: request.inputs, lambda inputs: columns_of(signature, inputs))
        self._signature = signature
        columns = signature.columns
        self._parts = [columns[start : start + WIDE] for start in range(0, len(columns), WIDE)]
        self._turn = 0

    def _batches(self, requests: list[Recorded], seconds: float) -> list[Batch]:
        latest, turn = Inputs._latest, self._turn
        if latest is not None and latest[0] is self._signature and latest[1] == turn and _same(latest[2], requests):
            self._turn = latest[4]
            return latest[3]
        if len(self._parts) > 1 and all(type(request.inputs) is list for request in requests):
            batches = self._in_turn(requests, seconds)
        else:
            batches = [part for batch in super()._batches(requests, seconds) for part in self._split(batch, seconds)]
        Inputs._latest = (self._signature, turn, requests, batches, self._turn)
        return batches

    def _in_turn(self, requests: list[Recorded], seconds: float) -> list[Batch]:
        """Read those columns alone whose turn it is: of records; rows that are lists are read whole."""
        if not all(type(row) is dict for request in requests for row in request.inputs):
            return [part for batch in super()._batches(requests, seconds) for part in self._split(batch, seconds)]
        batches = []
        rows = sum(len(request.kept) for request in requests)
        for part, columns in self._turns(self._parts, rows, seconds):
            signature = Signature(container=self._signature.container, columns=columns)
            batch = self._read_all(requests, partial(columns_of, signature))
            batch.part, batch.together = part, len(self._signature.columns)
            batches.append(batch)
        return [batch for batch in batches if batch.at_s]

    def _split(self, batch: Batch, seconds: float) -> list[Batch]:
        names = list(batch.columns)
        batch.together = len(names)
        if len(names) <= WIDE:
            return [batch]
        parts = [[column.name for column in part if column.name in batch.columns] for part in self._parts]
        if sum(map(len, parts)) != len(names):  # an array's
            parts = [names[start : start + WIDE] for start in range(0, len(names), WIDE)]
        return [
            Batch({name: batch.columns[name] for name in part}, batch.at_s, i, len(names))
            for i, part in self._turns(parts, len(batch.at_s), seconds)
        ]

    def _turns(self, parts: Sequence[Part], rows: int, seconds: float) -> list[tuple[int, Part]]:
        most = int(VALUES_PER_S * seconds / max(rows, 1) / WIDE)
        several = range(self._turn, self._turn + max(1, min(most, len(parts))))
        self._turn = several.stop
        return [(turn % len(parts), parts[turn % len(parts)]) for turn in several]


def _same(some: list[Recorded], others: list[Recorded]) -> bool:
    return len(some) == len(others) and all(map(is_, some, others))


class OfRequests:
    """What detectors that look at recorded requests have in common: which version, and what was before this process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._version = 0
        self._past: list[Recorded] = []

    def warm(self, recorded: Sequence[Recorded], labelled: Sequence[Labelled] = ()) -> None:
        """Look at requests from before this process when their version is seen."""
        self._past = sorted(recorded, key=lambda request: request.at_s)
