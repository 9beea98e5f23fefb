"""A virtual environment for each peer, made once from pinned requirements and kept for the next run.

They lie in a cache folder outside the repository: `--envs`, or AUTODEPLOY_BENCH_ENVS, or ~/.cache/autodeploy_bench. The
folder's name holds a digest of the requirements and of the Python, so a changed pin makes a new one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

__all__ = ["Missing", "cache_folder", "python_of"]

REQUIREMENTS = Path(__file__).parent / "requirements"
INSTALL_S = 900
_TRIES = 2


class Missing(Exception):
    """A peer that cannot be measured here, and why."""


def cache_folder(chosen: str = "") -> Path:
    """Where the environments are kept."""
    named = chosen or os.environ.get("AUTODEPLOY_BENCH_ENVS", "")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(named or f"{base}/autodeploy_bench").expanduser()


def python_of(name: str, folder: Path) -> Path:
    """The Python of the environment with `requirements/NAME.txt`, made where there is none. Raises `Missing`."""
    requirements = REQUIREMENTS / f"{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    environment = folder / f"{name}-{digest}"
    made = environment / ".made"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{name}.lock"):
        if not made.exists():
            print(f"  installing {name} into {environment} (once)", flush=True)
            _make(environment, requirements)
            made.touch()
    return environment / "bin" / "python"


def _make(environment: Path, requirements: Path) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    python = str(environment / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
    try:
        _run([sys.executable, "-m", "venv", str(environment)])
        for last in (False,) * (_TRIES - 1) + (True,):  # an index that hangs once often answers the second time
            try:
                _run(install)
                return
            except Missing:
                if last:
                    raise
    except BaseException:
        shutil.rmtree(environment, ignore_errors=True)
        raise


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        raise Missing(f"its installation took more than {INSTALL_S} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "WARNING" not in line] or ["no reason given"]
        raise Missing(f"its installation failed: {lines[-1].strip()[:200]}")
