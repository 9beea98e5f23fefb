"""Whether what is asked and answered is still as it was, column by column: `%deploy drift NAME`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autodeploy_magic.health import ColumnDrift
from autodeploy_magic.notebook.html import Markup, card, element, table
from autodeploy_magic.notebook.text import grid
from autodeploy_magic.notebook.views import View

if TYPE_CHECKING:
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["ShownDrift", "drifted"]


@dataclass(frozen=True)
class ShownDrift(View):
    """The columns of the requests, and the answers, the worst first."""

    name: str
    columns: tuple[ColumnDrift, ...]

    def text(self) -> str:
        rows = [_row(column) for column in self.columns]
        return "\n".join([f"{self.name}: {self.summary}", *([grid(_HEAD, rows)] if rows else []), *self._notes()])

    def html(self) -> Markup:
        worst = {column.state for column in self.columns}
        tone = "warn" if "drifted" in worst else "mut"
        title = element(
            "div",
            element("span", self.name, class_="name"),
            element("span", self.summary, class_=tone),
            class_="row",
        )
        rows = table(_HEAD, [_row(column) for column in self.columns], numeric=(2, 4, 5)) if self.columns else ""
        notes = element("div", *(element("p", note, class_="mut") for note in self._notes()))
        return card(title, rows, notes, label=f"drift of {self.name}")

    @property
    def summary(self) -> str:
        """All of it in a few words: "2 of 13 columns are not as they were"."""
        if not self.columns:
            return "no requests were looked at yet"
        total = len({column.column for column in self.columns if column.column})
        names = {column.column for column in self.columns if column.state == "drifted"}
        columns = len(names - {""})
        verb = "is not as it was" if columns == 1 else "are not as they were"
        parts = [f"{columns} of {total} columns {verb}"] if columns else []
        parts += ["the answers are not as they were"] if "" in names else []
        if parts:
            return ", and ".join(parts)
        still = sum(column.state == "drifting" for column in self.columns)
        return f"nothing has drifted{f'; {still} may be about to' if still else ''}"

    def _notes(self) -> list[str]:
        if not self.columns:
            return [f"some requests of each second are recorded; `%deploy test {self.name}` sends one"]
        return ["rows are compared with the first ones of this version, and with its sample where those were like it"]


_HEAD = ("column", "", "PSI", "what is other", "rows", "compared with")
_STATES = {"same": "", "drifting": "may drift", "drifted": "drifted"}
_NOT_AN_INDEX = ("unseen", "range", "missing")


def _row(column: ColumnDrift) -> tuple[str, ...]:
    index = "" if column.method in _NOT_AN_INDEX else f"{column.value:.2f}"
    return (
        _name(column.column),
        _STATES[column.state],
        index,
        column.text,
        f"{column.rows:,}",
        f"{column.reference:,}" if column.reference else "–",
    )


def _name(column: str) -> str:
    if not column:
        return "(answers)"
    return f"x[{column}]" if column.isdigit() else column


def drifted(supervisor: Supervisor, name: str) -> ShownDrift:
    """Ask how the columns of a deployment are now."""
    return ShownDrift(name, supervisor.health(name).drift)
