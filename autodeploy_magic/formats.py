"""The formats that a model is kept in: where each lies in a version, what runs it, and whether loading it is safe.

A format is named in a version's record and in its candidates; `registry.RUNTIMES` has what runs it. Third parties add
one through the entry point group `autodeploy_magic.formats`, which names a `Format`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from autodeploy_magic.errors import UnreadableRecord
from autodeploy_magic.registry import load, table

__all__ = ["FORMATS", "ONNX_DTYPES", "Format", "format_of"]

ONNX_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint64)": "uint64",
    "tensor(uint32)": "uint32",
    "tensor(uint16)": "uint16",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}
"""What onnxruntime calls a type → what numpy calls it."""


@dataclass(frozen=True)
class Format:
    """One way to keep a model.

    `place` is the file, or the folder, that holds it within a version. `runtime` is the key in `registry.RUNTIMES`.
    `live` says that loading it gives a Python object like the one in the notebook, which `predict(model, x)` can be
    given. `opaque` says that loading it may run code that nobody has read: versions of it are amber, and `why` says so
    in a person's words; for the others `why` says what it holds instead.
    """

    name: str
    title: str
    place: str
    runtime: str
    live: bool
    opaque: bool
    why: str


FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        Format("onnx", "ONNX", "model.onnx", "onnx", False, False, "an ONNX model"),
        Format(
            "onnx-float64", "ONNX (float64)", "model-float64.onnx", "onnx", False, False, "an ONNX model in doubles"
        ),
        Format(
            "native",
            "native",
            "model.pkl",
            "native",
            True,
            True,
            "a pickled model: loading it runs code that this kernel wrote into it",
        ),
        Format("skops", "skops", "skops", "skops", True, False, "a skops file of known types"),
        Format("xgboost", "XGBoost UBJSON", "xgboost", "xgboost", True, False, "XGBoost's own file, which is data"),
        Format("lightgbm", "LightGBM text", "lightgbm", "lightgbm", True, False, "LightGBM's own file, which is data"),
        Format("catboost", "CatBoost", "catboost", "catboost", True, False, "CatBoost's own file, which is data"),
        Format(
            "statsmodels",
            "statsmodels",
            "results.pkl",
            "native",
            True,
            True,
            "a pickled results object, without the data it was fitted on: loading it runs code",
        ),
        Format(
            "torch",
            "PyTorch",
            "torch",
            "torch",
            True,
            True,
            "PyTorch weights as safetensors, and the module around them pickled: loading it runs code of the notebook",
        ),
        Format("keras", "Keras", "keras", "keras", True, False, "a .keras file, loaded in Keras' safe mode"),
        Format(
            "saved_model",
            "SavedModel",
            "saved_model",
            "saved_model",
            True,
            True,
            "a TensorFlow graph, which may read and write files",
        ),
        Format(
            "transformers",
            "Transformers",
            "transformers",
            "transformers",
            True,
            False,
            "weights as safetensors, and a tokenizer of data",
        ),
        Format(
            "transformers-onnx",
            "ONNX with tokenizer",
            "transformers-onnx",
            "transformers-onnx",
            False,
            False,
            "an ONNX model, and a tokenizer of data",
        ),
    )
}
"""The formats of our own, by their names."""


@cache
def format_of(name: str) -> Format:
    """The format called `name`. Raises `UnreadableRecord` for one that no installed package knows."""
    if name in FORMATS:
        return FORMATS[name]
    reference = table("formats").get(name)
    if reference is None:
        raise UnreadableRecord(
            f"{name!r} is a format that is not known here",
            why="another package adds it, and is not installed",
            fix="install the package that the version was made with",
        )
    format: Format = load(reference)
    return format
