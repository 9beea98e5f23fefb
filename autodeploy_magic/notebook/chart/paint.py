"""Drawings as PNG and as PDF, by matplotlib's own renderers.

pyplot is never imported, and what a person has set for their own figures does not change ours: each ink goes to the
renderer with everything it needs. Safe in any thread.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from autodeploy_magic.notebook.chart.ink import Disc, Drawing, Fill, Ink, Label, Line, Places
from autodeploy_magic.notebook.chart.palette import PAPER

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

__all__ = ["pdf", "png", "ready", "warm", "width"]

INCH = 96.0
"""Pixels of a drawing to the inch, as in CSS."""
POINT = 72.0 / INCH
"""Points of a pixel: a renderer takes the widths of its pens and texts in points, and places in its own pixels."""


def png(
    drawing: Drawing, *, density: float = 1.5, colors: int | None = None, about: Mapping[str, str] | None = None
) -> bytes:
    """Return the drawing as a PNG of `density` dots for each of its pixels; `about` goes into its text chunks.

    With `colors` it has no more than so many, and takes a third of the bytes: 128 are enough for smooth lines.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image, PngImagePlugin

    canvas = FigureCanvasAgg(_figure(drawing, INCH * density))
    canvas.draw()  # type: ignore[no-untyped-call]
    dots = bytes(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    picture = Image.frombuffer("RGBA", canvas.get_width_height(), dots, "raw", "RGBA", 0, 1)
    picture = picture.convert("RGB")
    if colors is not None:
        picture = picture.quantize(colors, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        palette = picture.getpalette() or []  # its steps are coarse: the paper is to be white again
        picture.putpalette([255 if value > 251 else value for value in palette])
    info = PngImagePlugin.PngInfo()
    for name, text in (about or {}).items():
        info.add_itxt(name, text)
    file = io.BytesIO()
    picture.save(file, "png", pnginfo=info)
    return file.getvalue()


def pdf(pages: Sequence[Drawing], about: Mapping[str, str]) -> bytes:
    """Return the drawings as the pages of a PDF; the same drawings give the same bytes."""
    from matplotlib.backends.backend_pdf import PdfPages

    file = io.BytesIO()
    with PdfPages(file, metadata={"CreationDate": None, "Producer": None, **about}) as book:
        for page in pages:
            book.savefig(_figure(page, 72.0))
    return file.getvalue()


def ready() -> bool:
    """Whether what painting needs is imported."""
    return "matplotlib.backends.backend_agg" in sys.modules


def warm() -> None:
    """Import what painting needs: half a second, once."""
    from matplotlib.backends import backend_agg  # noqa: F401

    _font(bold=False, mono=False)


def width(text: str, size: float, *, bold: bool = False, mono: bool = False) -> float:
    """How many pixels wide a text is, but for the few that kerning takes."""
    return sum(_advance(letter, bold=bold, mono=mono) for letter in _drawable(text, bold=bold, mono=mono)) * size


def _figure(drawing: Drawing, dpi: float) -> Figure:
    from matplotlib.figure import Figure

    size = (drawing.width / INCH, drawing.height / INCH)
    figure = Figure(figsize=size, dpi=dpi, facecolor=PAPER, edgecolor=PAPER, linewidth=0.0, frameon=True)
    figure.set_layout_engine("none")
    figure.add_artist(_artist(drawing))
    return figure


def _artist(drawing: Drawing) -> Artist:
    """Everything on a drawing as one thing of a figure."""
    from matplotlib.artist import Artist

    class Inks(Artist):
        def draw(self, renderer: Any) -> None:
            pen = _Pen(renderer, drawing.height)
            for ink in drawing.inks:
                pen.draw(ink)

    return Inks()


class _Pen:
    """Puts inks on one renderer, whose places are counted from the lower left corner in its own pixels."""

    def __init__(self, renderer: Any, height: float) -> None:
        self._renderer = renderer
        self._height = height
        self._scale = renderer.points_to_pixels(POINT)

    def draw(self, ink: Ink) -> None:
        match ink:
            case Line():
                self._line(ink)
            case Fill():
                self._shape(self._path([ink.points], closed=True), ink.color, ink.opacity, filled=True)
            case Disc():
                self._disc(ink)
            case Label():
                self._label(ink)

    def _line(self, line: Line) -> None:
        gc = self._gc(line.color)
        gc.set_linewidth(line.width * POINT)
        gc.set_joinstyle("round")
        gc.set_capstyle("butt" if line.dash else "projecting")
        if line.dash:
            gc.set_dashes(0, [length * POINT for length in line.dash])
        straight = all(len({x for x, _ in run}) == 1 or len({y for _, y in run}) == 1 for run in line.runs)
        gc.set_snap(straight)  # rules fall on whole pixels, curves do not jump to them
        self._renderer.draw_path(gc, self._path(line.runs), _identity())
        gc.restore()

    def _disc(self, disc: Disc) -> None:
        import math

        turn = [2 * math.pi * i / 20 for i in range(20)]
        around = tuple((disc.x + disc.radius * math.cos(a), disc.y + disc.radius * math.sin(a)) for a in turn)
        self._shape(self._path([around], closed=True), disc.color, 1.0, filled=not disc.hollow)

    def _shape(self, path: Any, color: str, opacity: float, *, filled: bool) -> None:
        from matplotlib.colors import to_rgba

        gc = self._gc(color)
        gc.set_linewidth(0.0 if filled else 1.3 * POINT)
        gc.set_snap(False)
        gc.set_alpha(opacity)
        self._renderer.draw_path(gc, path, _identity(), to_rgba(color) if filled else None)
        gc.restore()

    def _label(self, label: Label) -> None:
        text = _drawable(label.text, bold=label.bold, mono=label.mono)
        if not text:
            return
        font = _font(bold=label.bold, mono=label.mono).copy()
        font.set_size(label.size * POINT)
        x = label.x
        if label.anchor != "start":
            long = width(text, label.size, bold=label.bold, mono=label.mono)
            x -= long if label.anchor == "end" else long / 2
        y = label.y if self._renderer.flipy() else self._height - label.y
        gc = self._gc(label.color)
        self._renderer.draw_text(gc, x * self._scale, y * self._scale, text, font, 0.0, ismath=False, mtext=None)
        gc.restore()

    def _gc(self, color: str) -> Any:
        gc = self._renderer.new_gc()
        gc.set_foreground(color)
        gc.set_antialiased(True)
        return gc

    def _path(self, runs: Sequence[Places], *, closed: bool = False) -> Any:
        from matplotlib.path import Path

        places, codes = [], []
        for run in runs:
            points = [*run, run[0]] if closed else [*run]
            places += [(x * self._scale, (self._height - y) * self._scale) for x, y in points]
            codes += [Path.MOVETO, *[Path.LINETO] * (len(points) - 1)]
            if closed:
                codes[-1] = Path.CLOSEPOLY
        path = Path(places, codes)
        path.should_simplify = False  # whatever the person has set
        return path


@cache
def _identity() -> Any:
    from matplotlib.transforms import IdentityTransform

    return IdentityTransform()


@cache
def _font(*, bold: bool, mono: bool) -> FontProperties:
    """A font that comes with matplotlib, and is therefore the same everywhere."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(fname=_file(bold=bold, mono=mono))


@cache
def _file(*, bold: bool, mono: bool) -> str:
    import matplotlib as mpl

    name = f"DejaVuSans{'Mono' if mono else ''}{'-Bold' if bold else ''}.ttf"
    return str(mpl.get_data_path()) + f"/fonts/ttf/{name}"


@cache
def _advance(letter: str, *, bold: bool, mono: bool) -> float:
    """How wide a letter is, of the size of its text."""
    from matplotlib.font_manager import get_font
    from matplotlib.ft2font import LoadFlags

    font = get_font(_file(bold=bold, mono=mono))  # of this thread
    return float(font.load_char(ord(letter), flags=LoadFlags.NO_SCALE).horiAdvance) / font.units_per_EM


@cache
def _known(*, bold: bool, mono: bool) -> frozenset[int]:
    from matplotlib.font_manager import get_font

    return frozenset(get_font(_file(bold=bold, mono=mono)).get_charmap())


def _drawable(text: str, *, bold: bool, mono: bool) -> str:
    """The text with a box for each letter that the font lacks, of which matplotlib would warn the person."""
    known = _known(bold=bold, mono=mono)
    return "".join(letter if ord(letter) in known else "□" for letter in text)
