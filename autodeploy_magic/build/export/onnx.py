"""A model that is ONNX already: a path to an .onnx file, or an `onnx.ModelProto`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.base import Exporter
from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import BadInput, BadSample, ExportFailed, UnfittedModel
from autodeploy_magic.registry import need

__all__ = ["OnnxExporter", "exporter"]


class OnnxExporter(Exporter):
    """Serves the file as it is. Its first output is the predictions; a classifier's second, the probabilities."""

    name = "onnx"
    formats = ("onnx",)

    def recognises(self, model: Any) -> bool:
        if isinstance(model, str | Path):
            return str(model).endswith(".onnx")
        onnx = sys.modules.get("onnx")
        return onnx is not None and isinstance(model, onnx.ModelProto)

    def check_fitted(self, model: Any, name: str) -> None:
        if isinstance(model, str | Path) and not Path(model).expanduser().is_file():
            raise BadInput(
                f"there is no file {str(model)!r}",
                why=f"{name} names it, seen from {Path.cwd()}",
                fix="give the path of an .onnx file",
            )
        if not isinstance(model, str | Path) and not model.graph.node:
            raise UnfittedModel(f"{name} is an ONNX model without a single operator", fix="fill its graph first")

    def model_type(self, model: Any) -> str:
        return Path(model).stem if isinstance(model, str | Path) else str(model.graph.name or "ModelProto")

    def task(self, model: Any) -> str:
        return "classification" if "probabilities" in self.methods(model) else "function"

    def methods(self, model: Any) -> dict[str, str]:
        outputs = _session(model).get_outputs()
        names = ["predictions"]
        for i, output in enumerate(outputs[1:]):
            labelled = outputs[0].type in ("tensor(int64)", "tensor(string)")
            names.append("probabilities" if i == 0 and labelled else output.name)
        return dict.fromkeys(names, "")

    def live(self, model: Any, x: Any) -> dict[str, Any]:
        session = _session(model)
        try:
            found = session.run(None, _feeds(session, x))
        except Exception as error:
            if not type(error).__module__.startswith("onnxruntime") and not isinstance(error, ValueError | KeyError):
                raise
            wanted = ", ".join(f"{item.name}: {item.type} {item.shape}" for item in session.get_inputs())
            raise BadSample(
                "the ONNX model cannot answer the sample",
                why=f"{(str(error).splitlines() or [''])[0][:300]}; its inputs are {wanted}",
                fix="give a sample of that shape: an array for one input, a dict of arrays for several",
            ) from error
        return dict(zip(self.methods(model), found, strict=True))

    def write(self, model: Any, format: str, path: Path, x: Any, signature: Signature) -> None:
        del x, signature
        if format != "onnx":
            raise ExportFailed(f"an ONNX model cannot be written as {format}", fix="deploy it with --format onnx")
        data = _bytes(model)
        if isinstance(model, str | Path) and _has_external_data(data):
            raise ExportFailed(
                f"{Path(model).name} keeps its weights in other files",
                why="a version holds one model file",
                fix="save it whole: onnx.save(onnx.load(path), path)",
            )
        path.write_bytes(data)


def _bytes(model: Any) -> bytes:
    if isinstance(model, str | Path):
        return Path(model).expanduser().read_bytes()
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _has_external_data(data: bytes) -> bool:
    """Whether weights lie beside the file: the protobuf then holds the key `location` of an external tensor."""
    if b"location" not in data:
        return False
    onnx = need("onnx", "reading an ONNX file")
    model = onnx.load_model_from_string(data)
    return any(item.data_location == onnx.TensorProto.EXTERNAL for item in model.graph.initializer)


def _session(model: Any) -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before its import, which starts a thread that uploads
    onnxruntime = need("onnxruntime", "answering with an ONNX model")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    source = str(Path(model).expanduser()) if isinstance(model, str | Path) else _bytes(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        raise ExportFailed(
            "onnxruntime cannot load the ONNX model",
            why=(str(error).splitlines() or [""])[0][:300],
            fix="check the file with onnx.checker.check_model",
        ) from error


def _feeds(session: Any, x: Any) -> dict[str, Any]:
    """One array for each input: columns of its name, or for a lone input everything side by side."""
    import numpy as np

    inputs = session.get_inputs()
    named = hasattr(x, "keys")
    if len(inputs) == 1:
        if named:
            parts = [np.asarray(x[name]) for name in x]
            x = parts[0] if len(parts) == 1 else np.column_stack(parts)
        return {inputs[0].name: _typed(np.asarray(x), inputs[0])}
    if not named:
        raise ValueError(f"the model has {len(inputs)} inputs and the sample is one array")
    return {item.name: _typed(np.asarray(x[item.name]), item) for item in inputs}


_DTYPES = {"float": "float32", "double": "float64", "string": "object"}


def _typed(values: Any, item: Any) -> Any:
    kind = item.type.removeprefix("tensor(").removesuffix(")")
    values = values.astype(_DTYPES.get(kind, kind))
    return values.reshape(-1, 1) if values.ndim == 1 and len(item.shape or []) == 2 else values


exporter = OnnxExporter()
