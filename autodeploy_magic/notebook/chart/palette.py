"""The colours of pictures on paper: a white ground, so that they read on light and on dark pages.

The series have the colour-blind-safe colours of the panel, and are told apart by dashes and names as well.
"""

from __future__ import annotations

from autodeploy_magic.contracts import State
from autodeploy_magic.health import Severity

__all__ = ["FAINT", "FIGURE", "GRID", "INK", "MUTED", "PAPER", "SEVERITIES", "SOFT", "STATES"]

PAPER = "#ffffff"
INK = "#1c2230"
MUTED = "#5d6678"
FAINT = "#8b93a3"
GRID = "#e6e9ee"
SOFT = "#f5f7f9"

FIGURE = {
    "p50": "#2f55d4",
    "p95": "#0b8577",
    "p99": "#c96500",
    "requests": "#2f55d4",
    "refused": "#c96500",
    "failed": "#b3261e",
    "cpu": "#2f55d4",
    "memory": "#0b8577",
    "gpu": "#7a3fb0",
    "disk": "#5d6678",
    "waiting": "#c96500",
    "in flight": "#2f55d4",
}

STATES: dict[State, tuple[str, str]] = {
    "running": ("●", "#0f7b4f"),
    "starting": ("◔", "#2f55d4"),
    "degraded": ("▲", "#b25a00"),
    "failed": ("✗", "#b3261e"),
    "stopped": ("○", "#5d6678"),
}
"""State → its sign and its colour: neither is told by the colour alone."""

SEVERITIES: dict[Severity, tuple[str, str]] = {
    "info": ("●", "#2f55d4"),
    "warning": ("▲", "#b25a00"),
    "critical": ("■", "#b3261e"),
}
