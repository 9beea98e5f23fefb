"""How text is broken into lines, and a table's room divided among its columns, by the widths that the letters have."""

from __future__ import annotations

import re

from autodeploy_magic.notebook.chart.paint import width
from autodeploy_magic.notebook.report.document import Sign, Table

__all__ = ["columns", "wrapped"]


def wrapped(text: str, size: float, room: float, *, mono: bool = False) -> list[str]:
    """Return the text as lines no wider than `room` pixels, broken at spaces, and inside of words that are too long."""
    lines: list[str] = []
    current = ""
    for word in re.findall(r"\s+|\S+", text) or [""]:
        if width(current + word, size, mono=mono) <= room:
            current += word
            continue
        if current.strip():
            lines.append(current.rstrip())
        current = "" if word.isspace() else word
        while width(current, size, mono=mono) > room and len(current) > 1:
            fits = _fitting(current, size, room, mono=mono)
            lines.append(current[:fits])
            current = current[fits:]
    return [*lines, current.rstrip()] if current.strip() or not lines else lines


def columns(table: Table, room: float, size: float) -> list[float]:
    """Return how wide each column is: as its longest cell; where there is less room the widest give."""
    rows = [table.head, *table.rows]
    wanted = [max(_wide(row[i], size) for row in rows) + 12 for i in range(len(table.head))]
    over = sum(wanted) - room
    while over > 0.5:
        widest = max(wanted)
        second = max((wide for wide in wanted if wide < widest - 0.01), default=0.0)
        those = [i for i, wide in enumerate(wanted) if wide >= widest - 0.01]
        cut = min(over / len(those), widest - second)
        for i in those:
            wanted[i] -= cut
        over = sum(wanted) - room
    spare = room - sum(wanted)
    if spare > 0 and len(table.head) - 1 not in table.numeric:
        wanted[-1] += spare
    return wanted


def _wide(cell: object, size: float) -> float:
    if isinstance(cell, Sign):
        return width(cell.text, size) + 14
    return width(str(cell), size)


def _fitting(text: str, size: float, room: float, *, mono: bool) -> int:
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width(text[:middle], size, mono=mono) <= room:
            low = middle
        else:
            high = middle - 1
    return low
