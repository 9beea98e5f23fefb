"""Installing requirements into a fresh environment as the person's own pip would, only sooner where uv can.

uv reads nothing of pip's configuration: it is told what that says. What uv cannot install, pip tries again, whose words
people know. Addresses are passed on in the environment of the process, not on its command line, for they may hold
passwords; and these are taken out of what is shown.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from autodeploy_magic.errors import MissingPackage, PackageFailed

__all__ = ["Run", "find_uv", "install", "pip_environment", "uv_environment"]

Run = Callable[[list[str], float, dict[str, str]], tuple[int, str]]
"""Runs a program for at most so many seconds in an environment; its exit code and its last lines."""

_OFFLINE = ("failure in name resolution", "Name or service not known", "Network is unreachable", "NewConnection")
_HIDDEN = {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "UV_PYTHON"}
_FOR_UV = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_EXTRA_INDEX_URL", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
    "no-index": ("UV_NO_INDEX", " "),
}
"""What pip calls it → the variable that tells uv the same, and what stands between several values."""


def install(requirements: Path, python: Path, run: Run, timeout_s: float) -> None:
    """Install a file of requirements into the environment of `python`.

    Raises `PackageFailed` with the installer's last words, `MissingPackage` where there is neither uv nor pip.
    """
    pip = [sys.executable, "-m", "pip"]
    environment = pip_environment()
    code, config = run([*pip, "config", "list"], 60.0, environment)
    has_pip, lines = code == 0, ""
    uv = find_uv()
    if uv:
        told = environment | uv_environment(config if has_pip else "")
        command = [uv, "pip", "install", "--no-progress", "--python", str(python), "-r", str(requirements)]
        code, lines = run(command + (["--no-index"] if "UV_NO_INDEX" in told else []), timeout_s, told)
        if code == 0:
            return
    if has_pip:
        command = [*pip, "--python", str(python), "--disable-pip-version-check", "--no-input", "install"]
        options = ["--no-compile", "--progress-bar", "off", "--retries", "1", "-r", str(requirements)]
        code, lines = run([*command, *options], timeout_s, environment)
    elif not uv:
        raise MissingPackage(
            "doctor needs uv or pip to install what the Bento asks for",
            why="this environment has neither",
            fix="python -m ensurepip, or pip install uv",
        )
    if code:
        raise _failed(lines)


def uv_environment(config: str) -> dict[str, str]:
    """What `pip config list` says, as variables of uv's. Every index is asked for every package, as pip does."""
    found: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):  # the later one wins
        for line in config.splitlines():
            name, _, value = line.partition("=")
            option = name.removeprefix(section)
            if name.startswith(section) and option in _FOR_UV:
                variable, between = _FOR_UV[option]
                found[variable] = between.join(_text(value).split())
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_NO_CONFIG": "1", **found}


def _text(value: str) -> str:
    try:
        return str(ast.literal_eval(value))
    except (ValueError, SyntaxError):
        return value


def find_uv() -> str:
    """The path of uv, "" where there is none."""
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        return ""


def pip_environment() -> dict[str, str]:
    """The environment for pip, which otherwise overlooks the configuration of the virtual environment we are in."""
    own = Path(sys.prefix) / "pip.conf"
    kept = {key: value for key, value in os.environ.items() if key not in _HIDDEN}
    return kept | ({"PIP_CONFIG_FILE": str(own)} if own.is_file() and "PIP_CONFIG_FILE" not in kept else {})


def _failed(lines: str) -> PackageFailed:
    why = re.sub(r"(\w+://)[^/\s@]+@", r"\1…@", lines)
    if any(word in lines for word in _OFFLINE):
        fix = "this machine is offline, or the index cannot be reached: try again with a network"
    elif "ResolutionImpossible" in lines or "conflict" in lines:
        fix = "the lines name what does not fit together: mend it here with pip, then deploy again"
    else:
        fix = "an index must have every version that is named: `pip config list` shows which ones pip asks"
    return PackageFailed("what the Bento asks for cannot be installed", why=why, fix=fix)
