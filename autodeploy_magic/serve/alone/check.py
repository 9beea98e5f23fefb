"""`check`: the rows on standard input, answered by the real server, which ends afterwards. It proves an image.

Standard input is {"inputs": …, "outputs": […]}; standard output one line: {"ready_s", "rss_bytes", "answers", "python",
"version"}, or {"error": {…}} and exit code 1. Whatever else writes to standard output is sent to standard error.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from platform import python_version
from typing import Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.errors import AutodeployError, InvalidInputs, StartFailed, from_payload
from autodeploy_magic.serve.alone.environment import Given
from autodeploy_magic.serve.alone.folder import state_folder
from autodeploy_magic.serve.alone.inside import wait_until_it_serves
from autodeploy_magic.serve.alone.order import make_order, read_version
from autodeploy_magic.serve.alone.serving import serve_here

__all__ = ["check"]

ANSWER_S = 300.0


class Rows(msgspec.Struct):
    """What is asked."""

    inputs: Any
    outputs: list[str] | None = None


def check(given: Given) -> int:
    """Serve, ask, and end. Raises `AutodeployError` for what can be known before."""
    from autodeploy_magic.serve.alone.begin import print_line

    body = sys.stdin.buffer.read()
    try:
        rows = msgspec.json.decode(body, type=Rows)
    except msgspec.DecodeError as error:
        raise InvalidInputs(
            "the rows on standard input cannot be read", why=str(error), fix='send {"inputs": [row, …]}'
        ) from error
    said = os.dup(1)
    os.dup2(2, 1)  # what the model prints is not the answer
    version = read_version(given.model)
    state = state_folder(given.state / f"check-{os.getpid()}")  # a server may run beside it, in the same container
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    # As many rows as there are: the limits are for strangers.
    limits = {"max_rows": max(int(settings.get("max_rows")), _count(rows.inputs)), "record": "off", "metrics": False}
    limits["max_body_bytes"] = max(int(settings.get("max_body_bytes")), 2 * len(body) + 1024)
    limits["request_timeout_s"] = max(float(settings.get("request_timeout_s")), ANSWER_S)
    spec = make_order(given, version, state, token_file="", tls="", settings={**given.settings, **limits}, requests="")
    found: dict[str, Any] = {}

    def ask(channel: socket.socket) -> None:
        try:
            wait_until_it_serves(channel)
        except AutodeployError as error:
            found["error"] = error.to_payload()
            return
        try:
            found["ready_s"] = round(_age_s(), 3)
            found["rss_bytes"] = _rss_bytes()
            found["answers"] = _answers(port, rows)
        except AutodeployError as error:
            found["error"] = error.to_payload()
        except (OSError, HTTPException) as error:
            found["error"] = StartFailed(
                "the server did not answer", why=f"{type(error).__name__}: {error}"
            ).to_payload()
        os.kill(os.getpid(), signal.SIGHUP)

    code = serve_here(spec, [listening], ask)
    shutil.rmtree(state, ignore_errors=True)
    sys.stdout.flush()  # of what is still on its way to where the answer is not
    os.dup2(said, 1)
    if "error" in found or "answers" not in found:
        lost = StartFailed("the server ended before it answered").to_payload()
        print_line({"error": found.get("error", lost)})
        return 1
    print_line({**found, "python": python_version(), "version": version.number})
    return code


def _answers(port: int, rows: Rows) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        body = msgspec.json.encode(
            {name: value for name, value in msgspec.to_builtins(rows).items() if value is not None}
        )
        connection.request("POST", "/predict", body, {"content-type": "application/json"})
        response = connection.getresponse()
        answer = msgspec.json.decode(response.read(), type=dict[str, Any])
    finally:
        connection.close()
    if response.status != 200:
        raise from_payload({**answer, "what": answer.get("message", f"HTTP {response.status}")})
    return {name: value for name, value in answer.items() if name not in ("id", "version")}


def _count(inputs: Any) -> int:
    """How many rows there are, at most."""
    columns = list(inputs.values()) if isinstance(inputs, dict) else [inputs]
    return max((len(values) for values in columns if isinstance(values, list)), default=1)


def _age_s() -> float:
    """For how long this process has been there: to the hundredth, as Linux tells it."""
    try:
        ticks = int(Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return time.perf_counter()  # about: its zero is anywhere


def _rss_bytes() -> int:
    try:
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
