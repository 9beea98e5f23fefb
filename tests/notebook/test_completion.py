"""Tab completion, asked of the real shell."""

from __future__ import annotations

import numpy as np
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from autodeploy_magic import verbs
from autodeploy_magic.contracts import Desired
from autodeploy_magic.store import Store


class Model:
    def predict(self, x: object) -> object:
        return x


@pytest.fixture
def filled(shell: InteractiveShell, store: Store) -> InteractiveShell:
    shell.user_ns.update(X_test=np.eye(2), X_train=np.eye(2), clf=Model(), note="text", _hidden=np.eye(2))
    for name in ("iris", "churn"):
        store.save_desired(Desired(name=name, version=1, executable="python"))
    return shell


def completed(shell: InteractiveShell, line: str) -> list[str]:
    return list(shell.complete("", line, len(line))[1])


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("%deploy ", list(verbs.on("magic"))),
        ("%deploy ro", ["rollback"]),
        ("%deploy logs ", ["churn", "iris"]),
        ("%deploy logs i", ["iris"]),
        ("%deploy logs iris --l", ["--lines"]),
        ("%deploy rm iris -", ["--versions", "--help"]),
        ("%deploy deploy ch", ["churn"]),
        ("%%deploy i", ["iris"]),
        ("%%deploy iris --sam", ["--sample"]),
        ("%%deploy iris --sample X_", ["X_test", "X_train"]),
        ("%%deploy iris --sample X_test --model ", ["clf"]),
        ("%%deploy iris --format ", ["auto", "onnx", "native"]),
        ("%%deploy iris --dry-run --q", ["--quiet"]),
        ("%%deploy iris --no-a", ["--no-auth"]),
    ],
)
def test_what_can_stand_there_is_offered(filled: InteractiveShell, line: str, wanted: list[str]) -> None:
    assert completed(filled, line) == wanted


def test_an_option_given_already_is_not_offered_again(filled: InteractiveShell) -> None:
    assert "--sample" not in completed(filled, "%%deploy iris --sample X_test --")


def test_the_cell_s_own_lines_complete_as_python(filled: InteractiveShell) -> None:
    text = "%%deploy iris\nX_te"
    with provisionalcompleter():
        found = [completion.text for completion in filled.Completer.completions(text, len(text))]
    assert found[0] == "X_test"
    assert "rollback" not in found


def test_completing_runs_nothing_of_the_variables(filled: InteractiveShell) -> None:
    class Loud:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"completion read {name}")

    filled.user_ns["loud"] = Loud()
    assert completed(filled, "%%deploy iris --model c") == ["clf"]


def test_unloading_takes_it_away(filled: InteractiveShell) -> None:
    filled.run_line_magic("unload_ext", "autodeploy_magic")
    try:
        assert "rollback" not in completed(filled, "%deploy rollb")
        assert filled.find_line_magic("deploy") is None
        assert filled.find_cell_magic("deploy") is None
    finally:
        filled.run_line_magic("load_ext", "autodeploy_magic")
    assert completed(filled, "%deploy rollb") == ["rollback"]
