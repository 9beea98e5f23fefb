"""XGBoost, LightGBM and CatBoost go on with new rows: their own objects, their wrappers, and pipelines with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from bettering import champion_of, holdings_of, made_of, offers_of
from sklearn.datasets import load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Optimiser
from autodeploy_magic.operate.retune.optimise import catboost_further, lightgbm_further, xgboost_further
from autodeploy_magic.operate.retune.optimise.sklearn_refit import Refit

LIBRARIES: dict[str, Optimiser] = {
    "xgboost": xgboost_further.Further(),
    "lightgbm": lightgbm_further.Further(),
    "catboost": catboost_further.Further(),
}


def classifier(library: str, **told: Any) -> Any:
    if library == "xgboost":
        return xgboost.XGBClassifier(n_estimators=12, max_depth=3, n_jobs=1, **told)
    if library == "lightgbm":
        return lightgbm.LGBMClassifier(n_estimators=12, num_leaves=7, min_child_samples=5, n_jobs=1, verbose=-1)
    return catboost.CatBoostClassifier(iterations=12, depth=3, verbose=0, allow_writing_files=False, thread_count=1)


def shuffled() -> tuple[Any, Any]:
    x, y = load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(178)
    return x[order], y[order]


def wines(library: str) -> tuple[Any, Any, Any]:
    """Wines, named but for XGBoost; and what they measure after the instruments were changed."""
    x, y = shuffled()
    return x, (y if library == "xgboost" else np.array(["barbera", "barolo", "grignolino"])[y]), x * 1.3


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("piped", [False, True], ids=["alone", "piped"])
def test_it_errs_less_on_what_is_new(tmp_path: Path, library: str, piped: bool) -> None:
    x, y, moved = wines(library)
    model = classifier(library)
    model = (make_pipeline(StandardScaler(), model) if piped else model).fit(x, y)
    champion = champion_of(tmp_path, model, x[:8], "native" if piped else library)
    optimiser = LIBRARIES[library]
    holdings = holdings_of(champion, moved, y)
    places = np.searchsorted(model.classes_, y)

    def loss(one: Any) -> float:
        return float(-np.log(np.clip(one.predict_proba(moved)[np.arange(178), places], 1e-6, 1)).mean())

    offers = offers_of(optimiser, champion, holdings)
    assert len(offers) == (1 if library == "catboost" else 2)
    for offer in offers.values():
        made = made_of(optimiser, champion, holdings, offer)
        assert loss(made.model) < loss(model), offer.title
        assert made.model.classes_.tolist() == model.classes_.tolist()
        assert made.model.predict(moved).dtype == model.predict(moved).dtype
        assert "on 178 rows" in made.note
        again = made_of(optimiser, champion, holdings, offer)
        assert np.array_equal(made.model.predict_proba(moved), again.model.predict_proba(moved))


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_was_made_is_written_in_the_librarys_own_file(tmp_path: Path, library: str) -> None:
    """And can be the champion of the next re-tune."""
    x, y, moved = wines(library)
    champion = champion_of(tmp_path / "1", classifier(library).fit(x, y), x[:8], library)
    made = made_of(LIBRARIES[library], champion, holdings_of(champion, moved, y))
    following = champion_of(tmp_path / "2", made.model, moved[:8], library)
    assert np.allclose(following.live().predict_proba(moved), made.model.predict_proba(moved), atol=1e-6)
    fitted = made_of(Refit(), following, holdings_of(following, moved, y)).model
    assert (np.ravel(fitted.predict(moved)) == y).mean() > 0.9


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_rounds_after_the_best_are_not_boosted_on(tmp_path: Path, library: str) -> None:
    """A model that stopped early answers with its best rounds; further ones must count, and the rest must not."""
    x, y = load_diabetes(return_X_y=True)
    told: dict[str, Any] = {"n_estimators": 200, "learning_rate": 0.5, "n_jobs": 1}
    if library == "xgboost":
        model: Any = xgboost.XGBRegressor(**told, early_stopping_rounds=3)
        model.fit(x[:200], y[:200], eval_set=[(x[200:300], y[200:300])], verbose=False)
        best = model.best_iteration + 1
    else:
        model = lightgbm.LGBMRegressor(**told, verbose=-1)
        stop = [lightgbm.early_stopping(3, verbose=False)]
        model.fit(x[:200], y[:200], eval_X=x[200:300], eval_y=y[200:300], callbacks=stop)
        best = model.best_iteration_
    champion = champion_of(tmp_path, model, x[:8], library)
    made = made_of(LIBRARIES[library], champion, holdings_of(champion, x[200:], y[200:])).model
    rounds = made.get_booster().num_boosted_rounds() if library == "xgboost" else made.booster_.current_iteration()
    assert rounds == best + 10
    assert made.score(x[200:], y[200:]) > model.score(x[200:], y[200:])


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_the_librarys_own_object_goes_on(tmp_path: Path, library: str) -> None:
    x, y = load_wine(return_X_y=True)
    told = {"objective": "multi:softprob" if library == "xgboost" else "multiclass", "num_class": 3, "verbosity": -1}
    if library == "xgboost":
        told["verbosity"] = 0
        model: Any = xgboost.train(told, xgboost.DMatrix(x, label=y), 8)
        asked: Any = xgboost.DMatrix(x * 1.3)
    else:
        model = lightgbm.train(told, lightgbm.Dataset(x, label=y), 8)
        asked = x * 1.3
    champion = champion_of(tmp_path, model, x[:8], library)
    made = made_of(LIBRARIES[library], champion, holdings_of(champion, x * 1.3, y)).model
    assert type(made) is type(model)
    right = [np.log(one.predict(asked)[np.arange(178), y]).mean() for one in (model, made)]
    assert right[1] > right[0]


@pytest.mark.parametrize("library", LIBRARIES)
def test_numbers_of_a_table_with_categories(tmp_path: Path, library: str) -> None:
    x, y = load_diabetes(return_X_y=True)
    table = pd.DataFrame(x[:, :4], columns=list("abcd"))
    table["e"] = pd.Categorical(np.where(x[:, 8] > 0, "high", "low"))
    models: dict[str, Any] = {
        "xgboost": lambda: xgboost.XGBRegressor(n_estimators=10, enable_categorical=True, n_jobs=1),
        "lightgbm": lambda: lightgbm.LGBMRegressor(n_estimators=10, n_jobs=1, verbose=-1),
        "catboost": lambda: catboost.CatBoostRegressor(
            iterations=10, cat_features=["e"], verbose=0, allow_writing_files=False
        ),
    }
    model = models[library]().fit(table, y)
    champion = champion_of(tmp_path, model, table[:8], library)
    made = made_of(LIBRARIES[library], champion, holdings_of(champion, table, y + 50)).model
    assert np.abs(made.predict(table) - y - 50).mean() < np.abs(model.predict(table) - y - 50).mean()


@pytest.mark.parametrize("library", LIBRARIES)
def test_models_of_others_are_not_for_it(tmp_path: Path, library: str) -> None:
    x, y = load_wine(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    champion = champion_of(tmp_path, model, x[:8])
    with pytest.raises(NotApplicable, match=f"no model of {library} at its end"):
        LIBRARIES[library].offers(champion, holdings_of(champion, x, y))


def test_rows_in_the_order_of_their_classes_are_no_change_of_the_rule(tmp_path: Path) -> None:
    """Each class comes after the other, and the model errs on the last: trained on that alone it forgot the rest."""
    x, y = load_wine(return_X_y=True)
    model = classifier("catboost").fit(x, np.where(y == 2, 1, y))
    champion = champion_of(tmp_path, model, x[:8], "catboost")
    labels = np.where(y == 2, 0, y)
    offers = offers_of(LIBRARIES["catboost"], champion, holdings_of(champion, x, labels))
    assert "10 more trees on 178 rows of the traffic" in [offer.title for offer in offers.values()]


def test_xgboost_does_not_forget_a_class_that_the_new_rows_lack(tmp_path: Path) -> None:
    x, y, moved = wines("xgboost")
    champion = champion_of(tmp_path, classifier("xgboost").fit(x, y), x[:8], "xgboost")
    made = made_of(LIBRARIES["xgboost"], champion, holdings_of(champion, moved[y < 2], y[y < 2]))
    assert made.model.predict_proba(x).shape == (178, 3)


def test_a_random_forest_of_xgboost_has_no_rounds(tmp_path: Path) -> None:
    x, y, _ = wines("xgboost")
    champion = champion_of(tmp_path, xgboost.XGBRFClassifier(n_estimators=5).fit(x, y), x[:8], "xgboost")
    with pytest.raises(NotApplicable, match="without rounds"):
        LIBRARIES["xgboost"].offers(champion, holdings_of(champion, x, y))
