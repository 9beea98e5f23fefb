"""A program whose output is told line by line while it runs, and is kept for whoever asks what went wrong."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from autodeploy_magic.ship.telling import Telling

__all__ = ["stream"]

_KEPT_LINES = 400
_GRACE_S = 3.0
"""How long a program that is ended early may take to end by itself, as engines do with the steps that they run."""
_NOT_SHOWN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
"""Colours and the movements of a terminal's cursor."""
_CREDENTIALS = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")


def stream(
    words: Sequence[str],
    telling: Telling,
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> tuple[int, str]:
    """Run a program and return its exit code and its last lines; 124 where it was ended after `timeout_s`.

    It stays in our process group: whoever ends that, ends it. Interrupted, it is ended with all that it started.
    Passwords in addresses are not told.
    """
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd=cwd
        )
    except OSError as error:
        return 126, f"{words[0]} could not be started: {error}"
    late = threading.Event()

    def end() -> None:
        late.set()
        _end(process)

    timer = threading.Timer(timeout_s, end)
    timer.start()
    try:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                # A bar of progress draws itself anew after each carriage return: the last one stands.
                text = line.decode("utf-8", "replace").rstrip("\r\n").rpartition("\r")[2]
                text = _CREDENTIALS.sub("***", _NOT_SHOWN.sub("", text)).rstrip()
                if text:
                    kept.append(text)
                    telling.line(text)
        code = process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:
            _end(process)
            process.wait()
    if late.is_set():
        kept.append(f"it was ended after {timeout_s:g} s")
        code = 124
    return code, "\n".join(kept)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started: first as they would themselves."""
    started: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        started = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    for one in started:
        with contextlib.suppress(psutil.Error):
            one.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
    process.kill()
    _, left = psutil.wait_procs(started, timeout=_GRACE_S)
    for one in left:
        with contextlib.suppress(psutil.Error):
            one.kill()
