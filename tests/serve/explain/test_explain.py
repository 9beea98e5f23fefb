"""Attributions: right by their definition, equal to SHAP's, and asked for over HTTP."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from deployed import PEOPLE, people_model
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from versions import NAMES, X, Y, write_version

from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.serve.explain import explain
from autodeploy_magic.serve.explain.exact import exact
from autodeploy_magic.serve.explain.game import Game
from autodeploy_magic.serve.explain.permutation import permutation
from autodeploy_magic.serve.explain.players import Players
from autodeploy_magic.serve.explain.shap import shapley
from autodeploy_magic.serve.http.app import make_app
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.store import Store


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    folder = tmp_path_factory.mktemp("iris")
    write_version(folder, LogisticRegression(max_iter=1000).fit(X, NAMES[Y]), X)
    return ServedModel.load(folder)


def game_of(served: ServedModel, row: int = 60, others: int = 16, class_: int = 1) -> Game:
    players = Players(served.version.signature)
    rows = served.decode(X.tolist())
    background = players.take(rows, range(0, 150, 150 // others)[:others])
    return Game(
        players,
        players.take(rows, [row]),
        background,
        lambda batch: served.run(batch, ["probabilities"])["probabilities"][:, class_],
    )


def built(home: Path, model: Any, sample: Any) -> ServedModel:
    store = Store(home)
    version = build(BuildRequest("demo", model, sample), store, SubprocessRunner(), lambda progress: None).version
    return ServedModel.load(store.folder("demo") / version.model_path)


def by_definition(game: Game) -> list[float]:
    """The mean over all orders of what each player adds."""
    found = np.zeros(game.players)
    orders = list(itertools.permutations(range(game.players)))
    for order in orders:
        present = game.nobody.copy()
        before = game.values(present)[0]
        for player in order:
            present[0, player] = True
            now = game.values(present)[0]
            found[player] += now - before
            before = now
    return list(found / len(orders))


def test_exact_values_are_the_mean_over_all_orders(served: ServedModel) -> None:
    game = game_of(served)
    assert exact(game) == pytest.approx(by_definition(game), abs=1e-12)


def test_they_are_shaps(served: ServedModel) -> None:
    game = game_of(served)
    found, words = shapley(game)
    assert words == "SHAP, exact"
    assert found == pytest.approx(exact(game), abs=1e-9)


def test_a_linear_model_is_explained_by_its_coefficients(tmp_path: Path) -> None:
    """φ_i = w_i · (x_i - mean of the background): SHAP's closed form of a linear model."""
    data, _ = load_breast_cancer(return_X_y=True)
    data = (data - data.mean(axis=0)) / data.std(axis=0)
    weights = np.linspace(-1, 1, data.shape[1])
    model = Ridge(alpha=1e-9).fit(data, data @ weights)
    served = built(tmp_path, model, data)
    rows, background = served.decode(data[:3].tolist()), served.decode(data[:64].tolist())
    found = explain(served.version, rows, background, served.run)
    assert (found.method, found.output, found.background_rows) == ("permutations", "predictions", 32)
    middle = data[:64:2].mean(axis=0)
    for i, row in enumerate(found.explanations):
        assert list(row.attributions.values()) == pytest.approx(list(weights * (data[i] - middle)), abs=1e-6)
        assert row.errors is not None
        assert max(row.errors.values()) < 1e-6  # no interactions: every order says the same
        assert row.base + sum(row.attributions.values()) == pytest.approx(row.value, abs=1e-9)


def test_many_columns_are_within_their_errors(tmp_path: Path) -> None:
    data, labels = load_breast_cancer(return_X_y=True)
    model = RandomForestClassifier(40, random_state=0).fit(data, labels)
    write_version(tmp_path, model, data)
    served = ServedModel.load(tmp_path)
    players = Players(served.version.signature)
    rows = served.decode(data.tolist())
    game = Game(
        players,
        players.take(rows, [3]),
        players.take(rows, range(10, 26)),
        lambda batch: served.run(batch, ["probabilities"])["probabilities"][:, 1],
    )
    few, errors = permutation(game)
    many, _ = permutation(game, pairs=150, seed=1)
    total = game.values(game.everybody)[0] - game.values(game.nobody)[0]
    assert few.sum() == pytest.approx(total, abs=1e-6)
    beyond = np.abs(few - many) > 4 * errors + 1e-3
    assert beyond.sum() <= 1  # four standard errors of six draws: seldom passed


def test_text_dates_and_categories_are_columns_too(tmp_path: Path) -> None:
    served = built(tmp_path, people_model(), PEOPLE)
    sample = served.decode(served.sample(16))
    found = explain(served.version, served.decode(served.sample(4)), sample, served.run)
    assert found.columns == list(PEOPLE.columns)
    for row in found.explanations:
        assert row.base + sum(row.attributions.values()) == pytest.approx(row.value, abs=1e-9)
        unused = [row.attributions[name] for name in ("member", "visits", "since")]
        assert unused == pytest.approx([0, 0, 0], abs=1e-9)  # the model does not read them
        assert any(abs(row.attributions[name]) > 0.01 for name in ("age", "children", "city"))
    assert msgspec.json.encode(found)


def post(served: ServedModel, body: dict[str, Any], **options: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        app = make_app(served, token=None)
        try:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
                return await client.post("/explain", json=body, **options)
        finally:
            app.front.lineup.champion.close()

    return asyncio.run(ask())


def test_a_request_is_explained(served: ServedModel) -> None:
    answer = post(served, {"inputs": X[:2].tolist()})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["method"], found["output"], found["columns"]) == ("exact", "probabilities", ["x0", "x1", "x2", "x3"])
    for row in found["explanations"]:
        assert (row["prediction"], row["class"]) == ("setosa", 0)
        assert math.isclose(row["base"] + sum(row["attributions"].values()), row["value"], abs_tol=1e-9)
    other = post(served, {"inputs": X[:1].tolist(), "target": 2, "method": "shap"}).json()
    assert other["method"] == "SHAP, exact"
    assert other["explanations"][0]["class"] == 2
    assert other["explanations"][0]["value"] < 0.01


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"inputs": [[1, 2, 3]]}, 422, "inputs[0] has 3 values"),
        ({"inputs": X[:1].tolist(), "target": 3}, 422, "target is 3"),
        ({"inputs": X[:101].tolist()}, 422, "101 rows are too many"),
        ({"inputs": []}, 422, "inputs is empty"),
        ({"inputs": X[:1].tolist(), "method": "magic"}, 422, "method"),
    ],
)
def test_what_cannot_be_explained_says_so(served: ServedModel, body: dict[str, Any], status: int, words: str) -> None:
    answer = post(served, body)
    assert answer.status_code == status
    assert words in answer.json()["message"]


def test_a_model_over_texts_is_refused() -> None:
    with pytest.raises(InvalidInputs, match="only rows of a table"):
        Players(Signature(container="list", columns=(Column(name="inputs", dtype="str"),)))


def test_it_ends_when_its_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODEPLOY_REQUEST_TIMEOUT_S", "0.4")
    write_version(tmp_path, LogisticRegression(max_iter=1000).fit(X, NAMES[Y]), X)
    served = ServedModel.load(tmp_path)
    quick = served._runner.run

    def slow(x: Any, names: Any) -> Any:
        time.sleep(0.05)
        return quick(x, names)

    monkeypatch.setattr(served._runner, "run", slow)
    answer = post(served, {"inputs": X[:20].tolist()})
    assert answer.status_code == 504
    assert answer.json()["error"] == "TimedOut"
