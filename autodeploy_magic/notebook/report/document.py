"""What a report says, before it is a page of HTML, a picture or a PDF: sections of a few kinds of parts."""

from __future__ import annotations

from dataclasses import dataclass, field

from autodeploy_magic.notebook.chart.ink import Drawing

__all__ = ["Cell", "Charts", "Code", "Document", "Facts", "Part", "Section", "Sign", "Table", "Text", "Tiles"]


@dataclass(frozen=True)
class Sign:
    """A text that begins with a sign of its own colour."""

    mark: str
    color: str
    text: str


Cell = str | Sign


@dataclass(frozen=True)
class Tiles:
    """Large figures, each with what it is of."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Facts:
    """What is known, a line each: a word for it, and the text."""

    pairs: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True)
class Table:
    """Rows; the columns of `numeric` are set to the right."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: tuple[int, ...] = ()


@dataclass(frozen=True)
class Charts:
    """Drawings beside each other, as wide as the page together."""

    drawings: tuple[Drawing, ...]


@dataclass(frozen=True)
class Code:
    """A text to copy."""

    title: str
    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph; `muted` where it says how to read what is beside it."""

    text: str
    muted: bool = True


Part = Tiles | Facts | Table | Charts | Code | Text


@dataclass(frozen=True)
class Section:
    """Parts under a heading. One that is no `core` is left out of a picture, which has no pages to turn."""

    title: str
    parts: tuple[Part, ...]
    core: bool = True


@dataclass(frozen=True)
class Document:
    """A whole report. `state` stands before the title, `tags` beside it."""

    title: str
    state: Sign
    tags: tuple[str, ...]
    subtitle: str
    foot: str
    sections: tuple[Section, ...] = field(default=())
