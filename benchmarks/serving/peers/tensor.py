"""The model in the hand-written servers of a picture: from the bytes of a float32 tensor to the bytes of the answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from serving.peers.session import session

__all__ = ["SHAPE", "predictor"]

SHAPE = (1, 3, 224, 224)


def predictor() -> Callable[[bytes | bytearray], bytes]:
    """The model's first output for one picture."""
    loaded = session()
    name = loaded.get_inputs()[0].name
    wanted = [loaded.get_outputs()[0].name]

    def predict(body: bytes | bytearray) -> bytes:
        found: bytes = loaded.run(wanted, {name: np.frombuffer(body, np.float32).reshape(SHAPE)})[0].tobytes()
        return found

    return predict
