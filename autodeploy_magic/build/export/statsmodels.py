"""statsmodels: the results of a fitted model, of the array API and of the formula API.

A results object holds all that it was fitted on. Its own format is a pickle without that: the person's data stays where
it is, and the object of the notebook as well, for nothing of it is changed. Verification proves that its predictions
are the same; where they are not, the whole object is pickled as it is.
"""

from __future__ import annotations

import copyreg
import hashlib
import inspect
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from autodeploy_magic.build.code import dump
from autodeploy_magic.build.export.base import Exporter, loaded
from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import BadInput, BadSample, ExportFailed, UnfittedModel

__all__ = ["StatsmodelsExporter", "exporter"]


_LOOKED_AT = frozenset({"_nobs_int", "_summary_cache", "diagn"})
"""What `summary` leaves behind in the results."""


class StatsmodelsExporter(Exporter):
    """What `fit` of a statsmodels model returns, where it predicts from rows."""

    name = "statsmodels"
    formats = ("statsmodels", "onnx", "native")
    fallback: ClassVar[tuple[str, ...]] = ("native",)
    packages = ("statsmodels",)

    def recognises(self, model: Any) -> bool:
        base, wrapper = loaded("statsmodels.base.model"), loaded("statsmodels.base.wrapper")
        kinds = (getattr(base, "Model", ()), getattr(base, "Results", ()), getattr(wrapper, "ResultsWrapper", ()))
        return isinstance(model, kinds)

    def check_fitted(self, model: Any, name: str) -> None:
        if not hasattr(model, "params") or not hasattr(model, "model"):
            raise UnfittedModel(
                f"{name} ({type(model).__name__}) has not been fitted",
                why="fit returns the results, and it is these that predict",
                fix=f"deploy what {name}.fit() returns",
            )

    def model_type(self, model: Any) -> str:
        return type(model.model).__name__

    def task(self, model: Any) -> str:
        return "regression"  # probabilities are its values too: it gives no labels

    def methods(self, model: Any) -> dict[str, str]:
        return {"predictions": "predict"}

    def formats_for(self, model: Any) -> tuple[str, ...]:
        return self.formats if _predicts_from_rows(model) else self.fallback  # a forecast goes on from its data

    def live(self, model: Any, x: Any) -> dict[str, Any]:
        if not _predicts_from_rows(model):
            raise BadInput(
                f"{self.model_type(model)} forecasts by steps, and not from rows of a table",
                why="its predict takes a start and an end",
                fix="say in the cell what a row asks for: def predict(model, x): return model.forecast(int(x[0, 0])), "
                "with a sample like np.array([[12]])",
            )
        if _formula(model) and not (hasattr(x, "columns") or isinstance(x, Mapping)):
            raise BadSample(
                f"the model is made by the formula {_formula(model)!r}, and the sample has no columns by name",
                why="a formula reads its terms from the columns of a table",
                fix="give a DataFrame like the one that it was fitted on",
            )
        return {"predictions": model.predict(x)}

    def known_values(self, model: Any) -> dict[str, tuple[str, ...]]:
        """The texts that a formula's categories know: it refuses all others."""
        spec = getattr(model.model.data, "model_spec", None)
        found = {}
        for factor, info in getattr(spec, "factor_infos", {}).items():
            code = str(getattr(factor, "code", ""))
            name = code.removeprefix("C(").removesuffix(")")
            if info.type == "categorical" and name.isidentifier() and all(isinstance(v, str) for v in info.categories):
                found[name] = tuple(info.categories)
        return found

    def write(self, model: Any, format: str, path: Path, x: Any, signature: Signature) -> None:
        if format == "onnx":
            from autodeploy_magic.build.export.statsmodels_onnx import as_onnx

            path.write_bytes(as_onnx(model, x).SerializeToString(deterministic=True))
            return
        with _without_data(model):
            dump(model, path, what="the results without their data")

    def fingerprint(self, model: Any) -> str:
        """Of the pickle without its data: what was looked at in between (a summary, say) is no part of it."""
        with tempfile.TemporaryDirectory(prefix="autodeploy-") as folder:
            try:
                with _without_data(model):
                    return dump(model, Path(folder) / "results.pkl", what="the results without their data").sha256
            except ExportFailed:
                return hashlib.sha256(repr(model.params).encode()).hexdigest()


def _predicts_from_rows(model: Any) -> bool:
    return "exog" in inspect.signature(getattr(model, "_results", model).predict).parameters


def _formula(model: Any) -> str:
    return str(getattr(model.model, "formula", None) or "")


@contextmanager
def _without_data(model: Any) -> Iterator[None]:
    """Pickle results, their model and its data, as if `remove_data` had been called on a copy of them.

    That method changes the object, and a copy of it cannot be made: copying evaluates a formula anew, on data that it
    must have, in a namespace that is not there. So the classes are taught to leave it out, while this lasts. A
    formula's own design is pickled as it is: patsy forbids it only since it promises no format across releases, and a
    version pins the release.
    """
    results = getattr(model, "_results", model)
    inner, data = results.model, results.model.data
    names = [*vars(inner).get("_data_attr", ()), *getattr(results, "_data_attr_model", ())]
    dropped: dict[type, set[str]] = {
        type(results): {*vars(results).get("_data_attr", ()), "_cache"},
        type(inner): {name for name in names if "." not in name},
        type(data): {name.partition(".")[2] for name in names if name.startswith("data.")} | {"frame", "_cache"},
    }
    rows = len(inner.endog) if inner.endog is not None else 0  # of the person's own `remove_data`
    taught: dict[type, Callable[[Any], Any]] = {kind: _leaving_out(names, rows) for kind, names in dropped.items()}
    taught |= {kind: _leaving_out(set(), 0) for kind in _unpicklable_of_patsy()}
    before: dict[type, Any] = {kind: copyreg.dispatch_table.get(kind) for kind in taught}
    try:
        for kind, reduce in taught.items():
            copyreg.pickle(kind, reduce)
        yield
    finally:
        for kind, reducer in before.items():
            if reducer is None:
                copyreg.dispatch_table.pop(kind, None)
            else:
                copyreg.dispatch_table[kind] = reducer


def _unpicklable_of_patsy() -> set[type]:
    """Its classes that refuse to be pickled: they have a `__getstate__` of their own, which raises."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("patsy.")]
    kinds = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    return {kind for kind in kinds if kind.__module__.startswith("patsy.") and "__getstate__" in vars(kind)}


def _leaving_out(names: set[str], rows: int) -> Callable[[Any], Any]:
    """A reducer that leaves out the attributes `names`, and all that has a value for each of the `rows` of the data."""

    def reduce(value: Any) -> Any:
        state = {
            name: None if name in names or (rows and (getattr(item, "shape", None) or (0,))[0] == rows) else item
            for name, item in vars(value).items()
            if name not in _LOOKED_AT
        }
        if "_cache" in names:
            state["_cache"] = {}
        return copyreg.__newobj__, (type(value),), state  # type: ignore[attr-defined]

    return reduce


exporter = StatsmodelsExporter()
