"""XGBoost."""

from __future__ import annotations

from cases import Case, Made

__all__ = ["CASES"]


def _digits() -> Made:
    """The research's case: many trees for several classes, where ONNX wins at one row and loses at a batch."""
    from sklearn.datasets import load_digits
    from xgboost import XGBClassifier

    X, y = load_digits(n_class=4, return_X_y=True)
    return Made(XGBClassifier(n_estimators=200, random_state=0, n_jobs=1).fit(X, y), X, y)


def _stopped_early() -> Made:
    from sklearn.datasets import load_breast_cancer
    from xgboost import XGBClassifier

    table, y = load_breast_cancer(return_X_y=True, as_frame=True)
    model = XGBClassifier(n_estimators=200, early_stopping_rounds=5, random_state=0, n_jobs=1)
    model.fit(table[:400], y[:400], eval_set=[(table[400:], y[400:])], verbose=False)
    return Made(model, table, y)


def _booster() -> Made:
    import xgboost
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    rows = xgboost.DMatrix(X, y, feature_names=[f"column {i}" for i in range(X.shape[1])])
    return Made(xgboost.train({"max_depth": 3, "seed": 0, "nthread": 1}, rows, num_boost_round=100), X, y)


CASES = [
    Case("four digits", "xgboost", _digits, ("onnx", "xgboost"), row="XGBClassifier(200), 4 classes"),
    Case("stopped early", "xgboost", _stopped_early, ("onnx", "xgboost"), served=True, row="XGBClassifier, a frame"),
    Case("a Booster", "xgboost", _booster, ("onnx", "xgboost"), task="regression", row="xgboost.Booster"),
]
