"""What a drawing is made of: lines, filled shapes, discs and texts, in pixels from the upper left corner.

A drawing knows nothing of what paints it: matplotlib paints PNG and PDF (`paint`), a few lines of text are SVG (`svg`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

__all__ = ["Disc", "Drawing", "Fill", "Ink", "Label", "Line", "Place", "Places"]

Place = tuple[float, float]
Places = tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """Lines of one pen; each of `runs` is drawn through its points. `dash` is lengths on and off, in pixels."""

    runs: tuple[Places, ...]
    color: str
    width: float = 1.0
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Fill:
    """A closed shape, without an outline."""

    points: Places
    color: str
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Disc:
    """A filled circle; with `hollow` a ring."""

    x: float
    y: float
    radius: float
    color: str
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """A line of text whose baseline begins, is centred or ends at (x, y)."""

    x: float
    y: float
    text: str
    color: str
    size: float = 11.0
    anchor: Literal["start", "middle", "end"] = "start"
    bold: bool = False
    mono: bool = False


Ink = Line | Fill | Disc | Label


@dataclass
class Drawing:
    """A picture of a size in pixels, at 96 of them to the inch. `alt` tells in words what it shows."""

    width: float
    height: float
    alt: str = ""
    inks: list[Ink] = field(default_factory=list)

    def add(self, *inks: Ink) -> None:
        self.inks.extend(inks)

    def box(self, x: float, y: float, width: float, height: float, color: str, opacity: float = 1.0) -> None:
        """Add a filled rectangle."""
        self.add(Fill(((x, y), (x + width, y), (x + width, y + height), (x, y + height)), color, opacity))

    def put(self, other: Drawing, dx: float, dy: float) -> None:
        """Add what is on another drawing, moved."""
        self.inks.extend(_moved(ink, dx, dy) for ink in other.inks)

    def rule(self, x1: float, y1: float, x2: float, y2: float, color: str, width: float = 1.0) -> None:
        """Add a straight line."""
        self.add(Line((((x1, y1), (x2, y2)),), color, width))


def _moved(ink: Ink, dx: float, dy: float) -> Ink:
    match ink:
        case Line():
            return replace(ink, runs=tuple(tuple((x + dx, y + dy) for x, y in run) for run in ink.runs))
        case Fill():
            return replace(ink, points=tuple((x + dx, y + dy) for x, y in ink.points))
        case Disc() | Label():
            return replace(ink, x=ink.x + dx, y=ink.y + dy)
