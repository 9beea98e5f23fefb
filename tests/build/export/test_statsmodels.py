"""statsmodels: results of the array and the formula API, without the data that they were fitted on."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from boosting import keep, write
from sklearn.datasets import load_diabetes

from autodeploy_magic.build import BuildRequest
from autodeploy_magic.build.capture import capture
from autodeploy_magic.build.export import exporter_of
from autodeploy_magic.errors import BadInput, BadSample, ExportFailed, InvalidInputs, UnfittedModel

TABLE = load_diabetes(as_frame=True).frame
TABLE["city"] = np.where(TABLE.age > 0, "rome", "oslo")
TABLE["ill"] = (TABLE.target > 150).astype(int)
COLUMNS = sm.add_constant(TABLE[["bmi", "bp", "s5"]])
ROWS = COLUMNS.to_numpy()


def softened(values: Any) -> Any:
    return np.tanh(np.asarray(values) * 10)


FITTED: dict[str, Callable[[], tuple[Any, Any, bool]]] = {
    "OLS": lambda: (sm.OLS(TABLE.target.to_numpy(), ROWS).fit(), ROWS, True),
    "OLS of a frame": lambda: (sm.OLS(TABLE.target, COLUMNS).fit(), COLUMNS, True),
    "Logit": lambda: (sm.Logit(TABLE.ill.to_numpy(), ROWS).fit(disp=0), ROWS, True),
    "GLM, Poisson": lambda: (sm.GLM(TABLE.target, COLUMNS, family=sm.families.Poisson()).fit(), COLUMNS, True),
    "GLM, binomial": lambda: (sm.GLM(TABLE.ill, COLUMNS, family=sm.families.Binomial()).fit(), COLUMNS, True),
    "RLM": lambda: (sm.RLM(TABLE.target, COLUMNS).fit(), COLUMNS, True),
    "Probit": lambda: (sm.Probit(TABLE.ill.to_numpy(), ROWS).fit(disp=0), ROWS, False),
    "a formula": lambda: (smf.ols("target ~ bmi + np.log1p(bp ** 2) + C(city)", TABLE).fit(), TABLE, False),
    "a function of the notebook": lambda: (
        smf.ols("target ~ softened(bmi) + standardize(bp)", TABLE).fit(),
        TABLE,
        False,
    ),
    "a formula's logit": lambda: (smf.logit("ill ~ bmi + city", TABLE).fit(disp=0), TABLE, False),
}


@pytest.mark.parametrize("kind", FITTED)
def test_results_predict_as_they_did_without_their_data(kind: str, tmp_path: Path) -> None:
    model, x, exported = FITTED[kind]()
    whole = len(pickle.dumps(model))
    for format in ("statsmodels", "onnx") if exported else ("statsmodels",):
        (tmp_path / format).mkdir()
        kept = keep(model, x, format, tmp_path / format)
        assert kept.comparison.passed, f"{format}: {kept.comparison.words}"
    file = tmp_path / "statsmodels" / "results.pkl"
    assert file.stat().st_size < whole / 3
    assert _kept_for_each_row(pickle.loads(file.read_bytes())) == []
    assert model.model.endog is not None  # the person's own is as it was
    assert np.isfinite(model.llf if kind != "RLM" else model.scale)
    if not exported:
        with pytest.raises(ExportFailed):
            write(model, x, "onnx", tmp_path / "model.onnx")


def _kept_for_each_row(results: Any) -> list[str]:
    inner = getattr(results, "_results", results)
    holders = {"results": inner, "model": inner.model, "data": inner.model.data}
    return [
        f"{holder}.{name}"
        for holder, value in holders.items()
        for name, item in vars(value).items()
        if len(TABLE) in getattr(item, "shape", ())
    ]


def test_looking_at_it_in_between_makes_no_other_version(tmp_path: Path) -> None:
    model = sm.OLS(TABLE.target, COLUMNS).fit()
    exporter = exporter_of(model)
    assert exporter is not None
    before = exporter.fingerprint(model)
    model.summary()
    assert exporter.fingerprint(model) == before
    assert exporter.fingerprint(sm.OLS(TABLE.target + 1, COLUMNS).fit()) != before


def test_a_category_that_the_formula_does_not_know_is_refused_as_an_input(tmp_path: Path) -> None:
    model = smf.ols("target ~ bmi + C(city)", TABLE).fit()
    kept = keep(model, TABLE[["bmi", "city"]], "statsmodels", tmp_path)
    with pytest.raises(InvalidInputs, match="city is a text that the model does not know"):
        kept.served.predict([{"bmi": 0.1, "city": "paris"}])


def test_a_formula_asks_for_a_table(tmp_path: Path) -> None:
    model = smf.ols("target ~ bmi", TABLE).fit()
    with pytest.raises(BadSample, match=r"formula 'target ~ bmi', and the sample has no columns"):
        capture(BuildRequest("demo", model, TABLE[["bmi"]].to_numpy()), tmp_path)


def test_what_is_not_fitted_says_so() -> None:
    model = sm.OLS(TABLE.target, COLUMNS)
    exporter = exporter_of(model)
    assert exporter is not None
    with pytest.raises(UnfittedModel) as error:
        exporter.check_fitted(model, "line")
    assert error.value.fix == "deploy what line.fit() returns"


def test_a_forecast_is_no_answer_to_rows_but_a_function_may_make_it_one(tmp_path: Path) -> None:
    series = pd.Series(np.sin(np.arange(80) / 5))
    model = sm.tsa.ARIMA(series.to_numpy(), order=(1, 0, 0)).fit()
    with pytest.raises(BadInput, match="forecasts by steps") as error:
        capture(BuildRequest("demo", model, np.array([[3]])), tmp_path)
    assert "def predict(model, x)" in error.value.fix

    def predict(model: Any, x: Any) -> Any:
        return model.forecast(int(x[0, 0]))

    (tmp_path / "native").mkdir()
    kept = keep(model, np.array([[3]]), "native", tmp_path / "native", code={"predict": predict})
    assert kept.comparison.passed
    assert len(kept.found["predictions"]) == 3
