"""Parquet bodies: read, once their own metadata says that they stay within the limits.

What a file's description claims is not what the reader allocates: that is in the header of each page. So the headers
are walked first, without unpacking a page. Source: github.com/apache/parquet-format, parquet.thrift.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Any

from autodeploy_magic.wire.arrow.ipc import EXTENSION
from autodeploy_magic.wire.arrow.limits import Limits, TableRefused
from autodeploy_magic.wire.arrow.thrift import DamagedThrift, read_struct

__all__ = ["read_parquet"]

MAGIC = b"PAR1"
_BYTE_ARRAY, _FIXED = 6, 7
_SIZES = {0: 1, 1: 4, 2: 8, 3: 12, 4: 4, 5: 8, _BYTE_ARRAY: 8, _FIXED: 16}
"""Physical type → bytes that a value takes at least, once it is read; a text those of its reference."""
_DECIMAL = 5
_DELTA_BYTE_ARRAY = 7
"""An encoding in which each text repeats the start of the one before: a few bytes may stand for any number."""

Fields = dict[int, Any]


def read_parquet(body: memoryview, limits: Limits) -> Any:
    """Read a file as a `pyarrow.Table`, its texts as dictionaries. Raises `TableRefused` or one of pyarrow's errors."""
    from pyarrow import BufferReader, py_buffer
    from pyarrow.parquet import ParquetFile

    texts = _check(body, limits)
    with ParquetFile(
        BufferReader(py_buffer(body)),
        # As they are in the file, where a long text that many rows share is there once.
        read_dictionary=texts,
        memory_map=False,
        pre_buffer=False,
        thrift_string_size_limit=limits.max_header,
        thrift_container_size_limit=limits.max_header,
        arrow_extensions_enabled=False,
    ) as file:
        return file.read(use_threads=False)


def _check(body: memoryview, limits: Limits) -> list[str]:
    """Add up what the file would become, page by page. Returns the paths of its columns of text."""
    if len(body) < 12 or body[:4].tobytes() != MAGIC or body[-4:].tobytes() != MAGIC:
        raise TableRefused("is not a Parquet file, or not the whole of one", fix="send the whole file, not encrypted")
    (size,) = struct.unpack_from("<I", body, len(body) - 8)
    if size > len(body) - 12:
        raise TableRefused("is a Parquet file with a damaged end", fix="send the whole file")
    limits.header(size)
    try:
        footer, _ = read_struct(body[len(body) - 8 - size : len(body) - 8])
        _check_schema(footer)
        limits.rows(footer[3])
        groups = footer[4]
        if sum(group[3] for group in groups) != footer[3]:
            raise TableRefused("contradicts itself about its rows", fix="write the table again")
        chunks = [chunk for group in groups for chunk in group[1]]
        for chunk in chunks:
            _check_chunk(body, chunk, limits)
        return sorted({_path(chunk[3]) for chunk in chunks if chunk[3][1] == _BYTE_ARRAY})
    except (DamagedThrift, KeyError, TypeError, IndexError, AttributeError, UnicodeDecodeError) as error:
        raise TableRefused("is a damaged Parquet file", fix="send the whole file") from error


def _check_schema(footer: Fields) -> None:
    for element in footer[2]:
        decimal = element.get(6) == _DECIMAL or 5 in element.get(10, {})
        if decimal and element.get(1) == _BYTE_ARRAY:
            raise TableRefused("has a decimal column of varying width", fix="send the column as float64")
        if element.get(1) == _FIXED and not 0 < element[2] <= 32:
            raise TableRefused("has a column of long fixed-size values", fix="send the column as numbers or as text")
    for pair in footer.get(5, []):
        if pair[1] == b"ARROW:schema" and _names_extension(pair.get(2, b"")):
            raise TableRefused(
                "has a column of an extension type", fix="send its storage: numbers, text, lists, or dates"
            )


def _names_extension(schema: bytes) -> bool:
    try:
        return EXTENSION in base64.b64decode(schema)
    except binascii.Error as error:
        raise TableRefused("is a damaged Parquet file", fix="send the whole file") from error


def _check_chunk(body: memoryview, chunk: Fields, limits: Limits) -> None:
    """The pages of one column of a row group."""
    if chunk.get(1):
        raise TableRefused("keeps a column in another file", fix="write the table into one file")
    meta = chunk[3]
    if meta[5] == 0:
        return  # no values, and whatever pages there are, none is read
    start = meta[9]
    if 0 < meta.get(11, 0) < start:
        start = meta[11]
    end = start + meta[7]
    if start < 0 or meta[7] < 0 or end > len(body):
        raise TableRefused("is a damaged Parquet file", fix="send the whole file")
    value_bytes = _SIZES[meta[1]]
    while start < end:
        page, start = read_struct(body[:end], start)
        limits.part()
        limits.bytes(page[2])
        for header in (page.get(5), page.get(8), page.get(7)):
            if header is None:
                continue
            limits.bytes(header[1] * value_bytes)
            if header.get(4 if header is page.get(8) else 2) == _DELTA_BYTE_ARRAY:
                raise TableRefused(
                    "has a column in the encoding DELTA_BYTE_ARRAY", fix="write it with plain or dictionary encoding"
                )
        if page[3] < 0:
            raise TableRefused("names a negative size", fix="write the table again")
        start += page[3]


def _path(meta: Fields) -> str:
    return ".".join(part.decode("utf-8") for part in meta[3])
