"""Container engines for tests: storage of their own, a small base image, and nothing left of either afterwards.

Nothing of the person's is touched: Podman and Buildah are told by their variables where to keep images, and a dockerd
of the tests' own listens in a folder of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from world import until

__all__ = ["BASE", "FULL", "Engines", "base_image", "dockerd", "engines", "full_base"]

BASE = "localhost/autodeploy-tests-base:1"
FULL = "localhost/autodeploy-tests-full:1"
ROOT = Path(__file__).resolve().parents[1]
_WAIT_S = 60.0

_CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=2048:2048"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_STORAGE_CONF = """\
[storage]
driver = "{driver}"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""


@dataclass(frozen=True)
class Engines:
    """Podman and Buildah on a storage of their own, with the base image in it."""

    folder: Path
    base_tar: Path

    def call(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        """The output of an engine's command."""
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=_WAIT_S, check=False)
        assert done.returncode == 0 or not check, f"{' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def import_base(self, name: str, *changes: str) -> None:
        """Have the base image by a name; with changes of its configuration it is another one."""
        options = [word for change in changes for word in ("--change", change)]
        self.call("podman", "import", "--quiet", *options, str(self.base_tar), name)

    def left(self) -> list[str]:
        """The containers of builds and of checks that are there."""
        names = self.call("podman", "ps", "--all", "--external", "--format", "{{.Names}}").splitlines()
        return [name for name in names if "working-container" in name or name.endswith("-check")]


def needs(*tools: str) -> None:
    """Skip where a tool is missing, or we may not do what the tests do."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (tools/system.sh installs them)")
    if os.getuid() != 0:
        pytest.skip("the tests' own storage of images needs root")


def base_image(kind: str = "small") -> Path:
    """The tar of the base image, made once; see tools/base_image.sh."""
    words = [ROOT / "tools" / "base_image.sh", kind]
    made = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    if made.returncode:
        pytest.skip(f"no base image: {made.stderr.strip()[-300:]}")
    return Path(made.stdout.strip())


@contextlib.contextmanager
def engines() -> Iterator[Engines]:
    """Podman and Buildah for a while, by the variables of this process."""
    needs("podman", "buildah", "runc", "mmdebstrap")
    base = base_image()
    folder = Path(tempfile.mkdtemp(prefix="autodeploy-engines-", dir="/var/tmp"))  # images are large: not in memory
    driver = "overlay" if "overlay" in Path("/proc/filesystems").read_text("ascii") else "vfs"
    (folder / "containers.conf").write_text(_CONTAINERS_CONF)
    (folder / "storage.conf").write_text(_STORAGE_CONF.format(folder=folder, driver=driver))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_CONF", str(folder / "containers.conf"))
        patch.setenv("CONTAINERS_STORAGE_CONF", str(folder / "storage.conf"))
        patch.setenv("BUILDAH_ISOLATION", "chroot")
        found = Engines(folder, base)
        try:
            found.import_base(BASE)
            yield found
        finally:
            found.call("podman", "rm", "--all", "--force", "--time", "0", check=False)
            _remove(folder)


def full_base(yard: Engines) -> str:
    """The name of a base with what BentoML's recipe calls: groupadd, a shell, Python with venv, and uv."""
    from uv import find_uv_bin

    yard.call("podman", "import", "--quiet", str(base_image("full")), f"{FULL}-bare")
    with tempfile.TemporaryDirectory(prefix="autodeploy-uv-") as folder:
        shutil.copy(find_uv_bin(), folder)
        recipe = Path(folder) / "Containerfile"
        recipe.write_text(f"FROM {FULL}-bare\nCOPY uv /usr/local/bin/uv\n")
        yard.call("buildah", "bud", "--quiet", "--pull-never", "-f", str(recipe), "-t", FULL, folder)
    return FULL


@contextlib.contextmanager
def dockerd(base: Path) -> Iterator[None]:
    """A Docker of the tests' own, which DOCKER_HOST names, with the base image in it."""
    needs("dockerd", "docker", "runc")
    folder = Path(tempfile.mkdtemp(prefix="autodeploy-docker-", dir="/var/tmp"))
    socket = folder / "docker.sock"
    command = ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=overlay2"]
    command += ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    command += ["--pidfile", str(folder / "pid"), "-H", f"unix://{socket}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", f"unix://{socket}")
        patch.setenv("DOCKER_CONFIG", str(folder / "config"))
        try:
            until(lambda: process.poll() is not None or _answers(), _WAIT_S)
            if process.poll() is not None:
                pytest.skip(f"dockerd does not start here: {(folder / 'log').read_text()[-400:]}")
            subprocess.run(["docker", "import", str(base), BASE], capture_output=True, check=True, timeout=_WAIT_S)
            yield
        finally:
            family = [process.pid, *(child.pid for child in _children(process.pid))]
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_WAIT_S)
            for pid in family:
                with contextlib.suppress(psutil.Error):
                    psutil.Process(pid).kill()
            _remove(folder)


def _remove(folder: Path) -> None:
    """A folder with all that is still mounted in it."""

    def gone() -> bool:
        for mount in _mounts(folder):  # a folder may be mounted over itself more than once
            subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)  # what an engine's last process still writes comes back
        return not folder.exists()

    until(gone)


def _answers() -> bool:
    return subprocess.run(["docker", "version"], capture_output=True, timeout=_WAIT_S, check=False).returncode == 0


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _mounts(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text("utf-8").splitlines()
    return [line.split()[1] for line in lines if line.split()[1].startswith(str(folder))][::-1]
