"""Pickles: the same content gives the same bytes, whatever kernel, file and line it comes from."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodeploy_magic.build.code import dump, source_text
from autodeploy_magic.errors import ExportFailed, ModelTooLarge

CELL = """
import math
SCALE = 2.0

class Unit:
    factor = 3.0
    def apply(self, x):
        return [v * self.factor * SCALE for v in x]

def helper(x):
    return Unit().apply(x)

def preprocess(x):
    return [math.floor(v) for v in helper(x)]
"""


def pickled(value: Any, folder: Path) -> bytes:
    dump(value, folder / "x.pkl", what="it")
    return (folder / "x.pkl").read_bytes()


def test_bytes_do_not_depend_on_the_cell(notebook: Callable[..., Any], tmp_path: Path) -> None:
    first = notebook(CELL)
    again = notebook("\n\n\n" + CELL, file="/tmp/ipykernel_99/42.py", __file__="/home/somebody/run.py")
    one = pickled({"preprocess": first["preprocess"]}, tmp_path)
    assert one == pickled({"preprocess": again["preprocess"]}, tmp_path)
    assert b"ipykernel" not in one
    assert b"/home/somebody" not in pickled(again["preprocess"], tmp_path)


def test_bytes_change_with_a_constant_a_helper_or_a_class(notebook: Callable[..., Any], tmp_path: Path) -> None:
    seen = {
        pickled(notebook(CELL.replace(old, new))["preprocess"], tmp_path)
        for old, new in [("", ""), ("SCALE = 2.0", "SCALE = 2.5"), ("factor = 3.0", "factor = 4.0"), ("floor", "ceil")]
    }
    assert len(seen) == 4


def test_it_runs_where_the_notebook_is_unknown(notebook: Callable[..., Any], tmp_path: Path) -> None:
    dump({"preprocess": notebook(CELL)["preprocess"]}, tmp_path / "code.pkl", what="the code")
    script = "import pickle,sys; print(pickle.load(open(sys.argv[1],'rb'))['preprocess']([1.0, 2.5]))"
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "code.pkl"], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.strip() == "[6, 15]"


def test_one_class_in_two_pickles_is_one_class(notebook: Callable[..., Any], tmp_path: Path) -> None:
    """The model's pickle and the code's are loaded apart: isinstance must still hold between them."""
    names = notebook(CELL + "\nmodel = Unit()\ndef postprocess(y):\n    return isinstance(y, Unit)\n")
    dump(names["model"], tmp_path / "model.pkl", what="the model")
    dump(names["postprocess"], tmp_path / "code.pkl", what="the code")
    script = "import pickle; m=pickle.load(open('model.pkl','rb')); f=pickle.load(open('code.pkl','rb')); print(f(m))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "True"


def test_fitting_again_gives_the_same_bytes(iris: Any, tmp_path: Path) -> None:
    """A fitted tree holds records with unwritten memory between their fields."""
    from sklearn.ensemble import RandomForestClassifier

    X, y = iris
    found = {pickled(RandomForestClassifier(5, random_state=0).fit(X, y), tmp_path) for _ in range(3)}
    assert len(found) == 1
    model = pickle.loads(found.pop())
    assert model.predict(X).tolist() == RandomForestClassifier(5, random_state=0).fit(X, y).predict(X).tolist()


def test_modules_that_are_referred_to_are_noted(notebook: Callable[..., Any], tmp_path: Path) -> None:
    names = notebook("import colorsys, numpy as np\ndef f(x):\n    return np.asarray(x), colorsys.rgb_to_hsv")
    found = dump(names["f"], tmp_path / "f.pkl", what="f")
    assert {"numpy", "colorsys"} <= found.modules
    assert found.by_value == (names["f"],)


def test_what_cannot_be_pickled_is_said(notebook: Callable[..., Any], tmp_path: Path) -> None:
    names = notebook("import threading\nlock = threading.Lock()\ndef preprocess(x):\n    with lock:\n        return x")
    with pytest.raises(ExportFailed, match=r"(?s)the code cannot be pickled.*lock.*inside the function"):
        dump(names["preprocess"], tmp_path / "f.pkl", what="the code")


def test_a_model_larger_than_the_limit_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(ModelTooLarge, match=r"(?s)too large.*free memory"):
        dump(np.zeros(1_000_000), tmp_path / "m.pkl", what="the model", limit_bytes=1_000_000)
    assert (tmp_path / "m.pkl").stat().st_size < 1_000_000


def test_source_for_people_has_the_helpers_too(notebook: Callable[..., Any], tmp_path: Path) -> None:
    names = notebook(CELL)
    functions = {"preprocess": names["preprocess"]}
    text = source_text(functions, dump(functions, tmp_path / "c.pkl", what="the code").by_value)
    assert "def preprocess(x):" in text
    assert "def helper(x):" in text
