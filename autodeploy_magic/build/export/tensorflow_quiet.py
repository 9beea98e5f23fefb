"""What TensorFlow and its converter say while they write a model: nothing of it is for the person."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

from autodeploy_magic.wire.libraries.tensorflow import without_noise

__all__ = ["quietly"]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep loggers, warnings, prints and the lines of TensorFlow's C++ side away; all is as it was afterwards.

    What others write to the error output meanwhile is written once it is over.
    """
    loggers = [logging.getLogger(name) for name in ("tensorflow", "absl", "tf2onnx", "keras")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), without_noise():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
