"""`%deploy explain`: a plot and a table of what each column adds."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from deployed import PEOPLE, people_model
from IPython.core.interactiveshell import InteractiveShell
from world import World

from autodeploy_magic.errors import InvalidInputs, InvalidOption
from autodeploy_magic.notebook.deployment import Deployment
from autodeploy_magic.notebook.explained import Explanations

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def people(world: World) -> Deployment:
    import autodeploy_magic as ad

    dep = ad.deploy(people_model(), "people", sample=PEOPLE, quiet=True)
    assert isinstance(dep, Deployment)
    return dep


def test_rows_are_explained_by_their_columns(people: Deployment) -> None:
    found = people.explain(PEOPLE[:2])
    assert isinstance(found, Explanations)
    assert found.method == "SHAP, exact"
    frame = found.frame()
    assert list(frame.columns) == [*PEOPLE.columns, "base", "value", "prediction"]
    told = (frame[list(PEOPLE.columns)].sum(axis=1) + frame.base).to_numpy()
    assert told == pytest.approx(frame.value.to_numpy(), abs=1e-9)
    probabilities = people.predict_proba(PEOPLE[:2])
    assert frame.value.to_numpy() == pytest.approx(probabilities.max(axis=1), abs=1e-6)
    text = found.text()
    assert "city" in text
    assert re.search(r"row 0: (yes|no), with probability", text)
    html = str(found.html())
    assert html.count("<svg") == 2
    assert "city = " in html


def test_many_rows_are_dots_of_one_class(people: Deployment) -> None:
    found = people.explain(PEOPLE[:12], method="permutation")
    assert {row["class"] for row in found.rows} == {1}
    assert found.method == "exact"  # few enough columns for all coalitions
    html = str(found.html())
    assert html.count("<circle") == 12 * len(PEOPLE.columns)
    assert "the probability of class 1 of 12 rows" in html


def test_the_magic_takes_a_variable(
    people: Deployment, ipython_shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(ipython_shell.user_ns, "some", PEOPLE[3:4])
    ipython_shell.run_line_magic("deploy", "explain people --rows some")
    assert "row 0: " in capsys.readouterr().out
    with pytest.raises(InvalidOption, match="no such variable"):
        ipython_shell.run_line_magic("deploy", "explain people --rows nothing_of_that_name")


def test_it_becomes_shaps_own_explanation(people: Deployment) -> None:
    found = people.explain(PEOPLE[:1]).shap()
    assert found.feature_names == list(PEOPLE.columns)
    assert np.asarray(found.values).shape == (1, len(PEOPLE.columns))


@pytest.mark.parametrize(
    ("rows", "options", "error", "words"),
    [
        (PEOPLE[["age"]], {}, InvalidInputs, "is missing"),
        (PEOPLE[:1], {"target": 5}, InvalidInputs, "target is 5"),
        (PEOPLE[:1], {"method": "magic"}, InvalidOption, "explains nothing"),
        (PEOPLE, {}, InvalidInputs, "240 rows are too many"),
    ],
)
def test_what_cannot_be_explained_says_so(
    people: Deployment, rows: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        people.explain(rows, **options)
