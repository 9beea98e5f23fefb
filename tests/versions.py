"""Version folders with really trained models, made without the build room, so that serving is tested on its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import numpy as np
from msgspec.structs import replace
from sklearn.datasets import load_iris

from autodeploy_magic.contracts import Artifact, Candidate, Column, Environment, Signature, Trust, Version, encode
from autodeploy_magic.store import file_sha256
from autodeploy_magic.wire import describe, to_plain, to_request
from autodeploy_magic.wire.streams import is_stream

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])


def write_version(
    folder: Path,
    model: Any,
    sample: np.ndarray[Any, Any],
    *,
    format: str = "onnx",
    number: int = 1,
    one_row_s: float | None = 1e-5,
    batch_s: float | None = None,
    code: dict[str, Callable[..., Any]] | None = None,
) -> Version:
    """Write a version of a fitted classifier over an array into `folder`.

    `one_row_s` and `batch_s` are what the build would have measured of a run on 1 and on 256 rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    code = code or {}
    files: list[tuple[str, str, str]] = []
    if format == "onnx":
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType

        graph = to_onnx(
            model,
            initial_types=[("X", FloatTensorType([None, sample.shape[1]]))],
            options={id(model): {"zipmap": False}},
        )
        (folder / "model.onnx").write_bytes(graph.SerializeToString())
        files.append(("model", "onnx", "model.onnx"))
    else:
        (folder / "model.pkl").write_bytes(cloudpickle.dumps(model))
        files.append(("model", "native", "model.pkl"))
    if code:
        (folder / "code.pkl").write_bytes(cloudpickle.dumps(code))
        files.append(("code", "cloudpickle", "code.pkl"))
    rows = sample[:8]
    x = code["preprocess"](rows) if "preprocess" in code else rows
    raw = code["predict"](model, x) if "predict" in code else model.predict(x)
    streams = is_stream(raw)
    raw = list(raw) if streams else raw
    answers = {"predictions": code["postprocess"](raw) if "postprocess" in code else raw}
    methods = {"predictions": "predict"}
    if "predict" not in code:
        answers["probabilities"] = model.predict_proba(x)
        methods["probabilities"] = "predict_proba"
    (folder / "sample.json").write_bytes(msgspec.json.encode({"inputs": to_request(rows)}))
    (folder / "expected.json").write_bytes(msgspec.json.encode({k: to_plain(v) for k, v in answers.items()}))
    files += [("sample", "json", "sample.json"), ("expected", "json", "expected.json")]
    artifacts = tuple(
        Artifact(role=role, format=form, path=path, sha256=file_sha256(folder / path), size_bytes=1)
        for role, form, path in files
    )
    outputs = {name: describe(name, value, len(rows), method=methods[name]) for name, value in answers.items()}
    if streams:
        outputs["predictions"] = replace(outputs["predictions"], per_row=False, streams=True)
    version = Version(
        deployment="iris",
        number=number,
        digest=f"{number:064d}",
        created_at="2026-01-01T00:00:00+00:00",
        task="classification",
        framework="sklearn",
        model_type=type(model).__name__,
        format=format,
        reason="",
        trust=Trust(level="green", reason=""),
        signature=Signature(
            container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=tuple(sample.shape[1:])),)
        ),
        outputs=tuple(outputs.values()),
        model_outputs=(describe("predictions", raw, len(rows), method="predict"), *list(outputs.values())[1:]),
        artifacts=artifacts,
        environment=Environment(python="3.11", platform="linux"),
        candidates=(
            Candidate(format=format, passed=True, reason="", one_row_s=one_row_s, batch_s=batch_s, batch_rows=256),
        ),
        sample_rows=len(rows),
    )
    (folder / "version.json").write_bytes(encode(version))
    return version
