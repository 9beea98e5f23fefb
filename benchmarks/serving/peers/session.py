"""The model in those peers that run it as ONNX: the same session, with the same options, in all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from serving.peers import MODEL, THREADS

__all__ = ["predictor", "session"]

_DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(int64)": "int64"}


def session() -> Any:
    """The model, loaded. Its options are those of our own workers."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])


def predictor() -> Callable[[Any], list[Any]]:
    """From rows as JSON has them to the model's first output as JSON has it."""
    loaded = session()
    (given,) = loaded.get_inputs()
    name, dtype = given.name, np.dtype(_DTYPES[given.type])
    wanted = [loaded.get_outputs()[0].name]
    run, array = loaded.run, np.array

    def predict(rows: Any) -> list[Any]:
        found: list[Any] = run(wanted, {name: array(rows, dtype)})[0].tolist()
        return found

    return predict
