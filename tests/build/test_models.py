"""Real models of every kind through capture, export and verification: the format that is kept, and the answers.

Each is replayed in clean processes and compared with the live object; nothing is packaged, to keep it quick.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC

from autodeploy_magic.build import Built
from autodeploy_magic.contracts import Candidate
from autodeploy_magic.errors import (
    BadInput,
    BadSample,
    ExportFailed,
    InvalidInputs,
    InvalidOption,
    ParityFailed,
    UnfittedModel,
)
from autodeploy_magic.wire import decode

Make = Callable[..., Built]


def row(built: Built, format: str) -> Candidate:
    return next(item for item in built.candidates if item.format == format)


def test_a_classifier_becomes_onnx(make: Make, iris: Any) -> None:
    X, y = iris
    built = make(LogisticRegression(max_iter=500).fit(X, y), X, labels=y, dry_run=True)
    version = built.version
    assert (version.format, version.task, version.framework) == ("onnx", "classification", "sklearn")
    assert version.trust.level == "green"
    assert [output.name for output in version.outputs] == ["predictions", "probabilities"]
    assert [output.method for output in version.outputs] == ["predict", "predict_proba"]
    assert version.reason.startswith("ONNX: ")
    assert "faster than native at 1 row" in version.reason
    assert "probabilities within" in version.reason
    assert "accuracy 0.9733 on the sample (live 0.9733)" in version.reason
    assert row(built, "onnx").agreement == 1.0
    native = row(built, "native")
    assert "x slower, timed as the live object" in native.reason
    assert native.one_row_s is not None
    assert native.agreement is None, "it was not replayed, and says nothing of its answers"


@pytest.mark.parametrize("estimator", [LogisticRegression(), RandomForestClassifier(20, random_state=0)])
def test_a_table_of_whole_numbers_reals_truths_and_text_becomes_onnx(make: Make, estimator: Any) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": rng.integers(18, 80, 200),
            "income": rng.normal(50_000, 10_000, 200),
            "member": rng.random(200) > 0.5,
            "city": rng.choice(["Oslo", "Rome", "Paris"], 200),
        }
    )
    table.loc[::7, "income"] = np.nan
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
            ("words", OneHotEncoder(), ["city"]),
            ("rest", "passthrough", ["member"]),
        ]
    )
    model = make_pipeline(columns, estimator).fit(table, table["age"] > 50)
    built = make(model, table, dry_run=True)
    assert row(built, built.version.format).agreement == 1.0
    assert built.version.trust.level == "green", built.version.reason


@pytest.mark.parametrize("format", ["onnx", "native"])
def test_a_text_that_a_strict_encoder_does_not_know_is_refused_and_not_answered(make: Make, format: str) -> None:
    table = pd.DataFrame({"city": ["Oslo", "Rome"] * 20, "kind": ["a", "b"] * 20, "size": range(40)})
    table.loc[3, "city"] = None
    cities = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    lenient = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("c", cities, ["city"]), ("k", lenient, ["kind"])], remainder="passthrough")
    model = make_pipeline(columns, LogisticRegression()).fit(table, table["size"] > 20)
    built = make(model, table, dry_run=True, format=format)
    city, kind, _ = built.version.signature.columns
    assert (city.known, city.nullable, kind.known) == (("Oslo", "Rome"), True, None)
    good = {"city": "Rome", "kind": "z", "size": 3}
    assert decode(built.version.signature, [good, {**good, "city": None}]).rows == 2
    with pytest.raises(InvalidInputs, match="does not know") as caught:
        decode(built.version.signature, [good, {**good, "city": "Paris"}])
    assert caught.value.field == "inputs[1].city"
    assert "Oslo, Rome" in caught.value.fix
    changed = make(model, table, dry_run=True, format="native", code={"preprocess": lambda x: x})
    assert changed.version.signature.columns[0].known is None, "its own code may change what the model reads"


def test_a_regressor_of_two_targets(make: Make, iris: Any) -> None:
    X, _ = iris
    built = make(LinearRegression().fit(X[:, :2], X[:, 2:]), X[:, :2], labels=X[:, 2:], dry_run=True)
    assert (built.version.format, built.version.task) == ("onnx", "regression")
    assert built.version.outputs[0].shape == (2,)
    assert "R² 0." in built.version.reason


@pytest.mark.parametrize(
    "text_steps",
    [
        OneHotEncoder(handle_unknown="ignore"),
        make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
        make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder(handle_unknown="ignore")),
    ],
    ids=["one-hot", "most-frequent", "constant"],
)
def test_a_table_with_text_and_missing_values_becomes_onnx(make: Make, people: Any, text_steps: Any) -> None:
    table, label = people
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "children"]),
            ("text", text_steps, ["city"]),
            ("rest", "passthrough", ["member"]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(table, label)
    before = model.predict_proba(table)
    built = make(model, table, dry_run=True)
    assert built.version.format == "onnx", built.version.reason
    assert built.version.model_type == "ColumnTransformer → LogisticRegression"
    assert (model.predict_proba(table) == before).all(), "the person's own model was touched"


def test_what_onnx_gets_wrong_stays_native(make: Make, people: Any) -> None:
    """ONNX has no NaN for a missing text that an OrdinalEncoder could pass on."""
    table, label = people
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("text", encoder, ["city"])], remainder="passthrough")
    model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=20)).fit(table, label)
    built = make(model, table, dry_run=True)
    assert built.version.format == "skops", built.version.reason
    assert built.version.trust.level == "green"
    assert not row(built, "onnx").passed


def trapped_forest() -> tuple[Any, Any]:
    """A forest after a scaler whose thresholds lie so close to the data that float32 moves rows across them."""
    random = np.random.default_rng(3)
    X = 1e4 + np.round(random.normal(0, 1, (400, 4)), 3)
    y = (X[:, 0] + random.normal(0, 1, 400) > 1e4).astype(int)
    return make_pipeline(StandardScaler(), RandomForestClassifier(40, random_state=0)).fit(X, y), X


@pytest.mark.parametrize("format", ["auto", "onnx"])
def test_a_forest_that_float32_moves_is_kept_in_doubles(make: Make, format: str) -> None:
    model, X = trapped_forest()
    built = make(model, X, dry_run=True, format=format)
    assert not row(built, "onnx").passed
    assert "probabilities differ in" in row(built, "onnx").reason
    assert built.version.format == "onnx-float64"
    assert row(built, "onnx-float64").agreement == 1.0
    assert "ONNX probabilities differ in" in built.version.reason


def test_neighbours_stay_native_where_that_is_faster(make: Make) -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(20_000, 8))
    built = make(KNeighborsClassifier().fit(X, X[:, 0] > 0), X[:300], dry_run=True)
    assert built.version.format == "skops"
    assert row(built, "skops").passed


@pytest.mark.parametrize(
    ("model", "task", "outputs"),
    [
        (KMeans(3, n_init=1, random_state=0), "clustering", ["predictions"]),
        (IsolationForest(n_estimators=20, random_state=0), "outliers", ["predictions", "scores"]),
        (PCA(2), "transform", ["predictions"]),
        (make_pipeline(StandardScaler(), FunctionTransformer(np.abs)), "transform", ["predictions"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_models_without_labels(make: Make, iris: Any, model: Any, task: str, outputs: list[str]) -> None:
    X, _ = iris
    version = make(model.fit(X), X, dry_run=True).version
    assert version.task == task
    assert [output.name for output in version.outputs] == outputs


@pytest.mark.parametrize("labels", ["text", "bool", "float"])
def test_labels_of_every_kind_come_back_as_they_are(make: Make, iris: Any, labels: str) -> None:
    X, y = iris
    target = {"text": np.array(["a", "b", "c"])[y], "bool": y == 1, "float": y * 1.5 // 1}[labels]
    built = make(LogisticRegression(max_iter=500).fit(X, target), X, dry_run=True)
    assert row(built, "onnx").passed, row(built, "onnx").reason


def test_a_classifier_without_probabilities(make: Make, iris: Any) -> None:
    built = make(LinearSVC().fit(*iris), iris[0], dry_run=True)
    assert [output.name for output in built.version.outputs] == ["predictions"]
    assert built.version.format == "onnx"


def test_a_soft_vote_becomes_onnx(make: Make, iris: Any) -> None:
    model = VotingClassifier([("a", LogisticRegression(max_iter=500)), ("b", GaussianNB())], voting="soft").fit(*iris)
    assert make(model, iris[0], dry_run=True).version.format == "onnx"
    assert model.flatten_transform, "the person's own model was touched"


def test_what_has_no_converter_stays_native_with_the_reason(make: Make, iris: Any) -> None:
    X, _ = iris
    model = TransformedTargetRegressor(LinearRegression(), func=np.log, inverse_func=np.exp).fit(X[:, :3], X[:, 3])
    built = make(model, X[:, :3], dry_run=True)
    assert built.version.format == "skops"
    assert row(built, "onnx").reason == "not exported (skl2onnx has no converter for TransformedTargetRegressor)"
    with pytest.raises(ExportFailed, match="no converter for"):
        make(model, X[:, :3], dry_run=True, format="onnx")


def test_a_classifier_of_several_targets_gives_its_predictions(make: Make, iris: Any) -> None:
    X, y = iris
    model = MultiOutputClassifier(LogisticRegression(max_iter=300)).fit(X, np.c_[y, y > 0])
    version = make(model, X, dry_run=True).version
    assert [output.name for output in version.outputs] == ["predictions"]
    assert version.outputs[0].shape == (2,)


def test_text_stays_native(make: Make) -> None:
    texts = ["good film", "bad film", "good book", "bad book"] * 5
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0] * 5)
    built = make(model, texts, dry_run=True)
    assert built.version.format == "skops"
    assert "splits text" in row(built, "onnx").reason
    with pytest.raises(ExportFailed, match="splits text"):
        make(model, texts, dry_run=True, format="onnx")


def test_a_function_is_served_as_it_is(make: Make, notebook: Callable[..., Any]) -> None:
    names = notebook("def price(rows):\n    return [sum(row) * 2 for row in rows]")
    version = make(names["price"], [[1, 2], [3, 4]], dry_run=True).version
    assert (version.format, version.task, version.model_type) == ("native", "function", "price")


def test_an_object_of_the_notebook_with_predict(make: Make, notebook: Callable[..., Any]) -> None:
    names = notebook(
        "class Rule:\n    def predict(self, x):\n        return (x[:, 0] > 1).astype('int32')\nmodel = Rule()"
    )
    version = make(names["model"], np.ones((3, 2)), dry_run=True).version
    assert (version.framework, version.format, version.outputs[0].dtype) == ("function", "native", "int32")


def test_preprocess_and_postprocess_travel(make: Make, iris: Any, notebook: Callable[..., Any]) -> None:
    X, y = iris
    model = LogisticRegression(max_iter=500).fit(X / 10, y)
    names = notebook(
        "import numpy as np\nNAMES = np.array(['setosa', 'versicolor', 'virginica'])\n"
        "def preprocess(x):\n    x /= 10\n    return x\n"
        "def postprocess(y):\n    return NAMES[y]"
    )
    before = X.copy()
    code = {key: names[key] for key in ("preprocess", "postprocess")}
    version = make(model, X, code=code, dry_run=True).version
    assert (before == X).all(), "the sample was changed by preprocess"
    assert version.format == "onnx"
    assert version.trust.level == "amber"
    assert version.outputs[0].dtype.startswith("<U")
    assert version.model_outputs[0].dtype == "int64"
    assert {artifact.role for artifact in version.artifacts} == {"model", "code", "source", "sample", "expected"}


def test_a_predict_function_takes_the_live_object(make: Make, iris: Any, notebook: Callable[..., Any]) -> None:
    X, y = iris
    model = LogisticRegression(max_iter=500).fit(X, y)
    code = {"predict": notebook("def predict(model, x):\n    return model.predict_proba(x).max(axis=1)")["predict"]}
    version = make(model, X, code=code, dry_run=True).version
    assert (version.format, [output.name for output in version.outputs]) == ("skops", ["predictions"])
    with pytest.raises(InvalidOption, match="do not go together"):
        make(model, X, code=code, format="onnx", dry_run=True)


def test_a_ready_onnx_file(make: Make, iris: Any, tmp_path: Path) -> None:
    import skl2onnx

    X, y = iris
    model = LogisticRegression(max_iter=500).fit(X, y)
    proto = skl2onnx.to_onnx(model, X[:1].astype("float32"), options={"zipmap": False})
    path = tmp_path / "iris.onnx"
    path.write_bytes(proto.SerializeToString())
    for given in (str(path), path, proto):
        version = make(given, X, dry_run=True).version
        assert (version.framework, version.format, version.task) == ("onnx", "onnx", "classification")
        assert version.trust.level == "green"
    with pytest.raises(BadSample, match=r"(?s)cannot answer the sample.*its inputs are"):
        make(path, X[:, :2], dry_run=True)
    with pytest.raises(BadInput, match="there is no file"):
        make(str(tmp_path / "other.onnx"), X, dry_run=True)
    with pytest.raises(InvalidOption, match="has no native format"):
        make(path, X, format="native", dry_run=True)


def test_a_damaged_onnx_file(make: Make, iris: Any, tmp_path: Path) -> None:
    path = tmp_path / "iris.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ExportFailed, match="cannot load"):
        make(path, iris[0], dry_run=True)


# --- what cannot be


def test_unfitted(make: Make, iris: Any) -> None:
    model = LogisticRegression()
    with pytest.raises(UnfittedModel, match=r"clf \(LogisticRegression\) has not been fitted"):
        make(model, iris[0], namespace={"clf": model})


def test_a_model_that_only_labels_its_own_rows(make: Make, iris: Any) -> None:
    with pytest.raises(BadInput, match="can answer no new rows"):
        make(DBSCAN().fit(iris[0]), iris[0])


@pytest.mark.parametrize("sample", [np.zeros((3, 2)), np.zeros(4), np.array([["a", "b", "c", "d"]])])
def test_a_sample_of_the_wrong_shape(make: Make, iris: Any, sample: Any) -> None:
    with pytest.raises(BadSample, match=r"(?s)the model cannot answer the sample.*ValueError"):
        make(LogisticRegression(max_iter=500).fit(*iris), sample)


def test_a_frame_without_a_column_the_model_needs(make: Make, people: Any) -> None:
    table, label = people
    columns = ColumnTransformer([("numbers", SimpleImputer(), ["age", "children"])])
    model = make_pipeline(columns, LogisticRegression()).fit(table, label)
    with pytest.raises(BadSample, match=r"(?s)cannot answer the sample.*age"):
        make(model, table[["children"]])


def test_a_model_that_answers_differently_each_time(make: Make, notebook: Callable[..., Any]) -> None:
    names = notebook("import numpy as np\ndef guess(x):\n    return np.random.default_rng().random(len(x))")
    with pytest.raises(ParityFailed, match=r"(?s)rows 0, 1.*random numbers") as caught:
        make(names["guess"], np.zeros((5, 1)))
    assert caught.value.details["rows"] == [0, 1, 2, 3, 4]


def test_a_model_that_needs_what_only_this_kernel_has(make: Make, notebook: Callable[..., Any]) -> None:
    names = notebook("import builtins\nbuiltins.secret = 3\ndef f(x):\n    return [secret for _ in x]")
    with pytest.raises(ExportFailed, match=r"(?s)f uses secret, which is not defined in a clean process"):
        make(names["f"], [1, 2])


def test_an_answer_that_json_cannot_say(make: Make, notebook: Callable[..., Any]) -> None:
    with pytest.raises(ExportFailed, match=r"(?s)cannot be written as JSON.*postprocess"):
        make(notebook("def f(x):\n    return [object() for _ in x]")["f"], [1, 2])


def test_preprocess_that_fails_is_named(make: Make, iris: Any, notebook: Callable[..., Any]) -> None:
    code = {"preprocess": notebook("def preprocess(x):\n    return x['age']")["preprocess"]}
    with pytest.raises(BadSample, match=r"(?s)preprocess cannot answer the sample.*IndexError"):
        make(LogisticRegression(max_iter=500).fit(*iris), iris[0], code=code)


def test_labels_of_another_length(make: Make, iris: Any) -> None:
    with pytest.raises(InvalidOption, match="3 labels, 150 rows"):
        make(LogisticRegression(max_iter=500).fit(*iris), iris[0], labels=[1, 2, 3])


def test_a_series_of_predictions(make: Make, notebook: Callable[..., Any]) -> None:
    names = notebook("def double(frame):\n    return frame['a'] * 2")
    frame = pd.DataFrame({"a": [1.5, 2.5]}, index=[7, 9])
    output = make(names["double"], frame, dry_run=True).version.outputs[0]
    assert (output.container, output.series_name, output.dtype) == ("series", "a", "float64")
