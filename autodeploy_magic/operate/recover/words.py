"""Figures and incidents in words."""

from __future__ import annotations

from autodeploy_magic.health import Incident
from autodeploy_magic.operate.recover.case import Figures

__all__ = ["bytes_text", "figure_text", "result_text", "story", "workers_text"]

_SHARES = ("errors", "refused", "accuracy", "precision", "recall", "f1")


def workers_text(count: int) -> str:
    """A number of workers: "1 worker", "2 workers"."""
    return f"{count} worker{'' if count == 1 else 's'}"


def bytes_text(size: float) -> str:
    """A size as people read it: "61 MB"."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def figure_text(metric: str, value: float | None) -> str:
    """ "p99 3.4 ms", "errors 1.2 %", "memory 340 MB"; what was not measured is said so."""
    if value is None:
        return f"{metric} not measured"
    if metric.startswith("p") and metric[1:].isdigit():
        return f"{metric} {value * 1000:.{0 if value >= 0.01 else 1}f} ms" if value < 1 else f"{metric} {value:.1f} s"
    if metric in _SHARES:
        return f"{metric} {100 * value:.3g} %"
    if metric in ("memory", "disk_free"):
        return f"{metric.replace('_', ' ')} {bytes_text(value)}"
    if metric == "cpu":
        return f"CPU {100 * value:.0f} %"
    if metric == "workers":
        return f"{workers_text(int(value))} serve{'s' if value == 1 else ''}"
    return f"{metric} {value:.3g}"


def result_text(metric: str, after: Figures, seconds: float) -> str:
    """What came of an action: "p99 3.4 ms after 6 s"."""
    shown = metric if metric in after else "p99" if after.get("p99") is not None else "workers"
    return f"{figure_text(shown, after.get(shown))} after {seconds:.0f} s"


def story(incident: Incident) -> str:
    """The whole of an incident in a line: metric → action → result."""
    ends = {"undone": "undone", "failed": "failed", "no_help": "did not help", "suggested": "suggested"}
    done = incident.did or (f"suggested: {incident.would}" if incident.would else "")
    told = [incident.text, done, incident.result, incident.why if incident.outcome != "helped" else ""]
    parts = [part for part in told if part]
    end = ends.get(incident.outcome, "")
    return " → ".join([*parts, end] if end and incident.outcome in ("undone", "failed", "no_help") else parts)
