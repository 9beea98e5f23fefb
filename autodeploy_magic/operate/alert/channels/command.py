"""Alerts to any command: as JSON on its standard input, and in its environment.

    AUTODEPLOY_ALERT_NAME, _STATE, _SEVERITY, _RULES, _TITLE, _TEXT, _URL, _COUNT, _ID, _TEST

No shell reads the command; its words are split as a shell would. It has the deadline's time; then, and also where it
ends before what it started, its whole session is killed. It has failed where its exit code is not 0.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
from typing import IO

import msgspec

from autodeploy_magic.operate.alert import words
from autodeploy_magic.operate.alert.channels.base import Deadline, Facts, Undelivered
from autodeploy_magic.operate.alert.message import Message

__all__ = ["Command"]

_TAIL_BYTES = 2000
_LOOK_S = 0.05
_LONGEST = 2000


class Command:
    """Runs `alert_command`."""

    groups = True

    def targets(self, facts: Facts) -> list[str]:
        command = str(facts.settings.get("alert_command") or "").strip()
        return [command] if command else []

    def label(self, target: str) -> str:
        return target.split(maxsplit=1)[0].rpartition("/")[2]

    def deliver(self, target: str, message: Message, facts: Facts, deadline: Deadline) -> None:
        try:
            given = shlex.split(target)
        except ValueError as error:
            raise Undelivered(f"alert_command cannot be read: {error}", again=False) from error
        try:
            process = subprocess.Popen(
                given,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, **_environment(message)},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise Undelivered(f"{given[0]} could not be run: {error}", again=False) from error
        try:
            said = _run(process, msgspec.json.encode(message.plain()), deadline)
        finally:
            _end(process)
        if process.returncode:
            ended = f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
            why = words.clean(said.decode("utf-8", "replace")[-300:])
            raise Undelivered(f"{self.label(target)} ended with {ended}" + (f": {why}" if why else ""))


def _run(process: subprocess.Popen[bytes], given: bytes, deadline: Deadline) -> bytes:
    """Write to it and read from it until it has ended, and return the last that it said. Raises `Undelivered`."""
    assert process.stdin is not None
    assert process.stderr is not None
    said = b""
    with selectors.DefaultSelector() as selector:
        for stream, event in ((process.stdin, selectors.EVENT_WRITE), (process.stderr, selectors.EVENT_READ)):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, event)
        while process.poll() is None:
            within_s = deadline.left_s
            if not selector.get_map():  # it has closed both, and lives on
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(min(within_s, _LOOK_S))
                continue
            # It may end while others hold its standard error open: its end shows at the next look.
            for key, _ in selector.select(min(within_s, _LOOK_S)):
                if key.fileobj is process.stdin:
                    given = _write(process.stdin, given)
                    if not given:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                else:
                    data = _read(process.stderr)
                    said = (said + data)[-_TAIL_BYTES:]
                    if not data:
                        selector.unregister(process.stderr)
        return (said + _read(process.stderr))[-_TAIL_BYTES:]


def _write(stream: IO[bytes], data: bytes) -> bytes:
    """Write what goes in, and return what is left; nothing is where nobody reads any more."""
    try:
        return data[os.write(stream.fileno(), data) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return b""


def _read(stream: IO[bytes]) -> bytes:
    try:
        return os.read(stream.fileno(), 65536)
    except BlockingIOError:
        return b""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of it: neither itself nor what it started, in its session or in one of its own."""
    import psutil

    started: list[psutil.Process] = []
    if process.poll() is None:
        with contextlib.suppress(psutil.Error):
            started = psutil.Process(process.pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for one in started:
        with contextlib.suppress(psutil.Error):
            one.kill()
    for stream in (process.stdin, process.stderr):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    process.wait()


def _environment(message: Message) -> dict[str, str]:
    values = {
        "NAME": message.name,
        "STATE": message.state,
        "SEVERITY": message.severity,
        "RULES": ",".join(alert.rule for alert in message.alerts[:50]),
        "TITLE": message.title,
        "TEXT": "\n".join(message.lines),
        "URL": message.url,
        "COUNT": str(len(message.alerts)),
        "ID": message.id,
        "TEST": "1" if message.test else "",
    }
    return {f"AUTODEPLOY_ALERT_{name}": value.replace("\0", " ")[:_LONGEST] for name, value in values.items()}
