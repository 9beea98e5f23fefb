"""Labels from the notebook: of the last predict, by ids, in tables; on the three surfaces; and after a stop."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from versions import X
from world import World, until

from autodeploy_magic import cli
from autodeploy_magic.errors import InvalidOption, StoreFailed, UnknownDeployment
from autodeploy_magic.notebook.deployment import Deployment
from autodeploy_magic.reservoir import Labelled, one, recent_labelled


@pytest.fixture(scope="module")
def served(world: World) -> World:
    world.serve(world.version())
    return world


@pytest.fixture
def dep(served: World) -> Iterator[Deployment]:
    """The deployment, with nothing known of its requests."""
    found = Deployment("iris", store=served.store)
    yield found
    path = served.store.requests_file("iris")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM labels")


def known(dep: Deployment) -> dict[tuple[str, int], tuple[Any, str]]:
    with closing(sqlite3.connect(dep._store.requests_file("iris"))) as connection:
        rows = connection.execute("SELECT request, row, label, source FROM labels").fetchall()
    return {(request, row): (json.loads(label), source) for request, row, label, source in rows}


def test_labels_alone_are_those_of_the_last_predict_and_meet_its_record(dep: Deployment) -> None:
    predicted = dep.predict(X[:3])
    shown = dep.feedback(np.array(["setosa", "virginica", "setosa"]))
    assert str(shown).startswith("iris: 3 labels new")
    assert "3 labels new" in str(shown.html())
    path, signature = dep._store.requests_file("iris"), dep._version(1).signature
    found: list[Labelled] = []

    def matched() -> bool:
        found[:] = recent_labelled(path, signature, 10)
        return len(found) == 3

    until(matched)
    assert {each.request for each in found} == {dep.last_id}
    assert [each.prediction for each in sorted(found, key=lambda each: each.row)] == predicted.tolist()
    recorded = one(path, dep.last_id)
    assert recorded is not None
    assert recorded.inputs == X[:3].tolist()
    assert len(recorded.confidence) == 3
    assert str(dep.feedback(["setosa", "setosa", None])) == "iris: 1 label changed, 1 known already"


def test_another_handle_of_this_process_knows_the_last_predict(dep: Deployment) -> None:
    dep.predict(X[:1])
    again = Deployment("iris", store=dep._store)
    assert again.last_id == dep.last_id
    again.feedback([1])
    assert known(dep) == {(dep.last_id, 0): (1, "notebook")}


@pytest.mark.parametrize(
    ("ids", "labels", "wanted"),
    [
        ("a", [1, 2], {("a", 0): 1, ("a", 1): 2}),
        ("a", pd.Series([1.5, np.nan]), {("a", 0): 1.5}),
        ("a", np.array([[1, 0], [0, 1]]), {("a", 0): [1, 0], ("a", 1): [0, 1]}),
        (["a", "b"], [1, "x"], {("a", 0): 1, ("b", 0): "x"}),
        (pd.Series(["a", "b", "a"]), np.array([1, 2, 3]), {("a", 0): 1, ("b", 0): 2, ("a", 1): 3}),
        (["a", "b"], [[1, 2], [3]], {("a", 0): 1, ("a", 1): 2, ("b", 0): 3}),
        (None, pd.DataFrame({"id": ["a", "b"], "label": [True, False]}), {("a", 0): True, ("b", 0): False}),
        (None, pd.DataFrame({"id": ["a", "a"], "row": [4, 2], "label": [1, 2]}), {("a", 4): 1, ("a", 2): 2}),
        (None, [{"id": "a", "label": "x"}, {"id": "a", "label": "y"}], {("a", 0): "x", ("a", 1): "y"}),
    ],
)
def test_labels_come_by_ids_or_in_a_table(dep: Deployment, ids: Any, labels: Any, wanted: dict[Any, Any]) -> None:
    shown = dep.feedback(labels) if ids is None else dep.feedback(ids, labels)
    assert {place: label for place, (label, _) in known(dep).items()} == wanted
    assert (shown.new, shown.unmatched) == (len(wanted), len(wanted))


@pytest.mark.parametrize(
    ("ids", "labels", "told"),
    [
        (None, None, "no labels"),
        (None, [1, 2], "2 labels, and the last predict had 1 rows"),
        (None, 5, "not labels"),
        ("a", "yes", "not labels"),
        (["a"], [1, 2], "1 ids and 2 labels"),
        ([1, 2], [1, 2], "no text"),
        ("a", [{"x": 1}], "no answer"),
        (None, [{"id": "a", "label": 1, "colour": 2}], "has the columns"),
        (None, [{"id": "a", "label": 1, "row": -1}], "count from 0"),
    ],
)
def test_what_are_no_labels_is_refused(dep: Deployment, ids: Any, labels: Any, told: str) -> None:
    dep.predict(X[:1])
    with pytest.raises(InvalidOption, match=told):
        dep.feedback(ids, labels)
    assert known(dep) == {}


def test_before_the_first_predict_labels_alone_say_nothing(dep: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodeploy_magic.notebook.feedback._last", {})
    with pytest.raises(InvalidOption, match="nothing was predicted"):
        dep.feedback([1])
    with pytest.raises(InvalidOption, match="nothing was predicted"):
        _ = dep.last_id
    with pytest.raises(UnknownDeployment):
        Deployment("nothing", store=dep._store).feedback("a", [1])


def test_the_magic_takes_variables_and_the_terminal_a_table(
    dep: Deployment,
    ipython_shell: InteractiveShell,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dep.predict(X[:2])
    monkeypatch.setitem(ipython_shell.user_ns, "Y", [1, 2])
    monkeypatch.setitem(ipython_shell.user_ns, "ids", "a")
    for line in ("%deploy feedback iris --labels Y", "%deploy feedback iris --ids ids --labels Y"):
        assert ipython_shell.run_cell(line).success
    pd.DataFrame({"id": ["b", "b"], "row": [1, 0], "label": [3, 4]}).to_csv(tmp_path / "labels.csv", index=False)
    (tmp_path / "labels.json").write_text('[{"id": "c", "row": 0, "label": "x"}]')
    capsys.readouterr()
    assert cli.main(["feedback", "iris", "--labels", str(tmp_path / "labels.csv")]) == 0
    assert capsys.readouterr().out.startswith("iris: 2 labels new")
    assert cli.main(["feedback", "iris", "--labels", str(tmp_path / "labels.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["new"] == 1
    found = {place: label for place, (label, _) in known(dep).items()}
    last = {(dep.last_id, 0): 1, (dep.last_id, 1): 2}
    assert found == {**last, ("a", 0): 1, ("a", 1): 2, ("b", 1): 3, ("b", 0): 4, ("c", 0): "x"}


def test_a_file_that_cannot_be_written_is_told(
    dep: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(type(dep._store), "requests_file", lambda *_: tmp_path / "folder")
    with pytest.raises(StoreFailed, match="none of them was"):
        dep.feedback("a", [1])
    monkeypatch.undo()


def test_a_deployment_that_is_stopped_is_labelled_too(dep: Deployment) -> None:
    dep.stop()
    assert dep.feedback("late", ["x"]).new == 1
    dep.start()
    assert known(dep) == {("late", 0): ("x", "notebook")}
