"""Windows of a deployment as charts draw them: made up, with a gap, errors and events, the same at every call."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.live import COLUMNS, Event, Series, View

__all__ = ["END", "GOLDEN", "events", "nothing", "series", "view"]

END = 1_763_740_800
"""Of every window: 2025-11-21 16:00:00 UTC, in seconds since the epoch."""
GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "live.json").read_text("utf-8"))


def view(**changes: Any) -> View:
    """The golden view, with the events of the window."""
    return msgspec.structs.replace(msgspec.convert(GOLDEN["view"], View), events=events(), **changes)


def series(name: str = "iris", seconds: int = 900, points: int = 300, gap: range = range(120, 135)) -> Series:
    """A busy window: some requests are refused and failed, and nothing was measured in the points of `gap`."""
    chance = random.Random(3)
    lines = [_line(chance, i) if i not in gap else (None,) * len(COLUMNS) for i in range(points)]
    step = seconds // points
    return Series(
        name=name,
        start_s=float(END - seconds),
        step_s=float(step),
        columns=COLUMNS,
        values=tuple(zip(*lines, strict=True)),
    )


def nothing(seconds: int = 900, points: int = 300) -> Series:
    """A window in which nobody looked."""
    return series(seconds=seconds, points=points, gap=range(points))


def events(seconds: int = 900) -> tuple[Event, ...]:
    """One of each severity, spread over the window."""
    died = "worker 5120 was ended by SIGKILL; replaced after 0.1 s"
    return (
        Event(id=1, name="iris", at_s=END - seconds * 0.85, kind="deployed", version=3, text="v3"),
        Event(id=2, name="iris", at_s=END - seconds * 0.6, kind="worker_died", severity="warning", text=died),
        Event(id=3, name="iris", at_s=END - seconds * 0.5, kind="failed", severity="critical", text="<no> workers"),
        Event(id=4, name="iris", at_s=END - seconds * 0.3, kind="swapped", version=4, text="v3 → v4"),
    )


def _line(chance: random.Random, i: int) -> tuple[float | None, ...]:
    rate = 212 * chance.uniform(0.8, 1.2)
    p50 = 0.0019 * chance.uniform(0.9, 1.1)
    values: dict[str, float | None] = {
        "requests_per_s": rate,
        "refused_per_s": rate * 0.02 if i % 50 == 20 else 0.0,
        "failed_per_s": rate * 0.1 if 182 <= i < 190 else 0.0,
        "p50_s": p50,
        "p95_s": p50 * chance.uniform(1.4, 1.8),
        "p99_s": p50 * chance.uniform(1.9, 3.0) * (6 if 180 <= i < 200 else 1),
        "in_flight": float(chance.randint(1, 5)),
        "waiting": float(chance.randint(0, 2)),
        "bytes_in_per_s": rate * 200,
        "bytes_out_per_s": rate * 290,
        "cpu_cores": 0.34 * chance.uniform(0.8, 1.2),
        "memory_bytes": 6.1e7 + i * 2e4,
        "disk_bytes": 1.8e6 + i * 100,
        "disk_free_bytes": 1.28e9,
    }
    return tuple(values.get(column) for column in COLUMNS)
