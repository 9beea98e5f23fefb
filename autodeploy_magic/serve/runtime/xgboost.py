"""XGBoost's own file, and what its scikit-learn wrapper knows besides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Version
from autodeploy_magic.serve.runtime.live import LiveRunner

__all__ = ["XGBoostRunner"]


class XGBoostRunner(LiveRunner):
    """A Booster, or the wrapper around it. Its threads are OpenMP's, which `LiveRunner` sizes to the rows."""

    def load(self, path: Path, version: Version) -> Any:
        import xgboost

        known = json.loads((path / "wrapper.json").read_bytes())
        booster = xgboost.Booster(model_file=path / "model.ubj")
        if known["class"] == "Booster":
            return booster
        kind = getattr(xgboost, known["class"])
        model = kind.__new__(kind)
        # As many threads as OpenMP was told to use, not as many as the machine of the training had.
        vars(model).update(known["state"], _Booster=booster, n_jobs=None)
        return model

    def call(self, method: str, x: Any) -> Any:
        import xgboost

        if not isinstance(self.model, xgboost.Booster):
            return super().call(method, x)
        if hasattr(x, "columns"):
            return self.model.predict(xgboost.DMatrix(x, enable_categorical=True))
        names, types = self.model.feature_names, self.model.feature_types
        return self.model.predict(xgboost.DMatrix(x, feature_names=names, feature_types=types))
