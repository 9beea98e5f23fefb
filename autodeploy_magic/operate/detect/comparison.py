"""Whether the rows that come now are still distributed as those that came first.

    Table           all columns: those of a wide one in blocks
    Block           some columns: the first rows, then counts of the newest ones by cell, in two windows
    Verdict         what is found of a column

The reference is the first traffic: `FIRST` rows settle which cells there are, and those that leave the short window are
added until there are `GROWN`, as long as nothing looks like drift. The sample is part of it where the first traffic is
distributed as it; where it is not (it may be sorted, balanced, or of another time) that is told as `unlike`, and the
first traffic stands alone.

A column drifts when its index, less what chance makes of it, passes the limit in the newest 200 or 1 000 rows, and a
test says that it is not chance at a level that is corrected for all columns and all looks of a day; at two looks
running. It is over when the index of the newest 200 stays below half the limit at three looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from autodeploy_magic.contracts import Column
from autodeploy_magic.operate.detect.distributions import Counts, homogeneity, ks, level, noise, psi, thinned
from autodeploy_magic.operate.detect.encoding import CELLS, MISSING, Encoder, encoders_of, kind_of
from autodeploy_magic.operate.detect.gathering import WIDE, Batch

__all__ = ["FIRST", "LIMIT", "Table", "Verdict"]

LIMIT = 0.2
FIRST = 200
GROWN = 500
SHORT = 200
LONG = 1_000
EVERY = 100
"""Rows between two looks."""
ENOUGH = 50
"""Rows with a value below which nothing is said."""
OF_SAMPLE = 1_000
SURELY = 3.0
"""Standard deviations of chance that are taken off, too, where nothing drifts: an objective may be compared with it."""
LOOKS_UNTIL_DRIFTED = 2
LOOKS_UNTIL_OVER = 3

State = Literal["same", "drifting", "drifted"]


@dataclass
class Verdict:
    """What is found of a column. `value` is its index less what chance makes of it, `text` says what is other, and
    `describe` brings `text`, `rows` and `reference` up to date.
    """

    column: str
    value: float = 0.0
    p_value: float | None = None
    rows: int = 0
    reference: int = 0
    state: State = "same"
    text: str = ""
    describe: Callable[[], None] | None = None


class Table:
    """All columns of a version's requests, or of its answers. `columns` is what the signature says of them."""

    def __init__(self, columns: Mapping[str, Column], sample: Mapping[str, Sequence[Any]], limit: float) -> None:
        self._columns = columns
        self._sample = sample
        self._limit = limit
        self._parts: dict[int, Block] = {}

    @property
    def settled(self) -> bool:
        return bool(self._parts) and all(block.settled for block in self._parts.values())

    def add(self, batch: Batch) -> bool:
        """Count rows; whether anything was looked at."""
        block = self._parts.get(batch.part)
        if block is None:
            names, together = list(batch.columns), max(batch.together, len(batch.columns))
            block = self._parts[batch.part] = Block(names, self._columns, self._sample, self._limit, together)
        return block.add(batch)

    def verdicts(self) -> list[Verdict]:
        """One for each column: the worst of what is looked at of it."""
        worst: dict[str, Verdict] = {}
        for block in self._parts.values():
            for verdict in block.verdicts():
                other = worst.get(verdict.column)
                if other is None or _rank(verdict) > _rank(other):
                    worst[verdict.column] = verdict
        return list(worst.values())

    def unlike(self) -> list[Verdict]:
        """Columns whose first rows are not distributed as the sample's."""
        return [verdict for block in self._parts.values() for verdict in block.unlike]


_STATES: tuple[State, ...] = ("same", "drifting", "drifted")


def _rank(verdict: Verdict) -> tuple[int, float]:
    return _STATES.index(verdict.state), verdict.value


class Block:
    """Some columns of a table. See the module."""

    def __init__(
        self,
        names: Sequence[str],
        columns: Mapping[str, Column],
        sample: Mapping[str, Sequence[Any]],
        limit: float,
        together: int,
    ) -> None:
        self._names = names
        self._columns = columns
        self._sample = {name: thinned(sample.get(name, ()), OF_SAMPLE) for name in names}
        self._limit = limit
        self._together = together
        self._first = Batch()
        self.settled = False
        self.unlike: list[Verdict] = []
        self._early: list[Verdict] = []

    # --- the first rows

    def add(self, batch: Batch) -> bool:
        """Count rows; whether they were looked at."""
        rows = len(batch.at_s)
        if self.settled:
            looked = False
            for start in range(0, rows, EVERY):
                looked |= self._count(batch, start, min(start + EVERY, rows))
            return looked
        before = len(self._first.at_s)
        self._first.take_all(batch)
        now = len(self._first.at_s)
        if now >= FIRST:
            self._settle()
            return True
        if now // ENOUGH > before // ENOUGH and self._together <= WIDE:
            self._early = [self._against_sample(encoder) for encoder in self._fitted_to_sample()]
            return True
        return False

    def _fitted_to_sample(self) -> list[Encoder]:
        result = []
        for name in self._names:
            sample = self._sample[name]
            kind = kind_of(self._columns.get(name), sample)
            if kind == "date" or len(sample) < ENOUGH // 2:
                continue  # how old a date was when the sample was taken is not known
            for encoder in encoders_of(name, kind):
                encoder.fit(sample, [0.0] * len(sample))
                if encoder.cells:
                    result.append(encoder)
        return result

    def _against_sample(self, encoder: Encoder) -> Verdict:
        """Compare the first rows with the sample."""
        sample, first = self._sample[encoder.column], self._first.columns.get(encoder.column, [])
        was, mean_was = _counted(encoder, *encoder.kept(sample, [0.0] * len(sample)))
        now, mean_now = _counted(encoder, first, self._first.at_s)
        used = np.arange(CELLS) < encoder.cells
        verdict = Verdict(encoder.column, rows=int(now.sum()), reference=int(was.sum()))
        if min(verdict.rows, verdict.reference) < ENOUGH // 2:
            return verdict
        verdict.value = max(0.0, float(psi(was, now, used) - noise(was, now, used)))
        verdict.text = encoder.changed(was, now, mean_was, mean_now)
        if verdict.value > self._limit / 4:
            verdict.p_value = _tested(encoder, was, now)
            if verdict.value > self._limit and verdict.p_value < 0.001 / self._together:
                verdict.state = "drifting"
        return verdict

    def _settle(self) -> None:
        """Decide what the reference is, and which cells it has."""
        first = self._first
        compared: dict[str, Verdict] = {}
        for encoder in self._fitted_to_sample():
            verdict = self._against_sample(encoder)
            if encoder.column not in compared or _rank(verdict) > _rank(compared[encoder.column]):
                compared[encoder.column] = verdict
        self.unlike = [verdict for verdict in compared.values() if verdict.state != "same"]
        self._encoders: list[Encoder] = []
        references: list[Counts] = []
        means: list[float] = []
        for name in self._names:
            found = compared.get(name)
            alike = found is not None and found.value < self._limit / 4
            here = list(first.columns.get(name, ()))
            values = [*(self._sample[name] if alike else ()), *here]
            at_s = [*([0.0] * (len(values) - len(here))), *first.at_s]
            for encoder in encoders_of(name, kind_of(self._columns.get(name), values)):
                encoder.fit(values, at_s)
                if encoder.cells:
                    counts, mean = _counted(encoder, *encoder.kept(values, at_s))
                    self._encoders.append(encoder)
                    references.append(counts)
                    means.append(mean)
        self.settled = True
        self._first, self._sample, self._early = Batch(), {}, []
        self._begin(references, means)

    # --- the rows after them

    def _begin(self, references: list[Counts], means: list[float]) -> None:
        wide = len(self._encoders)
        self._used = np.array([np.arange(CELLS) < encoder.cells for encoder in self._encoders]).reshape(wide, CELLS)
        self._offsets = np.arange(wide) * CELLS
        self._reference = np.array(references).reshape(wide, CELLS)
        self._means = means
        self._short = np.zeros((wide, CELLS))
        self._long = np.zeros((wide, CELLS))
        self._ring = np.full((LONG, wide), MISSING, dtype=np.int8)
        self._numbers = np.full((SHORT, wide), np.nan)
        self._place = 0
        self._since_look = 0
        self._left = FIRST
        self._verdicts = [
            Verdict(encoder.column, describe=partial(self._describe, j)) for j, encoder in enumerate(self._encoders)
        ]
        self._same = np.ones(wide, dtype=bool)
        self._looks = np.zeros(wide, dtype=int)

    def _count(self, batch: Batch, start: int, end: int) -> bool:
        rows, at_s = end - start, batch.at_s[start:end]
        codes = np.full((rows, len(self._encoders)), MISSING, dtype=np.int8)
        places = (self._place + np.arange(rows)) % LONG
        kept = places % SHORT
        self._numbers[kept] = np.nan
        for j, encoder in enumerate(self._encoders):
            values = batch.columns.get(encoder.column)
            if values is not None:
                codes[:, j], self._numbers[kept, j] = encoder.encode(values[start:end], at_s)
        new = self._tally(codes)
        left = self._tally(self._ring[places - SHORT])
        self._long += new - self._tally(self._ring[places])
        self._short += new - left
        if self._left < GROWN and self._place >= SHORT:
            self._left += rows
            self._reference += left * self._same[:, None]
        self._ring[places] = codes
        self._place += rows
        self._since_look += rows
        if self._since_look < EVERY:
            return False
        self._since_look = 0
        self._look()
        return True

    def _tally(self, codes: npt.NDArray[np.int8]) -> Counts:
        flat = (codes + self._offsets)[codes >= 0]
        counts = np.bincount(flat, minlength=len(self._encoders) * CELLS)
        return counts.reshape(-1, CELLS).astype(np.float64)

    def _look(self) -> None:
        """Compare both windows with the reference."""
        short, long = self._index(self._short), self._index(self._long)
        worst = np.maximum(short, long)
        for j in np.flatnonzero((worst > self._limit / 2) | ~self._same):
            self._judge(int(j), float(short[j]), float(long[j]))
        surely = np.maximum(self._index(self._short, SURELY), self._index(self._long, SURELY))
        for j in np.flatnonzero(self._same):
            self._verdicts[j].value, self._verdicts[j].state = float(surely[j]), "same"

    def _index(self, window: Counts, sigmas: float = 0.0) -> Counts:
        """The index of each column less what chance makes of it on average, or so many standard deviations beyond that;
        0 where too few rows have a value.
        """
        chance = noise(self._reference, window, self._used)
        if sigmas:  # of a chi² with c degrees of freedom it is √(2 c)
            chance *= 1 + sigmas * np.sqrt(2 / np.maximum(self._used.sum(axis=1) - 1, 1))
        found = np.maximum(psi(self._reference, window, self._used) - chance, 0.0)
        enough = (window.sum(axis=1) >= ENOUGH) & (self._reference.sum(axis=1) >= ENOUGH)
        return np.where(enough, found, 0.0)

    def _judge(self, j: int, short: float, long: float) -> None:
        verdict, recent = self._verdicts[j], short >= long
        window = self._short[j] if recent else self._long[j]
        verdict.value = max(short, long)
        if verdict.state == "drifted":
            self._looks[j] = self._looks[j] + 1 if short < self._limit / 2 else 0
            if self._looks[j] >= LOOKS_UNTIL_OVER:
                self._over(j)
            elif verdict.value > self._limit / 2:
                verdict.p_value = _tested(self._encoders[j], self._reference[j], window)
            return
        verdict.p_value = _tested(self._encoders[j], self._reference[j], window)
        if verdict.value > self._limit and verdict.p_value < level(self._together):
            self._looks[j] += 1
            verdict.state = "drifted" if self._looks[j] >= LOOKS_UNTIL_DRIFTED else "drifting"
        else:
            self._looks[j] = 0
            verdict.state = "same"
        self._same[j] = verdict.state == "same"

    def _over(self, j: int) -> None:
        """It is as it was: forget the rows that were not, or the long window would tell of them once more."""
        last = (self._place - 1 - np.arange(SHORT)) % LONG
        kept = self._ring[last, j].copy()
        self._ring[:, j] = MISSING
        self._ring[last, j] = kept
        self._long[j] = self._short[j]
        self._looks[j] = 0
        self._same[j] = True

    # --- what is told

    def verdicts(self) -> list[Verdict]:
        """One for each thing that is looked at; a column may have two."""
        if not self.settled:
            waiting = f"the first {len(self._first.at_s)} of {FIRST} rows"
            known = {verdict.column: verdict for verdict in self._early if verdict.state != "same"}
            return [known.get(name) or Verdict(name, rows=len(self._first.at_s), text=waiting) for name in self._names]
        return self._verdicts

    def _describe(self, j: int) -> None:
        verdict, encoder, short = self._verdicts[j], self._encoders[j], self._short[j]
        verdict.rows, verdict.reference = int(self._long[j].sum()), int(self._reference[j].sum())
        verdict.text = encoder.changed(self._reference[j], short, self._means[j], _mean(self._numbers[:, j]))


def _counted(encoder: Encoder, values: Sequence[Any], at_s: Sequence[float]) -> tuple[Counts, float]:
    """How many values each cell has, and the mean of them as numbers."""
    codes, numbers = encoder.encode(values, at_s)
    return np.bincount(codes[codes >= 0], minlength=CELLS).astype(np.float64), _mean(numbers)


def _mean(numbers: npt.NDArray[np.float64]) -> float:
    """NaN where there are none, and infinite where they are too large to be added."""
    numbers = numbers[~np.isnan(numbers)]
    with np.errstate(all="ignore"):
        return float(numbers.mean()) if len(numbers) else float("nan")


def _tested(encoder: Encoder, reference: Counts, counts: Counts) -> float:
    """The probability by the test that says most, corrected where two were asked."""
    cells = encoder.cells
    by_cells = homogeneity(reference[:cells], counts[:cells])
    return min(1.0, 2 * min(by_cells, ks(reference[:cells], counts[:cells]))) if encoder.ordered else by_cells
