"""Attributions as drawings: one row as bars that add up to its answer, several as a dot for each row and column."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from autodeploy_magic.notebook.chart.ink import Disc, Drawing, Fill, Label, Line

__all__ = ["HIGH", "LOW", "MOST_COLUMNS", "UP", "bars", "dots", "number_text"]

INK, MUTED, FAINT, GRID = "currentColor", "#7d8590", "#8b93a3", "rgba(128,134,145,.25)"
"""Of the notebook's page, which may be light or dark; reports on paper have colours of their own."""
UP, DOWN = "#4f74e8", "#cf7a12"
"""What raises the answer, and what lowers it: told apart by their side of the line as well."""
LOW, HIGH, OTHER = "#4f74e8", "#cf7a12", "#8b93a3"
"""A low and a high value of a column of numbers; any value of another."""
MOST_COLUMNS = 12

_WIDTH, _LINE, _NAMES, _RIGHT, _TOP = 760.0, 24.0, 230.0, 70.0, 34.0
_NAME_LETTERS = 32


def number_text(value: float, *, signed: bool = False) -> str:
    """Four digits that count: "0.9312", "+12.3", "−0.004"."""
    text = f"{value:+.4g}" if signed else f"{value:.4g}"
    return text.replace("-", "−")


def bars(attributions: Mapping[str, float], values: Mapping[str, str], base: float, value: float) -> Drawing:
    """One row: what each column adds, the largest first, from the base value to the answer.

    `values` are the row's own, as text. Columns that are too many are one bar at the end.
    """
    shown, rest = _largest(attributions)
    lines = [(f"{name} = {values[name]}" if name in values else name, attributions[name]) for name in shown]
    if rest:
        lines.append((f"{len(rest)} other columns", sum(attributions[name] for name in rest)))
    ends = [base]
    for _, amount in lines:
        ends.append(ends[-1] + amount)
    low, high = min(ends), max(ends)
    x = _scale(low, high)
    height = _TOP + _LINE * len(lines) + 30
    words = ", ".join(f"{name} {number_text(amount, signed=True)}" for name, amount in lines)
    drawing = Drawing(_WIDTH, height, f"from {number_text(base)} to {number_text(value)}: {words}")
    bottom = height - 24
    for at, text, color in ((base, f"base {number_text(base)}", MUTED), (value, f"answer {number_text(value)}", INK)):
        drawing.add(Line((((x(at), _TOP - 8), (x(at), bottom)),), color, 1.0, (3.0, 3.0)))
        top = color == INK
        drawing.add(Label(x(at), _TOP - 13 if top else height - 8, text, color, 11.0, "middle", bold=top))
    for i, (name, amount) in enumerate(lines):
        y = _TOP + i * _LINE
        left, right = sorted((x(ends[i]), x(ends[i + 1])))
        box = (
            (left, y + 3),
            (max(right, left + 1), y + 3),
            (max(right, left + 1), y + _LINE - 5),
            (left, y + _LINE - 5),
        )
        drawing.add(Fill(box, UP if amount >= 0 else DOWN))
        drawing.add(Label(_NAMES - 10, y + 15, _short(name), INK, 11.5, "end"))
        drawing.add(Label(right + 6, y + 15, number_text(amount, signed=True), MUTED, 11.0))
    return drawing


def dots(rows: Sequence[Mapping[str, float]], ranks: Sequence[Mapping[str, float | None]]) -> Drawing:
    """Several rows: a dot for each, at what the column adds there, coloured by how high the column's value is.

    `ranks` are 0 for a column's lowest value among the rows to 1 for its highest, None where it has no order.
    """
    total = {name: sum(abs(row[name]) for row in rows) for name in rows[0]}
    shown, rest = _largest(total)
    every = [row[name] for row in rows for name in shown]
    x = _scale(min([0.0, *every]), max([0.0, *every]))
    height = _TOP + _LINE * len(shown) + 30
    means = ", ".join(f"{name} {number_text(total[name] / len(rows))}" for name in shown)
    drawing = Drawing(_WIDTH, height, f"mean size of what each column adds over {len(rows)} rows: {means}")
    drawing.add(Label(_WIDTH - 4, _TOP - 14, "mean size", MUTED, 10.5, "end"))
    drawing.add(Line((((x(0.0), _TOP - 6), (x(0.0), height - 26)),), FAINT))
    drawing.add(Label(x(0.0), height - 10, "lowers the answer  ←  0  →  raises it", MUTED, 10.5, "middle"))
    for i, name in enumerate(shown):
        y = _TOP + i * _LINE + _LINE / 2 - 1
        drawing.add(Line((((_NAMES, y), (_WIDTH - _RIGHT, y)),), GRID))
        drawing.add(Label(_NAMES - 10, y + 4, _short(name), INK, 11.5, "end"))
        for j, row in enumerate(rows):
            lift = math.sin(j * 2.4) * min(7.0, len(rows) / 3)  # so that dots of one place are seen side by side
            drawing.add(Disc(x(row[name]), y + lift, 2.8, _shade(ranks[j][name])))
        drawing.add(Label(_WIDTH - 4, y + 4, number_text(total[name] / len(rows)), MUTED, 11.0, "end"))
    if rest:
        drawing.add(Label(_NAMES - 10, height - 10, f"and {len(rest)} smaller", MUTED, 10.5, "end"))
    return drawing


def _largest(sizes: Mapping[str, float]) -> tuple[list[str], list[str]]:
    ordered = sorted(sizes, key=lambda name: -abs(sizes[name]))
    if len(ordered) <= MOST_COLUMNS + 1:
        return ordered, []
    return ordered[:MOST_COLUMNS], ordered[MOST_COLUMNS:]


def _scale(low: float, high: float) -> _Scale:
    return _Scale(low, high if high > low else low + 1.0)


class _Scale:
    def __init__(self, low: float, high: float) -> None:
        self._low = low
        self._per_pixel = (_WIDTH - _RIGHT - _NAMES) / (high - low)

    def __call__(self, value: float) -> float:
        return _NAMES + (value - self._low) * self._per_pixel


def _shade(rank: float | None) -> str:
    """From `LOW` to `HIGH`."""
    if rank is None:
        return OTHER
    ends = [[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in (LOW, HIGH)]
    return "#" + "".join(f"{round(a + (b - a) * rank):02x}" for a, b in zip(*ends, strict=True))


def _short(text: str) -> str:
    return text if len(text) <= _NAME_LETTERS else f"{text[: _NAME_LETTERS - 1]}…"
