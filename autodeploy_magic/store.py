"""The state folder: the only owner of paths.

    HOME/                          0700
      supervisor.lock, supervisor.json, supervisor.log
      deployments/NAME/            0700
        deployment.json            what the person wants (`contracts.Desired`)
        token                      the bearer token, 0600
        runtime.json               the workers that were last seen
        versions/0001/             an immutable version: version.json, and what verified it
        staging/…                  builds under way; never served from
        bentoml/                   the deployment's own BENTOML_HOME
        logs/worker.log
        metrics.sqlite

Records are written whole: to a temporary file in the same folder, flushed, then renamed over the old one. Unix sockets
live in a short private folder of their own (`runtime_dir`), since their paths may have no more than about 100 bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.contracts import Desired, Record, Version, decode, encode
from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import (
    InvalidName,
    StoreFailed,
    UnknownDeployment,
    UnknownVersion,
)

__all__ = ["NAME_RULE", "Store", "check_name", "file_sha256", "write_atomic"]

NAME_RULE = "1 to 40 of a-z, 0-9 and '-', beginning with a letter and not ending with '-'"
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")


def check_name(name: str) -> str:
    """Return `name` where it can name a deployment (it becomes a folder, a Bento tag and a label of clusters).

    Raises `InvalidName` with a name that would do.
    """
    if _NAME.fullmatch(name):
        return name
    proposal = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")[:40].strip("-")
    raise InvalidName(
        f"{name!r} cannot name a deployment",
        why=f"a name has {NAME_RULE}",
        fix=f"use {proposal!r}" if _NAME.fullmatch(proposal) else "choose another name",
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Replace the content of `path`, readable by its owner alone; after a crash it holds the old bytes or the new.

    Without `replace` a file that is already there stays as it is: of several processes that write at once, one wins.

    Raises `DiskFull` or `StoreFailed`; the old content stays.
    """
    with _disk_errors(path):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            if replace:
                os.replace(temporary, path)
            else:
                with contextlib.suppress(FileExistsError):
                    os.link(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        with disk_full(path.parent):
            yield
    except OSError as error:
        raise StoreFailed(
            f"{path} could not be written", why=str(error), fix="check that the state folder belongs to you"
        ) from error


class Store:
    """The state folder of one user. Opening it creates it; it holds no state but its path."""

    def __init__(self, home: Path | str | None = None) -> None:
        chosen = str(home) if home else settings.get("home")
        if chosen:
            self.home = Path(chosen).expanduser().resolve()
        else:
            import platformdirs

            self.home = Path(platformdirs.user_state_dir("autodeploy_magic")).resolve()
        _refuse_foreign(self.home)
        _private_folder(self.home)
        _private_folder(self.home / "deployments")

    # --- the supervisor's own files

    @property
    def lock_file(self) -> Path:
        return self.home / "supervisor.lock"

    @property
    def supervisor_file(self) -> Path:
        return self.home / "supervisor.json"

    @property
    def supervisor_log(self) -> Path:
        return self.home / "supervisor.log"

    @property
    def runtime_dir(self) -> Path:
        """A private folder for unix sockets, the same for every process that opens this store."""
        key = hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
        base = os.environ.get("XDG_RUNTIME_DIR", "")
        if not base or len(base) > 40 or not os.access(base, os.W_OK):
            base = "/tmp"
        folder = Path(base) / f"autodeploy-{os.getuid()}-{key}"
        _private_folder(folder)
        return folder

    # --- deployments

    def folder(self, name: str) -> Path:
        """The folder of deployment `name`, which need not exist."""
        return self.home / "deployments" / check_name(name)

    def names(self) -> list[str]:
        """The deployments that exist, sorted."""
        found = (self.home / "deployments").glob("*/deployment.json")
        return sorted(file.parent.name for file in found)

    def exists(self, name: str) -> bool:
        return (self.folder(name) / "deployment.json").is_file()

    def desired(self, name: str) -> Desired:
        """Raises `UnknownDeployment` (with the nearest name) or `UnreadableRecord`."""
        file = self.folder(name) / "deployment.json"
        try:
            return decode(Desired, file.read_bytes(), source=str(file))
        except FileNotFoundError:
            raise UnknownDeployment(
                f"there is no deployment {name!r}", why=self._nearest(name), fix="`%deploy list` shows what there is"
            ) from None

    def save_desired(self, desired: Desired) -> None:
        folder = self.folder(desired.name)
        _private_folder(folder)
        write_atomic(folder / "deployment.json", encode(desired))

    def token(self, name: str) -> str:
        """The deployment's bearer token, made at the first call."""
        file = self.folder(name) / "token"
        if not file.exists():
            _private_folder(file.parent)
            write_atomic(file, secrets.token_urlsafe(32).encode(), replace=False)
        return file.read_text("ascii").strip()

    def runtime_file(self, name: str) -> Path:
        return self.folder(name) / "runtime.json"

    def log_file(self, name: str) -> Path:
        folder = self.folder(name) / "logs"
        _private_folder(folder)
        return folder / "worker.log"

    def metrics_file(self, name: str) -> Path:
        return self.folder(name) / "metrics.sqlite"

    def bentoml_home(self, name: str) -> Path:
        return self.folder(name) / "bentoml"

    def remove(self, name: str) -> None:
        """Delete everything of the deployment. The supervisor calls it once nothing of it runs."""
        folder = self.folder(name)
        gone = folder.with_name(f".{name}.{secrets.token_hex(4)}")
        try:
            folder.rename(gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone)

    # --- versions

    def version_folder(self, name: str, number: int) -> Path:
        return self.folder(name) / "versions" / f"{number:04d}"

    def versions(self, name: str) -> list[Version]:
        """The versions kept, oldest first."""
        found = (self.folder(name) / "versions").glob("[0-9]*/version.json")
        files = sorted(found, key=lambda file: int(file.parent.name))
        return [decode(Version, file.read_bytes(), source=str(file)) for file in files]

    def version(self, name: str, number: int) -> Version:
        """Raises `UnknownVersion`."""
        file = self.version_folder(name, number) / "version.json"
        try:
            return decode(Version, file.read_bytes(), source=str(file))
        except FileNotFoundError:
            known = ", ".join(str(version.number) for version in self.versions(name)) or "none"
            raise UnknownVersion(
                f"{name} has no version {number}", why=f"it has: {known}", fix=f"`%deploy versions {name}` lists them"
            ) from None

    def by_digest(self, name: str, digest: str) -> Version | None:
        """The newest version with that content, if one is kept."""
        return next((version for version in reversed(self.versions(name)) if version.digest == digest), None)

    @contextlib.contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """A fresh folder for one build, removed afterwards unless `commit` moved it away."""
        parent = self.folder(name) / "staging"
        _private_folder(parent)
        folder = Path(tempfile.mkdtemp(dir=parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                parent.rmdir()
                parent.parent.rmdir()

    @contextlib.contextmanager
    def building(self, name: str) -> Iterator[None]:
        """One build of a deployment at a time, over all processes. Waits for the one under way."""
        from filelock import FileLock

        with FileLock(self.home / "deployments" / f".{check_name(name)}.build.lock"):
            yield

    def next_number(self, name: str) -> int:
        """The number of the next version: never one that was used before. Call it inside `building`."""
        folder = self.folder(name) / "versions"
        used = [int(entry.name) for entry in folder.glob("[0-9]*") if entry.name.isdigit()]
        last = folder / "last"
        if last.exists():
            used.append(int(last.read_text("ascii")))
        return max(used, default=0) + 1

    def commit(self, version: Version, staging: Path) -> Path:
        """Make a staged build a version: the folder appears whole or not at all. Call it inside `building`."""
        target = self.version_folder(version.deployment, version.number)
        _private_folder(target.parent)
        with _disk_errors(target):
            write_atomic(staging / "version.json", encode(version))
            write_atomic(target.parent / "last", str(version.number).encode())
            staging.rename(target)
        return target

    def trim(self, name: str, keep: int) -> list[int]:
        """Remove all but the newest `keep` of the versions that do not serve; return their numbers.

        Call it inside `building`. A version's record goes first, so that nothing names what is being deleted.
        """
        serving = self.desired(name).version
        unused = [version for version in self.versions(name) if version.number != serving]
        doomed = unused[: len(unused) - keep] if keep < len(unused) else []
        for version in doomed:
            shutil.rmtree(self.version_folder(name, version.number))
            for path in filter(None, (version.bento_path, version.model_path)):
                shutil.rmtree(self.folder(name) / path, ignore_errors=True)
        return [version.number for version in doomed]

    # --- small records

    def write_json(self, path: Path, value: Any) -> None:
        """Write a record, or plain JSON values, whole."""
        write_atomic(path, encode(value) if isinstance(value, Record) else msgspec.json.encode(value))

    def _nearest(self, name: str) -> str:
        import difflib

        known = self.names()
        close = difflib.get_close_matches(name, known, 1)
        if close:
            return f"did you mean {close[0]!r}?"
        return f"there are: {', '.join(known)}" if known else "nothing has been deployed yet"


def now() -> str:
    """The time in ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _refuse_foreign(home: Path) -> None:
    """Refuse to make a folder private that holds other things: AUTODEPLOY_HOME=$HOME must not lock a home folder."""
    if home.is_dir() and not (home / "deployments").is_dir() and any(home.iterdir()):
        raise StoreFailed(
            f"{home} holds files that are not this package's",
            why="the state folder is made private (0700) and is owned by this package alone",
            fix=f"set AUTODEPLOY_HOME to a new folder, for example {home / 'autodeploy_magic'}",
        )


def _private_folder(path: Path) -> None:
    """Create a folder for its owner alone, and refuse one that somebody else made or can write to."""
    with _disk_errors(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise StoreFailed(
                f"{path} is not a folder of yours",
                why="another user, or a link, stands where this package keeps its state",
                fix="remove it, or set AUTODEPLOY_HOME to a folder that belongs to you",
            )
        if found.st_mode & 0o077:
            os.chmod(path, 0o700)


if sys.platform == "win32":  # pragma: no cover
    raise ImportError("autodeploy_magic runs on Linux and macOS; on Windows use it inside WSL")
