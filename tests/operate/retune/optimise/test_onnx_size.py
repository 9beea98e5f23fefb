"""What makes the file smaller, or quicker to load, and leaves the time of a call alone."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bettering import champion_of
from replacing import graph_of, holdings_for, of_type, operators_of, replaced_of, run_of
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodeploy_magic.errors import NotApplicable, RetuneFailed
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.optimise.onnx_answers import apart, checked, feeds
from autodeploy_magic.operate.retune.optimise.onnx_file import read
from autodeploy_magic.operate.retune.optimise.onnx_fp16 import Half
from autodeploy_magic.operate.retune.optimise.onnx_graph import Graph
from autodeploy_magic.operate.retune.optimise.onnx_magnitude import Magnitude

X, Y = load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Champion:
    model = make_pipeline(StandardScaler(), MLPClassifier((96, 64), random_state=0, max_iter=12, tol=1e-2))
    return champion_of(tmp_path_factory.mktemp("network") / "v1", model.fit(X[:1200], Y[:1200]), X[:16], "onnx")


def test_half_precision_halves_the_file_and_computes_as_before(network: Champion) -> None:
    assert [offer.title for offer in Half().offers(network, holdings_for(network, X[:8]))]
    made = replaced_of(Half(), network, holdings_for(network, X[:64]), {})
    assert made.file.stat().st_size < 0.6 * network.needs_onnx().stat().st_size
    ours, theirs = (run_of(network, X[1200:], file) for file in (None, made.file))
    assert np.allclose(ours["probabilities"], theirs["probabilities"], atol=5e-3)
    assert (ours["predictions"] == theirs["predictions"]).mean() > 0.995


def test_a_weight_that_half_precision_cannot_hold_stays(tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    model = MLPRegressor(hidden_layer_sizes=(64, 32), random_state=0, max_iter=5).fit(x, y)
    model.coefs_[0][:, 0] = 0.0
    model.coefs_[0][0, 0] = 1e6
    champion = champion_of(tmp_path / "v1", model, x[:16], "onnx")
    made = replaced_of(Half(), champion, holdings_for(champion, x[:64]), {})
    whole = [list(item.dims) for item in graph_of(made.file).initializer if item.data_type == onnx.TensorProto.FLOAT]
    assert [10, 64] in whole
    assert np.allclose(*(run_of(champion, x, file)["predictions"] for file in (None, made.file)), rtol=0.01)


def test_pruning_by_magnitude_packs_better(network: Champion) -> None:
    sizes = [len(gzip.compress(network.needs_onnx().read_bytes()))]
    for offer in Magnitude().offers(network, holdings_for(network, X[:8])):
        assert "download" in offer.title
        made = replaced_of(Magnitude(), network, holdings_for(network, X[:64]), offer.settings)
        assert made.changed["zero"] == pytest.approx(offer.settings["share"], abs=0.01)
        sizes.append(len(gzip.compress(made.file.read_bytes())))
    assert sizes[0] > 1.5 * sizes[1] > 1.5 * sizes[2]
    assert operators_of(made.file) == operators_of(network.needs_onnx())


def test_the_graph_is_folded_beforehand(network: Champion) -> None:
    offer = Graph().offers(network, holdings_for(network, X[:8]))[0]
    made = replaced_of(Graph(), network, holdings_for(network, X[:64]), offer.settings)
    assert made.changed["operators"] < len(operators_of(network.needs_onnx()))
    ours, theirs = (run_of(network, X[1200:], file) for file in (None, made.file))
    assert np.allclose(ours["probabilities"], theirs["probabilities"], atol=1e-6)


def test_what_there_is_nothing_to_gain_from(tmp_path: Path) -> None:
    forest = champion_of(tmp_path / "forest", RandomForestClassifier(10).fit(X, Y), X[:16], "onnx")
    ridge = champion_of(tmp_path / "ridge", Ridge().fit(X, Y), X[:16], "onnx")
    for champion, optimiser, why in [
        (forest, Half(), "hardly any weights"),
        (forest, Magnitude(), "no matrices"),
        (ridge, Graph(), "a few operators"),
    ]:
        with pytest.raises(NotApplicable, match=why):
            optimiser.offers(champion, holdings_for(champion, X[:8]))


def test_weights_in_other_files_are_not_touched(network: Champion, tmp_path: Path) -> None:
    for file in network.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model = onnx.load(network.needs_onnx())
    for item in model.graph.initializer:
        if item.data_type == onnx.TensorProto.FLOAT:
            item.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(item), item.name))
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    champion = Champion.at(tmp_path, tmp_path, network.version)
    with pytest.raises(NotApplicable, match="other files"):
        read(champion)


def test_a_file_that_answers_in_another_way_is_refused(network: Champion, tmp_path: Path) -> None:
    fed = feeds(network, holdings_for(network, X[:32]).calibration)
    file = tmp_path / "model.onnx"
    model = onnx.load(network.needs_onnx())
    weights = next(item for item in model.graph.initializer if list(item.dims) == [96, 64])
    whole = weights.SerializeToString()
    broken = np.full((96, 64), np.nan, np.float32)
    weights.CopyFrom(onnx.numpy_helper.from_array(broken, weights.name))
    onnx.save(model, file)
    with pytest.raises(RetuneFailed, match="not finite"):
        checked(network, file, fed)
    weights.ParseFromString(whole)
    model.graph.input[0].name, old = "other", model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["other" if name == old else name for name in node.input]
    onnx.save(model, file)
    with pytest.raises(RetuneFailed, match="other inputs"):
        checked(network, file, fed)


def test_how_far_two_graphs_are_apart() -> None:
    labels: list[Any] = [np.array(["a", "b", "b"])]
    numbers = [np.array([[1.0, 0.0], [0.0, 1.0], [0.3, 0.7]])]
    same = apart([labels, numbers], [labels, numbers])
    assert (same.disagreement, same.error, same.cosine) == (0.0, 0.0, pytest.approx(1.0))
    turned = apart([labels, numbers], [[np.array(["a", "b", "a"])], [numbers[0][:, ::-1]]])
    assert turned.disagreement == 1.0
    assert turned.cosine < 0.4
    wild = apart([[np.array([1.0, np.nan, 3.0])]], [[np.array([1.0, np.nan, 3.5])]])
    assert wild.error == pytest.approx(np.sqrt(0.25 / 3) / np.sqrt((np.array([1, 0, 3]) ** 2).mean() - (4 / 3) ** 2))


def test_a_recorded_input_goes_through_the_persons_own_preprocess(tmp_path: Path) -> None:
    model = Ridge().fit(np.log1p(X), Y)
    champion = champion_of(tmp_path / "v1", model, X[:16], "onnx", code={"preprocess": np.log1p})
    (fed,) = feeds(of_type(champion, "Ridge"), holdings_for(champion, X[:20]).calibration)
    (given,) = fed.values()
    assert np.allclose(given, np.log1p(X[:20]), atol=1e-6)
    assert given.dtype == np.float32
