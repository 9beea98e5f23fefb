"""Pictures and files as values: base64 in JSON ↔ PIL images and bytes.

A picture travels as an encoded file, as it is: nothing here scales, turns or converts one. What a request sends is
opened while it is read, which tells its size, and decoded where the model runs (`load`): a large one takes long.
"""

from __future__ import annotations

import base64
import binascii
import io
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Column
from autodeploy_magic.registry import need
from autodeploy_magic.wire.fields import Path, describe_kind, place, refuse, refuse_missing

__all__ = ["CONTENT_TYPES", "file_kind", "from_text", "is_picture", "load", "read_files", "to_text"]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MOST_PIXELS = 89_478_485
"""Of all pictures of a request together: what Pillow warns of in one (a quarter of a gigabyte in RGB)."""
CONTENT_TYPES: dict[str, frozenset[str]] = {
    "image": frozenset({*(f"image/{name.lower()}" for name in FORMATS), "application/octet-stream"}),
    "bytes": frozenset({"application/octet-stream"}),
}
"""The types of a body that is one file, by the dtype of the column."""
_FEATURE = "pictures in requests and answers"
_FIX = "send the file in base64"
_AS_PNG = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
"""Modes that come out of a PNG as they went in; the others go into a TIFF."""


def is_picture(value: Any) -> bool:
    """Whether `value` is a PIL image; without importing PIL for it."""
    return _kind(type(value)) == "image"


def file_kind(values: Iterable[Any]) -> str:
    """ "image" where all values but missing ones are pictures, "bytes" where they are bytes; "mixed" where only some
    are one of these, "" where none is.
    """
    kinds = set(map(_kind, set(map(type, values)) - {type(None)}))
    return "mixed" if len(kinds) > 1 and kinds != {""} else next(iter(kinds), "")


def _kind(kind: type) -> str:
    module = sys.modules.get("PIL.Image")
    if module is not None and issubclass(kind, module.Image):
        return "image"
    return "bytes" if issubclass(kind, bytes | bytearray | memoryview) else ""


def to_text(value: Any) -> str:
    """A picture as a PNG, or bytes as they are, in base64. Raises `TypeError` for a mode that no such format has."""
    if is_picture(value):
        stream = io.BytesIO()
        try:
            if value.mode in _AS_PNG:
                value.save(stream, "PNG", compress_level=1)  # a photograph in a tenth of the time, 10 % larger
            else:
                value.save(stream, "TIFF")
        except (OSError, KeyError, ValueError) as error:
            raise TypeError(f"a picture of mode {value.mode} is not written to a file: convert it to RGB") from error
        value = stream.getvalue()
    return base64.b64encode(value).decode("ascii")


def from_text(dtype: str, text: str) -> Any:
    """What `to_text` was given: a loaded picture where `dtype` is "image", else bytes."""
    data = base64.b64decode(text)
    if dtype != "image":
        return data
    found = need("PIL.Image", _FEATURE).open(io.BytesIO(data), formats=FORMATS)
    found.load()
    return found


def read_files(column: Column, leaves: list[Any], shape: Sequence[int], path: Path) -> NDArray[Any]:
    """Base64, or a data: URI, as bytes or as pictures that are opened and not decoded. Raises `InvalidInputs`.

    A value that is bytes already is the file itself.
    """
    found = np.empty(len(leaves), dtype=object)
    pixels = 0
    for i, value in enumerate(leaves):
        where = path.at(place(i, shape))
        if value is None:
            if not column.nullable:
                refuse_missing(where)
            continue
        data = value if isinstance(value, bytes) else _data(value, where)
        if column.dtype == "bytes":
            found[i] = data
            continue
        found[i] = picture = _opened(data, where)
        pixels += picture.width * picture.height
        if pixels > MOST_PIXELS:
            refuse(where, f"is a picture of {picture.width} x {picture.height}, {_LIMIT}", "send smaller ones")
    return found.reshape(tuple(shape))


_LIMIT = f"and a request may have {MOST_PIXELS // 10**6} million pixels in all"


def load(values: NDArray[Any], path: Path) -> None:
    """Decode pictures that were opened. Raises `InvalidInputs` for one that is damaged."""
    for i, picture in enumerate(values.tolist()):
        if picture is None:
            continue
        try:
            picture.load()
        except Exception as error:  # noqa: BLE001 - on bytes of others' a decoder may raise anything
            why = str(error) or type(error).__name__
            refuse(path.at((i,)), f"is a damaged {picture.format} picture: {why[:80]}", "send the whole file")


def _data(value: Any, where: str) -> bytes:
    if not isinstance(value, str):
        refuse(where, f"is {describe_kind(value)}, not a file", _FIX)
    head, comma, text = value.partition(",") if value.startswith("data:") else ("", "", value)
    if head and not (comma and head.endswith(";base64")):
        refuse(where, "is a data: URI that is not in base64", f"{_FIX}, or as data:image/png;base64,…")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    try:
        return base64.b64decode("".join(text.split()), validate=True)  # as mail, and the tool base64, break lines
    except (binascii.Error, ValueError):
        refuse(where, "is not base64", f"{_FIX}, or as data:image/png;base64,…")


def _opened(data: bytes, where: str) -> Any:
    module = need("PIL.Image", _FEATURE)
    try:
        return module.open(io.BytesIO(data), formats=FORMATS)
    except module.DecompressionBombError:
        refuse(where, f"is a picture that is too large, {_LIMIT}", "send a smaller one")
    except Exception:  # noqa: BLE001 - on bytes of others' a decoder may raise anything
        refuse(where, "is not a picture that is read here", f"send one of: {', '.join(FORMATS)}")
