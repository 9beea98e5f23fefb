"""Single values that were not there before: unknown categories, numbers out of range, gaps.

    unseen:COLUMN    categories that the model does not know (where the signature names them), else that neither the
                     sample nor the first rows had
    range:COLUMN     numbers further out of the sample's range than half its width, and what is no number
    missing:COLUMN   gaps, more of them than the sample had

What is usual is the sample's share where it has 30 rows, else that of the first 200 rows. A share is told when so many
are not chance (binomial, against the upper bound of what is usual, at a level for all columns and looks of a day), five
at least and one in a hundred. It is a warning from 5 % on, for gaps from 10 % more than usual; what was so from the
first rows on, and hurts no model, stays an info. It is over when the share is half of what it was when it was told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from autodeploy_magic.contracts import Column
from autodeploy_magic.health import ColumnDrift, Finding
from autodeploy_magic.operate.detect.base import About, Moment
from autodeploy_magic.operate.detect.distributions import level, more_than, thinned, usual
from autodeploy_magic.operate.detect.drift import MOST_TOLD, columns_by_name, tell, told_with
from autodeploy_magic.operate.detect.encoding import MISSING, OTHER, kind_of, name_of, numbers_of, plain
from autodeploy_magic.operate.detect.gathering import Batch, Inputs, OfRequests
from autodeploy_magic.reservoir import Recorded

__all__ = ["ValuesDetector"]

SAMPLE = 30
FIRST = 200
SHORT = 200
LONG = 1_000
EVERY = 100
AT_LEAST = 5
TOLD_FROM = 0.01
WARNED_FROM = 0.05
MORE_GAPS = 0.10
LOOKS_UNTIL_OVER = 3
SLACK = 0.5
NEVER = 0.001
"""The share of categories unknown to the model, and of numbers far out, that is nobody's business."""
FAR_OUT = 0.005
KNOWN = 20_000
"""Categories that are remembered of a column."""

GAP, UNSEEN, OUT = 1, 2, 3
_RULES = {GAP: "missing", UNSEEN: "unseen", OUT: "range"}
Flags = npt.NDArray[np.int8]


class ValuesDetector(OfRequests):
    """See the module."""

    about = About(
        help="unknown categories, numbers out of the sample's range, and gaps, by column",
        defaults="told from 1 % and 5 rows of the newest 200 or 1000, a warning from 5 %; gaps: a warning from "
        "10 points more than usual; a number is out of range beyond half the range's width",
        detects="10 % out of range 160 requests, 15 % missing 170, 10 % unseen 230",
        cost="0.1 ms at 20 recorded requests/s of 30 columns, 0.3 ms of 500",
    )

    def see(self, moment: Moment) -> Iterable[Finding]:
        version = moment.version
        looked = False
        if version.number != self._version:
            self._version, past, self._past = version.number, self._past, []
            self._blocks: dict[int, _Block] = {}
            self._gathered = Inputs(version.signature)
            self._columns = columns_by_name(version.signature)
            self._sample = moment.reference().columns
            self._findings: list[Finding] = []
            self._shown: list[ColumnDrift] = []
            looked = self._take(past, moment.t)
        if self._take(moment.recorded, moment.t) or looked:
            told = [one for block in self._blocks.values() for one in block.told()]
            self._findings = [self._finding(check, flag) for check, flag in told[:MOST_TOLD]]
            self._shown = [_shown(check, flag) for check, flag in told[:MOST_TOLD]]
        tell(moment, self._shown)
        return self._findings

    def _take(self, recorded: Sequence[Recorded], t: int) -> bool:
        looked = False
        mine = [request for request in recorded if request.version == self._version]
        for start in range(0, max(len(mine), 1), 100):
            for batch in self._gathered.add(mine[start : start + 100], t):
                looked |= self._add(batch)
        return looked

    def _add(self, batch: Batch) -> bool:
        block = self._blocks.get(batch.part)
        if block is None:
            together = max(batch.together, len(batch.columns))
            block = self._blocks[batch.part] = _Block(list(batch.columns), self._columns, self._sample, together)
        return block.add(batch)

    def _finding(self, check: _Check, flag: int) -> Finding:
        fired = check.fired[flag]
        return Finding(
            rule=f"{_RULES[flag]}:{check.column}",
            detector="values",
            metric=_RULES[flag],
            severity="warning" if fired.warns else "info",
            text=fired.text,
            value=fired.share,
            limit=fired.usual,
            version=self._version,
        )


def _shown(check: _Check, flag: int) -> ColumnDrift:
    fired = check.fired[flag]
    return ColumnDrift(
        column=check.column,
        method=_RULES[flag],
        value=fired.share,
        limit=fired.usual,
        state="drifted",
        p_value=fired.p_value,
        rows=fired.rows,
        reference=check.reference,
        text=fired.text,
    )


@dataclass
class _Fired:
    """A share that is told. `at` is what it was when it was first told, `by_long` that only the long window told it."""

    at: float
    by_long: bool
    share: float = 0.0
    usual: float = 0.0
    p_value: float = 0.0
    rows: int = 0
    warns: bool = False
    text: str = ""
    calm: int = 0


@dataclass
class _Check:
    """What is expected of one column: gaps `usual[GAP]` at most, values that are `known`, or from `low` to `high`.

    `declared` says that the model knows no other values. `learned` counts categories while the first rows come.
    """

    column: str
    kind: str
    known: set[str] = field(default_factory=set)
    declared: bool = False
    low: float = -np.inf
    high: float = np.inf
    usual: dict[int, float] = field(default_factory=dict)
    reference: int = 0
    gaps: int = 0
    first: Counter[int] = field(default_factory=Counter)
    first_rows: int = 0
    learned: Counter[str] = field(default_factory=Counter)
    newest: dict[str, int] = field(default_factory=dict)
    furthest: str = ""
    fired: dict[int, _Fired] = field(default_factory=dict)

    def flags(self, values: Sequence[Any]) -> Flags:
        if self.kind == "number":
            found, codes = numbers_of(values)
            if codes is None:
                if not len(found) or (found.min() >= self.low and found.max() <= self.high):
                    return np.zeros(len(found), dtype=np.int8)
                codes = np.zeros(len(found), dtype=np.int16)
            out = (found < self.low) | (found > self.high) | (codes == OTHER)
            if out.any():
                last = values[int(np.flatnonzero(out)[-1])]
                self.furthest = plain(last) if isinstance(last, float) else repr(last)[:40]
            return np.where(codes == MISSING, GAP, np.where(out, OUT, 0)).astype(np.int8)
        if self.kind == "category":
            known, result = self.known, []
            names = [name_of(value) for value in values]
            if self.first_rows < FIRST and not self.declared:
                self.learned.update(name for name in names if isinstance(name, str))
            for name in names:
                if name == MISSING:
                    result.append(GAP)
                elif name in known:
                    result.append(0)
                else:
                    result.append(UNSEEN)
                    self._note(str(name) if name != OTHER else "no text")
            return np.array(result, dtype=np.int8)
        return np.array([GAP if value is None or value != value else 0 for value in values], dtype=np.int8)

    def _note(self, name: str) -> None:
        name = name if len(name) <= 40 else f"{name[:39]}…"
        self.newest[name] = self.newest.pop(name, 0) + 1
        if len(self.newest) > 5:
            del self.newest[next(iter(self.newest))]

    def count_first(self, flags: Flags) -> None:
        """Learn how often what is unusual was so from the first rows on."""
        self.first_rows += len(flags)
        for flag in (GAP, UNSEEN, OUT):
            self.first[flag] += int((flags == flag).sum())
        if self.first_rows < FIRST:
            return
        if self.first[GAP] <= self.usual[GAP] * self.first_rows:  # as in the sample: together they say more
            self.usual[GAP] = usual(self.gaps + self.first[GAP], self.reference + self.first_rows)
        if self.learned:
            self.usual[UNSEEN] = usual(_once(self.learned), self.learned.total())
            self.known.update(name for name, _ in self.learned.most_common(KNOWN))
            self.learned.clear()


class _Block:
    """Some columns: how many of the newest rows have what. A wide table has several, which take turns."""

    def __init__(
        self, names: Sequence[str], columns: Mapping[str, Column], sample: Mapping[str, Sequence[Any]], together: int
    ) -> None:
        self._names = names
        self._columns = columns
        self._sample = {name: thinned(sample.get(name, ()), LONG) for name in names}
        self._level = level(3 * together)
        self._waiting = Batch()
        self._checks: list[_Check] = []
        if all(len(values) >= SAMPLE for values in self._sample.values()):
            self._begin()

    def add(self, batch: Batch) -> bool:
        """Count rows; whether they were looked at."""
        if not self._checks:
            self._waiting.take_all(batch)
            if len(self._waiting.at_s) < FIRST:
                return False
            batch = self._waiting
            self._begin()
        looked = False
        for start in range(0, len(batch.at_s), EVERY):
            looked |= self._count(batch, start, min(start + EVERY, len(batch.at_s)))
        self._waiting = Batch()
        return looked

    def told(self) -> list[tuple[_Check, int]]:
        return [(check, flag) for check in self._checks for flag in check.fired]

    def _begin(self) -> None:
        for name in self._names:
            sample = self._sample[name]
            values = sample if len(sample) >= SAMPLE else [*sample, *self._waiting.columns.get(name, ())]
            self._checks.append(_expected(name, self._columns.get(name), values))
        wide = len(self._checks)
        self._sample = {}
        self._ring = np.zeros((LONG, wide), dtype=np.int8)
        self._short = np.zeros((4, wide))
        self._long = np.zeros((4, wide))
        self._place = 0
        self._since_look = 0

    def _count(self, batch: Batch, start: int, end: int) -> bool:
        rows = end - start
        flags = np.zeros((rows, len(self._checks)), dtype=np.int8)
        for j, check in enumerate(self._checks):
            values = batch.columns.get(check.column)
            if values is None:
                continue  # nothing is known of it
            flags[:, j] = check.flags(values[start:end])
            if check.first_rows < FIRST:
                check.count_first(flags[:, j])
        places = (self._place + np.arange(rows)) % LONG
        new = _tally(flags)
        self._long += new - _tally(self._ring[places])
        self._short += new - _tally(self._ring[places - SHORT])
        self._ring[places] = flags
        self._place += rows
        self._since_look += rows
        if self._since_look < EVERY:
            return False
        self._since_look = 0
        self._look()
        return True

    def _look(self) -> None:
        short_rows, long_rows = min(self._place, SHORT), min(self._place, LONG)
        for flag in (GAP, UNSEEN, OUT):
            short, long = self._short[flag] / short_rows, self._long[flag] / long_rows
            often = (self._long[flag] >= AT_LEAST) & (np.maximum(short, long) >= TOLD_FROM)
            for j in map(int, np.flatnonzero(often)):
                check = self._checks[j]
                if flag not in check.fired:
                    self._test(check, flag, int(self._short[flag, j]), short_rows, False)
                if flag not in check.fired:
                    self._test(check, flag, int(self._long[flag, j]), long_rows, True)
        for j, check in enumerate(self._checks):
            if check.fired:
                for flag in list(check.fired):
                    self._follow(check, j, flag)

    def _test(self, check: _Check, flag: int, found: int, rows: int, by_long: bool) -> None:
        at_most = check.usual.get(flag, 1.0)
        share = found / rows
        if found < AT_LEAST or share < TOLD_FROM or share <= at_most:
            return
        if more_than(found, rows, at_most) < self._level:
            check.fired[flag] = _Fired(share, by_long)

    def _follow(self, check: _Check, j: int, flag: int) -> None:
        """A share that is told: what it is now, and whether it is over."""
        fired = check.fired[flag]
        window, most = (self._long, LONG) if fired.by_long else (self._short, SHORT)
        fired.rows, found = min(self._place, most), int(window[flag, j])
        fired.share, fired.usual = found / fired.rows, check.usual[flag]
        fired.calm = fired.calm + 1 if fired.share < fired.at / 2 else 0
        if fired.calm >= LOOKS_UNTIL_OVER:
            del check.fired[flag]
            self._forget(j)
            return
        fired.at = max(fired.at, fired.share)
        fired.p_value = more_than(found, fired.rows, fired.usual)
        fired.warns = self._warns(check, flag, found, fired)
        fired.text = _text(check, flag, fired)

    def _warns(self, check: _Check, flag: int, found: int, fired: _Fired) -> bool:
        much = fired.share >= (fired.usual + MORE_GAPS if flag == GAP else WARNED_FROM)
        if not much or fired.warns or (flag == UNSEEN and check.declared):
            return much
        if check.first_rows < FIRST:
            return False
        return more_than(found, fired.rows, usual(check.first[flag], check.first_rows)) < self._level

    def _forget(self, j: int) -> None:
        """It is as it was: the long window forgets the rows that were not, or it would tell of them once more."""
        last = (self._place - 1 - np.arange(SHORT)) % LONG
        kept = self._ring[last, j].copy()
        self._ring[:, j] = 0
        self._ring[last, j] = kept
        self._long[:, j] = self._short[:, j]


def _tally(flags: Flags) -> npt.NDArray[np.int64]:
    """How many rows have each flag, by column."""
    return np.array([(flags == flag).sum(axis=0) for flag in range(4)])


def _expected(name: str, column: Column | None, values: Sequence[Any]) -> _Check:
    """What the sample, or the first rows, let expect of a column."""
    kind = kind_of(column, values)
    check = _Check(name, kind if kind in ("number", "category") else "gaps", reference=len(values))
    gaps = sum(value is None or value != value for value in values)
    check.gaps = gaps
    check.usual = {GAP: usual(gaps, len(values)), UNSEEN: 1.0, OUT: 1.0}
    if check.kind == "category":
        declared = None if column is None else column.categories or column.known
        counted = Counter(name for name in map(name_of, values) if isinstance(name, str))
        check.declared = declared is not None
        if declared is not None:
            check.known, check.usual[UNSEEN] = set(declared), NEVER
        else:
            check.known = {name for name, _ in counted.most_common(KNOWN)}
            check.usual[UNSEEN] = usual(_once(counted), counted.total())
            check.learned = counted
    elif check.kind == "number":
        _range(check, column, values)
    return check


def _once(counted: Counter[str]) -> int:
    """How many were there once: as likely is one that was not there yet (I. Good, Biometrika 40, 1953)."""
    return sum(1 for times in counted.values() if times == 1)


def _range(check: _Check, column: Column | None, values: Sequence[Any]) -> None:
    numbers = numbers_of(values)[0]
    numbers = numbers[np.isfinite(numbers)]
    bounds = [float(numbers.min()), float(numbers.max())] if len(numbers) else []
    if column is not None and not column.shape:  # those of an array are of all its columns together
        bounds += [bound for bound in (column.minimum, column.maximum) if bound is not None]
    if not bounds or len(numbers) < SAMPLE:
        return
    low, high = min(bounds), max(bounds)
    with np.errstate(all="ignore"):
        slack = SLACK * (high - low) or max(abs(high), 1.0)
        check.low, check.high = low - slack, high + slack
    check.usual[OUT] = FAR_OUT


def _text(check: _Check, flag: int, fired: _Fired) -> str:
    share, name = f"{fired.share:.0%} of the newest {fired.rows} rows", told_with(check.column)
    if flag == GAP:
        return f"{share} have no {name}; {fired.usual:.0%} is usual at most"
    if flag == UNSEEN:
        names = ", ".join(f"{name!r}" for name in reversed(check.newest))
        whose = "the model does not know" if check.declared else "was not seen before"
        return f"{share} have a {name} that {whose}: {names}"
    return f"{share} have a {name} outside {plain(check.low)} … {plain(check.high)}, such as {check.furthest}"
