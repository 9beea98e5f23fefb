"""How times, sizes, values and tables read as text."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autodeploy_magic.metrics import Summary

__all__ = ["ago_text", "grid", "seconds_text", "size_text", "traffic_text", "value_text"]


def seconds_text(seconds: float | None) -> str:
    """Return a time as people read it: "0.02 ms", "3.4 ms", "0.8 s", "1 min 5 s"."""
    if seconds is None:
        return "?"
    if seconds < 0.1:
        return f"{seconds * 1e3:.{2 if seconds < 0.001 else 1}f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def traffic_text(traffic: Summary | None) -> str:
    """Return what was answered: "120 requests, p50 1.9 ms, p99 3.4 ms, 2 refused"; what is unknown is said so."""
    if traffic is None:
        return "nothing recorded yet"
    if not traffic.requests:
        return "no requests"
    parts = [f"{traffic.requests} request{'s' if traffic.requests > 1 else ''}"]
    parts += [f"p50 {seconds_text(traffic.p50_s)}", f"p99 {seconds_text(traffic.p99_s)}"]
    counts = {"refused": traffic.refused, "failed": traffic.failed, "not recorded": traffic.dropped}
    return ", ".join(parts + [f"{count} {what}" for what, count in counts.items() if count])


def grid(names: tuple[str, ...] | list[str], rows: list[Any]) -> str:
    """A table as text, its columns as wide as they need to be."""
    cells = [list(names), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def value_text(value: Any, longest: int = 300) -> str:
    """A JSON value as people read it, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= longest else f"{text[:longest]}…"


def size_text(size_bytes: float) -> str:
    """ "431 B", "12 kB", "3.4 MB"."""
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" or size_bytes >= 10 else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} GB"


def ago_text(since: float) -> str:
    """How long ago a time (seconds since the epoch) was."""
    seconds = max(0, int(time.time() - since))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
