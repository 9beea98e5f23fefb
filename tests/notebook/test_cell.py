"""What a deploy cell holds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.notebook.cell import functions, missing_sample, read, sample_candidates, variable


def test_assigned_names_are_those_of_the_top_level() -> None:
    written = read(
        "a = b = 1\n(c, [d, *e]) = f()\ng: int = 2\nh += 1\n"
        "if a:\n    i = 1\nelse:\n    j = 2\n"
        "with open(x) as k:\n    l = 1\n"
        "try:\n    m = 1\nexcept E:\n    n = 1\nfinally:\n    o = 1\n"
        "for p in q:\n    r = 1\n"
        "def s():\n    inner = 1\n"
        "class T:\n    attribute = 1\n"
        "model.attribute = 1\n"
    )
    assert set("abcdeghijklmnor") <= set(written.assigned)
    assert not {"inner", "attribute", "T", "s"} & set(written.assigned)


def test_the_last_line_s_name_is_known_even_where_a_semicolon_hides_its_value() -> None:
    assert read("x = 1\nmodel;").last_name == "model"
    assert read("x = 1\nmodel.score(x)").last_name is None
    assert read("").last_name is None


def test_functions_travel_only_where_this_cell_defines_them() -> None:
    namespace = {"preprocess": lambda x: x, "postprocess": lambda y: y}
    written = read("def preprocess(x):\n    return x\n")
    assert set(functions(written, namespace)) == {"preprocess"}


def test_a_function_that_cannot_be_called_as_it_will_be_is_refused() -> None:
    namespace = {"predict": lambda x: x}
    with pytest.raises(InvalidOption, match=r"predict\(model, x\)"):
        functions(read("def predict(x):\n    return x\n"), namespace)


def test_retrain_is_one_of_them() -> None:
    namespace = {"retrain": lambda model, X, y: model}
    assert functions(read("def retrain(model, X, y):\n    return model\n"), namespace) == namespace
    with pytest.raises(InvalidOption, match=r"retrain\(model, X, y\)"):
        functions(read("def retrain(X):\n    return X\n"), {"retrain": lambda X: X})


def test_a_variable_is_found_by_name() -> None:
    data = np.eye(2)
    assert variable("sample", "X", {"X": data}) is data


def test_an_expression_is_refused_and_never_run() -> None:
    with pytest.raises(InvalidOption, match="not the name of a variable"):
        variable("sample", "X[:100]", {"X": [1]})


def test_a_mistyped_variable_names_the_nearest() -> None:
    with pytest.raises(InvalidOption, match="did you mean 'X_test'"):
        variable("sample", "X_tset", {"X_test": 1, "_X_tset_": 2})


def test_a_model_may_be_an_onnx_file() -> None:
    assert variable("model", "out/model.onnx", {}) == Path("out/model.onnx")
    with pytest.raises(InvalidOption):
        variable("sample", "out/model.onnx", {})


def test_candidates_for_the_sample_are_as_wide_as_the_model() -> None:
    model = SimpleNamespace(n_features_in_=2)
    namespace = {"X": np.eye(2), "wide": np.eye(3), "X_test": np.eye(2), "y": np.zeros(2), "_": np.eye(2), "n": 3}
    assert sample_candidates(namespace, model) == ["X_test", "X"]


def test_frames_are_candidates_by_their_columns() -> None:
    model = SimpleNamespace(n_features_in_=2, feature_names_in_=np.array(["a", "b"]))
    namespace = {"good": pd.DataFrame({"a": [1], "b": [2]}), "other": pd.DataFrame({"a": [1], "c": [2]})}
    assert sample_candidates(namespace, model) == ["good"]


def test_a_missing_sample_gives_the_line_to_type() -> None:
    error = missing_sample(
        "iris", SimpleNamespace(n_features_in_=2), {"X_test": np.eye(2)}, "%%deploy iris --workers 2"
    )
    assert error.fix == "`%%deploy iris --workers 2 --sample X_test`"
    assert "X_test" in error.why
