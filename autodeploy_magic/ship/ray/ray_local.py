"""A Ray cluster of one node on this machine, for whoever has none: started once, and kept until it is stopped.

It runs in a session of its own, asks for a token that only its owner can read, and its dashboard listens on the
loopback address. What is known of it lies in the state folder.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil

from autodeploy_magic.contracts import Progress, Record, Report, decode
from autodeploy_magic.errors import BrokenPackage, MissingPackage, ShipFailed, StoreFailed
from autodeploy_magic.registry import INSTALL_HINTS
from autodeploy_magic.ship.ray.dashboard import Dashboard
from autodeploy_magic.store import Store, write_atomic

__all__ = ["LocalCluster", "find", "start", "stop"]

START_S = 150.0
TRIES = 3
"""Ray gives a node 30 s to come up, and ends it then: on a busy machine the next try succeeds."""
STOP_S = 15.0
_LOOK_S = 0.2


class LocalCluster(Record, frozen=True, kw_only=True):
    """A cluster that was started here. `pid` and `create_time` name its first process beyond doubt."""

    pid: int
    create_time: float
    address: str
    http_port: int
    gcs: str
    folder: str
    token_file: str

    @property
    def token(self) -> str:
        """The cluster's own token. Raises `OSError`."""
        return Path(self.token_file).read_text("ascii").strip()

    @property
    def more(self) -> dict[str, Any]:
        """Where Ray Serve is to listen in it."""
        return {"http_options": {"host": "127.0.0.1", "port": self.http_port}, "proxy_location": "HeadOnly"}

    def environment(self) -> dict[str, str]:
        """What Ray's own commands need to speak with it."""
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": self.token_file,
            "RAY_USAGE_STATS_ENABLED": "0",
        }


def find(store: Store) -> LocalCluster | None:
    """The cluster that was started here and still runs; None where there is none."""
    file = _file(store)
    try:
        found = decode(LocalCluster, file.read_bytes(), source=str(file))
        process = psutil.Process(found.pid)
        return found if abs(process.create_time() - found.create_time) < 1.0 else None
    except (FileNotFoundError, StoreFailed, psutil.NoSuchProcess):
        return None


def start(
    store: Store, executable: str, report: Report = lambda _: None, *, cpus: int = 0, http_port: int = 0
) -> LocalCluster:
    """The cluster of this machine, started with the Ray of `executable` where none runs.

    `cpus` are what Ray may give away, 0 for those of the machine. Raises `MissingPackage` where that Python has no Ray,
    and `ShipFailed`.
    """
    found = find(store)
    if found is not None:
        return found
    _need_ray(executable)
    why = ""
    for attempt in range(TRIES):
        report(Progress(step="ship", state="started", detail="starting a Ray cluster on this machine"))
        made, why = _try(executable, cpus, http_port)
        if made is not None:
            write_atomic(_file(store), msgspec.json.encode(made))
            return made
        report(Progress(step="ship", state="started", detail=f"Ray did not start (try {attempt + 1}): {why[-200:]}"))
    raise ShipFailed(
        f"a Ray cluster did not start in {TRIES} tries",
        why=why,
        fix="close what keeps this machine busy, or start one with `ray start --head` and give its address",
    )


def stop(store: Store) -> bool:
    """End the cluster that was started here, and remove what it left; false where there is none."""
    found = find(store)
    if found is None:
        _file(store).unlink(missing_ok=True)
        return False
    _end(found.pid)
    shutil.rmtree(found.folder, ignore_errors=True)
    _file(store).unlink(missing_ok=True)
    return True


def _file(store: Store) -> Path:
    return store.home / "ray.json"


def _try(executable: str, cpus: int, http_port: int) -> tuple[LocalCluster | None, str]:
    folder = Path(tempfile.mkdtemp(prefix="adray-", dir="/tmp"))  # private, and short: it holds sockets
    token_file = folder / "token"
    write_atomic(token_file, secrets.token_hex(32).encode())
    dashboard, gcs, http = _free_port(), _free_port(), http_port or _free_port()
    log = folder / "start.log"
    words = ["start", "--head", "--block", "--disable-usage-stats", "--node-ip-address", "127.0.0.1"]
    words += ["--port", str(gcs), "--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard)]
    words += ["--ray-client-server-port", str(_free_port()), "--temp-dir", str(folder / "r")]
    words += ["--min-worker-port", "0", "--max-worker-port", "0", "--dashboard-agent-listen-port", str(_free_port())]
    words += ["--object-store-memory", str(80 * 1024 * 1024), *(["--num-cpus", str(cpus)] if cpus else [])]
    made = LocalCluster(
        pid=0,
        create_time=0.0,
        address=f"http://127.0.0.1:{dashboard}",
        http_port=http,
        gcs=f"127.0.0.1:{gcs}",
        folder=str(folder),
        token_file=str(token_file),
    )
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [executable, "-m", "ray.scripts.scripts", *words],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **made.environment()},
            cwd=folder,
            start_new_session=True,
        )
    try:
        _wait_ready(process, Dashboard(made.address, made.token, timeout_s=5.0), log)
    except ShipFailed as error:
        why = f"{error.what}: {_tail(log)}"
        _end(process.pid)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
        return None, why
    except BaseException:
        _end(process.pid)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    created = psutil.Process(process.pid).create_time()
    return msgspec.structs.replace(made, pid=process.pid, create_time=created), ""


def _wait_ready(process: subprocess.Popen[bytes], dashboard: Dashboard, log: Path) -> None:
    """Wait until the node has said that it runs, and its dashboard answers. Raises `ShipFailed`."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            code = process.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            if "Ray runtime started" in _tail(log, 4000):
                with contextlib.suppress(ShipFailed):
                    dashboard.state()
                    return
            continue
        raise ShipFailed(f"ray start ended with {code}")
    raise ShipFailed(f"its dashboard did not answer within {START_S:g} s")


def _end(pid: int) -> None:
    """End a cluster's first process and all of its session, and wait until they have ended."""
    members = _session(pid)
    for member in members:
        if member.pid == pid:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGTERM)
    psutil.wait_procs([member for member in members if member.pid == pid], timeout=STOP_S)
    left = [member for member in {*members, *_session(pid)} if member.is_running()]
    for member in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(left, timeout=STOP_S)


def _session(pid: int) -> set[psutil.Process]:
    """Every process of the session that `pid` leads, and whatever came of them."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess, PermissionError):
            if os.getsid(process.pid) == pid:
                found |= {process, *process.children(recursive=True)}
    return found


def _need_ray(executable: str) -> None:
    """Raise `MissingPackage` or `BrokenPackage` unless that Python has Ray, and Ray Serve in it."""
    asked = subprocess.run(
        [executable, "-c", "import ray.serve"], capture_output=True, text=True, timeout=START_S, check=False
    )
    if asked.returncode == 0:
        return
    said = asked.stderr.strip().splitlines()[-1:] or [""]
    fix = INSTALL_HINTS.get("ray", "pip install 'autodeploy_magic[ray]'")
    if "No module named 'ray'" in said[0]:
        raise MissingPackage(
            "a Ray cluster on this machine needs the package ray",
            why="it is not installed in this environment",
            fix=f"{fix}; or give the address of a cluster that runs, such as --set address=http://HOST:8265",
        )
    raise BrokenPackage("Ray is installed and Ray Serve fails to import", why=said[0], fix=fix)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _tail(log: Path, most: int = 600) -> str:
    try:
        return log.read_bytes()[-most:].decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return ""
