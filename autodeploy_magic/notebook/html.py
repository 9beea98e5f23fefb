"""The few elements our pictures are drawn with. Text is escaped here, so nothing else needs to think of it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from autodeploy_magic.notebook.style import STYLE

__all__ = ["Markup", "card", "details", "element", "facts", "join", "table"]


class Markup(str):
    """Text that is HTML already. Any other string is escaped when it is put into an element."""

    __slots__ = ()


def element(tag: str, *children: str, class_: str = "", **attributes: str) -> Markup:
    """Return `<tag class=… …>children</tag>`; an underscore in an attribute's name becomes "-" (`aria_live`)."""
    given = {"class": class_, **attributes} if class_ else attributes
    text = "".join(f' {name.replace("_", "-")}="{html.escape(value)}"' for name, value in given.items())
    return Markup(f"<{tag}{text}>{join(children)}</{tag}>")


def join(parts: Iterable[str]) -> Markup:
    """Return the parts one after the other, each escaped unless it is `Markup`."""
    return Markup("".join(part if isinstance(part, Markup) else html.escape(part, quote=False) for part in parts))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: Sequence[int] = ()) -> Markup:
    """Return a table; the columns of `numeric` are set to the right. A head without words is left out."""

    def cells(tag: str, row: Sequence[str]) -> Markup:
        return join(element(tag, cell, class_="num" if i in numeric else "") for i, cell in enumerate(row))

    top = element("thead", element("tr", cells("th", head))) if any(head) else ""
    body = element("tbody", *(element("tr", cells("td", row)) for row in rows))
    return element("div", element("table", top, body), class_="scroll")


def details(summary: str, *children: str, unfolded: bool = False) -> Markup:
    """Return a part that the reader unfolds, or may fold."""
    attributes = {"open": ""} if unfolded else {}
    return element("details", element("summary", summary), *children, **attributes)


def facts(*pairs: tuple[str, str]) -> Markup:
    """Return what is known, one line each: a word for it, and the text."""
    lines = [Markup(element("dt", word) + element("dd", text)) for word, text in pairs]
    return element("dl", *lines)


def card(*sections: str, label: str) -> Markup:
    """Return the sections as one framed block, with the style that it needs."""
    body = (element("div", section, class_="sec") for section in sections if section)
    return join(
        [Markup(f"<style>{STYLE}</style>"), element("div", *body, class_="adm", role="group", aria_label=label)]
    )
