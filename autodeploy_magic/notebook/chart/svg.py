"""Drawings as SVG inside an HTML page: sharp at every size, with words that can be found and copied."""

from __future__ import annotations

from html import escape

from autodeploy_magic.notebook.chart.ink import Disc, Drawing, Fill, Ink, Label, Line, Places

__all__ = ["svg"]


def svg(drawing: Drawing) -> str:
    """Return the drawing as an `<svg>` element that is as wide as its place; `alt` is what a screen reader says."""
    size = f"0 0 {_n(drawing.width)} {_n(drawing.height)}"
    inks = "".join(_ink(ink) for ink in drawing.inks)
    alt = escape(drawing.alt)
    return f'<svg viewBox="{size}" role="img" aria-label="{alt}"><title>{alt}</title>{inks}</svg>'


def _ink(ink: Ink) -> str:
    match ink:
        case Line():
            dash = f' stroke-dasharray="{" ".join(map(_n, ink.dash))}"' if ink.dash else ""
            pen = f'fill="none" stroke="{ink.color}" stroke-width="{_n(ink.width)}"{dash}'
            return f'<path {pen} d="{"".join(map(_path, ink.runs))}"/>'
        case Fill():
            opacity = f' fill-opacity="{_n(ink.opacity)}"' if ink.opacity < 1 else ""
            return f'<path fill="{ink.color}"{opacity} d="{_path(ink.points)}Z"/>'
        case Disc():
            pen = f'fill="none" stroke-width="1.3" stroke="{ink.color}"' if ink.hollow else f'fill="{ink.color}"'
            return f'<circle cx="{_n(ink.x)}" cy="{_n(ink.y)}" r="{_n(ink.radius)}" {pen}/>'
        case Label():
            anchor = f' text-anchor="{ink.anchor}"' if ink.anchor != "start" else ""
            face = (' font-weight="600"' if ink.bold else "") + (' class="mono"' if ink.mono else "")
            place = f'x="{_n(ink.x)}" y="{_n(ink.y)}"'
            style = f'fill="{ink.color}" font-size="{_n(ink.size)}"{anchor}{face}'
            return f"<text {place} {style}>{escape(ink.text)}</text>"


def _path(points: Places) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
