"""`ship`: a target's files, written beside where they are wanted, and moved there when all of them are there."""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from autodeploy_magic.contracts import Progress, Report
from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.registry import load, table
from autodeploy_magic.ship.base import Cargo, Choice, Target
from autodeploy_magic.ship.kept import image_of
from autodeploy_magic.ship.telling import Telling
from autodeploy_magic.ship.text import check_reference, check_text
from autodeploy_magic.shipping import Shipment, Shipped
from autodeploy_magic.store import Store, file_sha256

__all__ = ["LIST", "cargo_of", "chosen", "run", "ship", "target_of"]

LIST = ".shipped.json"
"""In a written folder: each file's SHA-256, so that what a person has changed since is not written over."""

_LOCK = ".ship.lock"
"""In a folder that is being written: held as long as its writer lives."""

_TRUTH = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Do what the order `spec["order"]` says with the version that serves of `spec["name"]`: a job's whole work.

    `spec["home"]` is the state folder, `spec["log"]` the file that progress is told in (`ship.telling`).
    """
    order = msgspec.convert(spec["order"], Shipment)
    done = ship(Store(spec["home"]), str(spec["name"]), order, Telling(spec.get("log", "")).report)
    return cast(dict[str, Any], msgspec.to_builtins(done))


def ship(store: Store, name: str, order: Shipment, report: Report) -> Shipped:
    """Write what `order` asks for. Raises `ShipFailed`, `InvalidOption` or `DiskFull`; nothing is then changed."""
    target = target_of(order.target)
    cargo = cargo_of(store, name, order, target)
    folder = _folder(order.folder) if order.folder else None
    if folder is not None:
        _may_write(folder, replace=order.replace)
    target.refuse(cargo)
    report(Progress(step="ship", state="started", detail=order.target))
    place = _beside(folder)
    with disk_full(place or tempfile.gettempdir()), _scratch(name, place) as scratch:
        fresh = scratch / "shipped"
        fresh.mkdir(mode=0o755)
        written = target.write(cargo, fresh, report)
        files = sorted(path.relative_to(fresh).as_posix() for path in fresh.rglob("*") if path.is_file())
        if files and folder is not None:
            sums = {file: file_sha256(fresh / file) for file in files}
            (fresh / LIST).write_bytes(msgspec.json.format(msgspec.json.encode(sums)) + b"\n")
            _move(fresh, folder, scratch / "before")
    report(Progress(step="ship", state="done", detail=str(folder) if files and folder else written.url))
    return Shipped(
        target=order.target,
        deployment=name,
        version=cargo.version.number,
        folder=str(folder) if files and folder is not None else "",
        files=tuple(files),
        notes=written.notes,
        next=written.next,
        url=written.url,
    )


def target_of(name: str) -> Target:
    """The target of that name. Raises `InvalidOption` with the nearest one."""
    targets = table("targets")
    if name not in targets:
        close = difflib.get_close_matches(name, targets, 1)
        raise InvalidOption(
            f"there is no target {name!r}",
            why=f"did you mean {close[0]!r}?" if close else "",
            fix=f"the targets are: {', '.join(targets)}",
        )
    return cast(Target, load(targets[name])())


def cargo_of(store: Store, name: str, order: Shipment, target: Target) -> Cargo:
    """What `order` ships: the version that serves. Raises `InvalidOption`, `UnknownDeployment` or `UnknownVersion`."""
    desired = store.desired(name)
    version = store.version(name, desired.version)
    image = image_of(store, name, version.number)
    reference = check_reference(order.image) if order.image else image.name if image is not None else ""
    record = store.version_folder(name, version.number)
    return Cargo(
        version=version,
        desired=desired,
        model=store.folder(name) / version.model_path if version.model_path else record,
        record=record,
        image=image,
        reference=reference,
        options=chosen(order.target, target.choices, order.options),
    )


def chosen(target: str, choices: tuple[Choice, ...], typed: Mapping[str, str]) -> dict[str, str | int | float | bool]:
    """The value of each of a target's options, as its default's type. Raises `InvalidOption`."""
    known = {choice.name: choice for choice in choices}
    for name in typed:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            raise InvalidOption(
                f"{target} has no option {name!r}",
                why=f"did you mean {close[0]!r}?" if close else "",
                fix=f"its options are: {', '.join(known)}" if known else "it has none",
            )
    return {
        name: _value(target, choice, typed[name]) if name in typed else choice.default for name, choice in known.items()
    }


def _value(target: str, choice: Choice, typed: str) -> str | int | float | bool:
    if choice.choices and typed not in choice.choices:
        raise InvalidOption(
            f"{choice.name} of {target} cannot be {typed!r}", why=choice.help, fix=f"use {' or '.join(choice.choices)}"
        )
    kind = type(choice.default)
    try:
        return _TRUTH[typed.lower()] if kind is bool else kind(typed)
    except (KeyError, ValueError):
        words = {bool: "yes or no", int: "a whole number", float: "a number"}
        raise InvalidOption(
            f"{choice.name} of {target} is {typed!r}", why=choice.help, fix=f"use {words.get(kind, 'a text')}"
        ) from None


def _folder(typed: str) -> Path:
    """The folder that was named, absolute; one that is not is within the person's home. Raises `InvalidOption`."""
    try:
        return Path(os.path.normpath(Path.home() / Path(check_text(typed, "the folder")).expanduser()))
    except RuntimeError as error:  # ~nobody
        raise InvalidOption(f"{typed} names no folder", why=str(error), fix="write its whole path") from error


def _may_write(folder: Path, *, replace: bool) -> None:
    """Raise `InvalidOption` where something is there that must not be lost."""
    if not os.path.lexists(folder):
        return
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        return
    if not replace:
        raise InvalidOption(
            f"{folder} is there already",
            why="what stands in it would be lost",
            fix="name another folder (--to), or have what was shipped there before replaced (--replace)",
        )
    try:
        sums = msgspec.json.decode((folder / LIST).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        raise InvalidOption(
            f"{folder} was not written by ship",
            why="what is in it is not ours to replace",
            fix="name another with --to",
        ) from None
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()} - {LIST}
    changed = [file for file in sorted(here) if file not in sums or file_sha256(folder / file) != sums[file]]
    if changed:
        raise InvalidOption(
            f"{folder} holds what was changed or added since: {', '.join(changed[:5])}",
            why="replacing it would lose that",
            fix="ship into another folder with --to, and compare the two",
        )


def _beside(folder: Path | None) -> Path | None:
    """The folder that `folder` is to be in, made where it is not there. Raises `ShipFailed`."""
    if folder is None:
        return None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ShipFailed(
            f"{folder.parent} cannot be made", why=str(error), fix="name another place with --to"
        ) from error
    if not os.access(folder.parent, os.W_OK):
        raise ShipFailed(f"{folder.parent} cannot be written to", fix="name another place with --to")
    return folder.parent


@contextlib.contextmanager
def _scratch(name: str, place: Path | None) -> Iterator[Path]:
    """A folder for what is not whole yet, in `place`. One that was killed leaves it there, and the next takes it away.

    A lock tells whose writer still runs. What somebody's folder was moved into stays: it may hold the only copy.
    """
    for left in place.glob(f".{name}-*") if place is not None else ():
        with contextlib.suppress(OSError), (left / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not (left / "before").exists():
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=place) as made, (Path(made) / "lock").open("wb") as lock:
        with contextlib.suppress(OSError):  # not every disk has locks: nothing is then taken away there
            fcntl.flock(lock, fcntl.LOCK_EX)
            Path(lock.name).rename(Path(made) / _LOCK)  # it is never seen without being held
        yield Path(made)


def _move(fresh: Path, folder: Path, before: Path) -> None:
    """Put `fresh` where `folder` is; what is there moves to `before`, and comes back where that fails.

    Raises `ShipFailed` for a folder that cannot be moved away, as one that a disk is mounted on.
    """
    there = os.path.lexists(folder)
    if there:
        try:
            folder.rename(before)
        except OSError as error:
            raise ShipFailed(
                f"{folder} cannot be replaced", why=str(error), fix=f"name a folder in it: --to {folder / 'shipped'}"
            ) from error
    try:
        fresh.rename(folder)
    except OSError:
        if there:
            before.rename(folder)
        raise
