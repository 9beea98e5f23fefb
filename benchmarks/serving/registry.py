"""The peers: name → how it is called, which environment and model it has, and its own form of a request.

A peer's name is its file in `peers/`, and its line here is all that adding one takes, beside its pinned requirements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["PEERS", "Peer"]


def _inputs(rows: Any) -> Any:
    return {"inputs": rows}


def _open_inference(rows: Any) -> Any:
    flat = [value for row in rows for value in row]
    return {"inputs": [{"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": flat}]}


@dataclass(frozen=True)
class Peer:
    """One server. `environment` names its requirements; "" is this project's own, whose parts it is made of.

    `words` turns rows into its JSON, and the predictions stand in its answer at the keys `at`.
    """

    label: str
    environment: str = ""
    model: Literal["onnx", "joblib"] = "onnx"
    path: str = "/predict"
    words: Callable[[Any], Any] = _inputs
    at: tuple[str | int, ...] = ("predictions",)


PEERS = {
    "floor": Peer("floor: asyncio, httptools, msgspec, ORT"),
    "asgi": Peer("bare ASGI function, uvicorn"),
    "granian": Peer("Granian, RSGI function", "granian"),
    "starlette": Peer("Starlette route, uvicorn"),
    "fastapi": Peer("FastAPI + pydantic, uvicorn", "fastapi"),
    "flask": Peer("Flask + joblib, gunicorn gthread", "flask", model="joblib"),
    "mlserver": Peer(
        "MLServer (sklearn)",
        "mlserver",
        model="joblib",
        path="/v2/models/iris/infer",
        words=_open_inference,
        at=("outputs", 0, "data"),
    ),
    "litserve": Peer("LitServe", "litserve"),
    "bentoml": Peer("bentoml serve", "bentoml", at=()),
    "mlflow": Peer("mlflow models serve (sklearn)", "mlflow", model="joblib", path="/invocations"),
    "floor_tensor": Peer("floor, np.frombuffer"),
    "asgi_tensor": Peer("bare ASGI + np.frombuffer, uvicorn"),
    "bentoml_tensor": Peer("bentoml serve, JSON", "bentoml", at=()),
}
