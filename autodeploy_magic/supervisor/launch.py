"""Find the supervisor that runs, or start one; exactly one, however many ask at once."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.contracts import decode
from autodeploy_magic.errors import SupervisorFailed, UnreadableRecord, from_payload
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.records import API, SupervisorInfo, package_version

__all__ = ["ensure", "running"]

log = logging.getLogger(__name__)

START_S = 60.0
"""Taking over many deployments takes a while; a supervisor with none answers in less than a second."""
HANDOVER_S = 30.0
PROBE_S = 5.0


def running(store: Store) -> SupervisorInfo | None:
    """The supervisor that runs, if it accepts connections; a file of one that is gone counts as none."""
    file = store.supervisor_file
    try:
        info = decode(SupervisorInfo, file.read_bytes(), source=str(file))
    except FileNotFoundError:
        return None
    except UnreadableRecord as error:
        log.warning("%s", error)
        return None
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(info.socket)
        except OSError:
            return None
    return info


def ensure(store: Store) -> SupervisorInfo:
    """The supervisor that runs, started where none does; one of an older release hands over to ours first.

    Raises `SupervisorFailed` with the end of its log where it does not start.
    """
    info = running(store)
    if info is not None and not _is_older(info):
        return _compatible(info)
    from filelock import FileLock, Timeout

    try:
        with FileLock(store.lock_file.with_suffix(".start"), timeout=START_S + HANDOVER_S, mode=0o600):
            info = running(store)  # somebody may have started it while we waited
            if info is None:
                _end_deaf(store)
                _start(store)
            elif _is_older(info):
                _hand_over(info)
                _start(store)
            info = running(store)
    except Timeout:
        info = None
    if info is None:
        raise _failure(store, "the supervisor did not start")
    return _compatible(info)


def _start(store: Store) -> None:
    """Start the process and wait on its pipe until it answers calls."""
    from autodeploy_magic.serve.log import open_log
    from autodeploy_magic.supervisor.workers.processes import environment

    receiver, sender = os.pipe()
    log_fd = open_log(store.supervisor_log)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "autodeploy_magic.supervisor", "--detach", str(sender)],
            stdin=subprocess.DEVNULL,
            stdout=log_fd,
            stderr=log_fd,
            cwd=store.home,
            env=environment() | _chosen_settings() | {"AUTODEPLOY_HOME": str(store.home)},
            pass_fds=[sender],
            start_new_session=True,
        )
        os.close(sender)
        sender = -1
        process.wait()
        waiting = select.poll()  # not select(): a kernel may have more than 1024 descriptors
        waiting.register(receiver, select.POLLIN)
        answer = os.read(receiver, 65536) if waiting.poll(START_S * 1000) else b""
    finally:
        os.close(receiver)
        os.close(log_fd)
        if sender >= 0:
            os.close(sender)
    if not answer:
        raise _failure(store, "the supervisor did not start")
    message = msgspec.json.decode(answer, type=dict[str, object])
    if "error" in message:
        raise from_payload(msgspec.convert(message["error"], dict[str, object]))


def _hand_over(info: SupervisorInfo) -> None:
    """Have a supervisor of an older release end; its deployments serve on, and ours takes them over."""
    warnings.warn(
        f"the supervisor is of release {info.version}; it hands over to {package_version()}, deployments serve on",
        stacklevel=4,
    )
    _end(info)


def _end_deaf(store: Store) -> None:
    """End a supervisor that lives and cannot be reached, because somebody removed its socket."""
    from autodeploy_magic.supervisor.workers.watch import is_same

    with contextlib.suppress(FileNotFoundError, UnreadableRecord):
        info = decode(SupervisorInfo, store.supervisor_file.read_bytes())
        if is_same(info.pid, info.create_time, info.boot_id):
            log.warning("supervisor %d cannot be reached at %s and is replaced", info.pid, info.socket)
            _end(info)


def _end(info: SupervisorInfo) -> None:
    from autodeploy_magic.supervisor.workers.watch import wait_gone

    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(info.pid, number)
        if wait_gone(info.pid, HANDOVER_S):
            return


def _chosen_settings() -> dict[str, str]:
    """What the person has set here, so that it holds there too."""
    chosen = {knob.env: settings.get(knob.name) for knob in settings.KNOBS.values()}
    defaults = {knob.env: knob.default for knob in settings.KNOBS.values()}
    return {name: str(value) for name, value in chosen.items() if value != defaults[name]}


def _compatible(info: SupervisorInfo) -> SupervisorInfo:
    if info.api == API:
        return info
    raise SupervisorFailed(
        f"the supervisor that runs is of release {info.version}, newer than the {package_version()} here",
        why="the two do not speak the same language",
        fix="pip install --upgrade autodeploy_magic, and restart the kernel",
    )


def _is_older(info: SupervisorInfo) -> bool:
    return info.api < API or _numbers(info.version) < _numbers(package_version())


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: 1.2.3rc1 is (1, 2, 3)."""
    found: list[int] = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
    return tuple(found)


def _failure(store: Store, what: str) -> SupervisorFailed:
    from autodeploy_magic.serve.log import tail

    return SupervisorFailed(
        what,
        why=tail(store.supervisor_log, 12) or "it said nothing",
        fix=f"`%deploy doctor` looks for the cause; the log is {Path(store.supervisor_log)}",
    )
