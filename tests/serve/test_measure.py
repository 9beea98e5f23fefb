"""What a version answers and costs: real models, and models that fail on a row or answer otherwise in company."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from versions import X, Y, write_version

from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.serve.clean.measure import _few, main

MODEL = LogisticRegression(max_iter=500).fit(X, Y)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    _rows(folder, X.tolist())
    (folder / "mix.json").write_bytes(msgspec.json.encode([[1, 0.9], [16, 0.1]]))
    return folder


def _rows(folder: Path, inputs: Any) -> None:
    (folder / "held_out.json.gz").write_bytes(gzip.compress(msgspec.json.encode({"inputs": inputs})))


def measured(tmp_path: Path, data: Path, model: Any = MODEL, **how: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is told of a version, and its answers."""
    write_version(tmp_path / "v1", model, X, **how)
    spec = {"folder": str(tmp_path / "v1"), "data": str(data), "answers": str(tmp_path / "a.json.gz"), "within_s": 1.0}
    found = main({**spec, "sealed": False})
    return found, msgspec.json.decode(gzip.decompress(Path(found["answers"]).read_bytes()))


def test_it_answers_every_row_and_tells_what_that_costs(tmp_path: Path, data: Path) -> None:
    found, answers = measured(tmp_path, data)
    assert (found["rows"], found["failed"], found["why"], found["alike"]) == (150, 0, "", 1.0)
    assert answers["outputs"]["predictions"] == MODEL.predict(X).tolist()
    np.testing.assert_allclose(answers["outputs"]["probabilities"], MODEL.predict_proba(X), atol=1e-5)
    assert 0 < found["one_row_s"] < found["batch_s"] < 1
    assert found["one_row_s"] * 0.5 < found["cpu_s"] < found["batch_s"]
    assert found["batch_rows"] == 150
    assert found["size_bytes"] == (tmp_path / "v1" / "model.onnx").stat().st_size > found["packed_bytes"] > 0
    assert found["peak_bytes"] >= found["loaded_bytes"] > 1e7
    assert found["pace_s"] > 0


def test_a_larger_forest_costs_more(tmp_path: Path, data: Path) -> None:
    costs = []
    for trees in (5, 60):
        model = RandomForestClassifier(trees, random_state=0, n_jobs=1).fit(X, Y)
        found, _ = measured(tmp_path / str(trees), data, model, format="native")
        costs.append((found["cpu_s"] / found["pace_s"], found["size_bytes"]))
    assert costs[1][0] > 3 * costs[0][0]
    assert costs[1][1] > 5 * costs[0][1]


def fails_on_tall(model: Any, x: Any) -> Any:
    if (x[:, 0] > 7.5).any():
        raise ValueError("too tall")
    return model.predict(x)


def looks_around(model: Any, x: Any) -> Any:
    return model.predict(x - x.mean(axis=0) + 3)


def writes_nan(model: Any, x: Any) -> Any:
    return np.where(x[:, 0] > 7.5, np.nan, model.predict(x))


def answers_half(model: Any, x: Any) -> Any:
    return model.predict(x)[: len(x) // 2 + 1]


def test_a_row_that_it_fails_on_is_told_and_the_others_are_answered(tmp_path: Path, data: Path) -> None:
    found, answers = measured(tmp_path, data, format="native", code={"predict": fails_on_tall})
    wrong = np.flatnonzero(X[:, 0] > 7.5).tolist()
    assert found["failed"] == len(wrong) > 0
    assert found["why"] == "ValueError: too tall"
    assert [row for row, _ in answers["failed"]] == wrong
    assert answers["rows"] == 150 == len(answers["outputs"]["predictions"])
    assert found["cpu_s"] > 0


def test_what_depends_on_the_other_rows_is_seen(tmp_path: Path, data: Path) -> None:
    found, _ = measured(tmp_path, data, format="native", code={"predict": looks_around})
    assert found["alike"] < 1


def test_no_number_is_null(tmp_path: Path, data: Path) -> None:
    _, answers = measured(tmp_path, data, format="native", code={"predict": writes_nan})
    nulls = [i for i, value in enumerate(answers["outputs"]["predictions"]) if value is None]
    assert nulls == np.flatnonzero(X[:, 0] > 7.5).tolist()


def test_an_answer_that_is_not_one_for_each_row_is_asked_row_by_row(tmp_path: Path, data: Path) -> None:
    _rows(data, X[:40].tolist())
    found, answers = measured(tmp_path, data, format="native", code={"predict": answers_half})
    assert (found["rows"], found["failed"], found["alike"]) == (40, 0, None)
    assert answers["outputs"]["predictions"] == [[value] for value in MODEL.predict(X[:40]).tolist()]


def test_rows_that_do_not_fit_fail_and_no_model_cannot_be_measured(tmp_path: Path, data: Path) -> None:
    _rows(data, [[1.0, 2.0]] * 3)
    found, _ = measured(tmp_path, data)
    assert found["failed"] == 3
    assert "cpu_s" not in found
    (tmp_path / "v1" / "model.onnx").write_bytes(b"no model")
    spec = {"folder": str(tmp_path / "v1"), "data": str(data), "answers": str(tmp_path / "a")}
    with pytest.raises(AutodeployError):
        main(spec)


def test_many_sizes_of_request_are_a_few_with_the_same_mean() -> None:
    assert _few([[1, 1.0]]) == [(1, 1.0)]
    mix = [[rows, 1 / 64] for rows in range(1, 65)]
    found = _few(mix)
    assert len(found) == 4
    assert sum(share for _, share in found) == pytest.approx(1)
    assert sum(rows * share for rows, share in found) == pytest.approx(32.5, abs=0.6)
    assert _few([]) == [(1, 1.0)]
