"""LightGBM."""

from __future__ import annotations

from cases import Case, Made

__all__ = ["CASES"]


def _text_labels() -> Made:
    from lightgbm import LGBMClassifier
    from sklearn.datasets import load_wine

    table, y = load_wine(return_X_y=True, as_frame=True)
    names = y.map({0: "barolo", 1: "grignolino", 2: "barbera"}).to_numpy(dtype=object)
    return Made(LGBMClassifier(n_estimators=50, random_state=0, n_jobs=1, verbose=-1).fit(table, names), table, names)


def _categories() -> Made:
    import numpy as np
    import pandas as pd
    from lightgbm import LGBMRegressor
    from sklearn.datasets import load_diabetes

    table, y = load_diabetes(return_X_y=True, as_frame=True)
    table = table[["age", "bmi", "bp"]].copy()
    table["sex"] = pd.Categorical(np.where(load_diabetes().data[:, 1] > 0, "f", "m"))
    table.loc[::9, "bp"] = np.nan
    return Made(LGBMRegressor(n_estimators=50, random_state=0, n_jobs=1, verbose=-1).fit(table, y), table, y)


def _booster() -> Made:
    import lightgbm
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    settings = {"objective": "binary", "seed": 0, "num_threads": 1, "verbose": -1}
    return Made(lightgbm.train(settings, lightgbm.Dataset(X, y), num_boost_round=50), X, y)


CASES = [
    Case("text labels", "lightgbm", _text_labels, ("onnx", "lightgbm"), row="LGBMClassifier, text labels"),
    Case(
        "categories",
        "lightgbm",
        _categories,
        ("lightgbm",),
        task="regression",
        onnx=False,
        row="LGBMRegressor, categories",
    ),
    Case("a Booster", "lightgbm", _booster, ("onnx", "lightgbm"), task="regression", row="lightgbm.Booster"),
]
