"""Arrow IPC bodies: read, once their own metadata says that they stay within the limits.

A message's metadata names every buffer and how long it is once it is decompressed, so that nothing has to be unpacked
to know. Source: arrow.apache.org/docs/format/Columnar.html, and Message.fbs and Schema.fbs of the Arrow project.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import Any

from autodeploy_magic.wire.arrow.limits import Limits, TableRefused

__all__ = ["read_ipc"]

MAGIC = b"ARROW1"
EXTENSION = b"ARROW:extension:name"
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3


def read_ipc(body: memoryview, limits: Limits) -> Any:
    """Read a stream, or a file (Feather v2), as a `pyarrow.Table`.

    Raises `TableRefused`, `struct.error` or one of pyarrow's errors.
    """
    from pyarrow import BufferReader, ipc, py_buffer

    buffer = py_buffer(body)
    options = ipc.IpcReadOptions(use_threads=False)
    if body[:6].tobytes() == MAGIC:
        _check_file(body, buffer, limits)
        with ipc.open_file(buffer, options=options) as file:
            return file.read_all()
    if body[:4].tobytes() == b"FEA1":
        raise TableRefused("is Feather version 1", fix="write it as Feather version 2, which is an Arrow file")
    source = BufferReader(buffer)
    messages = ipc.MessageReader.open_stream(source)
    with contextlib.suppress(StopIteration):
        while True:
            _check(messages.read_next_message(), limits)
    if source.tell() != len(body):
        raise TableRefused("has bytes after its end", fix="send one stream")
    with ipc.open_stream(buffer, options=options) as stream:
        return stream.read_all()


def _check_file(body: memoryview, buffer: Any, limits: Limits) -> None:
    """The messages that a file's footer names, each as often as it is named."""
    from pyarrow import ipc

    if len(body) < 18 or body[-6:].tobytes() != MAGIC:
        raise TableRefused("is an Arrow file without its end", fix="send the whole file")
    (size,) = struct.unpack_from("<i", body, len(body) - 10)
    if not 0 < size <= len(body) - 18:
        raise TableRefused("is an Arrow file with a damaged end", fix="send the whole file")
    limits.header(size)
    footer = body[len(body) - 10 - size : len(body) - 10].tobytes()
    _check_schema(footer)
    root = _Table(footer, struct.unpack_from("<I", footer)[0])
    for field in (2, 3):
        for offset, metadata, length in root.structs(field, "<qi4xq"):
            if offset < 0 or metadata < 0 or length < 0 or offset + metadata + length > len(body):
                raise TableRefused("is an Arrow file with a damaged end", fix="send the whole file")
            _check(ipc.read_message(buffer.slice(offset, metadata + length)), limits)


def _check_schema(metadata: bytes) -> None:
    if EXTENSION in metadata:
        # Reading such a schema may run the code of whatever package has registered the type.
        raise TableRefused("has a column of an extension type", fix="send its storage: numbers, text, lists, or dates")


def _check(message: Any, limits: Limits) -> None:
    """Add up what one message becomes."""
    metadata = message.metadata.to_pybytes()
    root = _Table(metadata, struct.unpack_from("<I", metadata)[0])
    kind = root.number(1, "<B")
    if kind == _SCHEMA:
        limits.header(len(metadata))
        _check_schema(metadata)
        return
    if kind not in (_DICTIONARY, _BATCH):
        raise TableRefused("holds something besides a table", fix="send a table's schema and record batches")
    header = root.table(2)
    batch = header.table(1) if kind == _DICTIONARY else header
    if kind == _BATCH:
        limits.rows(batch.number(0, "<q"))
    limits.part()
    for values, _ in batch.structs(1, "<qq"):
        limits.values(values)
    body = memoryview(message.body) if message.body is not None else memoryview(b"")
    for size in _unpacked(batch, body):
        limits.bytes(size)


def _unpacked(batch: _Table, body: memoryview) -> Iterator[int]:
    """The bytes of each of a batch's buffers; a compressed one says in its first eight how many it becomes."""
    compressed = batch.has(3)
    for offset, length in batch.structs(2, "<qq"):
        if not compressed or not length:
            yield length
        elif offset < 0:
            raise struct.error("a buffer before its body")
        else:
            (size,) = struct.unpack_from("<q", body[offset : offset + 8])
            yield length if size == -1 else size


class _Table:
    """A table of a flatbuffer that pyarrow has verified."""

    __slots__ = ("_data", "_fields", "_position")

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position
        vtable = position - struct.unpack_from("<i", data, position)[0]
        (size,) = struct.unpack_from("<H", data, vtable)
        self._fields = struct.unpack_from(f"<{(size - 4) // 2}H", data, vtable + 4)

    def has(self, field: int) -> bool:
        return field < len(self._fields) and self._fields[field] != 0

    def number(self, field: int, form: str) -> int:
        return int(struct.unpack_from(form, self._data, self._at(field))[0]) if self.has(field) else 0

    def table(self, field: int) -> _Table:
        if not self.has(field):
            raise struct.error("a part is missing")
        return _Table(self._data, self._follow(field))

    def structs(self, field: int, form: str) -> Iterator[tuple[int, ...]]:
        """A vector of structs: nodes (length, nulls), buffers (offset, length), blocks (offset, metadata, body)."""
        if not self.has(field):
            return iter(())
        start = self._follow(field)
        (count,) = struct.unpack_from("<I", self._data, start)
        return struct.iter_unpack(form, memoryview(self._data)[start + 4 : start + 4 + struct.calcsize(form) * count])

    def _at(self, field: int) -> int:
        return self._position + int(self._fields[field])

    def _follow(self, field: int) -> int:
        at = self._at(field)
        return at + int(struct.unpack_from("<I", self._data, at)[0])
