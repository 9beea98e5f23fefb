"""CatBoost: its classifiers, regressors and rankers, and `catboost.CatBoost`, which answers raw values."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.base import loaded
from autodeploy_magic.build.export.boosters import BoosterExporter, NotPlain, class_name

__all__ = ["CatBoostExporter", "exporter"]


_OF_THE_MOMENT = frozenset({"train_finish_time", "model_guid"})


class CatBoostExporter(BoosterExporter):
    """CatBoost's classifiers, regressors and rankers, and its CatBoost."""

    name = "catboost"
    formats = ("catboost", "onnx", "native")
    packages = ("catboost",)

    def recognises(self, model: Any) -> bool:
        return isinstance(model, getattr(loaded("catboost"), "CatBoost", ()))

    def is_native(self, model: Any) -> bool:
        return False  # all of them have a fit

    def is_fitted(self, model: Any) -> bool:
        return bool(model.is_fitted())

    def state(self, model: Any) -> dict[str, Any]:
        import catboost

        name = class_name(model, catboost)
        loss = model.get_params().get("loss_function")
        if loss is not None and not isinstance(loss, str):
            raise NotPlain(f"its loss_function is a {type(loss).__name__} of Python's")
        return {"class": name}

    def content(self, model: Any) -> bytes:
        with tempfile.TemporaryDirectory(prefix="autodeploy-") as folder:
            path = Path(folder) / "model.cbm"
            model.save_model(str(path))
            return path.read_bytes()

    def fingerprint(self, model: Any) -> str:
        """Of the trees and of what is told about them, without when, where and under which random name that was.

        Text columns bring more random names, which stay: such a model trained again is another one.
        """
        import catboost

        try:
            state = self.state(model)
        except NotPlain:
            return ""
        blob = self.content(model)
        own = catboost.CatBoost().load_model(blob=blob)  # which reads on in `blob`
        metadata = own.get_metadata()
        told = {key: metadata[key] for key in list(metadata.keys())}
        for key in told:
            del metadata[key]
        known = {key: _without_folder(value) for key, value in told.items() if key not in _OF_THE_MOMENT}
        trees = self.content(own)  # only hashed: CatBoost cannot read a second copy of a text column
        return hashlib.sha256(json.dumps([state, known], sort_keys=True).encode() + trees).hexdigest()

    def place(self, folder: Path) -> Path:
        return folder / "model.cbm"

    def onnx(self, model: Any, columns: int) -> Any:
        from autodeploy_magic.build.export.catboost_onnx import as_onnx

        return as_onnx(model)

    def teach(self) -> None:
        from autodeploy_magic.build.export.catboost_onnx import teach

        teach()


def _without_folder(told: str) -> Any:
    """What CatBoost tells of a training, without the folder where it left its logs."""
    try:
        values = json.loads(told)
    except ValueError:
        return told
    if isinstance(values, dict):
        for group in (values, values.get("flat_params")):
            if isinstance(group, dict):
                group.pop("train_dir", None)
    return values


exporter = CatBoostExporter()
