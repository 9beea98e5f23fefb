"""The charts of a deployment: latency, requests, CPU, memory, what waits, the disk. Each draws itself into a box."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autodeploy_magic.live import Event
from autodeploy_magic.notebook.chart.area import Area, Box, Curve
from autodeploy_magic.notebook.chart.ink import Drawing
from autodeploy_magic.notebook.chart.palette import FIGURE
from autodeploy_magic.notebook.chart.scale import Scale, linear, logarithmic, times
from autodeploy_magic.notebook.chart.window import Window

__all__ = ["Panel", "cpu", "disk", "gpu", "latency", "memory", "queue", "requests"]

Panel = Callable[[Drawing, Box, Window, Sequence[Event]], None]

_LATENCY = (
    Curve("p50", "p50_s", FIGURE["p50"]),
    Curve("p95", "p95_s", FIGURE["p95"], (4.0, 1.5), 1.3),
    Curve("p99", "p99_s", FIGURE["p99"]),
)


def latency(drawing: Drawing, box: Box, window: Window, events: Sequence[Event]) -> None:
    """p50, p95 and p99, on a logarithmic scale."""
    found = [value for curve in _LATENCY for value in window[curve.column] if value is not None]
    area = _area(drawing, box, window, logarithmic(found, _seconds), "Latency", "log")
    area.events(events, named=True)
    area.curves(window, _LATENCY)
    if not found:
        area.nothing("no request was answered")


def requests(drawing: Drawing, box: Box, window: Window, events: Sequence[Event]) -> None:
    """Requests a second; those that were refused or failed as bars at the foot."""
    up = linear(window.most("requests_per_s"), _plain, least=1.0)
    area = _area(drawing, box, window, up, "Requests", "a second; refused (4xx) and failed (5xx) as bars")
    area.events(events, named=False)
    area.ground(window, "requests_per_s", FIGURE["requests"])
    area.curves(window, (Curve("all", "requests_per_s", FIGURE["requests"]),))
    area.bars(window, (("failed_per_s", FIGURE["failed"]), ("refused_per_s", FIGURE["refused"])))


def cpu(drawing: Drawing, box: Box, window: Window, events: Sequence[Event]) -> None:
    """CPU of all processes, in percent of one core."""
    up = linear(window.most("cpu_cores"), lambda cores: f"{100 * cores:g}%", least=0.04)
    area = _area(drawing, box, window, up, "CPU", "of one core")
    _one(area, window, events, Curve("CPU", "cpu_cores", FIGURE["cpu"]))


def memory(drawing: Drawing, box: Box, window: Window, events: Sequence[Event]) -> None:
    """Memory of all processes."""
    area = _area(drawing, box, window, linear(window.most("memory_bytes"), _bytes, least=1e6), "Memory", "")
    _one(area, window, events, Curve("mem", "memory_bytes", FIGURE["memory"]))


def disk(drawing: Drawing, box: Box, window: Window, events: Sequence[Event]) -> None:
    """What the deployment's folder takes of the disk."""
    area = _area(drawing, box, window, linear(window.most("disk_bytes"), _bytes, least=1e6), "Disk", "of its folder")
    _one(area, window, events, Curve("disk", "disk_bytes", FIGURE["disk"]))


def queue(drawing: Drawing, box: Box, window: Window, events: Sequence[Event]) -> None:
    """Requests under way, and those that waited for the model: the most at once."""
    curves = (
        Curve("busy", "in_flight", FIGURE["in flight"]),
        Curve("wait", "waiting", FIGURE["waiting"], (5.0, 2.0)),
    )
    highest = max((window.most(curve.column) or 0.0 for curve in curves), default=0.0)
    area = _area(drawing, box, window, linear(highest, _plain, least=2.0), "Under way", "and waiting, most at once")
    area.events(events, named=False)
    area.curves(window, curves)


def gpu(drawing: Drawing, box: Box, window: Window, events: Sequence[Event]) -> None:
    """The share of one GPU."""
    up = linear(window.most("gpu_share"), lambda share: f"{100 * share:g}%", least=0.04)
    _one(_area(drawing, box, window, up, "GPU", "of one"), window, events, Curve("GPU", "gpu_share", FIGURE["gpu"]))


def _area(drawing: Drawing, box: Box, window: Window, up: Scale, title: str, unit: str) -> Area:
    across = times(window.start_s, window.end_s, wanted=max(2, int(box.width / 75)))
    area = Area(drawing, box, across, up)
    area.frame(title, unit)
    return area


def _one(area: Area, window: Window, events: Sequence[Event], curve: Curve) -> None:
    area.events(events, named=False)
    area.ground(window, curve.column, curve.color)
    area.curves(window, (curve,))
    if window.last(curve.column) is None:
        area.nothing("not measured")


def _seconds(value: float) -> str:
    return f"{value:g} s" if value >= 1 else f"{value * 1e3:g} ms"


def _plain(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"


def _bytes(value: float) -> str:
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"
