"""Where a report is written: whole or not at all, and never over a file that is somebody else's."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Literal, get_args

from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import InvalidOption

__all__ = ["Format", "is_ours", "place", "write"]

Format = Literal["html", "png", "pdf"]
FORMATS: tuple[str, ...] = get_args(Format)


def place(name: str, format: str | None, file: str | os.PathLike[str] | None, creator: str) -> tuple[Path, Format]:
    """Return where the report goes, and as what. Raises `InvalidOption` where the two disagree, or it may not go there.

    A file that is there already is replaced only where it is an earlier report.
    """
    if file is None:
        path = Path.cwd() / f"{name}-report.{format or 'html'}"
    else:
        path = Path(file).expanduser().absolute()
        if path.is_dir():
            path /= f"{name}-report.{format or 'html'}"
    suffix = path.suffix.lower().removeprefix(".")
    suffix = "html" if suffix == "htm" else suffix
    chosen = format or suffix
    if chosen not in FORMATS:
        told = f"{path.name} ends with none of them" if format is None else f"--format {format} is none of them"
        raise InvalidOption("a report is html, png or pdf", why=told, fix=f"for example --file {path.stem}.html")
    if suffix in FORMATS and suffix != chosen:
        raise InvalidOption(
            f"--file {path.name} and --format {chosen} disagree",
            fix=f"leave --format out, or --file {path.stem}.{chosen}",
        )
    if not path.parent.is_dir():
        raise InvalidOption(f"there is no folder {path.parent}", fix="make it first, or choose another --file")
    if path.exists() and not is_ours(path, creator):
        raise InvalidOption(
            f"{path} is there already, and is no report",
            why="a report replaces only an earlier report",
            fix="remove the file, or choose another --file",
        )
    return path, "html" if chosen == "html" else "png" if chosen == "png" else "pdf"


def is_ours(path: Path, creator: str) -> bool:
    """Whether the file is a report: each carries who made it, near its start or its end. An empty file is free, too."""
    with path.open("rb") as stream:
        start = stream.read(8192)
        stream.seek(max(0, path.stat().st_size - 8192))
        return not start or creator.encode() in start or creator.encode() in stream.read()


def write(path: Path, data: bytes) -> None:
    """Write the file whole. Raises `DiskFull`, or `InvalidOption` where it cannot be written there."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with disk_full(path.parent):
            try:
                with temporary.open("xb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(temporary, path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
    except OSError as error:
        raise InvalidOption(f"{path} cannot be written", why=str(error), fix="choose another --file") from error
