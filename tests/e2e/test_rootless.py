"""Podman of an ordinary user: an image is built, proved and run by somebody who is not root, and may not become it.

The engine's commands run as a user whom only they know: a namespace of mounts has a passwd, a subuid and a subgid of
the tests' own. What calls them is our code as it is.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from records import make_version
from world import until
from yards import BASE, base_image

from autodeploy_magic.ship.image.built import build, find_base
from autodeploy_magic.ship.image.engines import Chosen, choose
from autodeploy_magic.ship.image.installing import here
from autodeploy_magic.ship.image.known import Known, inspect, remove, sweep
from autodeploy_magic.ship.image.run import Container, command
from autodeploy_magic.ship.image.verify import Subject, started
from autodeploy_magic.ship.telling import Telling

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

UID = 47_311
"""A user that no system has."""
FIRST = 1_473_110_000
"""The first of the users that it may give to containers."""
_WAIT_S = 60.0

_CONTAINERFILE = """\
FROM {base}
COPY --chown=0:0 app/ /app/
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["python3.11", "/app/entry.py"]
"""
_ENTRY = """\
import json, os, sys
asked = json.load(sys.stdin)
assert os.getuid() == 65532 and asked["inputs"] == [[1]]
try:
    open("/app/new", "w")
except OSError:
    print(json.dumps({"answers": {"predictions": [7]}, "ready_s": 0.1, "rss_bytes": 1}))
"""


@dataclass(frozen=True)
class Rootless:
    """Podman as the ordinary user runs it, on a storage of its own."""

    folder: Path
    podman: Path

    def call(self, *words: str) -> str:
        done = subprocess.run([self.podman, *words], capture_output=True, text=True, timeout=_WAIT_S, check=False)
        assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"
        return done.stdout.strip()


@pytest.fixture
def rootless(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rootless]:
    missing = [
        tool
        for tool in ("podman", "runc", "newuidmap", "newgidmap", "unshare", "nsenter", "setpriv")
        if shutil.which(tool) is None
    ]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (newuidmap is in uidmap, the last three in util-linux)")
    if not all(Path("/etc", name).is_file() for name in ("subuid", "subgid")):
        pytest.skip("there is no /etc/subuid and /etc/subgid, which a system with uidmap has")
    if os.getuid() != 0:
        pytest.skip("only root can be another user for a while")
    with contextlib.suppress(KeyError):
        pytest.skip(f"there is a user {UID} here: {pwd.getpwuid(UID).pw_name}")
    base = base_image()
    # Images are large: not in memory. A short name: where a socket's path is too long, Podman waits 20 s for each end.
    folder = Path(tempfile.mkdtemp(prefix="adr-", dir="/var/tmp"))
    holder: subprocess.Popen[str] | None = None
    try:
        holder = _namespace(folder)
        podman = folder / "bin" / "podman"
        _wrap(podman, holder.pid, folder, shutil.which("podman") or "")
        monkeypatch.setenv("PATH", f"{podman.parent}{os.pathsep}{os.environ['PATH']}")
        found = Rootless(folder, podman)
        tried = subprocess.run([podman, "unshare", "true"], capture_output=True, text=True, timeout=60, check=False)
        if tried.returncode:
            pytest.skip(f"no user namespaces for an ordinary user here: {tried.stderr.strip()[-300:]}")
        shutil.copy(base, folder / "base.tar")
        (folder / "base.tar").chmod(0o644)
        found.call("import", "--quiet", str(folder / "base.tar"), BASE)
        yield found
    finally:
        _end(folder, holder)


def _namespace(folder: Path) -> subprocess.Popen[str]:
    """A process whose mounts are as this system's, but for the user; it waits until it is told to end."""
    folder.chmod(0o755)
    for name in ("home", "run"):
        (folder / name).mkdir(mode=0o700)
        os.chown(folder / name, UID, UID)
    user = f"adtests:x:{UID}:{UID}::{folder / 'home'}:/bin/sh\n"
    (folder / "passwd").write_text(Path("/etc/passwd").read_text("utf-8") + user, "utf-8")
    (folder / "group").write_text(Path("/etc/group").read_text("utf-8") + f"adtests:x:{UID}:\n", "utf-8")
    for name in ("subuid", "subgid"):
        (folder / name).write_text(f"adtests:{FIRST}:65536\n", "ascii")
    mounts = [
        f"mount --bind {shlex.quote(str(folder / name))} /etc/{name}"
        for name in ("passwd", "group", "subuid", "subgid")
    ]
    script = " && ".join([*mounts, "mount --make-rshared /", "echo ready", "read end"])
    holder = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    if holder.stdout.readline() != "ready\n":
        pytest.skip("no namespace of mounts can be made here")
    return holder


def _wrap(file: Path, namespace: int, folder: Path, podman: str) -> None:
    """A podman that is the ordinary user's, with nothing of our environment."""
    config = folder / "home" / "containers.conf"
    config.write_text('[containers]\ndefault_ulimits = []\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\n')
    storage = folder / "home" / "storage.conf"
    storage.write_text('[storage]\ndriver = "overlay"\n')
    values = {
        "HOME": folder / "home",
        "XDG_RUNTIME_DIR": folder / "run",
        "CONTAINERS_CONF": config,
        "CONTAINERS_STORAGE_CONF": storage,
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    }
    words = ["nsenter", f"--target={namespace}", "--mount", "setpriv", f"--reuid={UID}", f"--regid={UID}"]
    words += ["--clear-groups", "--inh-caps=-all", "env", "-i", *(f"{name}={value}" for name, value in values.items())]
    file.parent.mkdir()
    file.write_text(f'#!/bin/sh\ncd /\nexec {shlex.join(words)} "TMPDIR=${{TMPDIR:-/tmp}}" {podman} "$@"\n')
    file.chmod(0o755)


def _end(folder: Path, holder: subprocess.Popen[str] | None) -> None:
    """Nothing of the user is left: no process, no mount, no file."""

    def processes() -> list[int]:
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                uid = place.stat().st_uid
                if uid == UID or FIRST <= uid < FIRST + 65536:
                    found.append(int(place.name))
        return found

    def gone() -> bool:
        for pid in processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not processes()

    until(gone)
    if holder is not None:
        holder.communicate("end\n", timeout=_WAIT_S)  # its mounts go with it
    shutil.rmtree(folder)


def _built(rootless: Rootless, chosen: Chosen, tmp_path: Path) -> tuple[Known, str]:
    """An image on the base image, as a build of ours has the engine make it."""
    work = rootless.folder / "work"
    (work / "context" / "app").mkdir(parents=True)
    (work / "tmp").mkdir()
    os.chown(work / "tmp", UID, UID)
    (work / "context" / "app" / "entry.py").write_text(_ENTRY)
    telling, ends = Telling(str(tmp_path / "log")), time.monotonic() + _WAIT_S
    base = find_base(chosen, BASE, "autodeploy-rootless", here(), telling, ends)
    assert base.local == "localhost/autodeploy-rootless-base:latest"
    (work / "Containerfile").write_text(_CONTAINERFILE.format(base=base.local))
    reference = "rootless:v1"
    known = build(chosen, work / "context", work / "Containerfile", reference, base, telling, ends)
    base.forget("podman")
    assert known is not None
    return known, reference


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    record = tmp_path / "record"
    record.mkdir()
    (record / "sample.json").write_text('{"inputs": [[1]]}')
    (record / "answers.json").write_text('{"predictions": [7]}')
    return Subject(make_version(1), record, tmp_path / "model")


def test_an_ordinary_user_builds_proves_and_serves(rootless: Rootless, subject: Subject, tmp_path: Path) -> None:
    chosen = choose("podman")
    assert chosen.store == rootless.folder / "home/.local/share/containers/storage"
    assert chosen.notes == ()
    known, reference = _built(rootless, chosen, tmp_path)
    assert known.user == "65532:65532"

    telling = Telling(str(tmp_path / "log"))
    proof = started(chosen, reference, known, subject, "autodeploy-rootless", telling, timeout_s=_WAIT_S)
    assert (proof.checked, proof.rows, proof.notes) == ("started", 1, ())

    # As the workers of --target container run: what they write in the folders that they see is this user's.
    shared = rootless.folder / "home" / "shared"
    shared.mkdir()
    os.chown(shared, UID, UID)
    container = Container(
        engine="podman",
        image=reference,
        words=("-c", f"import os; open('{shared}/x', 'w').write(str(os.getuid()))"),
        entrypoint="python3.11",
        network="none",
        user=f"{UID}:{UID}",
        userns="keep-id",
        mounts=((str(shared), str(shared), "rw"),),
        watched=False,
    )
    done = subprocess.run(command(container), capture_output=True, text=True, timeout=_WAIT_S, check=False)
    assert done.returncode == 0, done.stderr
    assert (shared / "x").read_text() == str(UID)
    assert (shared / "x").stat().st_uid == UID

    sweep("podman", "autodeploy-rootless")
    remove("podman", reference)
    assert inspect("podman", reference) is None
    assert rootless.call("ps", "--all", "--external", "--quiet") == ""
