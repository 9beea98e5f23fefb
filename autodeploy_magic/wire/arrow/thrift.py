"""Thrift's compact protocol, as far as Parquet's metadata uses it.

Source: github.com/apache/thrift, doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from typing import Any

__all__ = ["DamagedThrift", "read_struct"]

MAX_DEPTH = 16
"""Parquet's own metadata is eight deep."""


class DamagedThrift(Exception):
    """Bytes that are no struct of thrift's."""


def read_struct(data: memoryview, position: int = 0) -> tuple[dict[int, Any], int]:
    """A struct as a dict by field number, and the position after it. Nested structs are dicts, lists are lists.

    Raises `DamagedThrift`. Of a field that stands twice, the later one counts.
    """
    reader = _Reader(data, position)
    try:
        return reader.struct(0), reader.position
    except (IndexError, OverflowError) as error:
        raise DamagedThrift("ends too early") from error


class _Reader:
    __slots__ = ("_data", "position")

    def __init__(self, data: memoryview, position: int) -> None:
        self._data = data
        self.position = position

    def struct(self, depth: int) -> dict[int, Any]:
        if depth > MAX_DEPTH:
            raise DamagedThrift("is nested too deeply")
        found: dict[int, Any] = {}
        field = 0
        while True:
            head = self._byte()
            if head == 0:
                return found
            field = field + (head >> 4) if head >> 4 else self._zigzag()
            kind = head & 15
            found[field] = (kind == 1) if kind in (1, 2) else self._value(kind, depth)

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2):  # a boolean of a list
            return self._byte() == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 7:
            return self._bytes(8)
        if kind == 8:
            return self._bytes(self._varint())
        if kind in (9, 10):
            head = self._byte()
            size = head >> 4 if head >> 4 != 15 else self._varint()
            if size > len(self._data) - self.position:  # each item takes a byte at least
                raise DamagedThrift("names a list that is longer than itself")
            return [self._value(head & 15, depth + 1) for _ in range(size)]
        if kind == 12:
            return self.struct(depth + 1)
        raise DamagedThrift(f"has a value of kind {kind}")

    def _byte(self) -> int:
        if self.position >= len(self._data):
            raise DamagedThrift("ends too early")
        found = self._data[self.position]
        self.position += 1
        return found

    def _varint(self) -> int:
        found = shift = 0
        while True:
            byte = self._byte()
            found |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return found
            if shift > 63:
                raise DamagedThrift("has a number of more than 64 bits")

    def _zigzag(self) -> int:
        found = self._varint()
        return (found >> 1) ^ -(found & 1)

    def _bytes(self, size: int) -> bytes:
        if size > len(self._data) - self.position:
            raise DamagedThrift("ends too early")
        self.position += size
        return bytes(self._data[self.position - size : self.position])
