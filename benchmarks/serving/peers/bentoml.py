"""`bentoml serve` with one worker: a service that runs the ONNX model, its types written as the documentation does."""

from __future__ import annotations

import os
import sys

import bentoml

from serving.peers import PORT
from serving.peers.session import predictor


@bentoml.service(workers=1)
class Rows:
    def __init__(self) -> None:
        self.model = predictor()

    @bentoml.api  # type: ignore[untyped-decorator,unused-ignore]
    def predict(self, inputs: list[list[float]]) -> list[int]:
        return self.model(inputs)


if __name__ == "__main__":
    serve = [sys.executable, "-m", "bentoml", "serve", "serving.peers.bentoml:Rows"]
    os.execv(sys.executable, [*serve, "--host", "127.0.0.1", "--port", str(PORT)])
