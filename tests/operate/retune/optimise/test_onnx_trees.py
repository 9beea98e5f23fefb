"""Fewer trees of what really is a forest, and fewer rounds of what really is boosted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pytest
import xgboost
from bettering import champion_of
from replacing import holdings_for, of_type, replaced_of, run_of
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from autodeploy_magic.errors import NotApplicable, RetuneFailed
from autodeploy_magic.operate.retune.optimise.onnx_ensemble import Ensemble
from autodeploy_magic.operate.retune.optimise.onnx_trees import FewerTrees

WINE = load_wine(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


def test_the_first_trees_of_a_forest_answer_as_their_mean(tmp_path: Path) -> None:
    x, y = WINE
    words = np.array(["barbera", "barolo", "grignolino"])[y]
    for i, (model, target) in enumerate(
        [
            (RandomForestClassifier(20, random_state=0), words),
            (ExtraTreesClassifier(20, random_state=0), y),
        ]
    ):
        model.fit(x, target)
        champion = champion_of(tmp_path / str(i), model, x[:16], "onnx")
        made = replaced_of(FewerTrees(), champion, holdings_for(champion, x), {"trees": 5, "of": 20})
        true = np.mean([tree.predict_proba(x) for tree in model.estimators_[:5]], axis=0)
        found = run_of(champion, x, made.file)
        assert np.allclose(found["probabilities"], true, atol=1e-6)
        assert found["predictions"].tolist() == model.classes_[true.argmax(axis=1)].tolist()
        assert made.file.stat().st_size < 0.35 * champion.needs_onnx().stat().st_size


def test_a_forest_of_two_classes_and_one_of_numbers(tmp_path: Path) -> None:
    x, y = CANCER
    model = RandomForestClassifier(20, random_state=0).fit(x, y)
    champion = champion_of(tmp_path / "two", model, x[:16], "onnx")
    made = replaced_of(FewerTrees(), champion, holdings_for(champion, x), {"trees": 7, "of": 20})
    true = np.mean([tree.predict_proba(x) for tree in model.estimators_[:7]], axis=0)
    assert np.allclose(run_of(champion, x, made.file)["probabilities"], true, atol=1e-6)
    x, y = DIABETES
    numbers = RandomForestRegressor(20, random_state=0).fit(x, y)
    champion = champion_of(tmp_path / "numbers", numbers, x[:16], "onnx")
    made = replaced_of(FewerTrees(), champion, holdings_for(champion, x), {"trees": 5, "of": 20})
    true = np.mean([tree.predict(x) for tree in numbers.estimators_[:5]], axis=0)
    assert np.allclose(run_of(champion, x, made.file)["predictions"], true, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (GradientBoostingClassifier(n_estimators=8, random_state=0), WINE),
        (GradientBoostingRegressor(n_estimators=8, random_state=0), DIABETES),
    ],
    ids=["classes", "numbers"],
)
def test_the_first_rounds_of_a_boosted_ensemble_are_its_earlier_stage(tmp_path: Path, model: Any, data: Any) -> None:
    x, y = data
    model.fit(x, y)
    champion = champion_of(tmp_path / "v1", model, x[:16], "onnx")
    offers = FewerTrees().offers(champion, holdings_for(champion, x[:10]))
    assert [(offer.title, offer.settings["trees"]) for offer in offers] == [
        ("first 6 of 8 rounds", 6),
        ("first 4 of 8 rounds", 4),
        ("first 2 of 8 rounds", 2),
    ]
    made = replaced_of(FewerTrees(), champion, holdings_for(champion, x), {"trees": 4, "of": 8})
    found = run_of(champion, x, made.file)
    if hasattr(model, "staged_predict_proba"):
        assert np.allclose(found["probabilities"], list(model.staged_predict_proba(x))[3], atol=1e-5)
    assert np.allclose(found["predictions"], list(model.staged_predict(x))[3], rtol=1e-5)


def test_boosted_libraries_stop_early_too(tmp_path: Path) -> None:
    x, y = WINE
    found = {}
    xgb = xgboost.XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1).fit(x, y)
    lgb = lightgbm.LGBMClassifier(n_estimators=8, num_leaves=7, n_jobs=1, verbose=-1).fit(x, y)
    hist = HistGradientBoostingClassifier(max_iter=8, random_state=0).fit(x, y)
    for name, model in {"xgboost": xgb, "lightgbm": lgb, "hist": hist}.items():
        champion = champion_of(tmp_path / name, model, x[:16], "onnx")
        made = replaced_of(FewerTrees(), champion, holdings_for(champion, x), {"trees": 4, "of": 8})
        found[name] = run_of(champion, x, made.file)["probabilities"]
    assert np.allclose(found["xgboost"], xgb.predict_proba(x, iteration_range=(0, 4)), atol=1e-5)
    assert np.allclose(found["lightgbm"], lgb.predict_proba(x, num_iteration=4), atol=1e-5)
    assert np.allclose(found["hist"], list(hist.staged_predict_proba(x))[3], atol=1e-5)


def test_trees_within_a_pipeline_in_doubles(tmp_path: Path) -> None:
    x, y = DIABETES
    model = make_pipeline(StandardScaler(), RandomForestRegressor(12, random_state=0)).fit(x, y)
    champion = champion_of(tmp_path / "v1", model, x[:16], "onnx-float64")
    made = replaced_of(FewerTrees(), champion, holdings_for(champion, x), {"trees": 4, "of": 12})
    scaled = model[0].transform(x)
    true = np.mean([tree.predict(scaled) for tree in model[-1].estimators_[:4]], axis=0)
    close = np.isclose(run_of(champion, x, made.file)["predictions"], true, rtol=1e-4)
    assert close.mean() > 0.98  # a threshold in float32 may send a row the other way


def test_the_fewest_that_do_depend_on_what_may_be_lost(tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    model = RandomForestClassifier(120, random_state=0).fit(x[:300], y[:300])
    champion = champion_of(tmp_path / "v1", model, x[:16], "onnx")
    counts = []
    for max_loss in (0.02, 0.1):
        holdings = holdings_for(champion, x[600:900], y[600:900], max_loss)
        assert FewerTrees().offers(champion, holdings)[0].settings == {"trees": "fewest", "of": 120}
        made = replaced_of(FewerTrees(), champion, holdings, {"trees": "fewest", "of": 120})
        counts.append(made.changed["trees"])
        changed = run_of(champion, x[600:900], made.file)["predictions"] != model.predict(x[600:900])
        assert changed.mean() <= 6 * max_loss
    assert counts[1] <= counts[0] < 120
    bad = holdings_for(champion, x[600:900], (y[600:900] + 1) % 10, 0.0)
    with pytest.raises(RetuneFailed, match="no fewer than 120 do"):
        replaced_of(FewerTrees(), champion, bad, {"trees": "fewest", "of": 120})


def test_where_nothing_tells_averaged_from_summed_nothing_is_offered(tmp_path: Path) -> None:
    x, y = DIABETES
    champion = champion_of(tmp_path / "numbers", RandomForestRegressor(8, random_state=0).fit(x, y), x[:16], "onnx")
    brought = of_type(champion, "forest")
    with pytest.raises(NotApplicable, match="averaged or summed"):
        FewerTrees().offers(brought, holdings_for(champion, x))
    x, y = WINE
    champion = champion_of(tmp_path / "classes", RandomForestClassifier(8, random_state=0).fit(x, y), x[:16], "onnx")
    offers = FewerTrees().offers(of_type(champion, "forest"), holdings_for(champion, x[:10]))
    assert [offer.settings["trees"] for offer in offers] == [4, 3, 1]  # the leaves tell
    assert offers[0].title == "first 4 of 8 trees"


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (LogisticRegression(max_iter=5000), "no trees"),
        (DecisionTreeClassifier(random_state=0), "a few trees"),
        (BaggingClassifier(n_estimators=5, random_state=0), "stand apart"),
    ],
    ids=["none", "one", "apart"],
)
def test_what_has_no_trees_to_leave_out(tmp_path: Path, model: Any, why: str) -> None:
    x, y = WINE
    champion = champion_of(tmp_path / "v1", model.fit(x, y), x[:16], "onnx")
    with pytest.raises(NotApplicable, match=why):
        FewerTrees().offers(champion, holdings_for(champion, x))


def rooted() -> Any:
    """TreeEnsemble of ai.onnx.ml 5: three stumps x0 <= t that give i + 1 left and 10 (i + 1) right, and their sum."""
    floats = onnx.TensorProto.FLOAT
    return onnx.helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function=1,
        post_transform=0,
        tree_roots=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_splits=onnx.helper.make_tensor("s", floats, (3,), [0.0, 1.0, 2.0]),
        nodes_modes=onnx.helper.make_tensor("m", onnx.TensorProto.UINT8, (3,), [0, 0, 0]),
        nodes_truenodeids=[0, 2, 4],
        nodes_trueleafs=[1, 1, 1],
        nodes_falsenodeids=[1, 3, 5],
        nodes_falseleafs=[1, 1, 1],
        leaf_targetids=[0] * 6,
        leaf_weights=onnx.helper.make_tensor("w", floats, (6,), [1, 10, 2, 20, 3, 30]),
    )


def test_the_newer_operator_keeps_its_first_roots(tmp_path: Path) -> None:
    import onnxruntime

    for name, expected in {"XGBRegressor": [3.0, 12.0, 30.0], "RandomForestRegressor": [4.5, 18.0, 45.0]}.items():
        node = Ensemble(rooted(), name).first(2)
        values = [onnx.helper.make_tensor_value_info(one, 1, ["n", 1]) for one in ("x", "y")]
        graph = onnx.helper.make_graph([node], "g", values[:1], values[1:])
        opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("ai.onnx.ml", 5)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
        run = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (found,) = run.run(None, {"x": np.array([[-1], [0.5], [5]], np.float32)})
        assert found.ravel().tolist() == expected
        assert len(next(item for item in node.attribute if item.name == "leaf_weights").t.dims) == 1
