"""scikit-learn."""

from __future__ import annotations

from cases import Case, Made

__all__ = ["CASES"]


def _forest() -> Made:
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier

    X, y = load_breast_cancer(return_X_y=True)
    return Made(RandomForestClassifier(300, random_state=0).fit(X, y), X, y)


def _neighbours() -> Made:
    from sklearn.datasets import load_digits
    from sklearn.neighbors import KNeighborsClassifier

    X, y = load_digits(return_X_y=True)
    return Made(KNeighborsClassifier().fit(X, y), X, y)


def _pipeline() -> Made:
    """Over a polars frame with nulls, an enum and numbers."""
    import polars as pl
    from sklearn.compose import ColumnTransformer
    from sklearn.datasets import load_wine
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    X, y = load_wine(return_X_y=True)
    shade = pl.Series(["light" if value < 5 else "dark" for value in X[:, 9]], dtype=pl.Enum(["light", "dark"]))
    frame = pl.DataFrame({"alcohol": X[:, 0], "ash": X[:, 2], "proline": X[:, 12].astype(int), "shade": shade})
    frame = frame.with_columns(pl.when(pl.int_range(pl.len()) % 9 > 0).then(pl.col("proline")).alias("proline"))
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = ColumnTransformer([("n", numbers, ["alcohol", "ash", "proline"]), ("s", OneHotEncoder(), ["shade"])])
    return Made(make_pipeline(columns, LogisticRegression()).fit(frame, y), frame, y)


def _targets() -> Made:
    import numpy as np
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.multioutput import MultiOutputClassifier

    X, y = load_iris(return_X_y=True)
    return Made(MultiOutputClassifier(LogisticRegression(max_iter=500)).fit(X, np.c_[y > 0, y > 1]), X)


CASES = [
    Case("forest of 300", "sklearn", _forest, ("onnx",), served=True, row="RandomForestClassifier(300)"),
    Case("neighbours", "sklearn", _neighbours, ("skops", "onnx"), onnx=None, row="KNeighborsClassifier"),
    Case("pipeline over polars", "sklearn", _pipeline, ("onnx",), served=True, row="ColumnTransformer over polars"),
    Case("two targets", "sklearn", _targets, ("onnx",)),
]
