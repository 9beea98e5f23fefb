"""What TensorFlow and its converter say while they write a model: nothing of it is for the person."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from autodeploy_magic.build.export.quiet import quieted
from autodeploy_magic.wire.libraries.tensorflow import without_noise

__all__ = ["quietly"]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep loggers, warnings, prints and the lines of TensorFlow's C++ side away; all is as it was afterwards.

    What others write to the error output meanwhile is written once it is over.
    """
    with quieted("tensorflow", "absl", "tf2onnx", "keras"), without_noise():
        yield
