"""A real kernel runs a notebook: what it shows, what it keeps, and what an error leaves behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from autodeploy_magic.errors import SupervisorFailed
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SETUP = """\
%load_ext autodeploy_magic
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier
X, y = load_iris(return_X_y=True, as_frame=True)
"""


class Notebook:
    """Runs cells one by one in a real kernel and keeps them as a notebook would."""

    def __init__(self) -> None:
        self.client = NotebookClient(new_notebook(), timeout=120, kernel_name="python3")

    def run(self, source: str) -> Any:
        """Run one cell; raises `CellExecutionError` as a stopped "Run All" would."""
        self.client.nb.cells.append(new_code_cell(source))
        index = len(self.client.nb.cells) - 1
        return self.client.execute_cell(self.client.nb.cells[index], index)

    def failing(self, source: str) -> Any:
        """Run a cell that must fail; returns its outputs."""
        with pytest.raises(CellExecutionError):
            self.run(source)
        return self.client.nb.cells[-1]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One state folder and one supervisor for the tests of this file; each test has deployments of its own name."""
    home = tmp_path_factory.mktemp("kernel") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTODEPLOY_HOME", str(home))
        store = Store(home)
        yield store
        try:
            connect(store, start=False).shutdown(stop_deployments=True)
        except SupervisorFailed:
            return


@pytest.fixture(scope="module")
def kernel(served: Store) -> Iterator[Notebook]:
    result = Notebook()
    with result.client.setup_kernel():
        result.run(SETUP)
        yield result


@pytest.fixture
def notebook(kernel: Notebook) -> Notebook:
    """A notebook whose kernel has been used before, with only what SETUP made."""
    kernel.run("%reset -f")
    kernel.run(SETUP)
    return kernel


def htmls(cell: Any) -> list[str]:
    return [out.data["text/html"] for out in cell.outputs if "text/html" in out.get("data", {})]


def texts(cell: Any) -> str:
    return "\n".join(out.data.get("text/plain", "") for out in cell.outputs if "data" in out)


def errors(cell: Any) -> list[Any]:
    return [out for out in cell.outputs if out.output_type == "error"]


def test_a_notebook_deploys_predicts_runs_again_and_rolls_back(
    notebook: Notebook, served: Store, tmp_path: Path
) -> None:
    cell = notebook.run("%%deploy iris --sample X --out dep\nclf = DecisionTreeClassifier(max_depth=1).fit(X, y)\n")
    progress, card, _ = htmls(cell)
    for step in ("capture", "export", "verify", "package", "start", "first prediction"):
        assert f"</span> {step}<span" in progress, step
    assert 'spin"' not in progress
    assert 'role="status"' in progress
    assert "http://127.0.0.1:" in card
    assert errors(cell) == []
    assert "built v1: onnx, on 150 rows 100% equal" in progress
    assert "iris v1" in texts(cell)

    notebook.run("assert (dep.predict(X) == clf.predict(X)).all()\nurl = dep.url")
    cell = notebook.run("%%deploy iris --sample X\nclf = DecisionTreeClassifier(max_depth=3).fit(X, y)\nclf")
    assert re.search(r"v2 answers \d+ of 150 rows of the sample differently from v1", texts(cell))
    assert re.search(r"v2 answers \d+ of 150 rows of the sample differently from v1", htmls(cell)[1])
    notebook.run("assert (dep.predict(X) == clf.predict(X)).all() and dep.url == url and dep.version == 2")
    notebook.run("%deploy rollback iris")
    notebook.run("assert dep.version == 1 and dep.url == url and (dep.predict(X) != clf.predict(X)).any()")
    assert "v1" in texts(notebook.run("%deploy versions iris"))
    assert "running" in texts(notebook.run("%deploy status iris"))

    saved = tmp_path / "saved.ipynb"
    nbformat.write(notebook.client.nb, saved)
    assert served.token("iris") not in saved.read_text("utf-8")


def test_another_kernel_attaches(notebook: Notebook) -> None:
    notebook.run("%%deploy shared --sample X\nclf = DecisionTreeClassifier().fit(X, y)\n")
    fresh = Notebook()
    with fresh.client.setup_kernel():
        fresh.run("%load_ext autodeploy_magic\n%deploy attach shared --out dep")
        fresh.run("assert dep.test().as_verified")


def test_a_failing_cell_shows_its_own_traceback_once_and_stops(notebook: Notebook, served: Store) -> None:
    cell = notebook.failing("%%deploy failing --sample X\nclf = DecisionTreeClassifier().fit(X, y)\n1 / 0\n")
    assert [error.ename for error in errors(cell)] == ["ZeroDivisionError", "CellFailed"]
    assert errors(cell)[1].traceback == ["the cell raised ZeroDivisionError; nothing was deployed"]
    cell = notebook.failing("%%deploy failing --sample X\nclf = = 1\n")
    assert errors(cell)[-1].traceback == ["the cell raised SyntaxError; nothing was deployed"]
    assert not served.exists("failing")


@pytest.mark.parametrize(
    ("cell", "ename", "told"),
    [
        ("%%deploy wrong\nclf = DecisionTreeClassifier().fit(X, y)\n", "BadSample", "%%deploy wrong --sample X"),
        ("%%deploy wrong --sample X\nn = 1\n", "NoModel", "--model"),
        ("%%deploy wrong --sample X\nclf = DecisionTreeClassifier()\n", "UnfittedModel", "fit"),
        (
            "%%deploy wrong --sample X\na, b = (DecisionTreeClassifier(max_depth=d).fit(X, y) for d in (1, 2))\n",
            "AmbiguousModel",
            "--model",
        ),
        ("%%deploy wrong --sample X\nimport asyncio\nawait asyncio.sleep(0)", "BadInput", "await in a cell before"),
        ("%%deploy wrong --sample Xs --model X\npass", "InvalidOption", "no such variable"),
        ("%%deploy wrong --sampel X\npass", "InvalidOption", "did you mean --sample?"),
        ("%%deploy Iris --sample X\npass", "InvalidName", "use 'iris'"),
        ("%deploy lgos iris", "InvalidOption", "did you mean 'logs'?"),
        ("%deploy logs irs", "UnknownDeployment", "there is no deployment 'irs'"),
    ],
)
def test_our_errors_say_what_and_what_to_do_without_our_frames(
    notebook: Notebook, served: Store, cell: str, ename: str, told: str
) -> None:
    (error,) = errors(notebook.failing(cell))
    assert error.ename == ename
    shown = "\n".join(error.traceback)
    assert told in shown
    assert "Traceback" not in shown
    assert "autodeploy_magic/" not in shown
    assert len(error.traceback) <= 3
    assert not served.exists("wrong")


def test_an_interrupted_cell_deploys_nothing_and_the_kernel_lives(notebook: Notebook, served: Store) -> None:
    cell = "%%deploy interrupted --sample X\nimport signal\nsignal.raise_signal(signal.SIGINT)\nclf = None\n"
    outputs = errors(notebook.failing(cell))
    assert [error.ename for error in outputs] == ["KeyboardInterrupt", "CellFailed"]
    assert not served.exists("interrupted")
    notebook.run("assert 1 + 1 == 2")


def test_an_empty_cell_deploys_what_model_names(notebook: Notebook) -> None:
    notebook.run("clf = DecisionTreeClassifier().fit(X, y)")
    assert "empty v1" in texts(notebook.run("%%deploy empty --model clf --sample X"))


def test_functions_of_the_cell_travel(notebook: Notebook) -> None:
    notebook.run(
        "%%deploy named --sample X --out dep\n"
        "import numpy as np\n"
        "names = np.array(['setosa', 'versicolor', 'virginica'])\n"
        "clf = DecisionTreeClassifier().fit(X, y)\n"
        "def postprocess(y):\n"
        "    return names[y]\n"
    )
    notebook.run("assert list(dep.predict(X[:1])) == ['setosa']")


def test_quiet_shows_nothing_and_dry_run_changes_nothing(notebook: Notebook, served: Store) -> None:
    cell = notebook.run("%%deploy quiet --sample X --dry-run\nclf = DecisionTreeClassifier().fit(X, y)\n")
    assert "would be v1 of quiet" in texts(cell)
    assert not served.exists("quiet")
    cell = notebook.run("%%deploy quiet --sample X --quiet --out dep\nclf = DecisionTreeClassifier().fit(X, y)\n")
    assert cell.outputs == []
    assert served.exists("quiet")


def test_help_is_shown_by_the_question_mark_and_by_the_option(notebook: Notebook) -> None:
    assert "--sample VAR" in texts(notebook.run("%%deploy --help"))
    assert "rollback" in texts(notebook.run("%deploy --help"))
    assert "usage: %deploy versions" in texts(notebook.run("%deploy versions --help"))
