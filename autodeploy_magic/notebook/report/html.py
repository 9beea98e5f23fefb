"""A report as one HTML file that needs nothing else: style and charts are inside, and it prints."""

from __future__ import annotations

from autodeploy_magic.notebook.chart.svg import svg
from autodeploy_magic.notebook.html import Markup, element, join
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

__all__ = ["html"]


def html(document: Document, creator: str) -> str:
    """Return the whole page."""
    state = element("span", document.state.mark, style=f"color:{document.state.color}", aria_hidden="true")
    tags = [element("span", tag, class_="tag") for tag in document.tags]
    head = element(
        "header",
        element("h1", state, " ", document.title, *tags),
        element("p", document.state.text, class_="state", style=f"color:{document.state.color}"),
        element("p", document.subtitle),
    )
    body = element(
        "main", head, *(_section(section) for section in document.sections), element("footer", document.foot)
    )
    meta = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="generator" content="{creator}">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )
    title = element("title", f"{document.title}: report")
    style = f"<style>{_STYLE}</style>"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{meta}{title}{style}</head><body>{body}</body></html>\n'


def _section(section: Section) -> Markup:
    return element("section", element("h2", section.title), *map(_part, section.parts))


def _part(part: Part) -> Markup:
    match part:
        case Tiles():
            return element(
                "div",
                *(element("div", element("b", value), element("span", what)) for value, what in part.items),
                class_="tiles",
            )
        case Facts():
            lines = [Markup(element("dt", word) + element("dd", _cell(text))) for word, text in part.pairs]
            return element("dl", *lines)
        case Table():
            return _table(part)
        case Charts():
            return element("div", *(element("figure", Markup(svg(one))) for one in part.drawings), class_="charts")
        case Code():
            return element("div", element("h3", part.title), element("pre", part.text), class_="code")
        case Text():
            return element("p", part.text, class_="mut" if part.muted else "")


def _table(table: Table) -> Markup:
    def cells(tag: str, row: tuple[Cell, ...]) -> Markup:
        return join(element(tag, _cell(cell), class_="num" if i in table.numeric else "") for i, cell in enumerate(row))

    head = element("thead", element("tr", cells("th", table.head)))
    body = element("tbody", *(element("tr", cells("td", row)) for row in table.rows))
    return element("div", element("table", head, body), class_="scroll")


def _cell(cell: Cell) -> str:
    if isinstance(cell, Sign):
        mark = element("span", cell.mark, style=f"color:{cell.color}", aria_hidden="true")
        return join([mark, f" {cell.text}"])
    return cell


_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body {
  margin: 0; background: #eef0f3; color: #1c2230;
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main { max-width: 900px; margin: 24px auto; background: #fff; padding: 30px 40px 18px; border-radius: 10px; }
h1 { font-size: 24px; line-height: 1.3; margin: 0; display: flex; flex-wrap: wrap; align-items: center; gap: 4px 10px; }
h2 { font-size: 16px; margin: 26px 0 8px; padding-bottom: 4px; border-bottom: 1px solid #e0e4ea; break-after: avoid; }
h3 { font-size: 13px; margin: 10px 0 3px; color: #5d6678; font-weight: 600; break-after: avoid; }
p { margin: 3px 0; }
header p { color: #5d6678; }
.state { font-weight: 600; }
.tag {
  font-size: 12px; font-weight: 400; line-height: 20px; padding: 0 9px; border: 1px solid #c3c9d3; border-radius: 99px;
  color: #5d6678; white-space: nowrap;
}
.mut { color: #5d6678; }
.tiles { display: grid; grid-template-columns: repeat(5, 1fr); gap: 10px 14px; margin: 8px 0 12px; }
.tiles b { display: block; font-size: 20px; line-height: 1.3; font-variant-numeric: tabular-nums; white-space: nowrap; }
.tiles span { color: #5d6678; font-size: 12.5px; }
.charts { display: flex; gap: 19px; margin: 8px 0; break-inside: avoid; }
.charts figure { flex: 1 1 0; min-width: 0; margin: 0; }
svg { display: block; width: 100%; height: auto; font-family: inherit; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 18px; margin: 4px 0 10px; }
dt { color: #5d6678; }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 6px 0 10px; }
table { border-collapse: collapse; min-width: 50%; font-size: 13px; }
tr { break-inside: avoid; }
th { text-align: left; font-weight: 400; color: #5d6678; }
th, td { padding: 3px 14px 3px 0; vertical-align: top; border-bottom: 1px solid #eef0f3; }
th:last-child, td:last-child { padding-right: 0; }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre {
  margin: 0; padding: 9px 12px; background: #f5f7f9; border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 12px/1.5 ui-monospace, Menlo, Consolas, "Liberation Mono", monospace;
}
footer { margin-top: 30px; padding-top: 8px; border-top: 1px solid #e0e4ea; color: #5d6678; font-size: 12px; }
@media (max-width: 640px) {
  main { margin: 0; padding: 16px; border-radius: 0; }
  .tiles { grid-template-columns: repeat(3, 1fr); }
  .charts { flex-direction: column; gap: 8px; }
}
@media print {
  @page { size: A4; margin: 14mm; }
  body { background: #fff; font-size: 10.5pt; }
  main { margin: 0; padding: 0; max-width: none; }
  section { break-inside: auto; }
  .tiles, dl { break-inside: avoid; }
  a { color: inherit; }
}
"""
