"""A fitted estimator as a skops file: the live object without a pickle, where every type in it is known.

skops trusts scikit-learn's estimators and numpy's plain types. What else a fitted one holds is looked at here, once and
by name: a type is listed where making it from a file runs no code of the file's, whatever the file says. Some, tree
nodes and neighbour trees, are arrays of indices that scikit-learn does not check: a file made to harm could crash a
worker, and run nothing. The hash of the file, checked at each load, is what keeps it the one that was built.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.base import first_words
from autodeploy_magic.errors import ExportFailed, MissingPackage
from autodeploy_magic.registry import need

__all__ = ["KNOWN", "MOST_OBJECTS", "write_skops"]

MOST_OBJECTS = 4000
"""Above this a model is kept as a pickle: skops needs about 0.3 ms for each object at every start of a worker, a
pickle next to nothing (a forest of 300 trees has 2 100: 0.5 s, and 0.8 MB instead of 1.1)."""


def _of(module: str, *names: str) -> Iterable[str]:
    return (f"{module}.{name}" for name in names)


_GROUPS: tuple[tuple[str, tuple[Iterable[str], ...]], ...] = (
    (
        "arrays of nodes, which predict walks through",
        (
            _of("sklearn.tree._tree", "Tree"),
            _of("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor"),
            _of("sklearn.neighbors._kd_tree", "KDTree", "KDTree32", "KDTree64"),
            _of("sklearn.neighbors._ball_tree", "BallTree", "BallTree32", "BallTree64"),
            _of("sklearn.cluster._bisect_k_means", "_BisectingTree"),
        ),
    ),
    (
        "distances: formulas with a few numbers in them",
        (
            _of(
                "sklearn.metrics._dist_metrics",
                *(
                    f"{name}Distance{size}"
                    for name in ("Euclidean", "Manhattan", "Chebyshev", "Minkowski", "SEuclidean", "Mahalanobis")
                    for size in ("", "32", "64")
                ),
            ),
        ),
    ),
    (
        "formulas with fitted numbers in them",
        (
            _of(
                "sklearn.gaussian_process.kernels",
                *("CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation", "Matern"),
                *("PairwiseKernel", "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel"),
            ),
            _of("sklearn.gaussian_process._gpc", "_BinaryGaussianProcessClassifierLaplace"),
            _of("sklearn.calibration", "_CalibratedClassifier", "_SigmoidCalibration", "_TemperatureScaling"),
            _of("sklearn.multiclass", "_ConstantPredictor"),
            _of("sklearn._loss.loss", "HalfTweedieLoss", "HalfTweedieLossIdentity"),
            _of("sklearn.neural_network._stochastic_optimizers", "AdamOptimizer", "SGDOptimizer"),
            _of("scipy.interpolate._bsplines", "BSpline"),
        ),
    ),
    (
        "functions of scikit-learn and numpy from arrays to numbers",
        (
            _of(
                "sklearn.feature_selection._univariate_selection",
                *("chi2", "f_classif", "f_oneway", "f_regression", "r_regression"),
            ),
            _of("sklearn.feature_selection._mutual_info", "mutual_info_classif", "mutual_info_regression"),
            _of("sklearn.cluster._kmeans", "_kmeans_single_elkan", "_kmeans_single_lloyd"),
            _of(
                "sklearn.metrics._classification",
                *("accuracy_score", "balanced_accuracy_score", "brier_score_loss", "f1_score", "jaccard_score"),
                *("log_loss", "matthews_corrcoef", "precision_score", "recall_score"),
            ),
            _of("sklearn.metrics._ranking", "average_precision_score", "roc_auc_score"),
            _of(
                "sklearn.metrics._regression",
                *("mean_absolute_error", "mean_squared_error", "median_absolute_error", "r2_score"),
                "root_mean_squared_error",
            ),
            _of("numpy", "max", "mean", "median", "min", "sum"),
            _of("scipy._lib.array_api_compat.numpy._aliases", "asarray"),
        ),
    ),
    (
        "what a search was told, which predict does not ask",
        (
            _of("sklearn.metrics._scorer", "_CurveScorer", "_PassthroughScorer", "_Scorer"),
            _of(
                "sklearn.model_selection._split",
                *("GroupKFold", "KFold", "LeaveOneOut", "RepeatedKFold", "RepeatedStratifiedKFold", "ShuffleSplit"),
                *("StratifiedGroupKFold", "StratifiedKFold", "StratifiedShuffleSplit", "TimeSeriesSplit"),
            ),
            _of("sklearn.utils._metadata_requests", "MetadataRequest", "MethodMetadataRequest"),
        ),
    ),
    (
        "containers of values",
        (
            _of("numpy", "dtype"),
            _of("scipy.sparse._csr", "csr_array", "csr_matrix"),
            _of("scipy.sparse._csc", "csc_array", "csc_matrix"),
            _of("sklearn.utils._bunch", "Bunch"),
        ),
    ),
)

KNOWN: dict[str, str] = {name: why for why, groups in _GROUPS for group in groups for name in group}
"""Types that a model may hold besides those that skops trusts, and what they are."""


def write_skops(model: Any, path: Path) -> None:
    """Make the folder `path` with the model, and the types of `KNOWN` that it holds. Raises `ExportFailed`."""
    try:
        skops = need("skops.io", "writing a scikit-learn model as skops")
    except MissingPackage as error:
        raise ExportFailed("skops is not installed", why=f"skops is not installed: {error.fix}") from error
    count = _objects(model)
    if count > MOST_OBJECTS:
        raise ExportFailed(
            "a large model is not written as skops",
            why=f"skops needs {0.3e-3 * count:.1f} s for {count} objects at every start, a pickle next to nothing",
        )
    path.mkdir()
    try:
        with (path / "model.skops").open("wb") as stream:
            skops.dump(model, stream, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
        found = sorted(skops.get_untrusted_types(file=path / "model.skops"))
    except Exception as error:  # an object's own __reduce__ may raise anything
        raise ExportFailed("it cannot be written as skops", why=f"skops: {first_words(error)}") from error
    unknown = [name for name in found if name not in KNOWN]
    if unknown:
        shown = ", ".join(unknown[:3]) + (", …" if len(unknown) > 3 else "")
        raise ExportFailed("it holds types that are not known", why=f"it holds {shown}, not known to be data alone")
    (path / "types.json").write_text(json.dumps(found), "utf-8")


def _objects(model: Any) -> int:
    """How many objects a model is made of, more than numbers and text; 0 where it cannot be said."""
    counter = _Counter(io.BytesIO(), protocol=5, buffer_callback=lambda buffer: None)
    try:
        counter.dump(model)
    except Exception:  # noqa: BLE001  # then skops says what is the matter
        return 0
    return counter.found


class _Counter(pickle.Pickler):
    """Counts what it is given to pickle; the data of arrays is left where it is."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.found = 0

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, type):
            self.found += 1
        return NotImplemented
