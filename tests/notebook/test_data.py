"""What is recorded, as the person chose it: kept over deploys and restarts, shown, exported, and deleted for good."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from world import World, until

from autodeploy_magic import settings
from autodeploy_magic.errors import InvalidOption, StoreFailed
from autodeploy_magic.notebook.data import Exported, Forgotten, ShownData
from autodeploy_magic.notebook.deployment import Deployment
from autodeploy_magic.notebook.recording import check_columns, recording_text
from autodeploy_magic.notebook.training import keep_training
from autodeploy_magic.reservoir import kept, one

PEOPLE = pd.DataFrame(
    {
        "ssn": [f"{i:03d}-45-6789" for i in range(60)],
        "city": [("oslo", "rome", "nice")[i % 3] for i in range(60)],
        "age": np.linspace(20, 70, 60),
    }
)


def model(c: float = 1.0) -> Any:
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city"]), ("passthrough", ["age"]))
    return make_pipeline(columns, LogisticRegression(C=c, max_iter=1000)).fit(PEOPLE, PEOPLE["age"] > 45)


@pytest.fixture
def dep(world: World) -> Iterator[Deployment]:
    import autodeploy_magic as ad

    found = ad.deploy(model(), "people", sample=PEOPLE, record_drop="ssn", record_hash="city", quiet=True)
    yield found
    settings.reset()
    found.rm()


def written(world: World, dep: Deployment) -> None:
    """Wait until the last request is written down."""
    file = world.store.requests_file("people")
    until(lambda: one(file, dep.last_id) is not None)


@pytest.mark.e2e
def test_a_person_s_columns_stay_theirs_from_the_first_request_to_the_last(
    dep: Deployment, world: World, tmp_path: Path, ipython_shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    import autodeploy_magic as ad

    dep.predict(PEOPLE[7:9])
    dep.feedback(dep.last_id, [False, True])
    written(world, dep)
    chosen = {"record": "all", "record_share": 1.0, "record_drop": "ssn", "record_hash": "city"}

    # Another version, and fresh workers, neither of which says anything of it: it stays as it was.
    ad.deploy(model(0.5), "people", sample=PEOPLE, quiet=True)
    dep.restart()
    assert {name: dep._desired.settings[name] for name in chosen} == chosen
    dep.predict(PEOPLE[7:9])
    written(world, dep)

    shown = dep.data()
    assert isinstance(shown, ShownData)
    assert "without ssn; city hashed" in shown.text()
    assert "2 labels" in shown.text()
    assert "<dt>records</dt>" in str(shown.html())

    file = tmp_path / "mine.jsonl"
    ipython_shell.run_line_magic("deploy", f"data people export --file {file}")
    assert f"exported to {file}" in capsys.readouterr().out
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    mine = [line for line in lines if line["rows"] == [0, 1]]
    assert [line["version"] for line in mine] == [1, 2]
    assert mine[0]["labels"] == [False, True]
    assert mine[0]["inputs"]["city"] == mine[1]["inputs"]["city"]  # the same key
    assert "007-45-6789" not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0

    with pytest.raises(InvalidOption) as caught:
        dep.data("forget")
    assert "--yes" in caught.value.fix
    assert kept(world.store.requests_file("people")).requests == len(lines)
    keep_training(world.store, dep._version(2), PEOPLE, PEOPLE["age"] > 45)
    gone = dep.data("forget", yes=True)
    assert isinstance(gone, Forgotten)
    assert gone.counts["requests"] >= len(lines)
    assert (gone.counts["labels"], gone.counts["training"]) == (2, 60)
    assert "deleted for good" in gone.text()
    assert not world.store.training_file("people").exists()
    dep.predict(PEOPLE[:1])  # workers record on
    written(world, dep)

    # And off, by name; a restart from elsewhere does not turn it on again.
    ad.deploy(model(0.5), "people", sample=PEOPLE, record="off", quiet=True)
    dep.restart()
    assert dep._desired.settings["record"] == "off"
    assert "nothing is recorded" in dep.data().text()


@pytest.mark.e2e
def test_a_column_that_is_not_there_is_refused_before_anything_is_built(world: World) -> None:
    import autodeploy_magic as ad

    with pytest.raises(InvalidOption) as caught:
        ad.deploy(model(), "typo", sample=PEOPLE, record_drop="snn", quiet=True)
    assert caught.value.why == "did you mean 'ssn'?"
    with pytest.raises(InvalidOption, match="cannot be both"):
        ad.deploy(model(), "typo", sample=PEOPLE, record_drop="ssn", record_hash="ssn,city", quiet=True)
    with pytest.raises(InvalidOption, match="--record cannot be 'some'"):
        ad.deploy(model(), "typo", sample=PEOPLE, record="some", quiet=True)
    with pytest.raises(InvalidOption, match="--record-share is '120%'"):
        ad.deploy(model(), "typo", sample=PEOPLE, record_share="120%", quiet=True)
    assert not world.store.exists("typo")


def test_what_settings_say_counts_more_than_what_was(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {"record": "off", "record_share": 0.1, "max_rows": 3}
    assert settings.travelling(before)["record"] == "off"
    assert settings.travelling(before)["max_rows"] == settings.get("max_rows")  # others are as they are here
    assert settings.travelling(before, {"record": "inputs", "record_share": None})["record"] == "inputs"
    assert settings.travelling(before, {"record_share": "25%"})["record_share"] == 0.25
    monkeypatch.setenv("AUTODEPLOY_RECORD", "all")
    assert settings.travelling(before)["record"] == "all"
    settings.set_option("record_share", "50%")
    assert settings.travelling(before)["record_share"] == 0.5
    settings.reset()


def test_columns_of_arrays_are_positions_and_pictures_have_none() -> None:
    from autodeploy_magic.contracts import Column, Signature

    array = Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(3,)),))
    check_columns(array, {"record_drop": "0, x[2]", "record_hash": "1"})
    with pytest.raises(InvalidOption, match="'3', which is no column"):
        check_columns(array, {"record_drop": "3", "record_hash": ""})
    nested = Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(2, 2)),))
    with pytest.raises(InvalidOption) as caught:
        check_columns(nested, {"record_drop": "", "record_hash": "0"})
    assert "--record off" in caught.value.fix


def test_recording_is_told_in_words() -> None:
    assert recording_text({}) == "inputs and answers of at most 20 requests a second; kept for 30 days, up to 67 MB"
    told = recording_text({"record": "inputs", "record_share": 0.1, "record_drop": "a", "record_hash": "b,c"})
    assert told.startswith("inputs, no answers of 10% of at most 20 requests a second; without a; b, c hashed")
    assert recording_text({"record_share": 0.0}) == recording_text({"record": "off"}) == "nothing is recorded"


def test_options_go_with_their_word(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = world.version("iris")
    world.serve(number)
    dep = Deployment("iris", store=world.store)
    for given in ({"yes": True}, {"what": "export", "before": "7d"}, {"what": "show", "file": "x"}):
        with pytest.raises(InvalidOption, match="goes with"):
            dep.data(**given)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="nothing that can be done"):
        dep.data("delete")
    monkeypatch.chdir(tmp_path)
    empty = dep.data("export")
    assert isinstance(empty, Exported)
    assert (empty.requests, empty.file.name) == (0, "iris-data.jsonl")
    dep.data("export")  # an earlier one is replaced
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InvalidOption, match="is no export"):
        dep.data("export", file="notes.txt")
    with pytest.raises(InvalidOption, match="there is no folder"):
        dep.data("export", file="nowhere/x.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["iris-data.jsonl", "notes.txt"]
    file = world.store.requests_file("iris")
    file.unlink(missing_ok=True)
    file.write_bytes(b"this is no database, and never was one" * 40)
    with pytest.raises(StoreFailed, match="cannot be read"):
        dep.data()
    file.unlink()
