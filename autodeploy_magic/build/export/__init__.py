"""The model in the formats it can have. One file a framework, named in `registry.EXPORTERS`.

    base.py          Exporter: what a framework has to say, with the answers that hold for most
    quiet.py         what other libraries say meanwhile
    function.py      plain functions, and whatever has a predict: they answer as they are
    onnx.py          what is ONNX already
    boosters.py      what XGBoost, LightGBM and CatBoost have in common
    sklearn*.py, xgboost*.py, lightgbm.py, catboost.py, statsmodels.py, torch*.py, keras*.py, tensorflow.py,
    transformers*.py one framework each

An exporter knows its framework's objects, answers as the live object does, and writes the formats other than the
pickle, which is the same for all. It imports its framework only once it is given one of its objects. A file's name may
be imported only by itself and by NAME_*.py beside it.
"""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.export.base import Exporter
from autodeploy_magic.registry import load, table

__all__ = ["Exporter", "exporter_of"]


def exporter_of(model: Any) -> Exporter | None:
    """The first exporter that recognises `model`."""
    for reference in table("exporters").values():
        exporter: Exporter = load(reference)
        if exporter.recognises(model):
            return exporter
    return None
