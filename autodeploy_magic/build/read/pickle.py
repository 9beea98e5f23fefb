"""Pickles, as pickle, cloudpickle, dill and joblib write them, compressed or not. Reading one runs its code."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from typing import Any

from autodeploy_magic.build.memory import available_bytes
from autodeploy_magic.build.read.given import Given, size_text
from autodeploy_magic.build.read.guarded import check_allowed, guarded
from autodeploy_magic.build.read.named import is_pickle, named_in
from autodeploy_magic.errors import BadInput, MissingPackage
from autodeploy_magic.registry import need

__all__ = ["PickleReader", "reader"]

_PACKED = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x78\x01", "zlib"),
    (b"\x78\x5e", "zlib"),
    (b"\x78\x9c", "zlib"),
    (b"\x78\xda", "zlib"),
    (b"\x5d\x00\x00", "lzma"),
)
_TORCH_OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_INSTEAD = "keep it as data: skops.io.dump for scikit-learn, the library's own save_model for boosters, ONNX"


class PickleReader:
    """Whatever was pickled: the object itself comes back, and runs what was written into it."""

    title = "a pickle"

    def recognises(self, given: Given) -> bool:
        if given.is_folder or given.head.startswith(_TORCH_OLD):
            return False
        if is_pickle(given.head) or (given.suffix in (".pkl", ".pickle") and _names_modules(given.head)):
            return True  # protocols 0 and 1 are text, which may begin in many ways
        return _packing(given.head) is not None and _starts_as_pickle(given)

    def read(self, given: Given) -> Any:
        packing = _packing(given.head)
        data = given.data()
        plain = _unpacked(data, packing, given) if packing else data
        named = named_in(plain)
        if not named.whole and not plain.endswith(b"."):
            raise _cut(given, "it does not end as a pickle does")
        by_joblib = any(name.startswith("joblib.numpy_pickle") for name in named.names)
        what = "a joblib file, which is a pickle" if by_joblib else "a pickle"
        check_allowed(given, what, named, _INSTEAD)
        with guarded(given):
            if by_joblib:
                return need("joblib", f"reading {given.name}").load(io.BytesIO(plain))
            import pickle

            return pickle.loads(plain)  # noqa: S301  # the person's explicit choice, and guarded


def _names_modules(head: bytes) -> bool:
    names = named_in(head).names
    return bool(names) and all(re.fullmatch(r"[A-Za-z_][\w.]*", name) for name in names)


def _packing(head: bytes) -> str | None:
    return next((name for magic, name in _PACKED if head.startswith(magic)), None)


def _starts_as_pickle(given: Given) -> bool:
    """Whether what is packed begins as a pickle."""
    packing = _packing(given.head)
    if packing == "lz4":
        return True  # its package may be absent, which reading it says
    try:
        with given.path.open("rb") as stream:
            start = _opened(packing or "", stream).read(2048)
    except EOFError:
        return given.suffix in (".pkl", ".pickle", ".joblib")
    except (OSError, zlib.error, lzma.LZMAError, ValueError):
        return False
    return is_pickle(start)


def _opened(packing: str, stream: Any) -> Any:
    if packing == "gzip":
        return gzip.GzipFile(fileobj=stream)
    if packing == "bz2":
        return bz2.BZ2File(stream)
    if packing in ("xz", "lzma"):
        return lzma.LZMAFile(stream)
    if packing == "zlib":
        return io.BytesIO(zlib.decompressobj().decompress(stream.read(1 << 16), 1 << 16))
    return need("lz4.frame", "reading an lz4 file").LZ4FrameFile(stream)


def _unpacked(data: bytes, packing: str, given: Given) -> bytes:
    """What a packed file holds, and no more of it than there is memory for. Raises `BadInput`."""
    most = available_bytes() // 3
    try:
        if packing == "zlib":
            plain = zlib.decompressobj().decompress(data, most)
        else:
            plain = _opened(packing, io.BytesIO(data)).read(most)
    except MissingPackage:
        raise
    except (EOFError, OSError, zlib.error, lzma.LZMAError, RuntimeError) as error:
        raise _cut(given, f"it is packed with {packing}, and cannot be unpacked to its end: {error}") from error
    if len(plain) >= most:
        raise BadInput(
            f"{given.name} unpacks to more than {size_text(most)}",
            why="that is more than a third of the memory that is free",
            fix="free memory, or save the model unpacked",
        )
    return bytes(plain)


def _cut(given: Given, why: str) -> BadInput:
    return BadInput(
        f"{given.name} is cut off or damaged",
        why=why,
        fix=f"it has {size_text(given.size_bytes)}: compare that, and its SHA-256, with where it came from",
    )


reader = PickleReader()
