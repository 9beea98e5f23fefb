"""What other libraries say while they write a model: kept away from the person's screen."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

__all__ = ["quieted"]


@contextlib.contextmanager
def quieted(*loggers: str, level: int = logging.CRITICAL) -> Iterator[None]:
    """Keep warnings, prints, and what these loggers say below `level` away; all is as it was afterwards."""
    found = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in found]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in found:
            logger.setLevel(level)
        try:
            yield
        finally:
            for logger, before in zip(found, levels, strict=True):
                logger.setLevel(before)
