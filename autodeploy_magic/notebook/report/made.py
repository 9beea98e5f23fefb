"""The report of a deployment: found, composed, written, and what is shown of it then."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autodeploy_magic.notebook.figures import Figures
from autodeploy_magic.notebook.html import Markup, card, element
from autodeploy_magic.notebook.report.compose import CREATOR, composed
from autodeploy_magic.notebook.report.file import place, write
from autodeploy_magic.notebook.report.findings import Findings, found
from autodeploy_magic.notebook.text import count_text, size_text
from autodeploy_magic.notebook.views import View
from autodeploy_magic.period import period_text, seconds_of

if TYPE_CHECKING:
    from autodeploy_magic.store import Store
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["Report", "make_report", "rendered"]


@dataclass(frozen=True)
class Report(View):
    """A report that was written; a path, wherever one is taken. `figures` are those that it tells first."""

    name: str
    path: Path
    format: str
    seconds: int
    size_bytes: int
    figures: Figures

    def __fspath__(self) -> str:
        return str(self.path)

    def text(self) -> str:
        return f"{self.summary}\n  {self.path}  {size_text(self.size_bytes)}"

    def html(self) -> Markup:
        near = _below(self.path)
        link = element("a", near, href=near, target="_blank", rel="noopener")
        tiles = ((count_text(self.figures.requests), "requests"), *self._tiles())
        numbers = element(
            "div", *(element("span", element("b", n), element("small", what)) for n, what in tiles), class_="nums"
        )
        size = element("span", size_text(self.size_bytes), class_="mut")
        return card(
            element("div", element("b", self._title()), link, size, class_="row"),
            numbers,
            label=f"report of {self.name}",
        )

    @property
    def summary(self) -> str:
        """The report in one line."""
        told = "; ".join(f"{what} {value}" for value, what in self._tiles())
        requests = count_text(self.figures.requests)
        return f"{self._title()}: {requests} requests; {told}"

    def _title(self) -> str:
        return f"{self.name}, report of the last {period_text(self.seconds)}"

    def _tiles(self) -> list[tuple[str, str]]:
        _, _, p50, _, p99, refused, failed, cpu, memory, _ = self.figures.words
        return [(p50, "p50"), (p99, "p99"), (refused, "refused"), (failed, "failed"), (cpu, "CPU"), (memory, "memory")]


def make_report(
    store: Store,
    supervisor: Supervisor,
    name: str,
    last: str,
    format: str | None,
    file: str | os.PathLike[str] | None,
) -> Report:
    """Write the report of a deployment's last period. Raises `InvalidOption`, `UnknownDeployment` or `DiskFull`."""
    seconds = seconds_of(last)
    path, chosen = place(name, format, file, CREATOR)
    findings = found(store, supervisor, name, seconds)
    data = rendered(findings, chosen)
    write(path, data)
    return Report(name, path, chosen, seconds, len(data), findings.figures)


def rendered(findings: Findings, format: str) -> bytes:
    """Return the bytes of the report; the same findings give the same bytes."""
    document = composed(findings)
    if format == "html":
        from autodeploy_magic.notebook.report.html import html

        return html(document, CREATOR).encode()
    from autodeploy_magic.notebook.report.pages import as_pdf, as_png

    return as_png(document, CREATOR) if format == "png" else as_pdf(document, CREATOR)


def _below(path: Path) -> str:
    """The path as a notebook's page reaches it: relative to where the kernel runs, where it is below that."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)
