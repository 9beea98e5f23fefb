"""int8, dynamic and static: faithful where it is offered, and refused where it was measured to lose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from bettering import champion_of
from replacing import graph_of, holdings_for, operators_of, replaced_of, run_of
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.optimise import onnx_int8
from autodeploy_magic.operate.retune.optimise.onnx_answers import feeds
from autodeploy_magic.operate.retune.optimise.onnx_dynamic import Dynamic
from autodeploy_magic.operate.retune.optimise.onnx_file import read
from autodeploy_magic.operate.retune.optimise.onnx_static import Static

X, Y = load_digits(return_X_y=True)
MINMAX = {"calibration": "MinMax"}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Champion:
    """A pipeline with text labels, whose graph has operators of ai.onnx.ml around its products."""
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    model = make_pipeline(StandardScaler(), MLPClassifier((384, 256), random_state=0, max_iter=8, tol=1e-2))
    return champion_of(tmp_path_factory.mktemp("wide") / "v1", model.fit(X[:1200], names[Y[:1200]]), X[:16], "onnx")


@pytest.fixture(scope="module")
def convolved(tmp_path_factory: pytest.TempPathFactory) -> Champion:
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(256, 10)),
    )
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    x, y = torch.tensor(pictures(1200)), torch.tensor(Y[:1200])
    for _ in range(4):
        for rows in torch.randperm(1200).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    return champion_of(tmp_path_factory.mktemp("convolved") / "v1", network.eval(), pictures(16), "onnx")


def pictures(count: int) -> Any:
    return (X[:count] / 16).reshape(-1, 1, 8, 8).astype(np.float32)


def test_dynamic_keeps_the_answers_in_a_third_of_the_size(wide: Champion) -> None:
    offers = Dynamic().offers(wide, holdings_for(wide, X[:64]))
    assert [offer.title for offer in offers] == ["int8, dynamic"]
    made = replaced_of(Dynamic(), wide, holdings_for(wide, X[:64]), {})
    ours, theirs = (run_of(wide, X[1200:], file) for file in (None, made.file))
    assert (ours["predictions"] == theirs["predictions"]).mean() > 0.99
    assert np.abs(ours["probabilities"] - theirs["probabilities"]).mean() < 0.01
    assert made.file.stat().st_size < 0.35 * wide.needs_onnx().stat().st_size
    assert operators_of(made.file).count("MatMulInteger") == 2  # the last, of 2 560 weights, would lose by it
    assert made.note.startswith("2 of 3 products in int8")


def test_static_keeps_the_answers_too(wide: Champion) -> None:
    for settings in (MINMAX, {"calibration": "Entropy"}):
        made = replaced_of(Static(), wide, holdings_for(wide, X[:128]), settings)
        ours, theirs = (run_of(wide, X[1200:], file) for file in (None, made.file))
        assert (ours["predictions"] == theirs["predictions"]).mean() > 0.98
        assert "QuantizeLinear" in operators_of(made.file)
        assert "128 rows for the scales" in made.note


def test_biases_of_one_row_are_taken_too(tmp_path: Path) -> None:
    """skl2onnx writes them so, and onnxruntime makes them part of a Gemm, which its quantiser then fails on."""
    model = MLPClassifier((160, 128), random_state=0, max_iter=4).fit(X[:600] / 16, Y[:600])
    champion = champion_of(tmp_path / "v1", model, X[:16] / 16, "onnx")
    made = replaced_of(Static(), champion, holdings_for(champion, X[:64] / 16), MINMAX)
    ours, theirs = (run_of(champion, X[600:] / 16, file)["predictions"] for file in (None, made.file))
    assert (ours == theirs).mean() > 0.97


def test_weights_have_a_scale_for_each_channel(convolved: Champion) -> None:
    made = replaced_of(Static(), convolved, holdings_for(convolved, pictures(128)), MINMAX)
    ours, theirs = (run_of(convolved, pictures(400), file)["predictions"] for file in (None, made.file))
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.98
    assert "QuantizeLinear" in operators_of(made.file)
    scales = [item.dims for item in graph_of(made.file).initializer if item.name.endswith("_scale") and item.dims]
    assert [12] in scales or [16] in scales


def test_operators_that_lose_stay_in_float(tmp_path: Path) -> None:
    """Outliers take the range that the other values need: the product that they come to is left in float."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 256), nn.Linear(256, 10))
    with torch.no_grad():
        network[0].weight[:, 0] *= 1e3
        network[0].weight[:, 0] -= network[0].weight[:, 0]
    x = (X / 16).astype(np.float32)
    x[:, 0] = np.where(np.arange(len(x)) % 40, x[:, 0], 900.0)
    champion = champion_of(tmp_path / "v1", network.eval(), x[:16], "onnx")
    made = replaced_of(Static(), champion, holdings_for(champion, x[:160]), MINMAX)
    first = next(
        node.name for node in onnx.load(champion.needs_onnx()).graph.node if node.op_type in ("Gemm", "MatMul")
    )
    assert first in made.changed["float"]
    assert "left in float" in made.note
    ours, theirs = (run_of(champion, x[1:40], file)["predictions"] for file in (None, made.file))
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99


def test_the_sorest_product_is_found_by_its_own_inputs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)).eval()
    x = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    x[0, 0] = 500.0
    champion = champion_of(tmp_path / "v1", network, x[:16], "onnx")
    model = onnx_int8.prepared(read(champion), tmp_path)
    chosen = onnx_int8.products(model)
    fed = feeds(champion, holdings_for(champion, x).calibration)
    found = onnx_int8.sorest(model, chosen, fed)
    assert found[0] == chosen[0].name
    assert sorted(found) == sorted(node.name for node in chosen)


def test_what_would_lose_is_not_offered(wide: Champion, convolved: Champion, tmp_path: Path) -> None:
    with pytest.raises(NotApplicable, match="convolutions"):
        Dynamic().offers(convolved, holdings_for(convolved, pictures(16)))
    small = champion_of(tmp_path / "v1", LogisticRegression(max_iter=200).fit(X, Y), X[:16], "onnx")
    for optimiser in (Dynamic(), Static()):
        with pytest.raises(NotApplicable, match="large enough"):
            optimiser.offers(small, holdings_for(small, X[:16]))
    made = replaced_of(Dynamic(), wide, holdings_for(wide, X[:16]), {})
    again = tmp_path / "again"
    again.mkdir()
    for file in wide.folder.iterdir():
        (again / file.name).write_bytes(file.read_bytes())
    (again / "model.onnx").write_bytes(made.file.read_bytes())
    twice = Champion.at(again, again, wide.version)
    for optimiser in (Dynamic(), Static()):
        with pytest.raises(NotApplicable, match="int8 already"):
            optimiser.offers(twice, holdings_for(wide, X[:16]))


def test_a_model_that_is_not_served_as_onnx(tmp_path: Path) -> None:
    champion = champion_of(tmp_path / "v1", LogisticRegression(max_iter=200).fit(X, Y), X[:16])
    with pytest.raises(NotApplicable, match="not as ONNX"):
        Dynamic().offers(champion, holdings_for(champion, X[:16]))


def test_texts_go_through_the_tokenizer_beside_the_graph(tmp_path: Path) -> None:
    from cases.transformers import config, sentences, tokenizer
    from transformers import BertModel

    torch.manual_seed(0)
    texts = [text for text, _ in sentences()]
    words = tokenizer(texts)
    champion = champion_of(
        tmp_path / "v1", (BertModel(config(len(words))).eval(), words), texts[:16], "transformers-onnx"
    )
    holdings = holdings_for(champion, texts[:40])
    assert sum(len(feed["input_ids"]) for feed in feeds(champion, holdings.calibration)) == 40
    with pytest.raises(NotApplicable, match="transformer"):
        Static().offers(champion, holdings)
    with pytest.raises(NotApplicable, match="large enough"):  # 64 wide
        Dynamic().offers(champion, holdings)
    made = replaced_of(Dynamic(), champion, holdings, {"embeddings": True})
    (champion.folder / "transformers-onnx" / "model.onnx").write_bytes(made.file.read_bytes())
    assert run_of(champion, texts[:4])["predictions"].shape == (4, 64)


@pytest.mark.parametrize(
    ("machine", "flags", "room"),
    [
        ("x86_64", "fpu avx2 fma", True),
        ("x86_64", "fpu avx2 avx512f avx512_vnni", False),
        ("AMD64", "fpu avx2 avx_vnni", False),
        ("aarch64", "asimd asimddp", False),
    ],
)
def test_weights_keep_to_seven_bits_where_sums_would_overflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, flags: str, room: bool
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    assert onnx_int8.needs_room.__wrapped__(tmp_path / "cpuinfo") is room
