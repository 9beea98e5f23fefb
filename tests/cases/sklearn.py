"""scikit-learn."""

from __future__ import annotations

from cases import Case, Made

__all__ = ["CASES"]


def _forest() -> Made:
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier

    X, y = load_breast_cancer(return_X_y=True)
    return Made(RandomForestClassifier(300, random_state=0).fit(X, y), X, y)


CASES = [Case("forest of 300", "sklearn", _forest, ("onnx",), served=True, row="RandomForestClassifier(300)")]
