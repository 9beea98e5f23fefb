"""Gathering: no row is trained on that any re-tune judges by; what is missing is said, and what stands in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from labelled import NOW, model, recorded, write
from msgspec.structs import replace

from autodeploy_magic.contracts import Column, Desired, Signature, Version, encode
from autodeploy_magic.errors import RetuneFailed
from autodeploy_magic.operate.retune import data, split
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.reservoir import Label, add_labels
from autodeploy_magic.reservoir.rows import canonical, row_key
from autodeploy_magic.retuning import DataUsed
from autodeploy_magic.store import Store

TABLE = model(columns=[("age", "float64"), ("city", "str")])


class Place:
    """A deployment's folder with a version, and what came to it."""

    def __init__(self, folder: Path, version: Version = TABLE) -> None:
        self.store = Store(folder / "home")
        self.version = version
        self.folder = folder / "data"
        self.folder.mkdir()
        self.store.save_desired(Desired(name="iris", version=1, executable="python"))
        self.keep(version)

    def keep(self, version: Version) -> None:
        place = self.store.version_folder("iris", version.number)
        place.mkdir(parents=True, exist_ok=True)
        (place / "version.json").write_bytes(encode(version))

    def sample(self, inputs: Any, labels: list[Any] | None = None) -> None:
        place = self.store.version_folder("iris", 1)
        (place / "sample.json").write_bytes(msgspec.json.encode({"inputs": inputs}))
        if labels is not None:
            (place / "labels.json").write_bytes(msgspec.json.encode(labels))

    def ask(self, rows: Sequence[int], *, label: Callable[[int], Any] | None = None, **how: Any) -> None:
        """One request for each row, an hour ago; labels where there is a rule for them."""
        requests = [
            recorded(
                f"{how.get('name', 'r')}{i}",
                ["no"],
                inputs=how.get("inputs", table)([i]),
                at_s=NOW - 3600 + i,
                version=how.get("version", 1),
            )
            for i in rows
        ]
        file = write(self.store.requests_file("iris"), requests)
        if label is not None:
            add_labels(file, [Label(request.id, 0, label(i)) for i, request in zip(rows, requests, strict=True)], NOW)

    def give(self, rows: Sequence[int], label: Any = "given") -> None:
        given = Rows(self.version.signature, table(rows), len(rows), tuple(label for _ in rows))
        given.write(self.store.training_file("iris"))

    def gather(self, seed: int = 0, folder: Path | None = None) -> DataUsed:
        return data.gather(self.store, self.version, NOW, folder or self.folder, seed)

    @property
    def training(self) -> Rows:
        return data.load(self.folder, self.version.signature).training

    @property
    def evidence(self) -> Rows:
        return data.evidence(self.folder, self.version.signature)


def table(rows: Sequence[int]) -> dict[str, list[Any]]:
    return {"age": [float(i) for i in rows], "city": [f"c{i}" for i in rows]}


def keys(rows: Rows) -> set[bytes]:
    return {row_key(value) for value in canonical(rows.signature, rows.inputs)} if rows.count else set()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_fixed_part_of_the_rows_is_judged_by_and_never_trained_on(place: Place) -> None:
    place.ask(range(1000), label=lambda i: i % 2)
    place.give(range(900, 1500))
    place.sample(table(range(2000, 2050)), [0] * 50)
    used = place.gather()
    training, evidence = place.training, place.evidence
    assert not keys(training) & keys(evidence)
    assert 230 < used.held_out < 370
    assert used.training == training.count > 900
    assert evidence.labels[: used.held_out] == tuple(label for label in evidence.labels if label is not None)
    times = evidence.at_s[: used.held_out]
    assert list(times) == sorted(times, reverse=True)
    assert list(training.at_s) == sorted(training.at_s)
    assert training.labels[0] == "given"
    assert not any(split.is_held_out(key) for key in keys(training))
    assert not keys(training) & {row_key(value) for value in canonical(TABLE.signature, table(range(2000, 2050)))}
    assert used.notes == ()
    assert data.changed_s(place.folder) == 0.0
    later = place.folder.with_name("later")
    later.mkdir()
    place.ask(range(3000, 3400), label=lambda _: 1, name="s")
    data.gather(place.store, place.version, NOW, later)
    assert not keys(data.load(later, TABLE.signature).training) & keys(evidence)


def test_the_same_store_gives_the_same_rows(place: Place) -> None:
    place.ask(range(300), label=lambda i: i % 2)
    place.sample(table(range(20)))
    first = place.gather()
    assert data.described(place.folder) == first
    assert place.gather() == first
    place.ask([999], label=lambda _: 1)
    assert place.gather().digest != first.digest


def test_a_row_that_is_asked_again_is_one_row_and_its_newest_label_counts(place: Place) -> None:
    for turn, label in enumerate(["old", "newer", "newest"]):
        requests = [recorded(f"t{turn}-{i}", ["no"], inputs=table([i]), at_s=NOW - 100 + turn) for i in range(40)]
        file = write(place.store.requests_file("iris"), requests)
        add_labels(file, [Label(request.id, 0, label) for request in requests], NOW - 50 + turn)
    used = place.gather()
    assert used.held_out + used.training == 40
    assert {*place.training.labels, *place.evidence.labels} == {"newest"}
    assert any("40 rows have labels that contradict" in note for note in used.notes)


def test_with_few_labels_the_sample_stands_in_and_is_not_trained_on(place: Place) -> None:
    place.ask(range(50), label=lambda i: i % 2)
    place.ask(range(60, 500))
    place.sample(table(range(1000, 1150)), [1] * 150)
    place.give(range(990, 1100))
    used = place.gather()
    assert any(
        "labelled rows of traffic to judge by, of 200" in note and "150 rows of the sample" in note
        for note in used.notes
    )
    assert used.held_out >= 150
    assert not keys(place.training) & keys(place.evidence)
    assert {row_key(value) for value in canonical(TABLE.signature, table(range(1000, 1150)))} <= keys(place.evidence)
    labels = place.evidence.labels
    assert labels[used.held_out :] == (None,) * (len(labels) - used.held_out)


def test_without_traffic_the_sample_is_shared_out(place: Place) -> None:
    place.sample(table(range(100)), list(range(100)))
    used = place.gather()
    holdings = data.load(place.folder, TABLE.signature)
    assert not keys(holdings.calibration) & keys(place.evidence)
    assert (holdings.calibration.count, place.evidence.count, used.training) == (50, 50, 0)
    assert holdings.batch_rows == ((1, 1.0),)
    assert any("200 rows" in note or "missing" in note for note in used.notes)


def test_without_a_row_there_is_no_re_tune(place: Place) -> None:
    with pytest.raises(RetuneFailed, match="not one row"):
        place.gather()


def test_hidden_columns_are_said_and_the_sample_taken_instead(place: Place) -> None:
    hidden = lambda rows: {"age": [float(i) for i in rows], "city": ["hmac:0123456789abcdef"] * len(rows)}  # noqa: E731
    place.ask(range(100), inputs=hidden, label=lambda i: i % 2)
    place.sample(table(range(100)), [1] * 100)
    used = place.gather()
    assert any("100 requests were recorded with columns dropped or hashed (city)" in note for note in used.notes)
    assert used.training == 0
    assert used.calibration == 50
    assert used.requests == 100


def test_rows_of_a_version_with_other_columns_are_left_out(place: Place) -> None:
    place.keep(replace(model(columns=[("age", "float64")]), number=2))
    place.ask(range(200), label=lambda i: i % 2)
    place.ask(range(300, 340), version=2, inputs=lambda rows: {"age": [float(i) for i in rows]}, name="o")
    used = place.gather()
    assert used.training + used.held_out == 200
    assert any("40 requests do not fit" in note for note in used.notes)


def test_the_mix_has_the_sizes_of_all_requests(place: Place) -> None:
    requests = [
        recorded(f"a{i}", ["no"] * (1 if i % 4 else 10), inputs=table(range(i * 10, i * 10 + (1 if i % 4 else 10))))
        for i in range(40)
    ]
    write(place.store.requests_file("iris"), requests)
    place.gather()
    assert data.load(place.folder, TABLE.signature).batch_rows == ((1, 0.75), (10, 0.25))


def test_it_is_said_since_when_the_champion_errs_more(place: Place) -> None:
    place.ask(range(600), label=lambda i: "no" if i < 400 or i % 2 else "yes")
    used = place.gather()
    assert data.changed_s(place.folder) == pytest.approx(NOW - 3600 + 400, abs=20)
    assert any("right more or less often since 20" in note for note in used.notes)


def test_what_is_younger_than_the_moment_is_not_seen(place: Place) -> None:
    place.ask(range(100), label=lambda i: i % 2)
    place.sample(table(range(5)))
    used = data.gather(place.store, place.version, NOW - 3600 + 49, place.folder)
    assert used.requests == 50


def test_training_rows_that_do_not_fit_are_left_out(place: Place) -> None:
    place.sample(table(range(10)))
    rows = table(range(60))
    rows["age"][7] = "unknown"
    labels = [1] * 60
    given = Rows(TABLE.signature, rows, 60, (None, *labels[1:]))
    given.write(place.store.training_file("iris"))
    used = place.gather()
    assert any(note.startswith("2 training rows that were given") for note in used.notes)
    assert 20 < used.training < 58


def test_files_are_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "MOST_BYTES", 2000)
    monkeypatch.setattr(split, "MOST_HELD_OUT", 30)
    monkeypatch.setattr(split, "MOST_CALIBRATION", 25)
    place.ask(range(800), label=lambda i: i % 2)
    used = place.gather()
    assert used.held_out <= 30
    assert used.calibration <= 25
    assert 0 < used.training < 250
    ages = place.training.inputs["age"]
    assert min(ages) > 400  # the newest are kept


@pytest.mark.parametrize(
    ("column", "rows"),
    [
        (Column(name="inputs", dtype="image"), [f"aG{c}=" for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"]),
        (Column(name="inputs", dtype="str"), [f"text {i}" for i in range(32)]),
        (Column(name="inputs", dtype="float64", shape=(2, 2)), [[[i, 1.0], [2.0, 3.0]] for i in range(32)]),
        (Column(name="inputs", dtype="float64", shape=(-1, 2)), [[[float(i), 1.0]] * (1 + i % 2) for i in range(32)]),
    ],
)
def test_rows_of_any_kind_are_gathered_whole(tmp_path: Path, column: Column, rows: list[Any]) -> None:
    signature = Signature(container="ndarray", columns=(column,))
    place = Place(tmp_path, replace(TABLE, signature=signature))
    requests = [recorded(f"r{i}", [1], inputs=[row]) for i, row in enumerate(rows)]
    file = write(place.store.requests_file("iris"), requests)
    add_labels(file, [Label(request.id, 0, i) for i, request in enumerate(requests)], NOW)
    used = place.gather()
    assert used.held_out > 0
    kept = [*place.training.inputs, *place.evidence.inputs]
    assert all(row in rows for row in kept)
    for part in (place.training, data.load(place.folder, signature).calibration):
        if column.dtype != "image":
            assert len(part.x()) == part.count
