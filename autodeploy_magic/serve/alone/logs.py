"""The log of an image: one JSON object a line on standard error, whoever writes it. Nothing is kept in files."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
import traceback
from types import TracebackType

from autodeploy_magic.errors import AutodeployError

__all__ = ["JsonLines", "log_as_json", "tell"]

log = logging.getLogger("autodeploy_magic.serve.alone")


class JsonLines(logging.Formatter):
    """time (ISO 8601, UTC), level, logger, message and pid; exception where there is one, and what `fields` adds."""

    def format(self, record: logging.LogRecord) -> str:
        seconds, milliseconds = divmod(int(record.created * 1000), 1000)
        line = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process or os.getpid(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, ensure_ascii=False, default=str)


def log_as_json(level: str = "info") -> None:
    """Let all that is logged, warned of or never caught be lines of JSON, from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda given: _uncaught(given.exc_type, given.exc_value, given.exc_traceback)
    sys.unraisablehook = lambda given: _uncaught(given.exc_type, given.exc_value, given.exc_traceback)


def tell(error: AutodeployError) -> None:
    """Log an error of ours with its three parts apart."""
    fields = {"error": type(error).__name__, "why": error.why, "fix": error.fix}
    log.error("%s", error.what, extra={"fields": {name: text for name, text in fields.items() if text}})


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    words = "".join(traceback.format_exception_only(kind, error)).strip()
    log.critical("%s", words, exc_info=(kind, error or kind(), trace))
