"""statsmodels."""

from __future__ import annotations

from cases import Case, Made

__all__ = ["CASES"]


def _logit() -> Made:
    import statsmodels.api as sm
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    X = sm.add_constant(X[:, [1, 4, 8]])
    return Made(sm.Logit(y, X).fit(disp=0), X, y)


def _formula() -> Made:
    import numpy as np
    import statsmodels.formula.api as smf
    from sklearn.datasets import load_diabetes

    table = load_diabetes(as_frame=True).frame
    table["city"] = np.where(table.age > 0, "rome", "oslo")

    def softened(values: object) -> object:
        return np.tanh(np.asarray(values) * 10)

    return Made(smf.ols("target ~ softened(bmi) + bp + C(city)", table).fit(), table[["bmi", "bp", "city"]])


CASES = [
    Case("logit", "statsmodels", _logit, ("onnx", "statsmodels"), task="regression", row="Logit"),
    Case(
        "formula",
        "statsmodels",
        _formula,
        ("statsmodels",),
        task="regression",
        onnx=False,
        served=True,
        row="OLS by a formula",
    ),
]
