"""CatBoost."""

from __future__ import annotations

from cases import Case, Made

__all__ = ["CASES"]

_QUIET = {"random_seed": 0, "verbose": False, "allow_writing_files": False, "thread_count": 1}


def _text_labels() -> Made:
    """The research's case: ONNX wins at one row and loses at a batch."""
    import numpy as np
    from catboost import CatBoostClassifier
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    names = np.array(["malignant", "benign"])[data.target]
    return Made(CatBoostClassifier(iterations=200, **_QUIET).fit(data.data, names), data.data, names)


def _categories() -> Made:
    import numpy as np
    from catboost import CatBoostRegressor
    from sklearn.datasets import load_diabetes

    table, y = load_diabetes(return_X_y=True, as_frame=True)
    table = table[["age", "bmi", "bp"]].copy()
    table["sex"] = np.where(load_diabetes().data[:, 1] > 0, "f", "m")
    table.loc[::9, "bp"] = np.nan
    model = CatBoostRegressor(iterations=50, cat_features=["sex"], **_QUIET).fit(table, y)
    return Made(model, table, y)


CASES = [
    Case("text labels", "catboost", _text_labels, ("onnx", "catboost"), served=True, row="CatBoostClassifier(200)"),
    Case(
        "categories",
        "catboost",
        _categories,
        ("catboost",),
        task="regression",
        onnx=False,
        row="CatBoostRegressor, categories",
    ),
]
