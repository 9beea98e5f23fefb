"""The environment of a version anew, from its Bento alone: a fresh virtual environment, its requirements, its sample.

Nothing of this environment is seen in there: no installed package, no PYTHONPATH, no home folder with its caches.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.build.compare import Comparison, compare
from autodeploy_magic.build.environment.installer import install
from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import BuildFailed, MissingPackage, PackageFailed, from_payload
from autodeploy_magic.store import Store

__all__ = ["Rebuilt", "rebuilt_environment"]

_BOOT = """\
import json, sys
sys.path.insert(0, sys.argv[1])
from autodeploy_magic.errors import AutodeployError
try:
    from autodeploy_magic.serve.clean.replay import main
    answer = {"result": main(json.load(open(sys.argv[2])))}
except AutodeployError as error:
    answer = {"error": error.to_payload()}
json.dump(answer, open(sys.argv[3], "w"))
"""
"""What the fresh Python runs: the Bento's own copy of what serves, and nothing else of ours."""

_HIDDEN = ("PYTHON", "VIRTUAL_ENV", "CONDA", "HF_", "TRANSFORMERS_", "TORCH_HOME", "KERAS_HOME", "XDG_", "AUTODEPLOY_")
"""Beginnings of the variables that would let a version find what is not in its Bento."""

_LAST_LINES = 12


@dataclass
class Rebuilt:
    """A fresh environment of one version. Each step is done once, in this order: create, install, replay."""

    store: Store
    version: Version
    folder: Path

    @property
    def bento(self) -> Path:
        return self.store.folder(self.version.deployment) / self.version.bento_path

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    def create(self) -> str:
        """Make the virtual environment, of the Python that the Bento asks for; return that Python's version.

        Raises `MissingPackage` where this machine has no such Python, `PackageFailed` where venv does not work.
        """
        wanted = ".".join(self.version.environment.python.split(".")[:2])
        executable = _python(wanted)
        clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
        command = [executable, "-m", "venv", "--without-pip", str(self.folder / "venv")]
        code, lines = self._run(command, 120.0, env=clean)
        if code:
            fix = "install the venv module of that Python (Debian: apt install python3-venv)"
            raise PackageFailed(f"{executable} could not make a virtual environment", why=lines, fix=fix)
        return wanted

    def install(self, timeout_s: float) -> int:
        """Install the Bento's requirements; return the bytes that the environment has on disk.

        Raises `PackageFailed` with the installer's last words, or `MissingPackage` where there is none.
        """
        requirements = self.bento / "env" / "python" / "requirements.txt"
        install(requirements, self.python, lambda command, s, env: self._run(command, s, env=env), timeout_s)
        return sum(file.lstat().st_size for file in (self.folder / "venv").rglob("*") if not file.is_dir())

    def replay(self, timeout_s: float) -> Comparison:
        """Answer the version's sample in the fresh environment, and compare with what was verified.

        Raises what the version raised there, or `BuildFailed` where the process died.
        """
        name, number = self.version.deployment, self.version.number
        model = self.store.folder(name) / self.version.model_path
        record = self.store.version_folder(name, number)
        sample, answers = record / "sample.json", record / "answers.json"
        if not (sample.is_file() and answers.is_file()):  # what travels in the Bento is a part of them
            sample, answers = model / "sample.json", model / "expected.json"
        home = self.folder / "home"
        home.mkdir()
        job, boot, result = (home / file for file in ("job.json", "boot.py", "result.json"))
        expected = msgspec.json.decode(answers.read_bytes())
        job.write_text(
            json.dumps({"folder": str(model), "sample": str(sample), "outputs": list(expected)}), encoding="utf-8"
        )
        boot.write_text(_BOOT, encoding="utf-8")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_HIDDEN)}
        env = {**kept, "HOME": str(home), "AUTODEPLOY_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [str(self.python), "-P", str(boot), str(self.bento / "src"), str(job), str(result)]
        code, lines = self._run(command, timeout_s, env=env, cwd=home)
        if not result.is_file():
            raise BuildFailed(
                f"{name} v{number} does not load in an environment made from its Bento alone (exit code {code})",
                why=lines,
                fix="what the last lines name is missing from the Bento: import it in the cell, then deploy again",
            )
        answer: dict[str, Any] = json.loads(result.read_bytes())
        if "error" in answer:
            raise from_payload(answer["error"])
        outputs = [output for output in self.version.outputs if output.name in expected]
        return compare(outputs, expected, answer["result"]["answers"])

    def _run(
        self, command: list[str], timeout_s: float, *, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> tuple[int, str]:
        """Run a program and return its exit code and its last lines. Interrupted, it and what it started are ended."""
        with (self.folder / "output").open("w+b") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd or self.folder,
                env=env,
                start_new_session=True,
            )
            try:
                code = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                code = -signal.SIGKILL
            finally:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            output.seek(0)
            lines = output.read().decode("utf-8", "replace").splitlines()
        if code == -signal.SIGKILL:
            lines.append(f"it was ended after {timeout_s:g} s")
        return code, "\n".join(lines[-_LAST_LINES:])


@contextmanager
def rebuilt_environment(store: Store, version: Version) -> Iterator[Rebuilt]:
    """A place for a fresh environment of `version`, removed at the end, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="autodeploy-doctor-"))
    try:
        yield Rebuilt(store, version, folder)
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder of many thousand files; an interrupt waits until it is gone."""
    try:
        shutil.rmtree(folder)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _python(wanted: str) -> str:
    """An executable of Python `wanted` ("3.11")."""
    if wanted == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = shutil.which(f"python{wanted}")
    if found is None:
        raise MissingPackage(
            f"the version needs Python {wanted}, which this machine does not have",
            why=f"this is Python {platform.python_version()}, and there is no python{wanted} on the PATH",
            fix=f"install Python {wanted} (uv python install {wanted}), or deploy again with the Python that is here",
        )
    return found
