"""A report on paper: its parts set one below the other, on pages of A4 or on one sheet that is as long as it needs."""

from __future__ import annotations

from collections.abc import Sequence

from autodeploy_magic.notebook.chart.ink import Drawing, Label
from autodeploy_magic.notebook.chart.paint import pdf, png, width
from autodeploy_magic.notebook.chart.palette import INK, MUTED, SOFT
from autodeploy_magic.notebook.report.document import (
    Cell,
    Charts,
    Code,
    Document,
    Facts,
    Part,
    Section,
    Sign,
    Table,
    Text,
    Tiles,
)
from autodeploy_magic.notebook.report.lines import columns, wrapped

__all__ = ["as_pdf", "as_png"]

WIDTH, HEIGHT = 794.0, 1123.0
"""A4 at 96 pixels to the inch."""
MARGIN = 48.0
INNER = WIDTH - 2 * MARGIN
GAP = 16.0
LINE = "#e0e4ea"
SIZE, LEADING = 11.0, 15.5


def as_pdf(document: Document, creator: str) -> bytes:
    """Return the report as a PDF of A4 pages."""
    pages = _Sheet(HEIGHT).set(document, document.sections)
    for number, page in enumerate(pages, 1):
        page.add(Label(MARGIN, HEIGHT - 26, document.foot, MUTED, 9))
        page.add(Label(WIDTH - MARGIN, HEIGHT - 26, f"{number} of {len(pages)}", MUTED, 9, "end"))
    return pdf(pages, {"Creator": creator, "Title": f"{document.title}: report"})


def as_png(document: Document, creator: str) -> bytes:
    """Return the report's core as one picture."""
    sheet = _Sheet(None)
    (page,) = sheet.set(document, [section for section in document.sections if section.core])
    page.height = sheet.y + 40
    page.add(Label(MARGIN, page.height - 18, document.foot, MUTED, 9))
    return png(page, about={"Software": creator, "Title": f"{document.title}: report"})


class _Sheet:
    """Sets parts from the top of a page to its bottom, and goes on at the next one; `height` None is one long page."""

    def __init__(self, height: float | None) -> None:
        self._height = height
        self._pages: list[Drawing] = []
        self.y = 0.0
        self._turn()

    def set(self, document: Document, sections: Sequence[Section]) -> list[Drawing]:
        self._head(document)
        for section in sections:
            self._section(section)
        return self._pages

    @property
    def _page(self) -> Drawing:
        return self._pages[-1]

    def _turn(self) -> None:
        self._pages.append(Drawing(WIDTH, self._height or 0.0))
        self.y = MARGIN

    def _room(self, height: float) -> None:
        """Turn the page where `height` does not fit on it any more."""
        if self._height is not None and self.y + height > self._height - MARGIN and self.y > MARGIN:
            self._turn()

    def _head(self, document: Document) -> None:
        page = self._page
        self.y += 16
        page.add(Label(MARGIN, self.y, document.state.mark, document.state.color, 18))
        page.add(Label(MARGIN + 22, self.y, document.title, INK, 20, bold=True))
        x = MARGIN + 22 + width(document.title, 20, bold=True) + 14
        tags = " · ".join(document.tags)
        page.add(Label(x, self.y, tags, MUTED, 12))
        state = document.state.text
        page.add(Label(WIDTH - MARGIN, self.y, wrapped(state, 12, 260)[0], document.state.color, 12, "end", bold=True))
        self.y += 22
        page.add(Label(MARGIN, self.y, document.subtitle, MUTED, 11))
        self.y += 10

    def _section(self, section: Section) -> None:
        self._room(90)
        self.y += 26
        self._page.add(Label(MARGIN, self.y, section.title, INK, 13.5, bold=True))
        self._page.rule(MARGIN, self.y + 7, WIDTH - MARGIN, self.y + 7, LINE)
        self.y += 15
        for part in section.parts:
            self._part(part)

    def _part(self, part: Part) -> None:
        match part:
            case Tiles():
                self._tiles(part)
            case Facts():
                self._facts(part)
            case Table():
                self._table(part)
            case Charts():
                self._charts(part)
            case Code():
                self._code(part)
            case Text():
                self._paragraph(part.text, MUTED if part.muted else INK)

    def _tiles(self, tiles: Tiles) -> None:
        each = INNER / 5
        for start in range(0, len(tiles.items), 5):
            self._room(44)
            for i, (value, what) in enumerate(tiles.items[start : start + 5]):
                x = MARGIN + i * each
                self._page.add(Label(x, self.y + 18, value, INK, 17, bold=True))
                self._page.add(Label(x, self.y + 33, what, MUTED, 10.5))
            self.y += 46

    def _facts(self, facts: Facts) -> None:
        start = max(width(word, SIZE) for word, _ in facts.pairs) + 18
        for word, text in facts.pairs:
            lines = wrapped(_plain(text), SIZE, INNER - start - (14 if isinstance(text, Sign) else 0))
            self._room(len(lines) * LEADING)
            self._page.add(Label(MARGIN, self.y + 11, word, MUTED, SIZE))
            self._cell(text, lines, MARGIN + start)
            self.y += len(lines) * LEADING + 1
        self.y += 6

    def _table(self, table: Table) -> None:
        widths = columns(table, INNER, SIZE)
        self._row(table, table.head, widths, head=True)
        for row in table.rows:
            self._row(table, row, widths, head=False)
        self.y += 8

    def _row(self, table: Table, row: tuple[Cell, ...], widths: list[float], *, head: bool) -> None:
        cells = [wrapped(_plain(cell), SIZE, wide - 12) for cell, wide in zip(row, widths, strict=True)]
        height = max(map(len, cells)) * LEADING + 3
        before = len(self._pages)
        self._room(height)
        if len(self._pages) > before and not head:
            self._row(table, table.head, widths, head=True)  # again at the top of the next page
        x = MARGIN
        for i, (cell, lines, wide) in enumerate(zip(row, cells, widths, strict=True)):
            if i in table.numeric:
                for k, text in enumerate(lines):
                    color = MUTED if head else INK
                    self._page.add(Label(x + wide - 12, self.y + 11 + k * LEADING, text, color, SIZE, "end"))
            else:
                self._cell(cell, lines, x, MUTED if head else INK)
            x += wide
        self.y += height
        self._page.rule(MARGIN, self.y - 1.5, WIDTH - MARGIN, self.y - 1.5, "#eef0f3", 0.8)

    def _cell(self, cell: Cell, lines: list[str], x: float, color: str = INK) -> None:
        if isinstance(cell, Sign):
            self._page.add(Label(x, self.y + 11, cell.mark, cell.color, SIZE))
            x += 14
        for k, text in enumerate(lines):
            self._page.add(Label(x, self.y + 11 + k * LEADING, text, color, SIZE))

    def _charts(self, charts: Charts) -> None:
        height = max(drawing.height for drawing in charts.drawings)
        self._room(height + 10)
        x = MARGIN
        for drawing in charts.drawings:
            self._page.put(drawing, x, self.y)
            x += drawing.width + GAP
        self.y += height + 8

    def _code(self, code: Code) -> None:
        lines = [part for line in code.text.splitlines() for part in wrapped(line, 9.5, INNER - 20, mono=True)]
        self._room(18 + min(len(lines), 4) * 13.5)
        self._page.add(Label(MARGIN, self.y + 11, code.title, MUTED, SIZE, bold=True))
        self.y += 17
        while lines:
            fits = len(lines)
            if self._height is not None:
                fits = max(1, min(fits, int((self._height - MARGIN - self.y - 12) / 13.5)))
            self._page.box(MARGIN, self.y, INNER, fits * 13.5 + 10, SOFT)
            for k, text in enumerate(lines[:fits]):
                self._page.add(Label(MARGIN + 10, self.y + 14.5 + k * 13.5, text, INK, 9.5, mono=True))
            self.y += fits * 13.5 + 14
            lines = lines[fits:]
            if lines:
                self._turn()

    def _paragraph(self, text: str, color: str) -> None:
        for words in wrapped(text, SIZE, INNER):
            self._room(LEADING)
            self._page.add(Label(MARGIN, self.y + 11, words, color, SIZE))
            self.y += LEADING
        self.y += 4


def _plain(cell: Cell) -> str:
    return cell.text if isinstance(cell, Sign) else cell
