"""What a notebook holds that could be deployed, as JupyterLab's dialog asks for it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from IPython.core.interactiveshell import InteractiveShell
from sklearn.datasets import load_iris
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from autodeploy_magic.notebook.found import found, found_json

X, y = load_iris(return_X_y=True, as_frame=True)
CLF = DecisionTreeClassifier(max_depth=2).fit(X, y)


class Hostile:
    """Raises whatever it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __len__(self) -> int:
        raise RuntimeError("len")

    __hash__ = object.__hash__


def models(namespace: dict[str, Any]) -> list[str]:
    return [model["name"] for model in found(namespace)["models"]]


def chosen(namespace: dict[str, Any]) -> list[str]:
    return [model["name"] for model in found(namespace)["models"] if model["chosen"]]


def samples(namespace: dict[str, Any]) -> list[str]:
    return [sample["name"] for sample in found(namespace)["samples"]]


def test_it_is_json_of_the_agreed_shape(home: Path) -> None:
    told = json.loads(found_json({"clf": CLF, "X": X}))
    assert told == {
        "models": [{"name": "clf", "type": "DecisionTreeClassifier", "chosen": True}],
        "samples": [{"name": "X", "type": "DataFrame", "shape": [150, 4], "rows": 150, "fits": ["clf"]}],
        "loaded": told["loaded"],
        "names": [],
    }


def test_models_are_those_that_are_fitted_each_once() -> None:
    namespace = {"raw": DecisionTreeClassifier(), "clf": CLF, "best": CLF, "_last": CLF, "Tree": DecisionTreeClassifier}
    assert models(namespace) == ["best"]
    assert models({"n": 3, "text": "model.onnx", "f": len, "g": lambda x: x, "none": None}) == []


def test_the_model_that_is_meant_is_the_newest_that_predicts_and_no_part_of_another() -> None:
    scaler = StandardScaler().fit(X)
    assert chosen({"clf": CLF, "scaler": scaler}) == ["clf"]
    assert chosen({"scaler": scaler}) == ["scaler"]
    pipeline = make_pipeline(StandardScaler(), DecisionTreeClassifier()).fit(X, y)
    assert chosen({"pipeline": pipeline, "tree": pipeline[-1]}) == ["pipeline"]
    search = GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2).fit(X, y)
    assert chosen({"search": search, "best": search.best_estimator_}) == ["search"]
    newer = LogisticRegression(max_iter=1000).fit(X, y)
    assert models({"clf": CLF, "newer": newer}) == ["newer", "clf"]
    assert chosen({}) == []


def test_a_deployment_s_own_handle_is_no_model(home: Path) -> None:
    from autodeploy_magic.notebook.deployment import Deployment

    assert models({"dep": Deployment("iris"), "clf": CLF}) == ["clf"]


def test_an_object_of_the_person_s_own_that_predicts_is_one() -> None:
    class Mine:
        def predict(self, x: Any) -> Any:
            return x

    assert models({"mine": Mine(), "Mine": Mine}) == ["mine"]


def test_samples_are_what_a_deploy_takes() -> None:
    rows = X.to_numpy().tolist()
    namespace = {
        "frame": X,
        "array": X.to_numpy(),
        "rows": rows,
        "records": X.head().to_dict("records"),
        "columns": {name: X[name].tolist() for name in X},
        "polars": pl.DataFrame(X.to_dict("list")),
        "images": np.zeros((5, 3, 8, 8)),
        "series": X.iloc[:, 0],
        "flat": X.to_numpy()[:, 0],
        "empty": X.head(0),
        "ragged": [[1, 2], [3]],
        "texts": ["a", "b"],
        "config": {"depth": 3, "name": "x"},
        "unequal": {"a": [1], "b": [1, 2]},
        "n": 3,
        "s": "text",
        "Frame": pd.DataFrame,
        "_hidden": X,
    }
    told = {sample["name"]: sample for sample in found(namespace)["samples"]}
    assert set(told) == {"frame", "array", "rows", "records", "columns", "polars", "images"}
    assert told["records"]["shape"] == [5, 4]
    assert told["columns"]["shape"] == [150, 4]
    assert told["images"]["shape"] == [5, 3, 8, 8]
    assert told["images"]["rows"] == 5


@pytest.mark.parametrize("name", ["y", "y_test", "Y_train", "y2", "labels", "target", "test_y", "ytest"])
def test_what_a_model_is_to_answer_is_no_sample(name: str) -> None:
    assert samples({name: np.zeros((9, 4)), "X": X}) == ["X"]


def test_what_fits_the_model_comes_first_and_rows_it_has_not_seen_before_the_others() -> None:
    namespace = {
        "wide": np.zeros((9, 7)),
        "df": X.assign(target=y),
        "X": X,
        "X_train": X.head(100),
        "renamed": X.set_axis(list("abcd"), axis=1),
        "X_val": X.tail(9),
        "X_test": X.tail(50),
        "clf": CLF,
    }
    told = found(namespace)["samples"]
    assert [sample["name"] for sample in told][:4] == ["X_test", "X_val", "X_train", "X"]
    assert [sample["name"] for sample in told if not sample["fits"]] == ["wide", "df", "renamed"]


def test_samples_say_which_of_several_models_they_fit() -> None:
    two = LogisticRegression(max_iter=1000).fit(X.to_numpy()[:, :2], y)
    told = found({"A": X.to_numpy(), "B": X.to_numpy()[:, :2], "clf": CLF, "two": two})["samples"]
    assert [(sample["name"], sample["fits"]) for sample in told] == [("B", ["two"]), ("A", ["clf"])]


def test_texts_are_a_sample_for_a_model_of_texts() -> None:
    texts = ["good day", "bad night", "very good", "awful"]
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    assert samples({"texts": texts, "model": model}) == ["texts"]
    assert samples({"features": ["a", "b"], "clf": CLF}) == []


def test_objects_that_raise_are_passed_over() -> None:
    class Sized(Hostile):
        shape = (3, 4)
        predict = 1

    class Broken(DecisionTreeClassifier):
        def get_params(self, deep: bool = True) -> dict[str, Any]:
            raise RuntimeError("no")

    broken = Broken()
    namespace = {"hostile": Hostile(), "sized": Sized(), "list": [Hostile()], "dict": {"a": Hostile()}, "b": broken}
    told = found({**namespace, "clf": CLF, "X": X})
    assert [model["name"] for model in told["models"]] == ["clf"]
    assert [sample["name"] for sample in told["samples"]] == ["X"]


def test_a_thousand_variables_cost_little() -> None:
    kinds = [1, "x", {}, {1: 2}, np.zeros((3, 3)), Hostile(), len, sys, [1, 2, 3], X]
    namespace = {f"v{i}": kinds[i % len(kinds)] for i in range(1000)} | {"clf": CLF}
    found(namespace)
    best = min(_seconds(lambda: found_json(namespace)) for _ in range(3))
    assert best < 0.05


def _seconds(job: Any) -> float:
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def test_looking_imports_no_framework(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from autodeploy_magic.notebook.found import found_json\n"
        "found_json({'rows': [[1, 2]], 'f': print})\n"
        "heavy = {'sklearn', 'pandas', 'polars', 'onnx', 'onnxruntime', 'torch', 'bentoml', 'ipywidgets'}\n"
        "print(heavy & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_a_kernel_s_own_namespace_is_looked_at_without_what_ipython_put_there(shell: InteractiveShell) -> None:
    shell.user_ns["clf"] = CLF
    shell.user_ns["X_test"] = X
    told = json.loads(found_json())
    assert [model["name"] for model in told["models"]] == ["clf"]
    assert [sample["name"] for sample in told["samples"]] == ["X_test"]
    assert told["loaded"] is True
