"""What `%deploy data` shows and does: what is recorded of requests, exported for the person, or deleted for good."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import AutodeployError, InvalidOption, StoreFailed
from autodeploy_magic.notebook.html import Markup, card, element, facts
from autodeploy_magic.notebook.recording import recording_text
from autodeploy_magic.notebook.text import size_text
from autodeploy_magic.notebook.views import View
from autodeploy_magic.period import day_and_time, seconds_of

if TYPE_CHECKING:
    from autodeploy_magic.reservoir import Kept
    from autodeploy_magic.store import Store
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["Exported", "Forgotten", "ShownData", "export", "forget", "shown"]

_WORDS = (
    ("requests", "recorded request"),
    ("labels", "label"),
    ("training", "training row"),
    ("retunes", "data of a re-tune"),
)


@dataclass(frozen=True)
class ShownData(View):
    """What is recorded of a deployment. `training` and `retunes` are bytes and numbers of what re-tuning keeps."""

    name: str
    kept: Kept
    settings: Mapping[str, Any]
    training_bytes: int = 0
    retunes: int = 0

    def text(self) -> str:
        return "\n".join([f"{self.name}: {self._headline}", *(f"  {word:<9}{text}" for word, text in self._facts())])

    def html(self) -> Markup:
        head = element("div", element("span", self.name, class_="name"), element("span", self._headline), class_="row")
        return card(head, facts(*self._facts()), label=f"data of {self.name}")

    @property
    def _headline(self) -> str:
        if not self.kept.requests and not self.kept.labels:
            return "no request is recorded"
        failed = f", {self.kept.failed:,} of them failed" if self.kept.failed else ""
        labels = _count(self.kept.labels, "label")
        return f"{_count(self.kept.requests, 'recorded request')}{failed}; {labels}; {size_text(self.kept.bytes)}"

    def _facts(self) -> list[tuple[str, str]]:
        told = [("records", recording_text(self.settings))]
        if self.kept.requests:
            told += [("from", day_and_time(self.kept.since_s)), ("until", day_and_time(self.kept.until_s))]
        if self.training_bytes:
            told += [("training", f"rows that were given for re-tuning, {size_text(self.training_bytes)}")]
        if self.retunes:
            told += [("re-tunes", f"{self.retunes} keep a copy of the data that they used")]
        told += [("export", f"%deploy data {self.name} export"), ("delete", f"%deploy data {self.name} forget --yes")]
        return told


@dataclass(frozen=True)
class Exported(View):
    """Where an export is, and how many requests it has."""

    name: str
    file: Path
    requests: int
    bytes: int

    def text(self) -> str:
        return f"{self.name}: {_count(self.requests, 'request')} exported to {self.file}, {size_text(self.bytes)}"

    def html(self) -> Markup:
        return card(element("p", self.text()), label=f"export of {self.name}")


@dataclass(frozen=True)
class Forgotten(View):
    """What was deleted for good, by what it was."""

    name: str
    counts: Mapping[str, int]
    before: str = ""

    def text(self) -> str:
        parts = [_count(self.counts.get(key, 0), word) for key, word in _WORDS if self.counts.get(key, 0)]
        older = f" of what is older than {self.before}" if self.before else ""
        return f"{self.name}: {', '.join(parts) or 'nothing'} deleted for good{older}"

    def html(self) -> Markup:
        return card(element("p", self.text()), label=f"data of {self.name}")


def shown(store: Store, name: str) -> ShownData:
    """What is recorded now. Raises `UnknownDeployment`, `StoreFailed`."""
    from autodeploy_magic.reservoir import kept

    desired = store.desired(name)
    training = store.training_file(name)
    with _readable(name):
        found = kept(store.requests_file(name))
    return ShownData(
        name,
        found,
        desired.settings,
        training.stat().st_size if training.exists() else 0,
        len(list(store.retunes_folder(name).glob("*/data"))),
    )


def export(store: Store, name: str, file: str | os.PathLike[str] | None) -> Exported | None:
    """Write every recorded request to a file of JSON lines, whole or not at all; "-" writes them here.

    An earlier export is replaced, any other file is refused. Raises `InvalidOption`, `DiskFull`, `StoreFailed`.
    """
    from autodeploy_magic.reservoir import exported

    store.desired(name)
    requests = exported(store.requests_file(name))
    if file is not None and os.fspath(file) == "-":
        with _readable(name):
            for one in requests:
                sys.stdout.write(msgspec.json.encode(one).decode() + "\n")
        return None
    target = Path(f"{name}-data.jsonl" if file is None else file).expanduser().absolute()
    _check_target(target)
    with _readable(name), disk_full(target.parent):
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            count = 0
            with os.fdopen(descriptor, "wb") as stream:
                for one in requests:
                    stream.write(msgspec.json.encode(one) + b"\n")
                    count += 1
            os.replace(temporary, target)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
    return Exported(name, target, count, target.stat().st_size)


def forget(store: Store, supervisor: Supervisor, name: str, before: str | None, *, yes: bool) -> Forgotten:
    """Delete what is recorded, and what re-tuning keeps of it, for good. Raises `InvalidOption` without `yes`."""
    seconds = None if before is None else seconds_of(before, "--before")
    if not yes:
        there = shown(store, name)
        older = "" if before is None else f" --before {before}"
        raise InvalidOption(
            f"{name} has {there._headline}",  # noqa: SLF001 - of this module
            why="what is deleted cannot be had back: neither quality nor drift of it is known then, nor can it train",
            fix=f"`%deploy data {name} forget{older} --yes`; `%deploy data {name} export` writes it to a file first",
        )
    counts = supervisor.forget_data(name, None if seconds is None else time.time() - seconds)
    return Forgotten(name, counts, before or "")


def _check_target(target: Path) -> None:
    if not target.parent.is_dir():
        raise InvalidOption(f"there is no folder {target.parent}", fix="make it, or give another --file")
    if target.is_dir() or (target.exists() and not _is_export(target)):
        raise InvalidOption(
            f"{target} is there already, and is no export", fix="give another --file, or move it away first"
        )


def _is_export(file: Path) -> bool:
    with file.open("rb") as stream:
        first = stream.readline(1 << 20)
    return not first.strip() or first.startswith(b'{"id":')


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except AutodeployError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise StoreFailed(
            f"what is recorded of {name} cannot be read or written",
            why=f"{type(error).__name__}: {error}",
            fix="check the disk and the file's owner, and call again",
        ) from error


def _count(count: int, what: str) -> str:
    if what.startswith("data "):
        return f"the {what}" if count == 1 else f"the data of {count:,} re-tunes"
    return f"{count:,} {what}{'' if count == 1 else 's'}"
