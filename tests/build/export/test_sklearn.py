"""Every estimator that scikit-learn has: fitted on real data, written as ONNX, and answered as the live object does.

In this process and through no clean one: it is the converters and our ways around them that are looked at. Those that
stay as they are stand in `NATIVE` with the reason; a converter that is gained or lost fails the test.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from msgspec.structs import replace
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators
from threadpoolctl import threadpool_limits

from autodeploy_magic.build.compare import compare
from autodeploy_magic.build.export.sklearn import exporter
from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.contracts import Environment, Signature, Trust, Version
from autodeploy_magic.errors import ExportFailed, UnfittedModel
from autodeploy_magic.serve.runtime.onnx import OnnxRunner
from autodeploy_magic.serve.runtime.skops import SkopsRunner
from autodeploy_magic.wire import decode, describe, in_library, to_plain, to_request
from autodeploy_magic.wire.join import split

IRIS, KIND = load_iris(return_X_y=True)
LENGTH = IRIS[:, 0]
TEXTS = ["a good film", "a bad film", "a good book", "a bad book"] * 5
TWO = np.c_[KIND, KIND > 0]


def _classifier() -> Any:
    return LogisticRegression(max_iter=500)


MADE: dict[str, Callable[[type], Any]] = {
    "ColumnTransformer": lambda cls: cls([("a", StandardScaler(), [0, 1]), ("b", MinMaxScaler(), [2])]),
    "FeatureUnion": lambda cls: cls([("a", StandardScaler()), ("b", MinMaxScaler())]),
    "FixedThresholdClassifier": lambda cls: cls(_classifier(), threshold=0.4),
    "BisectingKMeans": lambda cls: cls(3, random_state=0),
    "LatentDirichletAllocation": lambda cls: cls(max_iter=3, random_state=0),
    "LocalOutlierFactor": lambda cls: cls(novelty=True),
    "OrthogonalMatchingPursuitCV": lambda cls: cls(max_iter=3),
    "QuantileTransformer": lambda cls: cls(n_quantiles=20),
    "FeatureHasher": lambda cls: cls(8),
    "HashingVectorizer": lambda cls: cls(n_features=16),
    "GridSearchCV": lambda cls: cls(_classifier(), {"C": [0.1, 1.0]}),
    "LogisticRegressionCV": lambda cls: cls(Cs=3, cv=3, max_iter=1000),
    "Pipeline": lambda cls: cls([("a", StandardScaler()), ("b", _classifier())]),
    "RandomizedSearchCV": lambda cls: cls(_classifier(), {"C": [0.1, 1.0]}, n_iter=2, random_state=0),
    "SparseCoder": lambda cls: cls(IRIS[:6]),
    "StackingClassifier": lambda cls: cls([("a", _classifier()), ("b", DecisionTreeClassifier(random_state=0))]),
    "StackingRegressor": lambda cls: cls([("a", LinearRegression()), ("b", DecisionTreeRegressor(random_state=0))]),
    "VotingClassifier": lambda cls: cls([("a", _classifier()), ("b", DecisionTreeClassifier(random_state=0))]),
    "VotingRegressor": lambda cls: cls([("a", LinearRegression()), ("b", DecisionTreeRegressor(random_state=0))]),
    "GaussianRandomProjection": lambda cls: cls(3, random_state=0),
    "SparseRandomProjection": lambda cls: cls(3, random_state=0),
}
"""Those whose settings have no default, or one that iris is too small for. Others take an `estimator`, or nothing."""

SMALL = {"n_estimators": 10, "max_iter": 200, "n_init": 1, "random_state": 0}
"""Settings that make the others quick, and the same each time."""

FED: dict[str, tuple[Any, Any]] = {
    "CCA": (IRIS[:, :2], IRIS[:, 2:]),
    "CountVectorizer": (TEXTS, None),
    "DictVectorizer": ([{"a": 1.0, "b": 2.0}, {"a": 3.0}], None),
    "FeatureHasher": ([{"a": 1.0, "b": 2.0}, {"a": 3.0}], None),
    "HashingVectorizer": (TEXTS, None),
    "IsotonicRegression": (LENGTH, IRIS[:, 2]),
    "KernelCenterer": (IRIS[:100] @ IRIS[:100].T, None),
    "LabelBinarizer": (KIND, ...),
    "LabelEncoder": (KIND, ...),
    "MultiLabelBinarizer": ([["a"], ["b", "a"]], ...),
    "MultiOutputClassifier": (IRIS, TWO),
    "MultiOutputRegressor": (IRIS[:, :2], IRIS[:, 2:]),
    "MultiTaskElasticNet": (IRIS[:, :2], IRIS[:, 2:]),
    "MultiTaskElasticNetCV": (IRIS[:, :2], IRIS[:, 2:]),
    "MultiTaskLasso": (IRIS[:, :2], IRIS[:, 2:]),
    "MultiTaskLassoCV": (IRIS[:, :2], IRIS[:, 2:]),
    "ClassifierChain": (IRIS, TWO),
    "PatchExtractor": (np.zeros((3, 12, 12)), None),
    "PLSCanonical": (IRIS[:, :2], IRIS[:, 2:]),
    "PLSSVD": (IRIS[:, :2], IRIS[:, 2:]),
    "RegressorChain": (IRIS[:, :2], IRIS[:, 2:]),
    "FixedThresholdClassifier": (IRIS, KIND > 0),
    "TunedThresholdClassifierCV": (IRIS, KIND > 0),
    "TfidfTransformer": (np.round(IRIS), None),
    "TfidfVectorizer": (TEXTS, None),
}
"""What they are fitted on, where it is not iris with its kinds (a regressor: with the first of its lengths)."""

NATIVE: dict[str, str] = {
    "has no converter": """
        AdditiveChi2Sampler AffinityPropagation BernoulliRBM Birch BisectingKMeans CCA ClassifierChain
        DictionaryLearning DummyClassifier DummyRegressor EllipticEnvelope FactorAnalysis FastICA
        FeatureAgglomeration Isomap KernelRidge LabelPropagation LabelSpreading
        LatentDirichletAllocation LocallyLinearEmbedding MeanShift MiniBatchDictionaryLearning MiniBatchNMF
        MiniBatchSparsePCA MissingIndicator NMF NearestCentroid Nystroem OutputCodeClassifier PLSCanonical
        PLSSVD PolynomialCountSketch RadiusNeighborsTransformer RBFSampler RegressorChain
        SequentialFeatureSelector SkewedChi2Sampler SparseCoder SparsePCA SparseRandomProjection
        SplineTransformer TransformedTargetRegressor""",
    "splits text": "CountVectorizer HashingVectorizer TfidfVectorizer",
    "tables and 2-D arrays": """DictVectorizer FeatureHasher IsotonicRegression LabelBinarizer LabelEncoder
        PatchExtractor""",
    "Only binary": "GaussianProcessClassifier",
    "onehot encoding": "KBinsDiscretizer",
    "is not an int64": "OneHotEncoder",  # of numbers
    "sparse outputs": "RandomTreesEmbedding",
    "binary classification or 1d": "TargetEncoder",
    "differ in": """KNeighborsClassifier KNeighborsRegressor KNeighborsTransformer LocalOutlierFactor""",  # ties
    "index is out of range": "RadiusNeighborsClassifier RadiusNeighborsRegressor",
}
"""Those that stay as they are, by what the candidates' table says of them."""

EXACT = {"GaussianProcessRegressor"}
"""Those that are equal in doubles only."""

NO_ROWS = {"MultiLabelBinarizer"}
"""Those whose rows are sets of labels, which is no sample."""


VERSION = Version(
    **dict.fromkeys(("deployment", "digest", "created_at", "task", "framework", "model_type", "reason"), ""),
    number=1,
    format="onnx",
    trust=Trust(level="green", reason=""),
    signature=Signature(container="ndarray", columns=()),
    outputs=(),
    artifacts=(),
    environment=Environment(python="", platform=""),
    candidates=(),
    sample_rows=0,
)


def made(cls: type) -> Any:
    name = cls.__name__
    if name in MADE:
        return MADE[name](cls)
    parameters = inspect.signature(cls).parameters
    settings: dict[str, Any] = {key: value for key, value in SMALL.items() if key in parameters}
    if "estimator" in parameters and (
        parameters["estimator"].default is inspect.Parameter.empty or name == "SelfTrainingClassifier"
    ):
        settings["estimator"] = LinearRegression() if "Regress" in name else _classifier()
    return cls(**settings)


@cache
def fitted(cls: type) -> tuple[Any, Any]:
    model = made(cls)
    X, y = FED.get(cls.__name__, (IRIS, LENGTH if issubclass(cls, RegressorMixin) else KIND))
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        model.fit(X) if y is ... else model.fit(X, y)
    return model, X


def road(model: Any, X: Any, folder: Path) -> str:
    """The format that answers as the live object does; else why none does."""
    sample = read_sample(X)
    fed = in_library(sample.signature, sample.container)
    live = exporter.live(model, fed)
    methods = exporter.methods(model)
    outputs = tuple(describe(name, value, sample.rows, method=methods[name]) for name, value in live.items())
    reference = {name: to_plain(value) for name, value in live.items()}
    version = replace(VERSION, signature=sample.signature, outputs=outputs)
    why = ""
    for format in ("onnx", "onnx-float64"):
        path = folder / f"{type(model).__name__}-{format}.onnx"
        try:
            exporter.write(model, format, path, fed, sample.signature)
        except ExportFailed as error:
            return why or error.why
        try:
            batch = decode(sample.signature, to_request(sample.container))
            found = OnnxRunner(path, version, threads=1).run(batch, list(live))
        except Exception as error:  # noqa: BLE001  # onnxruntime's own
            why = str(error)
            continue
        comparison = compare(outputs, reference, {name: to_plain(value) for name, value in found.items()})
        if comparison.passed:
            return format
        why = comparison.words
    return why


def estimators() -> list[type]:
    """All that answer new rows."""
    return [cls for _, cls in all_estimators() if hasattr(cls, "predict") or hasattr(cls, "transform")]


@pytest.mark.timeout(120)
def test_every_estimator_takes_the_road_that_is_known_of_it(tmp_path: Path) -> None:
    expected = {name: why for why, names in NATIVE.items() for name in names.split()}
    wrong: dict[str, str] = {}
    seen = set()
    for cls in estimators():
        name = cls.__name__
        seen.add(name)
        if name in NO_ROWS:
            continue
        model, X = fitted(cls)
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")
            found = road(model, X, tmp_path)
        known = expected.get(name, "onnx-float64" if name in EXACT else "onnx")
        if known not in found if name in expected else known != found:
            wrong[name] = found
    assert not wrong, "\n".join(f"{name}: {why}" for name, why in wrong.items())
    assert expected.keys() | EXACT | NO_ROWS <= seen, "a list here names an estimator that scikit-learn does not have"


# --- the live object


class Halves(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Of the person's own, without a converter; what it learned has no underscore."""

    def fit(self, X: Any, y: Any) -> Halves:
        self.middle = float(np.median(y))
        return self

    def predict(self, X: Any) -> Any:
        return np.asarray(X)[:, 0] > self.middle


class Duck:
    """What an estimator has, and no ancestor in common with one."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {}

    def fit(self, X: Any, y: Any) -> Duck:
        self.scale = float(np.max(X))
        return self

    def transform(self, X: Any) -> Any:
        return np.asarray(X) / self.scale


def skops_answers(model: Any, X: Any, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the live object says, and the one that was read from its skops file."""
    path = folder / type(model).__name__
    sample = read_sample(X)
    fed = in_library(sample.signature, sample.container)
    exporter.write(model, "skops", path, fed, sample.signature)
    live = exporter.live(model, fed)
    methods = exporter.methods(model)
    outputs = tuple(describe(name, value, sample.rows, method=methods[name]) for name, value in live.items())
    version = replace(VERSION, signature=sample.signature, outputs=outputs)
    found = SkopsRunner(path, version, threads=1).run(fed, list(live))
    return {k: to_plain(v) for k, v in live.items()}, {k: to_plain(v) for k, v in found.items()}


@pytest.mark.timeout(120)
def test_every_estimator_answers_the_same_as_skops(tmp_path: Path) -> None:
    wrong = {}
    for cls in estimators():
        if cls.__name__ in NO_ROWS:
            continue
        model, X = fitted(cls)
        try:
            with warnings.catch_warnings(), threadpool_limits(1):
                warnings.simplefilter("ignore")
                live, found = skops_answers(model, X, tmp_path)
        except ExportFailed as error:
            wrong[cls.__name__] = error.why
            continue
        if not all(np.allclose(np.array(live[name], float), np.array(found[name], float)) for name in live):
            wrong[cls.__name__] = "another answer"
    assert wrong == {"Birch": "skops: UnsupportedTypeException: Objects of type Birch are not supported yet."}


def test_what_a_skops_file_holds_is_written_down_and_nothing_else_is_made(tmp_path: Path) -> None:
    model = DecisionTreeClassifier(random_state=0).fit(IRIS, KIND)
    skops_answers(model, IRIS, tmp_path)
    types = tmp_path / "DecisionTreeClassifier" / "types.json"
    assert json.loads(types.read_text()) == ["sklearn.tree._tree.Tree"]
    types.write_text("[]")
    with pytest.raises(TypeError, match="Untrusted types"):
        SkopsRunner(types.parent, VERSION, threads=1)


@pytest.mark.parametrize(
    ("make_model", "why"),
    [
        (lambda: Halves().fit(IRIS, LENGTH), "test_sklearn.Halves, not known to be data alone"),
        (lambda: FunctionTransformer(fitted).fit(IRIS), "test_sklearn.fitted, not known"),
        (lambda: BaggingClassifier(n_estimators=40).fit(IRIS, KIND), r"\d s for \d+ objects"),
    ],
    ids=["own class", "own function", "large"],
)
def test_what_stays_a_pickle(
    make_model: Callable[[], Any], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    monkeypatch.setattr("autodeploy_magic.build.export.sklearn_skops.MOST_OBJECTS", 100)
    with pytest.raises(ExportFailed) as caught:
        exporter.write(model, "skops", tmp_path / "skops", IRIS, read_sample(IRIS).signature)
    assert re.search(why, caught.value.why)


def test_without_skops_or_skl2onnx_the_row_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _classifier().fit(IRIS, KIND)
    for module in ("skops", "skops.io", "skl2onnx"):
        monkeypatch.setitem(sys.modules, module, None)
    for format in ("skops", "onnx"):
        with pytest.raises(ExportFailed) as caught:
            exporter.write(model, format, tmp_path / format, IRIS, read_sample(IRIS).signature)
        assert "pip install 'autodeploy_magic[sklearn]'" in caught.value.why


def test_importing_skops_leaves_out_what_it_can_do_without() -> None:
    code = (
        "import sys; from autodeploy_magic.registry import need; need('skops.io', 'a test');"
        "print(sorted({'torch', 'pytest'} & {name for name, module in sys.modules.items()}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


# --- estimators of others


def test_an_estimator_of_ones_own_stays_native_with_the_reason(make: Callable[..., Any], notebook: Any) -> None:
    code = (
        "import numpy as np\nfrom sklearn.base import BaseEstimator, ClassifierMixin\n"
        "class Rule(ClassifierMixin, BaseEstimator):\n"
        "    def fit(self, X, y):\n        self.classes_ = np.unique(y)\n        self.limit = X[:, 2].mean()\n"
        "        return self\n"
        "    def predict(self, X):\n        return self.classes_[(X[:, 2] > self.limit).astype(int)]\n"
    )
    model = notebook(code)["Rule"]().fit(IRIS, KIND > 0)
    version = make(model, IRIS, dry_run=True).version
    assert (version.framework, version.task, version.format) == ("sklearn", "classification", "native")
    reasons = {candidate.format: candidate.reason for candidate in version.candidates}
    assert reasons["onnx"] == "not exported (skl2onnx has no converter for Rule)"
    assert reasons["skops"] == "not exported (it holds __main__.Rule, not known to be data alone)"
    assert version.trust.level == "amber"


def test_what_only_looks_like_an_estimator() -> None:
    model = Duck().fit(IRIS, KIND)
    assert exporter.recognises(model)
    exporter.check_fitted(model, "duck")
    assert (exporter.task(model), exporter.methods(model)) == ("transform", {"predictions": "transform"})
    assert not exporter.recognises(Duck)
    with pytest.raises(UnfittedModel, match="has not been fitted"):
        exporter.live(make_pipeline(StandardScaler(), Halves()), IRIS)


# --- several targets, sparse answers, frames


@pytest.mark.parametrize(
    "model",
    [MultiOutputClassifier(_classifier()), DecisionTreeClassifier(random_state=0)],
    ids=lambda m: type(m).__name__,
)
def test_several_targets_have_labels_and_probabilities_where_these_are_alike(model: Any, tmp_path: Path) -> None:
    alike = model.fit(IRIS, np.c_[KIND > 0, KIND > 1].astype(int))
    found = exporter.live(alike, IRIS)
    assert found["predictions"].shape == (150, 2)
    assert found["probabilities"].shape == (150, 2, 2)
    assert (found["probabilities"][:, 1] == alike.predict_proba(IRIS)[1]).all()
    assert road(alike, IRIS, tmp_path) == "onnx"
    live, kept = skops_answers(alike, IRIS, tmp_path)
    assert live == kept
    assert list(exporter.live(model.fit(IRIS, TWO), IRIS)) == ["predictions"]
    assert (road(model, IRIS, tmp_path) == "onnx") is isinstance(model, MultiOutputClassifier)


def test_sparse_rows_become_an_array_for_onnx(tmp_path: Path) -> None:
    rows = scipy.sparse.csr_matrix(np.round(IRIS))
    assert road(_classifier().fit(rows, KIND), rows, tmp_path) == "onnx"


def test_sparse_answers_are_written_out(tmp_path: Path) -> None:
    table = pd.DataFrame({"city": ["Oslo", "Rome", "Oslo"]})
    model = OneHotEncoder().fit(table)
    assert scipy.sparse.issparse(exporter.live(model, table)["predictions"])
    assert road(model, table, tmp_path) == "onnx"
    live, kept = skops_answers(model, table, tmp_path)
    assert live == kept == {"predictions": [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]}
    parts = split({"predictions": model.transform(table)}, [1, 2])
    assert parts[1]["predictions"].tolist() == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("missing", [False, True])
def test_pipelines_over_frames(library: str, missing: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    data: dict[str, Any] = {
        "age": random.integers(18, 80, 120).tolist(),
        "pay": random.normal(50, 10, 120).tolist(),
        "city": random.choice(["Oslo", "Rome"], 120).tolist(),
        "member": (random.random(120) > 0.5).tolist(),
    }
    label = np.array(data["age"]) > 50
    if missing:
        data = {
            name: [None if i % 11 == 3 else value for i, value in enumerate(values)] for name, values in data.items()
        }
    nullable = {"age": "Int64", "member": "boolean", "city": "str"} if missing else {}
    table: Any = pl.DataFrame(data) if library == "polars" else pd.DataFrame(data).astype(nullable)
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    text = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    )
    columns = ColumnTransformer([("n", numbers, ["age", "pay"]), ("t", text, ["city"])])
    if not missing:
        columns.set_output(transform=library)
    model = make_pipeline(columns, LogisticRegression()).fit(table, label)
    assert road(model, table, tmp_path) == "onnx"


def test_columns_may_have_any_name(tmp_path: Path) -> None:
    table = pd.DataFrame(IRIS[:, :3], columns=["petal length (cm)", "Größe in %", "x.1"])
    columns = ColumnTransformer([("n", StandardScaler(), ["petal length (cm)", "x.1"])], remainder="passthrough")
    assert road(make_pipeline(columns, LogisticRegression(max_iter=500)).fit(table, KIND), table, tmp_path) == "onnx"
