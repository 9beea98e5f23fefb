"""Which rows are trained on, which are judged by, and which stand in where there are too few."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from autodeploy_magic.contracts import Signature
from autodeploy_magic.reservoir.rows import Row

__all__ = ["ENOUGH", "MOST_TRAINING", "Notes", "Split", "is_held_out", "split"]

HELD_OUT_SHARE = 0.3
"""Of all rows: what scikit-learn's guides take for a test set is a quarter to a third."""
ENOUGH = 200
"""Labelled rows to judge by, below which the sample's are taken besides. Of so many, an accuracy of 0.95 is known to
within 3 percentage points (Wilson), and paired differences of 2 are seen."""
MOST_TRAINING, MOST_HELD_OUT, MOST_UNLABELLED, MOST_CALIBRATION = 20_000, 5_000, 2_000, 2_000
"""Newest rows that are kept. Of 5 000 a loss of half a point is told from none where a hundredth of the answers
differs; what is older than a change of the answers' meaning the gate itself leaves out."""
MOST_BYTES = 64 * 1024 * 1024
"""Of one file, as JSON: as much as a reservoir holds by default."""
FEW = 100
"""Rows of traffic to make candidates with, below which the sample's are taken besides."""
_DRAWN_FROM = 5
"""Rows to make candidates with are drawn from so many times as many newest ones: not all of one burst."""


class Notes(list[str]):
    """Lines that say what was missing, without those that nothing is to be said of."""

    def of(self, count: int, text: str) -> None:
        if count:
            self.append(text.format(f"{count:,}"))


@dataclass(frozen=True)
class Split:
    """Rows to train with, oldest first; to judge by, labelled ones first and newest first; to make candidates with."""

    training: list[Row]
    evidence: list[Row]
    calibration: list[Row]


def split(
    signature: Signature, rows: Sequence[Row], sample: Sequence[Row], given: Sequence[Row], notes: Notes, seed: int = 0
) -> Split:
    """Part the rows of traffic (each once, newest first), of the sample, and those that were given for training.

    Of the sample none is trained on; what is taken of it to make candidates with is not judged by.
    """
    known = {row.key for row in sample}
    labelled = [row for row in rows if row.label is not None]
    judged = _within([row for row in labelled if is_held_out(row.key)][:MOST_HELD_OUT])
    traffic = [row for row in labelled if not is_held_out(row.key) and row.key not in known]
    own = [row for row in given if not is_held_out(row.key) and row.key not in known]
    training = _alike(signature, _within([*traffic, *reversed(own)][:MOST_TRAINING])[::-1])
    used = {row.key for row in judged}
    free = [row for row in sample if row.key not in used]
    others = [row for row in rows if not is_held_out(row.key)]
    drawn = _drawn(others[: _DRAWN_FROM * MOST_CALIBRATION], MOST_CALIBRATION, seed)
    if len(drawn) < FEW:
        lent = sorted(free, key=lambda row: row.key)[: max(1, min(FEW, len(free) // 2))]
        notes.of(len(lent), "{} rows of the sample to make candidates with: traffic has too few")
        asked = {row.key for row in drawn}
        drawn += [row for row in lent if row.key not in asked]
        keys = {row.key for row in lent}
        free = [row for row in free if row.key not in keys]
        drawn = drawn or own[:FEW]
    unlabelled = [row for row in rows if row.label is None and is_held_out(row.key)][:MOST_UNLABELLED]
    stand_in: list[Row] = []
    if len(judged) < ENOUGH:
        stand_in = [row for row in free if row.label is not None]
        from_sample = bool(stand_in)
        if not stand_in:
            stand_in = [row for row in given if is_held_out(row.key) and row.key not in used][:MOST_HELD_OUT]
        _note_labels(notes, len(judged), len(stand_in), from_sample=from_sample)
        unlabelled += [row for row in free if row.label is None]
    taken = {row.key for row in drawn}
    evidence: dict[bytes, Row] = {}
    for row in (*judged, *stand_in, *_within(unlabelled)):
        if row.key not in taken:
            evidence.setdefault(row.key, row)
    return Split(training, list(evidence.values()), _alike(signature, drawn))


def is_held_out(key: bytes) -> bool:
    """Whether a row with this hash is judged by, and never trained on."""
    return int.from_bytes(key[:8], "big") < HELD_OUT_SHARE * 2**64


def _within(rows: Sequence[Row]) -> list[Row]:
    """The first of them, as many as a file may hold."""
    left = MOST_BYTES
    found: list[Row] = []
    for row in rows:
        left -= len(msgspec.json.encode(row.value))
        if left < 0 and found:
            break
        found.append(row)
    return found


def _drawn(rows: Sequence[Row], most: int, seed: int) -> list[Row]:
    chosen = rows if len(rows) <= most else random.Random(seed).sample(rows, most)
    return _within(sorted(chosen, key=lambda row: (-row.at_s, row.key)))


def _alike(signature: Signature, rows: list[Row]) -> list[Row]:
    """Where several lengths of a row may vary, the rows of the commonest shape: others do not fit into one array."""
    if not any(-1 in column.shape and len(column.shape) > 1 for column in signature.columns) or not rows:
        return rows
    shapes = [_shape(row.value) for row in rows]
    commonest = Counter(shapes).most_common(1)[0][0]
    return [row for row, shape in zip(rows, shapes, strict=True) if shape == commonest]


def _shape(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        return ()
    return (len(value), _shape(value[0]) if value else ())


def _note_labels(notes: Notes, judged: int, stand_in: int, *, from_sample: bool) -> None:
    missing = -int(-(ENOUGH - judged) // HELD_OUT_SHARE)
    text = f"{judged:,} labelled rows of traffic to judge by, of {ENOUGH}: about {missing:,} more labels are missing"
    if stand_in:
        text += f"; {stand_in:,} rows of {'the sample' if from_sample else 'the training rows given'} stand in"
    else:
        text += ", and the sample has none: what is judged is whether answers stay"
    notes.append(text)
