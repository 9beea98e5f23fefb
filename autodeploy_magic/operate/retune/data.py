"""What a re-tune works with and is judged by, gathered once into its folder: traffic, labels, what the person gave.

    training.json.gz      labelled rows to train with, oldest first; the person's own have no time, and stand first
    held_out.json.gz      rows to judge by: labelled ones, the newest first, then others, whose label is null
    calibration.json.gz   rows without labels to make candidates with
    mix.json              rows of a recorded request, each with its share
    change.json           since when the champion's recorded answers are wrong more, or less, often (0.0: always alike)
    used.json             what there is of it (`DataUsed`)

A row is judged by where the hash of its inputs falls into a fixed part, and is else trained on: whatever re-tune looks
at it, and however often it was asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.contracts import Signature, Version, decode, encode
from autodeploy_magic.errors import InvalidInputs, RetuneFailed
from autodeploy_magic.operate.quality.pairs import class_name
from autodeploy_magic.operate.retune.base import Holdings
from autodeploy_magic.operate.retune.change import recorded_change_s
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.operate.retune.split import MOST_TRAINING, Notes, split
from autodeploy_magic.reservoir import recent_labelled
from autodeploy_magic.reservoir.rows import Found, Row, canonical, merged, recorded_rows, row_key
from autodeploy_magic.retuning import DataUsed
from autodeploy_magic.store import Store

__all__ = [
    "CALIBRATION",
    "HELD_OUT",
    "TRAINING",
    "changed_s",
    "described",
    "evidence",
    "gather",
    "load",
]

TRAINING = "training.json.gz"
HELD_OUT = "held_out.json.gz"
CALIBRATION = "calibration.json.gz"
MIX = "mix.json"
CHANGE = "change.json"
USED = "used.json"


def gather(store: Store, version: Version, now_s: float, folder: Path, seed: int = 0) -> DataUsed:
    """Write the data of a re-tune of `version`, the champion, into `folder`, and say what it is.

    Of traffic it takes what came before `now_s`, as far as requests fit the champion's signature; the person's training
    rows; the sample. The same store, time and seed give the same rows. Raises `RetuneFailed` where there is not one row
    to try a candidate with, `sqlite3.Error` or `OSError`.
    """
    name, signature, notes = version.deployment, version.signature, Notes()
    requests = store.requests_file(name)
    found = recorded_rows(requests, signature, before_s=now_s, unlike=_unlike(store.versions(name), version))
    rows, contradicted = _each_once(found.rows)
    sample = _sample(store, version)
    given = _given(store.training_file(name), signature, notes)
    parted = split(signature, rows, sample, given, notes, seed)
    if not parted.calibration or not parted.evidence:
        raise RetuneFailed(
            f"there is not one row to try a candidate of {name} with",
            why="no request is recorded with its inputs, and no sample is kept",
            fix="send it requests with `record` on, or deploy it with --sample",
        )
    _note_traffic(notes, found, contradicted)
    known_s = [one for one in recent_labelled(requests, signature, MOST_TRAINING) if one.answered_s <= now_s]
    change = recorded_change_s(version, known_s)
    if change:
        when = datetime.fromtimestamp(change, UTC).isoformat(" ", "minutes")
        notes.append(f"its answers are right more or less often since {when}: judged by what was labelled since")

    parts = {
        TRAINING: _file(signature, parted.training, "labelled traffic and training rows given", labels=True),
        HELD_OUT: _file(signature, parted.evidence, "rows that nobody trained on", labels=True),
        CALIBRATION: _file(signature, parted.calibration, "rows without labels", labels=False),
    }
    for place, part in parts.items():
        part.write(folder / place)
    labels = sum(row.label is not None for row in parted.evidence)
    told = DataUsed(
        training=parts[TRAINING].count,
        held_out=labels,
        calibration=parts[CALIBRATION].count,
        requests=found.requests,
        from_s=found.first_s,
        until_s=found.last_s,
        digest=_digest(parts),
        sources=_sources(len(rows), sum(row.label is not None for row in rows), len(given), len(sample)),
        notes=tuple(notes),
    )
    (folder / MIX).write_bytes(msgspec.json.encode(_mix(found.sizes)))
    (folder / CHANGE).write_bytes(msgspec.json.encode(change))
    (folder / USED).write_bytes(encode(told))
    return told


def load(folder: Path, signature: Signature) -> Holdings:
    """The holdings for optimisers, from what `gather` wrote; task and goal are the caller's to add.

    Raises `OSError` or `ValueError`.
    """
    return Holdings(
        training=Rows.read(folder / TRAINING, signature),
        calibration=Rows.read(folder / CALIBRATION, signature),
        held_out=described(folder).held_out,
        task="",
        batch_rows=msgspec.json.decode((folder / MIX).read_bytes(), type=tuple[tuple[int, float], ...]),
    )


def evidence(folder: Path, signature: Signature) -> Rows:
    """The rows that the gate judges by: labelled ones first, newest first, then others, whose label is None."""
    return Rows.read(folder / HELD_OUT, signature)


def described(folder: Path) -> DataUsed:
    """What `gather` said of the data in `folder`. Raises `OSError` or `ValueError`."""
    return decode(DataUsed, (folder / USED).read_bytes(), source=str(folder / USED))


def changed_s(folder: Path) -> float:
    """Since when the champion's recorded answers are wrong more, or less, often; 0.0 for a time that is not known."""
    return msgspec.json.decode((folder / CHANGE).read_bytes(), type=float)


def _mix(sizes: Mapping[int, int]) -> list[tuple[int, float]]:
    """Rows of a request with the share of requests that have so many; one row where nobody knows."""
    total = sum(sizes.values())
    return [(rows, requests / total) for rows, requests in sorted(sizes.items())] or [(1, 1.0)]


def _unlike(versions: Iterable[Version], champion: Version) -> set[int]:
    """The numbers of versions that take something else than the champion."""

    def form(signature: Signature) -> Any:
        return signature.container, [(column.name, column.dtype, column.shape) for column in signature.columns]

    return {one.number for one in versions if form(one.signature) != form(champion.signature)}


def _each_once(rows: Iterable[Row]) -> tuple[list[Row], int]:
    """Each row once, newest first, with the label that came last; and how many had labels that contradict each other.

    A row that is asked again and again is one piece of evidence, not many.
    """
    found: dict[bytes, Row] = {}
    contradicted = set()
    for row in rows:
        before = found.get(row.key)
        if before is None:
            found[row.key] = row
            continue
        if row.label is None:
            continue
        if before.label is not None and class_name(row.label) != class_name(before.label):
            contradicted.add(row.key)
        if before.label is None or row.labelled_s > before.labelled_s:
            found[row.key] = row
    return sorted(found.values(), key=lambda row: row.at_s, reverse=True), len(contradicted)


def _sample(store: Store, version: Version) -> list[Row]:
    """The rows that the champion was made with, each once, with their labels where the person gave some."""
    numbers = [version.number] + ([version.lineage.root] if version.lineage is not None else [])
    folders = [store.version_folder(version.deployment, number) for number in numbers]
    kept = [folder for folder in folders if (folder / "sample.json").is_file()]
    place = next((folder for folder in kept if (folder / "labels.json").is_file()), kept[0] if kept else None)
    if place is None:
        return []
    values = canonical(version.signature, msgspec.json.decode((place / "sample.json").read_bytes())["inputs"])
    file = place / "labels.json"
    labels = msgspec.json.decode(file.read_bytes()) if file.is_file() else []
    if len(labels) != len(values):
        labels = [None] * len(values)
    rows = [Row(value, row_key(value), 0.0, 0, label) for value, label in zip(values, labels, strict=True)]
    return list({row.key: row for row in rows}.values())


def _given(file: Path, signature: Signature, notes: Notes) -> list[Row]:
    """The training rows that the person gave, as far as they fit."""
    if not file.is_file():
        return []
    given = Rows.read(file, signature)
    found: list[Row] = []
    wrong = 0
    for i, (value, label) in enumerate(zip(_fitting(given), given.labels or [None] * given.count, strict=True)):
        if value is None or label is None:
            wrong += 1
            continue
        found.append(Row(value[0], row_key(value[0]), given.at_s[i] if given.at_s else 0.0, 0, label))
    notes.of(wrong, "{} training rows that were given have no label, or do not fit the signature: left out")
    return list({row.key: row for row in found}.values())


def _fitting(rows: Rows) -> list[list[Any] | None]:
    """Each row in its canonical form, in a list of one; None for one that does not fit."""
    try:
        return [[value] for value in canonical(rows.signature, rows.inputs)]
    except InvalidInputs:
        pass
    found: list[list[Any] | None] = []
    for i in range(rows.count):
        try:
            found.append(canonical(rows.signature, rows.taken([i]).inputs))
        except (InvalidInputs, IndexError, KeyError):
            found.append(None)
    return found


def _file(signature: Signature, rows: Sequence[Row], source: str, *, labels: bool) -> Rows:
    return Rows(
        signature,
        merged(signature, [row.value for row in rows]),
        len(rows),
        tuple(row.label for row in rows) if labels else (),
        tuple(row.at_s for row in rows),
        source,
    )


def _digest(parts: Mapping[str, Rows]) -> str:
    """Over all rows, their labels and times."""
    found = hashlib.sha256()
    for place, part in parts.items():
        found.update(msgspec.json.encode([place, part.inputs, part.labels, part.at_s]))
    return found.hexdigest()


def _sources(recorded: int, labelled: int, given: int, sample: int) -> tuple[str, ...]:
    found = (
        (recorded, f"traffic: {recorded:,} rows, {labelled:,} with a label"),
        (given, f"given for training: {given:,} rows"),
        (sample, f"the sample: {sample:,} rows"),
    )
    return tuple(text for count, text in found if count)


def _note_traffic(notes: Notes, found: Found, contradicted: int) -> None:
    names = ", ".join(sorted(found.hidden_names)[:5])
    notes.of(found.hidden, f"{{}} requests were recorded with columns dropped or hashed ({names}): left out")
    notes.of(found.unkept, "{} requests were recorded without their inputs: left out")
    notes.of(found.other, "{} requests do not fit the champion's columns: left out")
    notes.of(contradicted, "{} rows have labels that contradict each other: the newest counts")
