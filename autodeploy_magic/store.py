"""The state folder: the only owner of paths.

    HOME/                          0700
      supervisor.lock, supervisor.json, supervisor.log
      deployments/NAME/            0700
        deployment.json            what the person wants (`contracts.Desired`)
        token, token.old           the bearer token, 0600; those it replaced, while they are still good
        tls/                       the certificate that was made for it, and its key
        runtime.json               the workers that were last seen
        versions/0001/             an immutable version: version.json, and what verified it
        staging/…                  builds under way; never served from
        bentoml/                   the deployment's own BENTOML_HOME
        logs/worker.log
        metrics.sqlite
        requests.sqlite            recorded requests and the labels that came for them
        alerts.json, incidents.json

Records are written whole: to a temporary file in the same folder, flushed, then renamed over the old one. Unix sockets
live in a short private folder of their own (`runtime_dir`), since their paths may have no more than about 100 bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
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
    UnreadableRecord,
)

__all__ = ["NAME_RULE", "Store", "check_name", "file_sha256", "old_tokens_file", "read_tokens", "write_atomic"]

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


def old_tokens_file(file: Path) -> Path:
    """Where the tokens are kept that the one in `file` has replaced."""
    return file.with_name(f"{file.name}.old")


def read_tokens(file: Path) -> dict[str, float]:
    """The tokens that are good, the newest first, each with the time (seconds since the epoch) that it ends at.

    `file` holds the one that has no end. Raises `OSError` where it cannot be read, and `UnreadableRecord` where the
    tokens before it cannot.
    """
    tokens = {file.read_text("ascii").strip(): math.inf}
    tokens.pop("", None)  # an empty token would let everybody in
    older = old_tokens_file(file)
    try:
        kept = msgspec.json.decode(older.read_bytes(), type=dict[str, float])
    except FileNotFoundError:
        return tokens
    except msgspec.DecodeError as error:
        raise UnreadableRecord(f"{older} cannot be read", why=str(error), fix=f"rm {older}") from error
    now = time.time()
    return tokens | {token: until for token, until in kept.items() if token and until > now and token not in tokens}


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
        file = self.token_file(name)
        try:
            size = file.stat().st_size
        except FileNotFoundError:
            size = None
        if not size:
            _private_folder(file.parent)
            write_atomic(file, secrets.token_urlsafe(32).encode(), replace=size is not None)
        return file.read_text("ascii").strip()

    def token_file(self, name: str) -> Path:
        return self.folder(name) / "token"

    def tokens(self, name: str) -> dict[str, float]:
        """The tokens that are good now, and until when; see `read_tokens`."""
        self.token(name)
        return read_tokens(self.token_file(name))

    def rotate_token(self, name: str, grace_s: float = 0.0) -> str:
        """Make a new token and return it; the one before stays good for `grace_s`, and those before it no longer.

        Workers look for it every second, and at once where a request brings a token that they do not know: a token that
        ends here is refused by all of them within about a second.
        """
        from filelock import FileLock

        file = self.token_file(name)
        with FileLock(self.home / "deployments" / f".{check_name(name)}.token.lock", mode=0o600):
            until = time.time() + grace_s
            kept = {token: min(end, until) for token, end in self.tokens(name).items()} if grace_s > 0 else {}
            new = secrets.token_urlsafe(32)
            # In this order: a crash between leaves the old token good, and nothing else.
            write_atomic(old_tokens_file(file), msgspec.json.encode(kept))
            write_atomic(file, new.encode())
        return new

    def tls_folder(self, name: str) -> Path:
        """Where the certificate is that was made for the deployment."""
        return self.folder(name) / "tls"

    def runtime_file(self, name: str) -> Path:
        return self.folder(name) / "runtime.json"

    def log_file(self, name: str) -> Path:
        folder = self.folder(name) / "logs"
        _private_folder(folder)
        return folder / "worker.log"

    def metrics_file(self, name: str) -> Path:
        return self.folder(name) / "metrics.sqlite"

    def requests_file(self, name: str) -> Path:
        """The sample of what was asked and answered; see `reservoir`."""
        return self.folder(name) / "requests.sqlite"

    def alerts_file(self, name: str) -> Path:
        return self.folder(name) / "alerts.json"

    def incidents_file(self, name: str) -> Path:
        return self.folder(name) / "incidents.json"

    def live_folder(self, name: str, number: int) -> Path:
        """Where the live object of a version is kept, with the person's `retrain`: for re-tuning, and nothing else."""
        return self.version_folder(name, number) / "live"

    def retunes_folder(self, name: str) -> Path:
        """Where each re-tune has a folder: its record, the data that it used, and its contenders while it runs."""
        return self.folder(name) / "retunes"

    def training_file(self, name: str) -> Path:
        """The training rows that a person has given for re-tuning."""
        return self.folder(name) / "training.json.gz"

    def images_file(self, name: str) -> Path:
        """The images that were built of its versions, the newest last."""
        return self.folder(name) / "images.json"

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

        with FileLock(self.home / "deployments" / f".{check_name(name)}.build.lock", mode=0o600):
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
        folder = self.folder(version.deployment)
        with _disk_errors(target):
            for part in (staging, *(folder / path for path in (version.bento_path, version.model_path) if path)):
                _take_from_others(part)
            write_atomic(staging / "version.json", encode(version))
            write_atomic(target.parent / "last", str(version.number).encode())
            staging.rename(target)
        return target

    def trim(self, name: str, keep: int, spare: Collection[int] = ()) -> list[int]:
        """Remove all but the newest `keep` of the versions that nothing is given to, and those to `spare`; return
        their numbers.

        Call it inside `building`. A version's record goes first, so that nothing names what is being deleted.
        """
        desired = self.desired(name)
        used = {desired.version, *desired.traffic.versions, *spare}
        unused = [version for version in self.versions(name) if version.number not in used]
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


def _take_from_others(folder: Path) -> None:
    """Leave a tree that other programs wrote to its owner alone, whatever they gave to others."""
    for place, _, files in os.walk(folder):
        for path in (Path(place), *(Path(place, file) for file in files)):
            mode = os.lstat(path).st_mode
            if mode & 0o077 and not stat.S_ISLNK(mode):
                os.chmod(path, stat.S_IMODE(mode) & 0o700)


if sys.platform == "win32":  # pragma: no cover
    raise ImportError("autodeploy_magic runs on Linux and macOS; on Windows use it inside WSL")
