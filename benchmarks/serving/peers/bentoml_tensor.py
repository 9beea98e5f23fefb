"""`bentoml serve` with one worker: a picture as JSON, into a numpy array of fixed dtype and shape."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.validators import DType, Shape
from numpy.typing import NDArray

from serving.peers import PORT
from serving.peers.session import session
from serving.peers.tensor import SHAPE

Picture = Annotated[np.ndarray, Shape(SHAPE), DType("float32")]


@bentoml.service(workers=1)
class Pictures:
    def __init__(self) -> None:
        self.session = session()
        self.name = self.session.get_inputs()[0].name

    @bentoml.api  # type: ignore[untyped-decorator,unused-ignore]
    def predict(self, inputs: Picture) -> NDArray[Any]:
        found: NDArray[Any] = self.session.run(None, {self.name: np.asarray(inputs)})[0]
        return found


if __name__ == "__main__":
    serve = [sys.executable, "-m", "bentoml", "serve", "serving.peers.bentoml_tensor:Pictures"]
    os.execv(sys.executable, [*serve, "--host", "127.0.0.1", "--port", str(PORT)])
