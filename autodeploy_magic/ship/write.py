"""`ship`: a target's files, written beside where they are wanted, and moved there when all of them are there."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Mapping
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
from autodeploy_magic.ship.text import check_reference
from autodeploy_magic.shipping import Shipment, Shipped
from autodeploy_magic.store import Store, file_sha256

__all__ = ["LIST", "cargo_of", "chosen", "run", "ship", "target_of"]

LIST = ".shipped.json"
"""In a written folder: each file's SHA-256, so that what a person has changed since is not written over."""

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
    if order.folder:
        _may_write(Path(order.folder), replace=order.replace)
    target.refuse(cargo)
    report(Progress(step="ship", state="started", detail=order.target))
    folder = Path(order.folder) if order.folder else None
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=_beside(folder)) as scratch, disk_full(Path(scratch)):
        fresh = Path(scratch) / "shipped"
        fresh.mkdir(mode=0o755)
        written = target.write(cargo, fresh, report)
        files = sorted(path.relative_to(fresh).as_posix() for path in fresh.rglob("*") if path.is_file())
        if files and folder is not None:
            sums = {file: file_sha256(fresh / file) for file in files}
            (fresh / LIST).write_bytes(msgspec.json.format(msgspec.json.encode(sums)) + b"\n")
            _move(fresh, folder, Path(scratch) / "before")
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
            fix="name another folder with --to, or use --replace to write over what was shipped there before",
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


def _move(fresh: Path, folder: Path, before: Path) -> None:
    """Put `fresh` where `folder` is; what is there moves to `before`, and comes back where that fails."""
    there = os.path.lexists(folder)
    if there:
        folder.rename(before)
    try:
        fresh.rename(folder)
    except OSError:
        if there:
            before.rename(folder)
        raise
