"""The candidates of a re-tune as a drawing: how right against how much CPU time a request takes; a circle's area is the
size of the model. The dashed line joins those that no other beats in everything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autodeploy_magic.notebook.chart.attribution import FAINT, GRID, INK, MUTED
from autodeploy_magic.notebook.chart.ink import Disc, Drawing, Label, Line
from autodeploy_magic.notebook.chart.scale import Scale, logarithmic
from autodeploy_magic.notebook.text import seconds_text
from autodeploy_magic.retuning import Contender, Retune

__all__ = ["LOWER_IS_BETTER", "drawn", "measure_of"]

CHAMPION, CHOSEN, PASSED, FELL = "#cf7a12", "#1c9a68", "#4f74e8", FAINT
"""Of a light and of a dark page; what is what is told by the labels and the rings as well."""
LOWER_IS_BETTER = frozenset({"rmse", "mae", "mse", "mape", "log_loss", "brier"})

_WIDTH, _HEIGHT = 760.0, 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 30.0, 36.0, 46.0
_LARGEST, _SMALLEST = 22.0, 4.0
"""Radii in pixels."""
_TICKS = 4


@dataclass(frozen=True)
class _Point:
    contender: Contender
    cpu_s: float
    value: float
    radius: float


def measure_of(retune: Retune) -> str:
    """What candidates are compared by: the task's metric, else how many answers are the champion's; "" for nothing."""
    measured = [one.figures for one in retune.contenders]
    if any(figures.value is not None for figures in measured):
        return next(figures.metric for figures in measured if figures.value is not None)
    return "agreement" if any(figures.agreement is not None for figures in measured) else ""


def drawn(retune: Retune) -> Drawing | None:
    """The drawing; None where fewer than two candidates were measured."""
    measure = measure_of(retune)
    points = _points(retune.contenders, measure)
    if len(points) < 2:
        return None
    x = logarithmic([point.cpu_s for point in points], seconds_text)
    y = _around([point.value for point in points])
    drawing = Drawing(_WIDTH, _HEIGHT, _words(points, measure))
    _frame(drawing, x, y, measure)
    front = sorted((point for point in points if _is_front(point.contender)), key=lambda point: point.cpu_s)
    if len(front) > 1:
        run = tuple(_place(point, x, y) for point in front)
        drawing.add(Line((run,), MUTED, 1.2, (4.0, 4.0)))
    taken: list[tuple[float, float, float]] = []
    for point in sorted(points, key=lambda point: -point.radius):
        _put(drawing, point, _place(point, x, y), retune, taken)
    return drawing


def _points(contenders: Sequence[Contender], measure: str) -> list[_Point]:
    largest = max((one.figures.size_bytes or 0 for one in contenders), default=0)
    found = []
    for one in contenders:
        figures = one.figures
        value = figures.agreement if measure == "agreement" else figures.value
        if one.state == "champion" and measure == "agreement":
            value = 1.0
        if value is None or not math.isfinite(value) or not figures.cpu_s or figures.cpu_s <= 0:
            continue
        share = (figures.size_bytes or 0) / largest if largest else 0.0
        found.append(_Point(one, figures.cpu_s, value, max(_SMALLEST, _LARGEST * math.sqrt(share))))
    return found


def _around(values: Sequence[float]) -> Scale:
    """A scale from below the lowest to above the highest, with round ticks; not from zero: differences are small."""
    low, high = min(values), max(values)
    room = max((high - low) * 0.25, abs(high) * 0.002, 1e-9)
    low, high = low - room, high + room
    step = 10.0 ** math.floor(math.log10((high - low) / _TICKS))
    step = next(step * factor for factor in (1, 2, 2.5, 5, 10) if (high - low) / (step * factor) <= _TICKS)
    digits = max(0, 1 - math.floor(math.log10(step)))
    marks = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return Scale(low, high, tuple((mark * step, f"{mark * step:.{min(digits, 6)}f}") for mark in marks))


def _frame(drawing: Drawing, x: Scale, y: Scale, measure: str) -> None:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for value, text in y.ticks:
        height = _up(y(value))
        drawing.add(Line((((_LEFT, height), (right, height)),), GRID))
        drawing.add(Label(_LEFT - 8, height + 4, text, MUTED, 10.5, "end"))
    for value, text in x.ticks:
        place = _along(x(value))
        drawing.add(Line((((place, _TOP), (place, bottom)),), GRID))
        drawing.add(Label(place, bottom + 16, text, MUTED, 10.5, "middle"))
    word = "answers like the champion's" if measure == "agreement" else measure
    better = "lower is better" if measure in LOWER_IS_BETTER else "higher is better"
    drawing.add(Label(_LEFT - 56, _TOP - 20, f"{word} ({better})", MUTED, 10.5))
    drawing.add(
        Label(right, _HEIGHT - 10, "CPU time of a request, less is better; a circle's area: size", MUTED, 10.5, "end")
    )


def _put(
    drawing: Drawing,
    point: _Point,
    place: tuple[float, float],
    retune: Retune,
    taken: list[tuple[float, float, float]],
) -> None:
    one = point.contender
    chosen = one.id == (retune.promoted or retune.chosen) and one.state != "champion"
    color = CHOSEN if chosen else {"champion": CHAMPION, "passed": PASSED}.get(one.state, FELL)
    drawing.add(Disc(*place, point.radius, color, hollow=True), Disc(*place, 2.6, color))
    words = {True: f"{one.id} {one.title}", False: one.id}[chosen or one.state == "champion"]
    half = 3.1 * len(words)
    middle = min(max(place[0], _LEFT + half), _WIDTH - 4 - half)
    height = place[1] - point.radius - 5
    while any(abs(middle - other) < half + wide and abs(height - level) < 12 for other, wide, level in taken):
        height -= 12
    taken.append((middle, half, height))
    shade = INK if chosen or one.state in ("champion", "passed") else MUTED
    drawing.add(Label(middle, height, words, shade, 11.0, "middle", bold=chosen))


def _is_front(one: Contender) -> bool:
    return one.front and one.state in ("passed", "champion")


def _place(point: _Point, x: Scale, y: Scale) -> tuple[float, float]:
    return _along(x(point.cpu_s)), _up(y(point.value))


def _along(share: float) -> float:
    return _LEFT + share * (_WIDTH - _RIGHT - _LEFT)


def _up(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def _words(points: Sequence[_Point], measure: str) -> str:
    told = [f"{point.contender.title}: {point.value:.4g} in {seconds_text(point.cpu_s)}" for point in points]
    return f"{measure} against CPU time of a request: {'; '.join(told)}"
