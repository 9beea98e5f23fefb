"""One chart on a drawing: its frame, its curves, and the marks of what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autodeploy_magic.live import Event
from autodeploy_magic.notebook.chart.ink import Disc, Drawing, Fill, Label, Line, Place
from autodeploy_magic.notebook.chart.palette import FAINT, GRID, INK, MUTED, SEVERITIES
from autodeploy_magic.notebook.chart.scale import Scale
from autodeploy_magic.notebook.chart.window import Values, Window
from autodeploy_magic.notebook.events import short

__all__ = ["Area", "Box", "Curve"]

ABOVE, BELOW, BEFORE, AFTER = 31.0, 18.0, 46.0, 38.0
"""Room around the curves: for the title, the times, the values and the names of the curves."""
GRAVITY = {"info": 0, "warning": 1, "critical": 2}
LETTER = 0.56
"""How wide a letter is in the mean, of the size of its text; marks are laid out with it."""


@dataclass(frozen=True)
class Box:
    """A rectangle on the drawing, in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Curve:
    """One line of a chart. `dash` sets it apart from the others where colours do not."""

    name: str
    column: str
    color: str
    dash: tuple[float, ...] = ()
    width: float = 1.4


class Area:
    """Where curves are drawn: it turns times and values into places on the drawing."""

    def __init__(self, drawing: Drawing, box: Box, across: Scale, up: Scale) -> None:
        self._drawing = drawing
        self._box = box
        self._across = across
        self._up = up
        self.left, self.right = box.x + BEFORE, box.x + box.width - AFTER
        self.top, self.bottom = box.y + ABOVE, box.y + box.height - BELOW

    def frame(self, title: str, unit: str) -> None:
        """Draw the title, the lines of the values and the ticks of time."""
        box, drawing = self._box, self._drawing
        drawing.add(Label(box.x, box.y + 13, title, INK, 12.5, bold=True))
        drawing.add(Label(box.x + len(title) * 12.5 * 0.7 + 8, box.y + 13, unit, MUTED, 11))
        for value, text in self._up.ticks:
            y = self.y(value)
            drawing.rule(self.left, y, self.right, y, GRID)
            drawing.add(Label(self.left - 7, y + 3.5, text, MUTED, 10, "end"))
        drawing.rule(self.left, self.bottom, self.right, self.bottom, FAINT, 0.8)
        for at, text in self._across.ticks:
            x = self.x(at)
            drawing.rule(x, self.bottom, x, self.bottom + 3.5, FAINT, 0.8)
            half = len(text) * 10 * LETTER / 2
            if self._box.x + BEFORE - half <= x <= self._box.x + self._box.width - half:
                drawing.add(Label(x, self.bottom + 14, text, MUTED, 10, "middle"))

    def nothing(self, text: str) -> None:
        """Say why there is no curve."""
        self._drawing.add(Label((self.left + self.right) / 2, (self.top + self.bottom) / 2, text, MUTED, 11, "middle"))

    def curves(self, window: Window, curves: Sequence[Curve]) -> None:
        """Draw the curves, with gaps where nothing was measured and with their names at their ends."""
        ends: list[tuple[float, Curve]] = []
        for curve in curves:
            runs = self._runs(window, window[curve.column])
            drawn = tuple(run for run in runs if len(run) > 1)
            if drawn:
                self._drawing.add(Line(drawn, curve.color, curve.width, curve.dash))
            self._drawing.add(*(Disc(*run[0], 1.5, curve.color) for run in runs if len(run) == 1))
            if runs:
                ends.append((runs[-1][-1][1], curve))
        for y, curve in _apart(ends, 11.5, self.top + 3, self.bottom):
            self._drawing.add(Label(self.right + 5, y + 3.5, curve.name, curve.color, 10.5, bold=True))

    def ground(self, window: Window, column: str, color: str) -> None:
        """Fill what is below a curve, lightly."""
        for run in self._runs(window, window[column]):
            if len(run) > 1:
                closed = (*run, (run[-1][0], self.bottom), (run[0][0], self.bottom))
                self._drawing.add(Fill(closed, color, 0.1))

    def bars(self, window: Window, columns: Sequence[tuple[str, str]]) -> None:
        """Draw what went wrong as bars upon each other; each is high enough to be seen, be it ever so rare."""
        width = max(1.6, (self.right - self.left) / max(1, window.points) * 0.8)
        for i in range(window.points):
            base = self.bottom
            for column, color in columns:
                value = window[column][i] if window[column] else None
                if value:
                    height = max(3.0, self.bottom - self.y(value))
                    self._drawing.box(self.x(window.time(i)) - width / 2, base - height, width, height, color)
                    base -= height

    def events(self, events: Sequence[Event], *, named: bool) -> None:
        """Draw a line where something happened, with its sign; `named` adds words where they have room.

        Where two are close the graver one gets the words.
        """
        shown = [event for event in events if self._across.low <= event.at_s <= self._across.high]
        taken = [(self.x(event.at_s) - 5, self.x(event.at_s) + 5) for event in shown]
        for event in sorted(shown, key=lambda event: (-GRAVITY[event.severity], event.at_s)):
            x = self.x(event.at_s)
            sign, color = SEVERITIES[event.severity]
            self._drawing.add(Line((((x, self.top - 4), (x, self.bottom)),), color, 1.0, (1.5, 2.5)))
            self._sign(sign, x, self.top - 7, color)
            text = short(event)
            place = (x + 7, x + 9 + len(text) * 10 * LETTER)
            inside = place[1] <= self._box.x + self._box.width
            if named and inside and not any(low < place[1] and place[0] < high for low, high in taken):
                self._drawing.add(Label(x + 7, self.top - 3.5, text, color, 10))
                taken.append(place)

    def x(self, at: float) -> float:
        return self.left + self._across(at) * (self.right - self.left)

    def y(self, value: float) -> float:
        share = min(1.0, max(0.0, self._up(value)))
        return self.bottom - share * (self.bottom - self.top)

    def _runs(self, window: Window, values: Values) -> list[tuple[Place, ...]]:
        """The stretches without a gap."""
        found: list[tuple[Place, ...]] = []
        run: list[Place] = []
        for i, value in enumerate(values):
            if value is not None:
                run.append((self.x(window.time(i)), self.y(value)))
            elif run:
                found.append(tuple(run))
                run = []
        return [*found, tuple(run)] if run else found

    def _sign(self, sign: str, x: float, y: float, color: str) -> None:
        """Draw a sign as a shape: a font may lack it."""
        if sign == "▲":
            self._drawing.add(Fill(((x - 4, y + 3.5), (x + 4, y + 3.5), (x, y - 3.5)), color))
        elif sign == "■":
            self._drawing.box(x - 3.5, y - 3.5, 7, 7, color)
        else:
            self._drawing.add(Disc(x, y, 3.2, color))


def _apart(ends: list[tuple[float, Curve]], gap: float, top: float, bottom: float) -> list[tuple[float, Curve]]:
    """Move names away from each other until none covers another, as little as that takes."""
    ordered = sorted(ends, key=lambda end: end[0])
    places = [max(top, y) for y, _ in ordered]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    over = places[-1] - bottom if places else 0.0
    if over > 0:
        places[-1] -= over
        for i in range(len(places) - 2, -1, -1):
            places[i] = min(places[i], places[i + 1] - gap)
    return [(y, curve) for y, (_, curve) in zip(places, ordered, strict=True)]
