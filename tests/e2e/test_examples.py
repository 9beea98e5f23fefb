"""The example notebooks, run as a person would run them: in a real kernel, against a fresh state folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from kernel import execute, shown

from autodeploy_magic import settings
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


def run(name: str, folder: Path) -> dict[str, str]:
    """Run a notebook; returns what each tagged cell shows."""
    notebook = execute(nbformat.read(EXAMPLES / name, as_version=4), folder)
    return {tag: shown(cell) for cell in notebook.cells for tag in cell.metadata.get("tags", [])}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTODEPLOY_HOME", str(tmp_path_factory.mktemp("examples") / "home"))
        settings.reset()
        store = Store()
        try:
            yield store
        finally:
            if store.supervisor_file.exists():
                connect(store, start=False).shutdown(stop_deployments=True)


@pytest.fixture(scope="module")
def quickstart(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return run("01_quickstart.ipynb", tmp_path_factory.mktemp("quickstart"))


@pytest.fixture(scope="module")
def penguins(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return run("02_dataframes_and_preprocessing.ipynb", tmp_path_factory.mktemp("penguins"))


def test_the_deploy_cell_shows_its_steps_and_where_to_send_requests(quickstart: dict[str, str]) -> None:
    for word in ("capture", "export", "verify", "package", "start", "first prediction"):
        assert word in quickstart["deploy"], word
    assert re.search(r"http://127\.0\.0\.1:\d+", quickstart["deploy"])
    assert "curl" in quickstart["deploy"]


def test_the_endpoint_answers_what_the_notebook_answers(quickstart: dict[str, str]) -> None:
    answers = dict(re.findall(r"^(endpoint|notebook): (\[.+\])$", quickstart["predict"], flags=re.MULTILINE))
    assert answers["endpoint"] == answers["notebook"]
    assert len(answers["endpoint"].split()) == 8


def test_a_bad_request_is_refused_by_name(quickstart: dict[str, str]) -> None:
    assert "inputs" in quickstart["refused"]
    assert "13" in quickstart["refused"]
    assert "fix:" in quickstart["refused"]


def test_a_re_run_is_version_2_at_the_same_url_and_tells_what_differs(quickstart: dict[str, str]) -> None:
    urls = [re.findall(r"http://127\.0\.0\.1:\d+", quickstart[tag])[0] for tag in ("deploy", "redeploy")]
    assert urls[0] == urls[1]
    differing = re.search(r"(\d+) of 72", quickstart["diff"])
    assert differing
    assert 0 < int(differing[1]) < 72
    assert differing[0] in quickstart["redeploy"]


def test_the_better_version_serves_until_it_is_rolled_back(quickstart: dict[str, str]) -> None:
    found = {
        tag: re.search(r"version (\d) is right on (0\.\d+|1\.0)", quickstart[tag]) for tag in ("better", "rolled-back")
    }
    assert found["better"]
    assert found["rolled-back"]
    assert (found["better"][1], found["rolled-back"][1]) == ("2", "1")
    assert float(found["better"][2]) > float(found["rolled-back"][2])
    assert "a forest instead of a tree" in quickstart["versions"]


def test_nothing_of_the_quickstart_is_left(quickstart: dict[str, str], store: Store) -> None:
    assert "wine" not in quickstart["list"]
    assert not store.exists("wine")


def test_rows_with_gaps_are_answered(penguins: dict[str, str]) -> None:
    assert re.match(r"200 \{", penguins["request"])
    assert "'predictions': ['Gentoo']" in penguins["request"]
    assert "'probabilities': [[" in penguins["request"]


def test_a_wrong_column_and_a_wrong_type_are_refused_by_name(penguins: dict[str, str]) -> None:
    misspelt, word = penguins["refused"].strip().split("\n\n")
    assert "sex" in misspelt or "gender" in misspelt
    assert "body_mass_g" in word


def test_the_persons_own_code_travels_with_the_model(penguins: dict[str, str]) -> None:
    assert re.search(r"gentoo penguin|Adélie penguin|chinstrap penguin", penguins["predict"])
    assert "weight_lb" in penguins["old-request"]


def test_nothing_of_the_penguins_is_left(penguins: dict[str, str], store: Store) -> None:
    assert penguins["remove"]
    assert not store.exists("penguins")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_is_stored_clean(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert notebook.cells[0].source.startswith("# ")
