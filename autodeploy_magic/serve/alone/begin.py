"""What each command begins with: the log, the environment, the signals; and how it ends where those are no good."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import Any

import msgspec

from autodeploy_magic.errors import AutodeployError, BadInput
from autodeploy_magic.serve.alone.environment import Given, log_level, read
from autodeploy_magic.serve.alone.logs import log_as_json, tell
from autodeploy_magic.serve.owner import stands_alone

__all__ = ["QUIET", "begin", "print_line"]

log = logging.getLogger(__name__)

QUIET = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "BENTOML_DO_NOT_TRACK": "true",
}
"""As workers have it elsewhere (`zygote.preload.QUIET`), unless somebody has chosen otherwise."""

BAD_INPUT = 2
FAILED = 1


def begin(command: str) -> int:
    """Run `command` and return its exit code: 0, 1 where it failed, 2 where what was given cannot be meant."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end_early)  # the first process of a container ignores signals that it does not handle
    if command == "handed":
        from autodeploy_magic.serve.alone.handed import handed

        return handed()
    stands_alone()
    log_as_json()
    try:
        logging.getLogger().setLevel(log_level(os.environ).upper())
        given = read(os.environ, command)
        for line in given.warnings:
            log.warning("%s", line)
        os.environ.pop("AUTODEPLOY_TOKEN", None)  # the model's own code, and what it starts, need not see it
        return _run(command, given)
    except AutodeployError as error:
        tell(error)
        if command == "check":
            print_line({"error": error.to_payload()})
            return FAILED
        if command == "lambda":
            from autodeploy_magic.serve.alone.runtime_api import tell_of_start

            tell_of_start(error)
        return BAD_INPUT if isinstance(error, BadInput) else FAILED


def print_line(value: dict[str, Any]) -> None:
    """Write the one line that a command has to say."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def _run(command: str, given: Given) -> int:
    if command == "check":
        from autodeploy_magic.serve.alone.check import check

        return check(given)
    if command == "lambda":
        from autodeploy_magic.serve.alone.aws_lambda import serve_lambda

        return serve_lambda(given)
    from autodeploy_magic.serve.alone.serving import serve

    return serve(given, command)


def _end_early(number: int, _: FrameType | None) -> None:
    """Told to end while the model is still being loaded: nobody waits for an answer.

    A signal that comes in the middle of a line of the log finds the stream taken, and no other line can be written.
    """
    try:
        log.info("ended before it served")
    finally:
        os._exit(0 if number == signal.SIGTERM else 128 + number)
