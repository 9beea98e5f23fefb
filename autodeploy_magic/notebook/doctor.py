"""What could be wrong on this machine, and what to do about it.

Nothing is changed and no supervisor is started, unless it is to be begun anew.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from autodeploy_magic.contracts import Desired, Status
from autodeploy_magic.errors import AutodeployError, InvalidOption, SupervisorFailed
from autodeploy_magic.notebook.doctor_version import doctor_version, environment_checks
from autodeploy_magic.notebook.text import OPEN_TEXT, certificate_text, size_text
from autodeploy_magic.notebook.views import Check, Checks
from autodeploy_magic.store import Store, file_sha256, old_tokens_file
from autodeploy_magic.tls import AUTO, SOON_S, read, usable

__all__ = ["doctor"]

DISTRIBUTION = "autodeploy-magic"
LOW_DISK_BYTES = 1_000_000_000
"""Less than this is little for building: a Bento holds the model twice while it is made."""


def doctor(name: str | None = None, restart: bool = False) -> Checks:
    """Check Python, packages, state folder, disk, supervisor and every deployment's files.

    With the `name` of a deployment: build the environment of the version that serves anew, from its Bento alone, and
    answer its sample there. That takes a minute or more. Raises `UnknownDeployment`.

    `restart`: end the supervisor before, and begin it anew from here, with the variables, groups and Python that are
    here. What serves goes on. Raises `InvalidOption` where the supervisor builds, ships or re-tunes.
    """
    if restart:
        _begin_anew(Store())
    if name is not None:
        return doctor_version(Store(), name)
    found = Checks([*_python(), *_packages()])
    try:
        store = Store()
    except AutodeployError as error:
        found.append(Check("fail", error.what, error.fix))
        return found
    found += _folder(store)
    found += _disk(store)
    states = _supervisor(store, found)
    for known in store.names():
        found += _deployment(store, known, states.get(known))
    return found


def _begin_anew(store: Store) -> None:
    from autodeploy_magic.supervisor.client import connect

    try:
        supervisor = connect(store, start=False)
    except SupervisorFailed:
        pass  # none runs
    else:
        supervisor.shutdown(if_idle=True)
    connect(store)


def _python() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("ok", f"Python {version} on {sys.platform}: {sys.executable}")


def _packages() -> Iterator[Check]:
    """Each requirement of this package against what is installed."""
    from importlib import metadata

    from packaging.requirements import Requirement

    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield Check("warn", f"{DISTRIBUTION} is not installed, it runs from its source", "pip install -e .")
        return
    well = 0
    for requirement in map(Requirement, required):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Check("fail", f"{requirement.name} is not installed", f"pip install '{requirement}'")
            continue
        if requirement.specifier.contains(version, prereleases=True):
            well += 1
        else:
            why = f"{requirement.name} {version} is installed, {requirement.specifier} is needed"
            yield Check("fail", why, f"pip install '{requirement}'")
    yield Check("ok", f"{well} packages have the versions needed")


def _folder(store: Store) -> Iterator[Check]:
    for folder in (store.home, store.home / "deployments"):
        found = folder.stat()
        mode = stat.S_IMODE(found.st_mode)
        if found.st_uid != os.getuid():
            yield Check("fail", f"{folder} belongs to another user", "set AUTODEPLOY_HOME to a folder of yours")
        elif mode & 0o077:
            yield Check("fail", f"{folder} can be read by others (mode {mode:o})", f"chmod 700 {folder}")
        elif not os.access(folder, os.W_OK | os.X_OK):
            yield Check("fail", f"{folder} cannot be written", f"chmod 700 {folder}")
    yield Check("ok", f"state folder {store.home}")


def _disk(store: Store) -> Iterator[Check]:
    free = shutil.disk_usage(store.home).free
    if free < LOW_DISK_BYTES:
        fix = "free some space, or `%deploy rm NAME --versions` for versions not in use"
        yield Check("warn", f"{size_text(free)} free on the disk of the state folder", fix)
    else:
        yield Check("ok", f"{size_text(free)} free on the disk of the state folder")


def _supervisor(store: Store, found: Checks) -> dict[str, Status]:
    """Append how the supervisor is; return the states it tells."""
    from autodeploy_magic.supervisor.client import connect

    try:
        supervisor = connect(store, start=False)
        told = supervisor.ping()
        states = {status.name: status for status in supervisor.list()}
    except AutodeployError as error:
        wanted = [name for name in store.names() if store.desired(name).state == "running"]
        fix = error.fix or f"`%deploy list` starts it; its log is {store.supervisor_log}"
        found.append(Check("fail" if wanted else "ok", _not_running(error, wanted), fix if wanted else ""))
        return {}
    found.append(Check("ok", f"supervisor alive, pid {told.get('pid', '?')}"))
    return states


def _not_running(error: AutodeployError, wanted: list[str]) -> str:
    return f"the supervisor does not answer: {error.what}" if wanted else "no supervisor runs, and none is needed"


def _deployment(store: Store, name: str, status: Status | None) -> Iterator[Check]:
    try:
        desired = store.desired(name)
        versions = store.versions(name)
    except AutodeployError as error:
        yield Check("fail", f"{name}: {error.what}", error.fix)
        return
    for file in (store.token_file(name), old_tokens_file(store.token_file(name))):
        yield from _token(file, name)
    yield from _access(store, desired)
    damaged = 0
    for version in versions:
        folder = store.folder(name) / version.model_path
        for artifact in version.artifacts:
            path = folder / artifact.path
            if path.is_file() and file_sha256(path) == artifact.sha256:
                continue
            damaged += 1
            what = "has changed since it was built" if path.is_file() else "is gone"
            fix = f"`%deploy rollback {name}` to another version, or deploy again from the notebook"
            yield Check("fail", f"{name} v{version.number}: {artifact.path} {what}", fix)
    for version in versions:
        if version.number == desired.version:
            yield from environment_checks(version)
    if desired.version not in {version.number for version in versions}:
        yield Check("fail", f"{name}: v{desired.version} should serve, and is gone", "deploy again from the notebook")
    elif not damaged:
        yield Check(
            "ok", f"{name}: {len(versions)} version{'' if len(versions) == 1 else 's'}, every file as it was built"
        )
    if status is not None and status.state in ("failed", "degraded"):
        fix = f"`%deploy logs {name}`, then `%deploy restart {name}`"
        yield Check("fail" if status.state == "failed" else "warn", f"{name} is {status.state}: {status.reason}", fix)


def _access(store: Store, desired: Desired) -> Iterator[Check]:
    """Who gets in without the token, and whether clients will still take the certificate."""
    name = desired.name
    if not desired.auth:
        yield Check("warn", f"{name}: {OPEN_TEXT}", f"`%%deploy {name} --auth …` asks for it again")
    if not desired.tls:
        return
    ours = f"`%deploy restart {name}` makes one anew"
    try:
        certificate = read(desired.tls, store.tls_folder(name))
        usable(certificate)
    except InvalidOption as error:
        yield Check("fail", f"{name}: {error.what}", ours if desired.tls == AUTO else error.fix)
        return
    soon = certificate.until - time.time() < SOON_S
    text = certificate_text(certificate.until)
    fix = ours if desired.tls == AUTO else "renew it in its files: workers take it up by themselves"
    yield Check("warn" if soon else "ok", f"{name}: {text}", fix if soon else "")


def _token(file: Path, name: str) -> Iterator[Check]:
    if not file.exists():
        if file.name == "token":
            yield Check("warn", f"{name}: there is no token yet", f"`%deploy start {name}` makes one")
    elif stat.S_IMODE(file.stat().st_mode) & 0o077:
        yield Check("fail", f"{name}: others can read the token", f"chmod 600 {file}")
